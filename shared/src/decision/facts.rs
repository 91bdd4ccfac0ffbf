//! Events that change what is believed: beats, verdicts, references, lateness.

use alloc::format;
use alloc::vec::Vec;

use super::action::{Action, Balance, PageKind};
use super::node::Node;
use super::peer::{Beat, Duty};
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::Record;
use super::rule::Rule;
use super::state::State;
use super::types::{Millis, Verdict};

impl Node {
    pub(super) fn hear(&mut self, now: Millis, beat: Beat, out: &mut Vec<Action>) {
        if self.peer.silent {
            self.told.remove(&PageKind::PeerSilent);
            self.told.remove(&PageKind::Unreachable);
            self.told.remove(&PageKind::LinkCut);
            self.note(now, Rule::PeerHeardAgain, "", out);
            // A failure that the checks found while nothing of the peer was heard may speak of the way to it.
            self.peer.active_since = Some(now);
            self.peer.passed = self.facts.remote == Verdict::Passed;
        }
        self.peer.silent = false;
        self.peer.heard_at = Some(now);
        self.freshness_restarted = false;
        self.told.remove(&PageKind::NobodyActive);
        self.compare_digests(now, beat.digest, out);
        self.learn_numbers(now, &beat, out);
        self.learn_duty(now, &beat);
        self.hear_fence(now, &beat, out);
        self.peer.beat = Some(beat);
    }

    /// Another turn of the peer's as the active host begins, or ends.
    fn learn_duty(&mut self, now: Millis, beat: &Beat) {
        let known = self.peer.beat.as_ref().is_some_and(|known| known.owned == beat.owned);
        if !known || !matches!(beat.duty, Duty::Starting | Duty::Active) {
            self.peer.active_since = None;
            self.peer.passed = false;
        }
        if beat.duty == Duty::Active {
            self.peer.active_since.get_or_insert(now);
        }
    }

    pub(super) fn remote_verdict(&mut self, verdict: Verdict) {
        self.facts.remote = verdict;
        let its_turn = self.peer.beat.as_ref().is_some_and(|beat| matches!(beat.duty, Duty::Starting | Duty::Active));
        self.peer.passed |= its_turn && verdict == Verdict::Passed;
    }

    fn compare_digests(&mut self, now: Millis, theirs: u64, out: &mut Vec<Action>) {
        if theirs == self.policy.digest {
            if self.told.remove(&PageKind::ConfigDiffers) {
                self.note(now, Rule::ConfigEqual, "", out);
            }
        } else if !self.told.contains(&PageKind::ConfigDiffers) {
            self.note(now, Rule::ConfigDiffers, "", out);
            self.page(
                PageKind::ConfigDiffers,
                "The configuration files of the two hosts differ.",
                "Automatic moves are blocked; running moves and commands go on.",
                "failoverctl status names the keys; copy the right file to the other host and reload it there.",
                out,
            );
        }
    }

    /// Epochs, automatic moves and their acknowledgements only grow, so both hosts simply keep the larger. They are made
    /// durable: a host that boots alone must not claim an epoch below one that its peer had.
    fn learn_numbers(&mut self, now: Millis, beat: &Beat, out: &mut Vec<Action>) {
        let Record { highest, automatic, acknowledged, gave_leave, .. } = self.record;
        self.learn_epoch(beat.epoch);
        // The peer has used its leave, or cannot any more.
        let starts = matches!(beat.duty, Duty::Starting | Duty::Active);
        let over = self.let_go_at.is_some_and(|at| now.since(at) >= self.policy.leave_ms());
        self.record.gave_leave.take_if(|epoch| over || (starts && beat.owned > *epoch));
        self.record.automatic = automatic.max(beat.automatic);
        self.record.acknowledged = acknowledged.max(beat.acknowledged);
        let known = (highest, automatic, acknowledged, gave_leave);
        let Record { highest, automatic, acknowledged, gave_leave, .. } = self.record;
        if known != (highest, automatic, acknowledged, gave_leave) {
            self.persist(self.record.phase.clone(), out);
        }
    }

