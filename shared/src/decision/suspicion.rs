//! When a host that does not run the service may try to bring it here, and what withholds that.

use alloc::format;
use alloc::vec::Vec;

use super::action::{Action, PageKind};
use super::contend::Holder;
use super::event::Sight;
use super::node::Node;
use super::peer::{Duty, Evidence};
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::{Attempt, Phase};
use super::rule::Rule;
use super::state::{Progress, State};
use super::types::{Epoch, Millis, RequestId, Role, Symptom, Verdict};

impl Node {
    /// Standing by: is there a reason to bring the service here?
    pub(super) fn consider_standby(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.peer.silent {
            self.note(now, Rule::PeerSilent, "", out);
            self.enter(now, State::Suspect { asked: None, link_cut: false });
            // At once: no beat comes any more that would be the occasion.
            return self.consider_suspect(now, None, out);
        }
        let Some(beat) = self.heard() else { return };
        let evidence = match (beat.duty, beat.verdict) {
            (Duty::Active, Verdict::Passed) if planted(Bug::ComesHomeByItself) && self.policy.role == Role::Master => {
                let by = || alloc::string::String::from("nobody");
                Some((Evidence::Command { by: by(), reason: by() }, Rule::DemandCommand))
            }
            (Duty::Active, Verdict::Failed(symptom)) => Some((Evidence::OwnVerdict(symptom), Rule::DemandOwnVerdict)),
            (Duty::Active, Verdict::Passed | Verdict::Unknown) => self.remote_failure(now),
            (Duty::Standby, _) => return self.consider_idle_pair(now, out),
            (Duty::Passive | Duty::Requesting | Duty::Starting | Duty::Stopping | Duty::Stopped | Duty::Held, _) => {
                None
            }
        };
        self.idle_until = None;
        match evidence {
            Some((evidence, rule)) => self.demand_or_withhold(now, evidence, rule, out),
            None => self.nothing_withheld(),
        }
    }

    /// The own checks of the peer's service, unless the balancer still reaches it: then only the way from here is bad.
    /// A verdict that is older than the peer's turn as the active host speaks of the time before it; one that is older than
    /// the end of a silence, of the cut link.
    fn remote_failure(&self, now: Millis) -> Option<(Evidence, Rule)> {
        let old_enough = self.peer.active_since.is_some_and(|since| now.since(since) >= Policy::FIRST_CHECK_MS);
        if !self.peer.passed && !old_enough {
            return None;
        }
        match (self.facts.remote, self.facts.through) {
            (Verdict::Failed(symptom), Verdict::Failed(_) | Verdict::Unknown) => {
                Some((Evidence::RemoteCheck(symptom), Rule::DemandRemoteCheck))
            }
            (Verdict::Failed(_), Verdict::Passed) | (Verdict::Passed | Verdict::Unknown, _) => None,
        }
    }

    /// Both hosts stand by. The owner of the highest epoch starts; where neither remembers one, the master. A failover
    /// policy goes before both. Should the two hosts' policies disagree, either none demands, which is told as a service
    /// that nobody runs, or both do, which is what [`Rule::YieldedToPeer`] is for. A host that says that it is not ready
    /// goes first no more: the other one starts in its place, or nobody would.
    fn consider_idle_pair(&mut self, now: Millis, out: &mut Vec<Action>) {
        let theirs = self.heard().map_or(Epoch(0), |beat| beat.owned);
        let first = match (self.facts.preferred, self.record.owned.cmp(&theirs)) {
            (Some(preferred), _) => self.policy.role == preferred,
            (None, core::cmp::Ordering::Greater) => true,
            (None, core::cmp::Ordering::Less) => false,
            (None, core::cmp::Ordering::Equal) => self.policy.role == Role::Master,
        };
        let stands_in = !first && self.is_ready() && self.heard().is_some_and(|beat| !beat.ready);
        if !(first || stands_in) || self.facts.not_ready.is_none() {
            self.idle_until = None;
            return self.nothing_withheld();
        }
        let settled = now.after(if first { Policy::SETTLE_MS } else { Policy::STAND_IN_MS });
        let until = self.idle_until.map_or(settled, |until| until.min(settled));
        self.idle_until = Some(until);
        if now >= until {
            self.demand_or_withhold(now, Evidence::NobodyActive, Rule::NobodyActive, out);
        }
    }

