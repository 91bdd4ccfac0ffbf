//! One host's decision machine. The daemons, the simulator and the model checker drive this very code.
//!
//! [`Node::step`] takes one event and the time, and appends what is to be done. It never waits, reads no clock and draws
//! no random number: the same events at the same times give the same actions.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::{Action, Note, Page, PageKind};
use super::arbitration::Arbitration;
use super::event::Event;
use super::fenced::FenceAnswer;
use super::fencing::Fencing;
use super::lease::{HeldLease, Keeping};
use super::peer::Beat;
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::{Phase, Record};
use super::rule::Rule;
use super::state::State;
use super::types::{BootId, Epoch, Incarnation, Millis, OperationId, RequestId, Role, StopMeans, Verdict};

/// The decision machine of one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    pub(super) policy: Policy,
    pub(super) incarnation: Incarnation,
    pub(super) record: Record,
    /// The record of an earlier kernel start said that something ran here: this start ended it.
    pub(super) rebooted: bool,
    pub(super) state: State,
    pub(super) entered: Millis,
    pub(super) peer: Peer,
    pub(super) facts: Facts,
    pub(super) tilt_until: Option<Millis>,
    pub(super) freshness_restarted: bool,
    pub(super) answering: Option<Answering>,
    /// When a stop was acknowledged last: the peer may start on that while this host cannot hear it.
    pub(super) let_go_at: Option<Millis>,
    pub(super) next_operation: u64,
    pub(super) next_request: u32,
    pub(super) refused_until: Millis,
    /// When this host may start because both were seen idle for long enough.
    pub(super) idle_until: Option<Millis>,
    pub(super) quiet_since: Option<Millis>,
    /// When a person is reminded of the maintenance next.
    pub(super) nag_at: Millis,
    pub(super) withheld: Option<Rule>,
    /// Conditions that a person has been told of and that have not ended since.
    pub(super) told: BTreeSet<PageKind>,
    pub(super) frozen: bool,
    /// The daemon was told to end.
    pub(super) ending: bool,
    /// How much the slower of the host's clocks is behind the faster.
    pub(super) clock_lag: Millis,
    /// The own lease, while this host holds one.
    pub(super) keeping: Option<Keeping>,
    pub(super) arbitration: Arbitration,
    pub(super) fencing: Fencing,
    /// What the peer is told of the fence that it gives notice of.
    pub(super) fence_answer: Option<FenceAnswer>,
}

/// What is known of the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Peer {
    pub(super) beat: Option<Beat>,
    /// When the last beat that proves it alive arrived, or freshness was restarted.
    pub(super) heard_at: Option<Millis>,
    /// Silent on all paths longer than δ. Only `TurnEnded` sets it, after every socket was read.
    pub(super) silent: bool,
    /// Since when it is known to be active in the epoch that it owns, without a silence in between.
    pub(super) active_since: Option<Millis>,
    /// The own checks of its service have passed since then: a failure after that is news, not the time before.
    pub(super) passed: bool,
}

/// What is known of everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) local: Verdict,
    pub(super) remote: Verdict,
    pub(super) through: Verdict,
    /// `None`: readiness has not been looked at yet.
    pub(super) not_ready: Option<Vec<String>>,
    /// Copies of the peer's data that a person has to be asked about.
    pub(super) old_copies: Vec<String>,
    /// No reference point answers, or the own link is down.
    pub(super) isolated: bool,
    /// The host that a failover policy names first.
    pub(super) preferred: Option<Role>,
}

/// A demand that found nothing running here and is being answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Answering {
    pub(super) request: RequestId,
    pub(super) epoch: Epoch,
    pub(super) operation: OperationId,
    pub(super) began: Millis,
    /// `None` while the host is looked at; then the means, while that is made durable.
    pub(super) verified: Option<StopMeans>,
}

