//! What operators command. Each is accepted or refused at once, with the reasons; what follows is seen in the history.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::action::{Action, PageKind};
use super::contend::Holder;
use super::event::Command;
use super::node::Node;
use super::peer::Evidence;
use super::record::{Attempt, Phase, Proof};
use super::rule::Rule;
use super::state::State;
use super::types::{Epoch, Millis, OperationId, Presence, RequestId, Role, StopMeans};

/// What a person has seen and goes on with.
#[derive(Clone, Copy)]
struct Despite {
    config_difference: bool,
    old_copy: bool,
}

impl Node {
    pub(super) fn command(&mut self, now: Millis, ticket: u64, command: Command, out: &mut Vec<Action>) {
        let result = match command {
            Command::MoveHere { by, reason, despite_config_difference, despite_old_copy } => {
                let despite = Despite { config_difference: despite_config_difference, old_copy: despite_old_copy };
                self.move_here(now, by, reason, despite, out)
            }
            Command::Abort { by } => self.abort(now, &by, out),
            Command::StartAlone { by, reason, despite_old_copy } => {
                self.start_alone(now, by, reason, despite_old_copy, out)
            }
            Command::ConfirmStopped { host, by, reason, epoch, port_answers } => {
                self.confirm_stopped(now, host, by, &reason, epoch, port_answers, out)
            }
            Command::Acknowledge { by } => self.acknowledge(now, &by, out),
            Command::ForceOffline { by, reason } => match self.force_offline(now, ticket, &by, &reason, out) {
                Some(result) => result,
                // The answer comes with the look.
                None => return,
            },
            Command::BeginMaintenance { by, reason, span_ms, now_utc_s } => {
                self.begin_maintenance(now, (by, reason), span_ms, now_utc_s, out)
            }
            Command::EndMaintenance { by, reason } => Ok(self.end_maintenance(now, &by, &reason, out)),
        };
        if let Err(why) = &result {
            self.note(now, Rule::CommandRefused, why, out);
        }
        out.push(Action::Reply { ticket, result });
    }

    fn move_here(
        &mut self,
        now: Millis,
        by: String,
        reason: String,
        despite: Despite,
        out: &mut Vec<Action>,
    ) -> Result<String, String> {
        let here = match &self.state {
            State::Standby
            | State::Suspect { .. }
            | State::FailedStart { .. }
            | State::Stopped { writing: None, .. } => Ok(()),
            State::Active { epoch } => Err(format!("the service already runs here, in epoch {epoch}")),
            State::Claimed { .. } | State::Starting { .. } | State::Requesting { .. } | State::Proving { .. } => {
                Err("a move to this host is already under way: failoverctl status".to_string())
            }
            State::Stopping { .. } | State::Stopped { .. } => Err("this host is just stopping the service".to_string()),
            State::Passive { .. }
            | State::TakeoverBlocked { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => {
                Err(format!("this host cannot start now: {}", self.state.name().way_out()))
            }
        };
        here?;
        let evidence = Evidence::Command { by, reason };
        let reasons = self.against_move(now, &evidence, despite);
        if !reasons.is_empty() {
            return Err(reasons.join("\n"));
        }
        self.begin_attempt(now, evidence, Rule::DemandCommand, out);
        Ok(format!("moving the service to the {}", self.policy.role))
    }

    /// Everything that speaks against a commanded move now, so that a person need not find it out one by one.
    fn against_move(&self, now: Millis, evidence: &Evidence, despite: Despite) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for rule in self.all_withheld_by(now, evidence) {
            reasons.push(match rule {
                Rule::WithheldNotReady => format!("{} {}", rule.sentence(), self.not_ready().join("; ")),
                _ => rule.sentence().to_string(),
            });
        }
        let peer = self.policy.role.peer();
        if let Some(beat) = self.heard() {
            if beat.maintenance {
                reasons
                    .push(format!("the {peer} is in maintenance and would refuse: failoverctl maintenance off, there"));
            }
            if beat.digest != self.policy.digest && !despite.config_difference {
                reasons.push(
                    "the configurations of the two hosts differ (failoverctl status names the keys); to go on all the same: --despite-config-difference"
                        .to_string(),
                );
            }
        }
        reasons.extend(self.old_copies_unless(despite.old_copy));
        reasons
    }

    /// What is said of old copies to a person who has not said yet that they will do.
    fn old_copies_unless(&self, despite: bool) -> Option<String> {
        let copies = &self.facts.old_copies;
        (!despite && !copies.is_empty())
            .then(|| format!("{}; to go on with what is there: --despite-old-copy", copies.join("; ")))
    }

