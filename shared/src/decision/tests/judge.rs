//! Judges a schedule from outside: it looks at processes, disks and what was sent, never at what the core believes of itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use crate::decision::{Action, Epoch, Evidence, Node, PageKind, Phase, Proof, RequestId, Role, Rule, State, StateName};

use super::host::Host;

/// What must never happen, and how often what must be possible did happen.
#[derive(Default)]
pub(super) struct Judge {
    /// The first thing that must not be.
    pub(super) breach: Option<String>,
    /// Two actives are nobody's fault any more: silence was taken for a stop, or a person said what was not so.
    pub(super) excused: bool,
    pub(super) seen: BTreeMap<&'static str, u32>,
    pub(super) rules: BTreeSet<Rule>,
    acked: BTreeSet<RequestId>,
    stated: BTreeSet<RequestId>,
    /// Words of a person for a host that is to start.
    words: [u32; 2],
    owner_of: BTreeMap<Epoch, Role>,
    highest_started: Epoch,
    owned: [Epoch; 2],
    /// The highest epoch that a host knew before the claim it is at.
    known: [Epoch; 2],
}

impl Judge {
    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }

    pub(super) fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds && self.breach.is_none() {
            self.breach = Some(otherwise());
        }
    }

    pub(super) fn person_spoke(&mut self, starts: usize, is_so: bool) {
        self.words[starts] += 1;
        self.excused |= !is_so;
    }

    /// At any change of processes.
    pub(super) fn processes(&mut self, hosts: &[Host; 2]) {
        if !(hosts[0].service_runs && hosts[1].service_runs) {
            return;
        }
        self.saw("two actives, with leave");
        let excused = self.excused;
        self.must(excused, || "the service runs on both hosts".into());
    }

    /// `Acked` leaves a host: it must be true and durable at this moment.
    pub(super) fn acknowledges(&mut self, host: &Host, request: RequestId) {
        self.acked.insert(request);
        let runs = host.may_write();
        self.must(!runs, || format!("the {} acknowledged a stop while something runs there", host.role));
        let kept = host.disk.as_ref().is_some_and(|record| {
            record.boot == host.boot
                && matches!(record.phase, Phase::Standby | Phase::Stopped { .. } | Phase::FailedStart { .. })
        });
        self.must(kept, || {
            format!("the {} acknowledged before it was durable: the disk says {:?}", host.role, host.disk)
        });
    }

    pub(super) fn states(&mut self, request: RequestId) {
        self.stated.insert(request);
    }

    /// A start list is about to run.
    pub(super) fn starts(&mut self, host: &Host, epoch: Epoch, resumed: bool) {
        let kept = host.disk.as_ref().is_some_and(|record| {
            record.boot == host.boot && matches!(&record.phase, Phase::Starting { epoch: kept, .. } if *kept == epoch)
        });
        self.must(kept, || format!("the {} starts epoch {epoch}, the disk says {:?}", host.role, host.disk));
        let owner = *self.owner_of.entry(epoch).or_insert(host.role);
        self.must(owner == host.role, || format!("epoch {epoch} of the {owner} is started by the {}", host.role));
        if resumed {
            self.saw("start resumed");
            return;
        }
        let doubled = host.may_write() && !host.started_by_another;
        self.must(!doubled, || format!("the {} starts epoch {epoch} while something runs there already", host.role));
        // A host that starts without its peer's answer can only stay above what it knows itself.
        let acknowledged = matches!(
            host.node().map(Node::state),
            Some(State::Starting { proof: Proof::Ack { .. }, .. } | State::Claimed { proof: Proof::Ack { .. }, .. })
        );
        let below = if acknowledged { self.highest_started } else { self.known[usize::from(host.role == Role::Slave)] };
        self.must(epoch > below, || format!("the {} starts epoch {epoch} after {below}", host.role));
        self.highest_started = self.highest_started.max(epoch);
    }

    /// Every start rests on a proof that somebody really gave.
    pub(super) fn proof(&mut self, index: usize, before: StateName, node: &Node) {
        let (state, policy) = (node.state(), node.policy());
        let State::Claimed { attempt, proof, .. } = state else { return };
        if before == StateName::Claimed {
            return;
        }
        let (given, name) = match proof {
            Proof::Ack { by_rcmd: false, .. } => (self.acked.contains(&attempt.request), "takeover by ack"),
            Proof::Ack { by_rcmd: true, .. } => (self.stated.contains(&attempt.request), "takeover by statement"),
            Proof::Operator { .. } => (self.words[index] > 0, "takeover by a person's word"),
            Proof::Timeout => (true, "takeover by time-out"),
            // The pair in this file has neither; the simulator has both.
            Proof::Lease(_) | Proof::Fence { .. } => (false, "takeover by a proof that is not configured"),
        };
        self.saw(name);
        if before == StateName::TakeoverBlocked {
            self.saw("block resolved by a proof");
        }
        if attempt.evidence == Evidence::RollBack {
            self.saw("rolled back");
        }
        let listed = match proof {
            Proof::Ack { .. } => policy.proof_ack,
            Proof::Operator { .. } => policy.proof_operator,
            Proof::Timeout => policy.proof_timeout,
            Proof::Lease(_) => policy.proof_lease,
            Proof::Fence { .. } => policy.proof_fence,
        };
        self.must(listed, || format!("a claim rests on a proof that the configuration does not list: {proof:?}"));
        self.must(given, || format!("a claim rests on a proof that nobody gave: {proof:?}"));
        self.excused |= matches!(proof, Proof::Timeout);
        match proof {
            Proof::Ack { forced: Some(_), .. } => self.saw("forced acknowledgement"),
            Proof::Ack { means: crate::decision::StopMeans::Rebooted, .. } => self.saw("acknowledged by a reboot"),
            Proof::Ack { .. } | Proof::Operator { .. } | Proof::Timeout | Proof::Lease(_) | Proof::Fence { .. } => {}
        }
    }

    /// Every change of state leaves a reason.
    pub(super) fn explained(&mut self, before: StateName, after: StateName, out: &[Action]) {
        let rules =
            out.iter().filter_map(|action| if let Action::Note(note) = action { Some(note.rule) } else { None });
        let reasons = rules.clone().count();
        self.rules.extend(rules);
        self.must(before == after || reasons > 0, || format!("{before:?} became {after:?} and no rule says why"));
    }

    /// After each step. Tells whether it changed the state.
    pub(super) fn stepped(&mut self, index: usize, before: StateName, host: &Host) -> bool {
        let Some(node) = host.node() else { return false };
        let after = node.state().name();
        let changed = before != after;
        if changed {
            self.saw(name_of(after));
        }
        self.must(!node.is_frozen(), || format!("the {} caught itself in a wrong belief", host.role));
        let owned = node.record().owned;
        let before = self.owned[index];
        self.must(owned >= before, || format!("the {} owned epoch {before}, now {owned}", host.role));
        self.owned[index] = owned;
        if !matches!(after, StateName::Claimed | StateName::Starting) {
            self.known[index] = node.record().highest;
        }
        changed
    }

    /// A daemon begins with what its disk remembers; a claim that was not durable never was.
    pub(super) fn remembers(&mut self, index: usize, owned: Epoch) {
        self.owned[index] = owned;
        self.known[index] = owned;
    }

    /// A state was torn. What no disk remembers any more, no host can keep to.
    pub(super) fn forgotten(&mut self, hosts: &[Host; 2]) {
        self.saw("state torn");
        let known = hosts.iter().filter_map(|host| host.disk.as_ref()).map(|record| record.highest).max();
        self.highest_started = self.highest_started.min(known.unwrap_or_default());
    }

    pub(super) fn paged(&mut self, kind: PageKind) {
        self.saw(match kind {
            PageKind::Moved => "page: moved",
            PageKind::Blocked => "page: blocked",
            PageKind::StartFailed => "page: start failed",
            PageKind::StopFailed => "page: stop failed",
            PageKind::Exclusivity => "page: exclusivity",
            PageKind::TwoActives => "page: two actives",
            PageKind::NoTakeover => "page: no take-over",
            PageKind::LinkCut => "page: link cut",
            PageKind::PeerSilent => "page: peer silent",
            PageKind::NobodyActive => "page: nobody active",
            PageKind::ConfigDiffers => "page: config differs",
            PageKind::State => "page: state",
            PageKind::Maintenance => "page: maintenance",
            PageKind::Arbiter | PageKind::Fence | PageKind::BalancerDiverged | PageKind::Invariant => "page: other",
            PageKind::Unreachable => "page: unreachable",
        });
    }
}

fn name_of(state: StateName) -> &'static str {
    match state {
        StateName::Passive => "Passive",
        StateName::Standby => "Standby",
        StateName::Suspect => "Suspect",
        StateName::Requesting => "Requesting",
        StateName::Proving => "Proving",
        StateName::TakeoverBlocked => "TakeoverBlocked",
        StateName::Claimed => "Claimed",
        StateName::Starting => "Starting",
        StateName::Active => "Active",
        StateName::Stopping => "Stopping",
        StateName::Stopped => "Stopped",
        StateName::FailedStart => "FailedStart",
        StateName::FailedStop => "FailedStop",
        StateName::ExclusivityError => "ExclusivityError",
    }
}