impl Node {
    /// Begins after a start of the daemon. `record` is what the disk remembered, if it could be read; `held` is the lease
    /// that the guardian still knows of.
    #[must_use]
    pub fn new(
        policy: Policy,
        boot: BootId,
        incarnation: Incarnation,
        record: Option<Record>,
        held: Option<HeldLease>,
        now: Millis,
        out: &mut Vec<Action>,
    ) -> Node {
        let known = record.unwrap_or_else(|| Record::fresh(boot));
        let mut node = Node {
            policy,
            incarnation,
            rebooted: false,
            state: State::Passive { looking: None, clean: false },
            record: known,
            entered: now,
            peer: Peer::default(),
            facts: Facts::default(),
            tilt_until: None,
            freshness_restarted: false,
            answering: None,
            let_go_at: None,
            next_operation: 1,
            next_request: 1,
            refused_until: Millis(0),
            idle_until: None,
            quiet_since: None,
            nag_at: now,
            withheld: None,
            told: BTreeSet::new(),
            frozen: false,
            ending: false,
            clock_lag: Millis(0),
            keeping: None,
            arbitration: Arbitration::new(now),
            fencing: Fencing::default(),
            fence_answer: None,
        };
        node.boot(boot, held, now, out);
        node
    }

    /// Takes one event at `now` and appends what is to be done, in order.
    pub fn step(&mut self, now: Millis, event: Event, out: &mut Vec<Action>) {
        let before = self.mark();
        match event {
            Event::TurnBegan if planted(Bug::TimersSwapped) => self.suspicion_timers(now, out),
            Event::TurnEnded if planted(Bug::TimersSwapped) => self.safety_timers(now, out),
            Event::TurnBegan => self.safety_timers(now, out),
            Event::TurnEnded => self.suspicion_timers(now, out),
            Event::LoopLate(late) => self.loop_was_late(now, late, out),
            Event::Beat(beat) => self.hear(now, beat, out),
            Event::LocalVerdict(verdict) => self.local_verdict(now, verdict, out),
            Event::RemoteVerdict(verdict) => self.remote_verdict(verdict),
            Event::ThroughVerdict(verdict) => self.facts.through = verdict,
            Event::References { answering, of, link_up } => self.references(now, answering, of, link_up, out),
            Event::Readiness(reasons) => self.facts.not_ready = Some(reasons),
            Event::OldCopies(copies) => self.facts.old_copies = copies,
            Event::Preferred(role) => self.facts.preferred = role,
            Event::Witness { direct, through } => self.witness(now, direct, through, out),
            Event::DemandReceived(demand) => self.demand_received(now, demand, out),
            Event::DemandWithdrawn(request) => self.demand_withdrawn(request),
            Event::Answered { request, sent, answer } => self.answered(now, request, sent, answer, out),
            Event::StillStopping { request, step: _ } => self.still_stopping(request),
            Event::Unreachable { request, reason: _ } => self.unreachable(now, request, out),
            Event::RcmdDone { request, sent, result } => self.rcmd_done(now, request, sent, result, out),
            Event::TakeoverNotice(epoch) => self.learn_epoch(epoch),
            Event::StartPlease(epoch) => self.start_please(now, epoch, out),
            Event::Persisted { operation, durable } => self.persisted(now, operation, durable, out),
            Event::Looked { operation, presence } => self.looked(now, operation, presence, out),
            Event::StartDone { operation, outcome } => self.start_done(now, operation, outcome, out),
            Event::StopDone { operation, outcome } => self.stop_done(now, operation, outcome, out),
            Event::Arbiter { operation, reply } => self.arbiter_answered(now, operation, reply, out),
            Event::Guarded { operation, result } => self.guarded(now, operation, result, out),
            Event::GuardianEnded { epoch } => self.guardian_ended(now, epoch, out),
            Event::FenceDone { operation, result } => self.fence_done(now, operation, result, out),
            Event::UnfenceDone { operation, result } => self.unfence_done(now, operation, result, out),
            Event::ClocksDiffer(lag) => self.clock_lag = self.clock_lag.max(lag),
            Event::ForeignStop { epoch } => self.foreign_stop(now, epoch, out),
            Event::Ending => self.daemon_ends(now, out),
            Event::PolicyChanged(policy) => self.policy = policy,
            Event::Command { ticket, command } => self.command(now, ticket, command, out),
        }
        self.consider(now, out);
        self.consider_fence(now, out);
        self.arbitrate(now, out);
        self.check_invariants(now, &before, out);
    }