    /// The peer is silent: heard again, or the witnesses, decide.
    pub(super) fn consider_suspect(&mut self, now: Millis, asked: Option<Millis>, out: &mut Vec<Action>) {
        if !self.peer.silent {
            return self.enter(now, State::Standby);
        }
        match self.holder(now) {
            Holder::Maintenance => {
                self.page_held_lease(out);
                return self.withhold(now, Rule::WithheldMaintenance, false, out);
            }
            Holder::Renewing => {
                let link_cut = matches!(self.state, State::Suspect { link_cut: true, .. });
                return self.link_is_cut(now, link_cut, Rule::LeaseRenewing, out);
            }
            Holder::Undecided => return,
            Holder::Quiet | Holder::Nobody | Holder::Unknown => {}
        }
        if self.peer.beat.is_none() {
            // Booted alone: the arbiter knows whether anybody may run the service.
            if self.lease_over(now).is_some() {
                self.demand_or_withhold(now, Evidence::NobodyActive, Rule::NobodyActive, out);
            }
            return;
        }
        let was_active = self.peer.beat.as_ref().is_some_and(|beat| beat.duty != Duty::Held);
        let evidence = Evidence::Silence(self.silence(now));
        if let Some(rule) = self.withheld_by(now, &evidence) {
            return self.withhold(now, rule, was_active, out);
        }
        if !matches!(self.withheld, Some(Rule::LinkCut | Rule::LeaseRenewing)) || self.holder(now) == Holder::Quiet {
            self.nothing_withheld();
        }
        let due = asked.is_none_or(|at| now.since(at) >= Policy::WITNESS_EVERY_MS);
        if due && let State::Suspect { asked, .. } = &mut self.state {
            *asked = Some(now);
            out.push(Action::AskWitness);
        }
    }

