//! The other side of a demand: judging it, stopping, answering.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Action, Balance, PageKind};
use super::node::{Answering, Node};
use super::peer::{Answer, Demand, Duty, Evidence, Refusal};
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::{Phase, StopCause};
use super::rule::Rule;
use super::state::State;
use super::types::{Epoch, Forced, Millis, OperationId, Presence, RequestId, Role, StopMeans, StopOutcome, Verdict};

impl Node {
    pub(super) fn demand_received(&mut self, now: Millis, demand: Demand, out: &mut Vec<Action>) {
        self.learn_epoch(demand.epoch);
        match self.state.clone() {
            State::Active { epoch } => match self.judge(&demand, epoch) {
                Ok(()) if demand.prepare => {
                    self.note(now, Rule::PreparesLeave, &format!("demand {}", demand.request), out);
                    out.push(Action::Answer { request: demand.request, answer: Answer::Prepared });
                }
                Ok(()) => {
                    self.note(now, Rule::ObeyedDemand, &format!("demand {}: {}", demand.request, demand.evidence), out);
                    let cause = StopCause::Demand(demand.request);
                    self.stop_service(now, epoch, cause, Some(demand.request), out);
                }
                Err(refusal) => self.refuse(now, demand.request, refusal, out),
            },
            State::Stopping { .. } => {
                if let State::Stopping { answer_to, .. } = &mut self.state {
                    *answer_to = Some(demand.request);
                }
            }
            State::Claimed { .. } | State::Starting { .. } | State::Proving { .. } => {
                self.refuse(now, demand.request, Refusal::Busy, out);
            }
            State::Requesting { attempt, .. } | State::TakeoverBlocked { attempt, .. } => {
                if self.goes_first(&attempt.evidence, &demand.evidence) {
                    return self.refuse(now, demand.request, Refusal::Busy, out);
                }
                self.withdraw(now, attempt.request, Rule::YieldedToPeer, out);
                self.answer_not_running(now, demand.request, demand.epoch, out);
            }
            State::FailedStop { reason, .. } | State::ExclusivityError { reason, .. } => {
                out.push(Action::Answer { request: demand.request, answer: Answer::AckedFailed { reason } });
            }
            State::Stopped { writing: Some(_), .. } => {
                if let State::Stopped { writing: Some((_, answer_to)), .. } = &mut self.state {
                    *answer_to = Some(demand.request);
                }
            }
            State::Passive { .. }
            | State::Standby
            | State::Suspect { .. }
            | State::Stopped { writing: None, .. }
            | State::FailedStart { .. } => self.answer_not_running(now, demand.request, demand.epoch, out),
        }
    }

    /// Whether the running service is to be stopped for this demand.
    fn judge(&self, demand: &Demand, epoch: Epoch) -> Result<(), Refusal> {
        if demand.epoch < epoch && !planted(Bug::StaleDemandObeyed) {
            return Err(Refusal::Stale { epoch });
        }
        if demand.lifetime_ms == Millis(0) {
            return Err(Refusal::Expired);
        }
        if self.in_maintenance() && !planted(Bug::MaintenanceIgnored) {
            return Err(Refusal::Maintenance);
        }
        if !demand.ready {
            return Err(Refusal::NotReady);
        }
        let failed_here = matches!(self.facts.local, Verdict::Failed(_)) || planted(Bug::SilenceObeyed);
        match &demand.evidence {
            Evidence::Command { .. } | Evidence::RemoteCheck(_) => Ok(()),
            // To have received it disproves the silence; only an own failure makes it true after all.
            Evidence::Silence(_) | Evidence::OwnVerdict(_) if failed_here => Ok(()),
            Evidence::Silence(_) | Evidence::OwnVerdict(_) | Evidence::NobodyActive | Evidence::RollBack => {
                Err(Refusal::Healthy)
            }
        }
    }