    /// Up to the acknowledgement nothing is lost by turning back; behind it the service runs nowhere, and only forward leads
    /// out.
    fn abort(&mut self, now: Millis, by: &str, out: &mut Vec<Action>) -> Result<String, String> {
        let (request, obeys) = match &self.state {
            State::Requesting { attempt, progress } => (attempt.request, progress.peer_obeys),
            State::Proving { attempt, .. } | State::TakeoverBlocked { attempt, .. } => (attempt.request, false),
            State::Claimed { .. } | State::Starting { .. } => {
                return Err(format!(
                    "the other host has stopped the service, so the move goes forward; to bring it back afterwards: failoverctl {}",
                    if self.policy.role == Role::Master { "takeover" } else { "takeback" }
                ));
            }
            _ => return Err("no move to this host is under way".to_string()),
        };
        self.note(now, Rule::OperatorAborted, &format!("by {by}"), out);
        self.withdraw(now, request, Rule::OperatorAborted, out);
        Ok(if obeys {
            "given up; the other host was already stopping the service, and starts it again when it has stopped"
                .to_string()
        } else {
            "given up: nothing was moved".to_string()
        })
    }

    fn start_alone(
        &mut self,
        now: Millis,
        by: String,
        reason: String,
        despite_old_copy: bool,
        out: &mut Vec<Action>,
    ) -> Result<String, String> {
        let State::Passive { looking: None, clean: true } = self.state else {
            return Err(format!(
                "start-alone is for a passive host on which nothing runs; here: {}",
                self.state.name().way_out()
            ));
        };
        if self.heard().is_some() {
            return Err(
                "the peer is heard: the pair decides together; by hand: failoverctl takeover / takeback".to_string()
            );
        }
        self.gave_no_leave(now)?;
        self.arbiter_allows_word(now, None)?;
        if !self.policy.proof_operator {
            return Err(
                "proof_of_stop does not list Operator, so a person's word does not start the service".to_string()
            );
        }
        if !self.is_ready() {
            return Err(format!("{} {}", Rule::WithheldNotReady.sentence(), self.not_ready().join("; ")));
        }
        if let Some(refusal) = self.old_copies_unless(despite_old_copy) {
            return Err(refusal);
        }
        let request = RequestId { incarnation: self.incarnation, number: self.next_request };
        self.next_request += 1;
        let evidence = Evidence::Command { by: by.clone(), reason };
        let attempt = Attempt { request, evidence, epoch: self.record.highest, began: now };
        self.claim(now, attempt, Proof::Operator { by }, Rule::ProofOperator, out);
        Ok("starting the service here, on your word that the other host does not run it".to_string())
    }

    /// A peer that demands is alive, heard or not, and may start at any moment on this host's acknowledgement.
    fn gave_no_leave(&self, now: Millis) -> Result<(), String> {
        let limit = self.policy.leave_ms();
        let since = if self.answering.is_some() { Some(now) } else { self.let_go_at };
        let Some(left) = since.map(|at| Millis(limit.0.saturating_sub(now.since(at).0))).filter(|left| left.0 > 0)
        else {
            return Ok(());
        };
        let peer = self.policy.role.peer();
        Err(format!(
            "this host told the {peer} that it may start, and that may be on its way still: look at the {peer}, or wait {left}"
        ))
    }

    /// A peer that renews its lease is alive, heard or not.
    fn arbiter_allows_word(&self, now: Millis, typed: Option<Epoch>) -> Result<(), String> {
        let highest = self.record.highest;
        if typed == Some(highest) || !matches!(self.holder(now), Holder::Renewing | Holder::Undecided) {
            return Ok(());
        }
        let peer = self.policy.role.peer();
        Err(format!(
            "the {peer} renewed its lease in the arbiter a moment ago, so it may well be running the service; failoverctl status shows the slot's age"
        ))
    }

    #[allow(clippy::too_many_arguments, reason = "the command's fields, taken apart once")]
    fn confirm_stopped(
        &mut self,
        now: Millis,
        host: Role,
        by: String,
        reason: &str,
        typed: Option<Epoch>,
        port_answers: bool,
        out: &mut Vec<Action>,
    ) -> Result<String, String> {
        if host == self.policy.role {
            return Err(format!(
                "this host is the {host}; for a failed stop here: failoverctl force-offline {host} --reason …"
            ));
        }
        if !self.policy.proof_operator {
            return Err("proof_of_stop does not list Operator, so a person's word is no proof here".to_string());
        }
        let State::TakeoverBlocked { attempt, .. } = self.state.clone() else {
            return Err("no take-over waits for a confirmation on this host: failoverctl status".to_string());
        };
        self.gave_no_leave(now)?;
        self.arbiter_allows_word(now, typed)?;
        let highest = self.record.highest;
        if typed != Some(highest) {
            if self.heard().is_some() {
                return Err(format!(
                    "the {host} is heard, so it may well be running the service; if you know better: --epoch {highest}"
                ));
            }
            if port_answers {
                return Err(format!(
                    "a managed port of the {host} answers, so the service may well be running; if you know better: --epoch {highest}"
                ));
            }
        }
        self.note(now, Rule::ProofOperator, &format!("by {by}: {reason}"), out);
        // The word is of now: it covers whatever is known to have run there.
        let attempt = Attempt { epoch: highest, ..attempt };
        self.claim(now, attempt, Proof::Operator { by }, Rule::ProofOperator, out);
        Ok(format!("recorded; starting the service on the {}", self.policy.role))
    }