    pub(super) fn local_verdict(&mut self, now: Millis, verdict: Verdict, out: &mut Vec<Action>) {
        let before = self.facts.local;
        self.facts.local = verdict;
        let State::Active { epoch } = self.state else { return };
        if before != Verdict::Passed && verdict == Verdict::Passed {
            out.push(Action::Balance(Balance::Here(epoch)));
        }
        match (before, verdict) {
            (_, Verdict::Failed(symptom)) if before != verdict => {
                self.note(now, Rule::OwnServiceFailed, &format!("own checks: {symptom}"), out);
            }
            (Verdict::Failed(_), Verdict::Passed) => {
                self.told.remove(&PageKind::NoTakeover);
                self.note(now, Rule::OwnServiceWell, "", out);
            }
            (Verdict::Unknown | Verdict::Passed, _) | (Verdict::Failed(_), _) => {}
        }
    }

    pub(super) fn references(&mut self, now: Millis, answering: u8, of: u8, link_up: bool, out: &mut Vec<Action>) {
        let isolated = (!link_up || (of > 0 && answering == 0)) && !planted(Bug::IsolationIgnored);
        if isolated != self.facts.isolated {
            self.facts.isolated = isolated;
            let rule = if isolated { Rule::SelfIsolated } else { Rule::SelfIsolationEnded };
            self.note(now, rule, &format!("{answering} of {of} reference points answer, link up: {link_up}"), out);
        }
    }

    /// A late loop may have missed beats that wait in the sockets. Freshness restarts once for a silence, so that a loop
    /// that is always late cannot hide a dead peer for ever.
    pub(super) fn loop_was_late(&mut self, now: Millis, late: Millis, out: &mut Vec<Action>) {
        if late.0.saturating_mul(2) > self.policy.suspect_after_ms.0 && !self.freshness_restarted {
            self.freshness_restarted = true;
            if self.peer.heard_at.is_some() && !self.peer.silent {
                self.peer.heard_at = Some(now);
                self.note(now, Rule::Restarted, &format!("the loop was late by {late}"), out);
            }
        }
        if late >= Policy::TILT_AT_MS {
            // The lease is proved again at once, instead of at the next renewal.
            self.arbitration.next_at = self.arbitration.next_at.min(now);
            if self.tilt_until.is_none() {
                self.note(now, Rule::TiltBegan, &format!("the loop was late by {late}"), out);
            }
            self.tilt_until = Some(now.after(Policy::TILT_MS)).filter(|_| !planted(Bug::TiltIgnored));
        }
    }

    /// Judged only when every ready socket was read in this turn.
    pub(super) fn judge_silence(&mut self, now: Millis) {
        if let Some(heard_at) = self.peer.heard_at
            && now.since(heard_at) >= self.policy.suspect_after_ms
        {
            self.peer.silent = true;
        }
    }

    pub(super) fn judge_tilt(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.tilt_until.is_some_and(|until| now >= until) {
            self.tilt_until = None;
            self.note(now, Rule::TiltEnded, "", out);
        }
    }

    /// The hold-down ends by itself after a quiet time in which both hosts were well.
    pub(super) fn judge_hold_down(&mut self, now: Millis, out: &mut Vec<Action>) {
        if !self.locked() || !self.both_well() {
            self.quiet_since = None;
            return;
        }
        let since = *self.quiet_since.get_or_insert(now);
        if now.since(since) >= self.policy.hold_down_ms {
            self.quiet_since = None;
            self.acknowledge_moves(out);
            self.note(now, Rule::HoldDownEnded, "both hosts were well for the whole quiet time", out);
        }
    }

    /// Every automatic move so far is acknowledged.
    pub(super) fn acknowledge_moves(&mut self, out: &mut Vec<Action>) {
        if self.locked() {
            let Record { automatic, .. } = self.record;
            self.record.acknowledged = automatic;
            self.persist(self.record.phase.clone(), out);
        }
    }

    fn both_well(&self) -> bool {
        let Some(beat) = self.heard() else { return false };
        match self.state {
            State::Active { .. } => self.facts.local == Verdict::Passed && beat.ready,
            State::Standby => self.is_ready() && beat.duty == Duty::Active && beat.verdict == Verdict::Passed,
            State::Passive { .. }
            | State::Suspect { .. }
            | State::Requesting { .. }
            | State::Proving { .. }
            | State::TakeoverBlocked { .. }
            | State::Claimed { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Stopped { .. }
            | State::FailedStart { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => false,
        }
    }
}