    /// Both hosts demand at once: a command goes before everything else, then the master before the slave.
    fn goes_first(&self, own: &Evidence, theirs: &Evidence) -> bool {
        let commanded = |evidence: &Evidence| matches!(evidence, Evidence::Command { .. } | Evidence::RollBack);
        match (commanded(own), commanded(theirs)) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => self.policy.role == Role::Master,
        }
    }

    fn refuse(&mut self, now: Millis, request: RequestId, refusal: Refusal, out: &mut Vec<Action>) {
        self.note(now, Rule::RefusedDemand, &format!("demand {request}: {refusal}"), out);
        out.push(Action::Answer { request, answer: Answer::Refused(refusal) });
    }

    /// Nothing should be running here; that is looked at, and made durable, before it is acknowledged.
    fn answer_not_running(&mut self, now: Millis, request: RequestId, epoch: Epoch, out: &mut Vec<Action>) {
        if self.answering.as_ref().is_some_and(|answering| answering.request == request) {
            // A repetition. On a slow disk each would put another write before its own answer, for ever.
            return;
        }
        let operation = self.operation();
        self.answering = Some(Answering { request, epoch, operation, began: now, verified: None });
        out.push(Action::Look { operation });
    }

    pub(super) fn demand_withdrawn(&mut self, request: RequestId) {
        if self.answering.as_ref().is_some_and(|answering| answering.request == request) {
            self.answering = None;
        }
    }

    /// A look for an answer ended.
    pub(super) fn looked_for_answer(&mut self, now: Millis, presence: Presence, out: &mut Vec<Action>) {
        let Some(mut answering) = self.answering.take() else { return };
        match presence {
            Presence::NothingRuns => {
                let (means, phase) = match &self.record.phase {
                    // Most likely the answer to this very stop was lost on its way: it names its means again.
                    Phase::Stopped { means, .. } => (*means, self.record.phase.clone()),
                    Phase::FailedStart { .. } => (StopMeans::NotRunning, self.record.phase.clone()),
                    _ if self.rebooted => (StopMeans::Rebooted, Phase::Standby),
                    _ => (StopMeans::NotRunning, Phase::Standby),
                };
                // What is learned while the write is under way is not in it, and must not be promised.
                answering.epoch = answering.epoch.max(self.record.highest);
                self.gives_leave(now, answering.epoch);
                answering.operation = self.persist(phase, out);
                answering.verified = Some(means);
                answering.began = now;
                self.answering = Some(answering);
            }
            Presence::Runs(what) | Presence::CannotTell(what) => {
                let answer = Answer::AckedFailed { reason: what.clone() };
                out.push(Action::Answer { request: answering.request, answer });
                self.found_running(now, what, out);
            }
        }
    }

    /// Said before the write that the acknowledgement waits for, so that it is durable before that leaves.
    fn gives_leave(&mut self, now: Millis, epoch: Epoch) {
        self.record.gave_leave = Some(epoch);
        self.let_go_at = Some(now);
    }

    /// The answer's write ended.
    pub(super) fn answer_written(&mut self, now: Millis, durable: bool, out: &mut Vec<Action>) {
        let Some(Answering { request, epoch, verified: Some(means), .. }) = self.answering.take() else { return };
        let answer = if durable {
            self.let_go_at = Some(now);
            self.note(now, Rule::AnsweredNotRunning, &format!("demand {request}"), out);
            let forced = match &self.record.phase {
                Phase::Stopped { forced, .. } => forced.clone(),
                _ => None,
            };
            Answer::Acked { epoch, means, forced }
        } else {
            self.note(now, Rule::StopNotDurable, "", out);
            Answer::AckedFailed { reason: Rule::StopNotDurable.sentence().into() }
        };
        out.push(Action::Answer { request, answer });
    }

    /// Stops the service: the stop first, the record after it, because a full disk must not keep a service running.
    pub(super) fn stop_service(
        &mut self,
        now: Millis,
        epoch: Epoch,
        cause: StopCause,
        answer_to: Option<RequestId>,
        out: &mut Vec<Action>,
    ) {
        let operation = self.operation();
        let reason = match &cause {
            StopCause::Demand(request) => format!("the {} demanded it ({request})", self.policy.role.peer()),
            StopCause::HigherEpoch(higher) => format!("the {} runs epoch {higher}", self.policy.role.peer()),
            StopCause::StartFailed { reason, .. } => format!("the start failed: {reason}"),
            StopCause::LeaseLost => Rule::LeaseNotRenewed.sentence().into(),
            StopCause::Deposed(later) => format!("the {} claimed epoch {later}", self.policy.role.peer()),
            StopCause::Overtaken => Rule::StartOvertaken.sentence().into(),
            StopCause::Invariant => Rule::InvariantBroken.sentence().into(),
        };
        out.push(Action::Stop { operation, epoch, resume: false, reason });
        out.push(Action::Balance(Balance::Nowhere(epoch)));
        self.persist(Phase::Stopping { epoch, cause: cause.clone() }, out);
        self.enter(now, State::Stopping { epoch, cause, answer_to, operation });
    }

    pub(super) fn stop_done(
        &mut self,
        now: Millis,
        operation: OperationId,
        outcome: StopOutcome,
        out: &mut Vec<Action>,
    ) {
        let State::Stopping { epoch, cause, answer_to, operation: expected } = self.state.clone() else { return };
        if operation != expected {
            return;
        }
        out.push(Action::Balance(Balance::Leave));
        match outcome {
            StopOutcome::NotVerified { .. } if planted(Bug::FailedStopIsStop) => {
                self.note(now, Rule::StopVerified, "", out);
                self.stopped(now, epoch, StopMeans::PostConditions, None, answer_to, out);
            }
            StopOutcome::NotVerified { reason } => self.stop_failed(now, epoch, reason, answer_to, out),
            StopOutcome::Stopped { means, forced } => match cause {
                StopCause::StartFailed { reason, commanded } => {
                    self.note(now, Rule::StopVerified, "what was started is stopped", out);
                    self.failed_start(now, epoch, reason, commanded, out);
                    if let Some(request) = answer_to {
                        self.answer_not_running(now, request, epoch, out);
                    }
                }
                StopCause::Demand(_)
                | StopCause::HigherEpoch(_)
                | StopCause::LeaseLost
                | StopCause::Deposed(_)
                | StopCause::Overtaken
                | StopCause::Invariant => {
                    self.note(now, Rule::StopVerified, &stop_in_words(forced.as_ref()), out);
                    self.stopped(now, epoch, means, forced, answer_to, out);
                }
            },
        }
    }

    fn stopped(
        &mut self,
        now: Millis,
        epoch: Epoch,
        means: StopMeans,
        forced: Option<Forced>,
        answer_to: Option<RequestId>,
        out: &mut Vec<Action>,
    ) {
        self.lease_ends(out);
        let epoch = epoch.max(self.record.highest);
        if answer_to.is_some() {
            self.gives_leave(now, epoch);
        }
        let write = self.persist(Phase::Stopped { epoch, means, forced: forced.clone() }, out);
        if planted(Bug::AcksBeforeDurable)
            && let Some(request) = answer_to
        {
            out.push(Action::Answer { request, answer: Answer::Acked { epoch, means, forced: forced.clone() } });
        }
        self.enter(now, State::Stopped { epoch, means, forced, writing: Some((write, answer_to)) });
    }

    /// The stop's write ended: only now may it be acknowledged.
    pub(super) fn stop_written(&mut self, now: Millis, durable: bool, out: &mut Vec<Action>) {
        let State::Stopped { epoch, means, forced, writing } = &mut self.state else { return };
        let Some((_, answer_to)) = writing.take() else { return };
        let (epoch, answer) = (*epoch, Answer::Acked { epoch: *epoch, means: *means, forced: forced.clone() });
        if !durable {
            return self.stop_failed(now, epoch, Rule::StopNotDurable.sentence().into(), answer_to, out);
        }
        self.release(now, self.record.owned);
        if let Some(request) = answer_to {
            if self.record.gave_leave.is_none() {
                // The demand came while that was written, so what is durable does not say that the peer has leave.
                return self.answer_not_running(now, request, epoch, out);
            }
            self.let_go_at = Some(now);
            out.push(Action::Answer { request, answer });
        }
    }

    pub(super) fn stop_failed(
        &mut self,
        now: Millis,
        epoch: Epoch,
        reason: String,
        answer_to: Option<RequestId>,
        out: &mut Vec<Action>,
    ) {
        self.note(now, Rule::StopNotVerified, &reason, out);
        self.persist(Phase::FailedStop { epoch, reason: reason.clone() }, out);
        if let Some(request) = answer_to {
            out.push(Action::Answer { request, answer: Answer::AckedFailed { reason: reason.clone() } });
        }
        self.page(
            PageKind::StopFailed,
            format!("The stop on the {} could not be verified: {reason}", self.policy.role),
            "The other host does not start the service, because this one may still be using the store.",
            format!("Stop it by hand, verify it, then: failoverctl force-offline {} --reason …", self.policy.role),
            out,
        );
        self.enter(now, State::FailedStop { epoch, reason, looking: None });
    }

    pub(super) fn failed_start(
        &mut self,
        now: Millis,
        epoch: Epoch,
        reason: String,
        commanded: bool,
        out: &mut Vec<Action>,
    ) {
        self.lease_ends(out);
        self.persist(Phase::FailedStart { epoch, reason: reason.clone(), commanded }, out);
        let effect = if commanded {
            "The other host is asked to take the service back."
        } else {
            "The service runs nowhere: this host does not try again by itself."
        };
        self.page(
            PageKind::StartFailed,
            format!("The start on the {} failed: {reason}", self.policy.role),
            effect,
            "failoverctl history shows the step's output; mend it, then: failoverctl ack",
            out,
        );
        self.enter(now, State::FailedStart { epoch, reason, commanded, asked: None });
    }

    /// The peer was well when a person moved the service away from it, so it takes the service back. Asked again and
    /// again, because one message may be lost, with its connection or with a daemon that crashes.
    pub(super) fn ask_peer_to_start(&mut self, now: Millis, out: &mut Vec<Action>) {
        if !self.peer_is_to_start() {
            return;
        }
        if let State::FailedStart { epoch, asked, .. } = &mut self.state
            && asked.is_none_or(|at| now.since(at) >= Policy::DEMAND_RETRY_MS)
        {
            *asked = Some(now);
            out.push(Action::StartPlease(*epoch));
        }
    }

    pub(super) fn peer_is_to_start(&self) -> bool {
        let State::FailedStart { epoch, commanded: true, .. } = self.state else { return false };
        self.heard().is_some_and(|beat| {
            matches!(beat.duty, Duty::Standby | Duty::Stopped) && beat.owned <= epoch && self.answering.is_none()
        })
    }

    /// `stop-here` stopped the service while this daemon was frozen or gone.
    pub(super) fn foreign_stop(&mut self, now: Millis, epoch: Epoch, out: &mut Vec<Action>) {
        self.learn_epoch(epoch);
        self.gives_leave(now, epoch);
        self.answering = None;
        self.note(now, Rule::StoppedMeanwhile, &format!("epoch {epoch}"), out);
        match self.state {
            // The rest of a start list must not run behind the back of that stop; nor must this host's own stop list
            // be forgotten, which ends by itself.
            State::Starting { epoch, .. } => return self.stop_service(now, epoch, StopCause::Overtaken, None, out),
            State::Stopping { .. } => return,
            _ => {}
        }
        self.lease_ends(out);
        let means = StopMeans::PostConditions;
        out.push(Action::Balance(Balance::Leave));
        self.persist(Phase::Stopped { epoch, means, forced: None }, out);
        self.enter(now, State::Stopped { epoch, means, forced: None, writing: None });
    }

    /// The commanded start failed on the peer: bring the service back.
    pub(super) fn start_please(&mut self, now: Millis, epoch: Epoch, out: &mut Vec<Action>) {
        self.learn_epoch(epoch);
        if matches!(self.state, State::Standby | State::Stopped { writing: None, .. } | State::Suspect { .. }) {
            self.demand_or_withhold(now, Evidence::RollBack, Rule::DemandRollBack, out);
        }
    }
}

fn stop_in_words(forced: Option<&Forced>) -> String {
    match forced {
        Some(forced) => format!("acked-stopped (forced, step {}, {})", forced.step, forced.reason),
        None => "acked-stopped".into(),
    }
}