    fn acknowledge(&mut self, now: Millis, by: &str, out: &mut Vec<Action>) -> Result<String, String> {
        let mut done: Vec<&str> = Vec::new();
        if self.locked() {
            self.acknowledge_moves(out);
            done.push("the automatic move is acknowledged: automatic moves are allowed again");
        }
        if self.frozen {
            self.frozen = false;
            done.push("decisions are no longer frozen");
        }
        match self.state.clone() {
            State::FailedStart { .. } => {
                self.persist(Phase::Standby, out);
                self.enter(now, State::Standby);
                done.push("the failed start is cleared: this host stands by");
            }
            State::TakeoverBlocked { attempt, .. } if attempt.commanded() => {
                self.withdraw(now, attempt.request, Rule::OperatorAcknowledged, out);
                done.push("the commanded move is given up");
            }
            State::ExclusivityError { reason, .. } => {
                let operation = self.operation();
                out.push(Action::Look { operation });
                self.state = State::ExclusivityError { reason, looking: Some(operation) };
                done.push("looking again whether anything runs here: failoverctl status");
            }
            State::Passive { .. }
            | State::Standby
            | State::Suspect { .. }
            | State::Requesting { .. }
            | State::Proving { .. }
            | State::TakeoverBlocked { .. }
            | State::Claimed { .. }
            | State::Starting { .. }
            | State::Active { .. }
            | State::Stopping { .. }
            | State::Stopped { .. }
            | State::FailedStop { .. } => {}
        }
        self.told.clear();
        self.note(now, Rule::OperatorAcknowledged, &format!("by {by}"), out);
        if done.is_empty() {
            return Ok("nothing waited for an acknowledgement".to_string());
        }
        Ok(done.join("; "))
    }

    fn force_offline(
        &mut self,
        now: Millis,
        ticket: u64,
        by: &str,
        reason: &str,
        out: &mut Vec<Action>,
    ) -> Option<Result<String, String>> {
        if !matches!(self.state, State::FailedStop { .. }) {
            return Some(Err("no failed stop waits here: failoverctl status".to_string()));
        }
        let operation = self.operation();
        self.note(now, Rule::OperatorForcedOffline, &format!("by {by}: {reason}"), out);
        out.push(Action::Look { operation });
        if let State::FailedStop { looking, .. } = &mut self.state {
            *looking = Some((operation, Some(ticket)));
        }
        None
    }

    /// The look after `force-offline` ended. What still visibly runs is not overruled by a word.
    pub(super) fn looked_forced(
        &mut self,
        now: Millis,
        ticket: Option<u64>,
        presence: Presence,
        out: &mut Vec<Action>,
    ) {
        let State::FailedStop { epoch, looking, .. } = &mut self.state else { return };
        *looking = None;
        let epoch = (*epoch).max(self.record.highest);
        if let Presence::Runs(what) = presence {
            let result = Err(format!("something of the service still runs here: {what}"));
            out.extend(ticket.map(|ticket| Action::Reply { ticket, result }));
            return;
        }
        if ticket.is_none() && matches!(presence, Presence::CannotTell(_)) {
            // Only a person may say so without being able to tell.
            return;
        }
        let (means, rule) = match presence {
            Presence::NothingRuns => (StopMeans::PostConditions, Rule::NothingRunsAnyMore),
            Presence::Runs(_) | Presence::CannotTell(_) => (StopMeans::Operator, Rule::OperatorForcedOffline),
        };
        self.told.remove(&PageKind::StopFailed);
        self.lease_ends(out);
        self.note(now, rule, "", out);
        let write = self.persist(Phase::Stopped { epoch, means, forced: None }, out);
        self.enter(now, State::Stopped { epoch, means, forced: None, writing: Some((write, None)) });
        let result = Ok("recorded: the service is stopped here".to_string());
        out.extend(ticket.map(|ticket| Action::Reply { ticket, result }));
    }

    /// The look after `ack` in an exclusivity error ended.
    pub(super) fn looked_again(
        &mut self,
        now: Millis,
        operation: OperationId,
        presence: Presence,
        out: &mut Vec<Action>,
    ) {
        match presence {
            Presence::NothingRuns => {
                self.note(now, Rule::NothingRunsAnyMore, "", out);
                self.enter(now, State::Passive { looking: None, clean: true });
            }
            Presence::Runs(what) | Presence::CannotTell(what) => {
                if let State::ExclusivityError { reason, looking } = &mut self.state
                    && *looking == Some(operation)
                {
                    *looking = None;
                    *reason = what.clone();
                }
                self.note(now, Rule::ServiceFoundRunning, &what, out);
            }
        }
    }
}