    /// The witnesses' answer while the peer is silent.
    pub(super) fn witness(&mut self, now: Millis, direct: Sight, through: Sight, out: &mut Vec<Action>) {
        match self.state.clone() {
            State::Suspect { asked: Some(_), link_cut } => {
                if !self.peer.silent {
                    return;
                }
                if through == Sight::Serving && direct != Sight::Serving {
                    return self.link_is_cut(now, link_cut, Rule::LinkCut, out);
                }
                let evidence = Evidence::Silence(self.silence(now));
                self.demand_or_withhold(now, evidence, Rule::DemandSilence, out);
            }
            State::Proving { attempt, .. } => {
                let sees = direct == Sight::Serving || through == Sight::Serving;
                self.timeout_judged(now, attempt, sees, out);
            }
            State::TakeoverBlocked { attempt, asked: Some(_), timeout_allowed: true, .. } => {
                if self.peer.silent && direct != Sight::Serving && through != Sight::Serving {
                    self.claim_by_timeout(now, attempt, out);
                }
            }
            State::Passive { .. }
            | State::Standby
            | State::Suspect { .. }
            | State::Requesting { .. }
            | State::TakeoverBlocked { .. }
            | State::Claimed { .. }
            | State::Starting { .. }
            | State::Active { .. }
            | State::Stopping { .. }
            | State::Stopped { .. }
            | State::FailedStart { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => {}
        }
    }

    /// A host that is silent and holds its lease for ever may be dead: only a person can find that out.
    fn page_held_lease(&mut self, out: &mut Vec<Action>) {
        let peer = self.policy.role.peer();
        self.page(
            PageKind::PeerSilent,
            format!(
                "The {peer} is silent and holds its lease without a time limit: it is in maintenance, or its daemon was ended."
            ),
            "Nothing is started here, whatever has become of it.",
            format!(
                "Look at the {peer}: start its daemon. If it is dead: failoverctl takeover / takeback, then confirm-stopped"
            ),
            out,
        );
    }

    fn link_is_cut(&mut self, now: Millis, known: bool, rule: Rule, out: &mut Vec<Action>) {
        if !known {
            self.note(now, rule, "", out);
        }
        if let State::Suspect { link_cut, .. } = &mut self.state {
            *link_cut = true;
        }
        self.withheld = Some(rule);
        self.page(
            PageKind::LinkCut,
            format!(
                "The {} is silent on every path, but {}.",
                self.policy.role.peer(),
                if rule == Rule::LinkCut { "its service answers through the balancer" } else { "it renews its lease" }
            ),
            "Nothing is moved. While the link is cut, a failure of the service is seen late or not at all.",
            "Mend the link between the two hosts; failoverctl status shows each path.",
            out,
        );
    }

    /// Begins a demand on `evidence`, or says what withholds it.
    pub(super) fn demand_or_withhold(&mut self, now: Millis, evidence: Evidence, rule: Rule, out: &mut Vec<Action>) {
        match self.withheld_by(now, &evidence) {
            Some(why) => self.withhold(now, why, true, out),
            None => self.begin_attempt(now, evidence, rule, out),
        }
    }

    /// What keeps this host from demanding on `evidence` now. The order is that of importance to an operator.
    pub(super) fn withheld_by(&self, now: Millis, evidence: &Evidence) -> Option<Rule> {
        self.all_withheld_by(now, evidence).next()
    }

    /// All of it.
    pub(super) fn all_withheld_by(&self, now: Millis, evidence: &Evidence) -> impl Iterator<Item = Rule> {
        let (automatic, rests_on_silence) = match evidence {
            Evidence::Silence(_) | Evidence::RemoteCheck(Symptom::Unreachable | Symptom::TimedOut) => (true, true),
            Evidence::OwnVerdict(_) | Evidence::RemoteCheck(_) => (true, false),
            Evidence::NobodyActive | Evidence::Command { .. } | Evidence::RollBack => (false, false),
        };
        let commanded = matches!(evidence, Evidence::Command { .. } | Evidence::RollBack);
        let peer_maintenance = self.peer.beat.as_ref().is_some_and(|beat| beat.maintenance);
        let digest = self.peer.beat.as_ref().map(|beat| beat.digest).or_else(|| self.slot_digest());
        let digests_differ = digest.is_some_and(|digest| digest != self.policy.digest) && !planted(Bug::DigestIgnored);
        let rules = [
            (self.frozen, Rule::WithheldFrozen),
            (self.answering.is_some(), Rule::WithheldAnswering),
            (self.in_maintenance() || (peer_maintenance && !commanded), Rule::WithheldMaintenance),
            (automatic && self.policy.role == Role::Master && !self.policy.reverse_protection, Rule::WithheldNoReverse),
            (!commanded && digests_differ, Rule::WithheldConfigDiffers),
            (automatic && self.locked() && !planted(Bug::HoldDownIgnored), Rule::WithheldHoldDown),
            (!self.is_ready() && !planted(Bug::DemandsUnready), Rule::WithheldNotReady),
            (!commanded && !self.facts.old_copies.is_empty(), Rule::WithheldOldCopy),
            (!commanded && now < self.refused_until, Rule::WithheldRefused),
            (rests_on_silence && self.tilt_until.is_some(), Rule::WithheldTilt),
            (rests_on_silence && self.facts.isolated, Rule::WithheldSelfIsolated),
        ];
        rules.into_iter().filter_map(|(applies, rule)| applies.then_some(rule))
    }

    /// Says once what withholds a move. A person is called when the service needs it and this host will not come.
    fn withhold(&mut self, now: Millis, rule: Rule, service_in_need: bool, out: &mut Vec<Action>) {
        if self.withheld == Some(rule) {
            return;
        }
        self.withheld = Some(rule);
        self.note(now, rule, "", out);
        let self_ending = matches!(
            rule,
            Rule::WithheldAnswering | Rule::WithheldTilt | Rule::WithheldRefused | Rule::WithheldSelfIsolated
        );
        if service_in_need && !self_ending {
            let (effect, next) = if rule == Rule::WithheldOldCopy {
                let command = if self.policy.role == Role::Master { "takeback" } else { "takeover" };
                (
                    format!("{} {}", rule.sentence(), self.facts.old_copies.join("; ")),
                    format!("to take over with what is there: failoverctl {command} --despite-old-copy"),
                )
            } else {
                let next = "failoverctl why; then mend the cause, or move by hand: failoverctl takeover / takeback";
                (rule.sentence().into(), next.into())
            };
            let cause = format!("The {} needs a take-over, and this host does not make one.", self.policy.role.peer());
            self.page(PageKind::NoTakeover, cause, effect, next, out);
        }
    }

    fn nothing_withheld(&mut self) {
        if self.withheld.take().is_some() {
            self.told.remove(&PageKind::NoTakeover);
        }
    }

    /// A demand begins: made durable first, sent afterwards.
    pub(super) fn begin_attempt(&mut self, now: Millis, evidence: Evidence, rule: Rule, out: &mut Vec<Action>) {
        let request = RequestId { incarnation: self.incarnation, number: self.next_request };
        self.next_request += 1;
        let attempt = Attempt { request, evidence, epoch: self.record.highest, began: now };
        self.note(now, rule, &format!("demand {request} for epoch {}", attempt.epoch), out);
        let writing = Some(self.persist(Phase::Requesting(attempt.clone()), out));
        // A host that is not heard cannot prepare; the demand itself, and what follows it, is then all there is.
        let preparing = attempt.commanded() && self.heard().is_some();
        let progress =
            Progress { writing, sent: None, again_at: None, peer_obeys: false, rcmd_tried: false, preparing };
        self.enter(now, State::Requesting { attempt, progress });
    }

    pub(super) fn silence(&self, now: Millis) -> Millis {
        self.peer.heard_at.map_or(Millis(0), |at| now.since(at))
    }
}