    /// The earliest time at which a `TurnBegan`/`TurnEnded` pair is due. Asking again after any `step` is cheap; an extra
    /// turn is harmless.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let mut earliest: Option<Millis> = None;
        self.for_each_timer(&mut |_, at| earliest = Some(earliest.map_or(at, |known| known.min(at))));
        earliest
    }

    /// The last beat of a peer that is not silent.
    pub(super) fn heard(&self) -> Option<&Beat> {
        self.peer.beat.as_ref().filter(|_| !self.peer.silent)
    }

    pub(super) fn enter(&mut self, now: Millis, state: State) {
        self.state = state;
        self.entered = now;
        self.idle_until = None;
        self.withheld = None;
    }

    pub(super) fn operation(&mut self) -> OperationId {
        let operation = OperationId(self.next_operation);
        self.next_operation += 1;
        operation
    }

    /// Asks for `phase` to be made durable and returns the write's id.
    pub(super) fn persist(&mut self, phase: Phase, out: &mut Vec<Action>) -> OperationId {
        self.record.phase = phase;
        let operation = self.operation();
        out.push(Action::Persist { operation, record: self.record.clone() });
        operation
    }

    pub(super) fn learn_epoch(&mut self, epoch: Epoch) {
        self.record.highest = self.record.highest.max(epoch);
    }

    pub(super) fn note(&self, now: Millis, rule: Rule, detail: &str, out: &mut Vec<Action>) {
        let mut evidence = Vec::new();
        if !detail.is_empty() {
            evidence.push(detail.to_string());
        }
        evidence.extend(self.evidence(now));
        out.push(Action::Note(Note { rule, evidence }));
    }

    /// Pages once for each time that a condition begins.
    pub(super) fn page(
        &mut self,
        kind: PageKind,
        cause: impl Into<String>,
        effect: impl Into<String>,
        next: impl Into<String>,
        out: &mut Vec<Action>,
    ) {
        if self.told.insert(kind) {
            out.push(Action::Page(Page { kind, cause: cause.into(), effect: effect.into(), next: next.into() }));
        }
    }

    /// What is believed now, each with its age.
    fn evidence(&self, now: Millis) -> Vec<String> {
        let mut lines = Vec::new();
        match (&self.peer.beat, self.peer.heard_at) {
            (Some(beat), Some(at)) => lines.push(format!(
                "{}: {}, epoch {}, service {}, heard {} ago",
                self.policy.role.peer(),
                beat.duty,
                beat.epoch,
                beat.verdict,
                now.since(at)
            )),
            _ => lines.push(format!("{}: never heard since this daemon started", self.policy.role.peer())),
        }
        lines.push(format!(
            "{}: {}, epoch {}, service {}",
            self.policy.role,
            self.state.duty(),
            self.record.highest,
            self.facts.local
        ));
        lines.push(format!(
            "checks of the peer: direct {}, through the balancer {}",
            self.facts.remote, self.facts.through
        ));
        if let Some(reasons) = self.facts.not_ready.as_ref().filter(|reasons| !reasons.is_empty()) {
            lines.push(format!("not ready: {}", reasons.join("; ")));
        }
        if !self.facts.old_copies.is_empty() {
            lines.push(self.facts.old_copies.join("; "));
        }
        lines.extend(self.arbiter_evidence(now));
        if let Some(maintenance) = &self.record.maintenance {
            let left = maintenance.ends.since(now);
            lines.push(format!("maintenance by {} for another {left}: {}", maintenance.by, maintenance.reason));
        }
        if self.facts.isolated {
            lines.push("no reference point answers this host".to_string());
        }
        lines
    }
}
