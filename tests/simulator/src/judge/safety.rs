//! The laws of safety that hold at every step, apart from those of a start.

use failover_shared::decision::{
    Action, Answer, Demand, Epoch, Event, Evidence, Millis, Node, Phase, RequestId, StartOutcome, State, StateName,
    StopMeans, StopOutcome, Verdict,
};

use super::super::host::Host;
use super::super::seen::Sight;
use super::{Judge, Law};

/// What is remembered of a core from before a step, to judge the step.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Its state.
    pub name: StateName,
    /// The demand under way.
    pub request: Option<RequestId>,
    /// The epoch in which the service runs here.
    pub active: Option<Epoch>,
    /// Its own checks have not failed.
    pub is_well: bool,
    /// A person told it to leave the service alone.
    pub in_maintenance: bool,
}

impl Before {
    /// A core as it is.
    #[must_use]
    pub fn of(node: &Node) -> Before {
        let request = match node.state() {
            State::Requesting { attempt, .. }
            | State::Proving { attempt, .. }
            | State::TakeoverBlocked { attempt, .. } => Some(attempt.request),
            _ => None,
        };
        let active = match node.state() {
            State::Active { epoch } => Some(*epoch),
            _ => None,
        };
        let is_well = !matches!(node.local_verdict_now(), Verdict::Failed(_));
        let in_maintenance = node.record().maintenance.is_some();
        Before { name: node.state().name(), request, active, is_well, in_maintenance }
    }
}

/// What of an event the judge must know after the core has consumed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing that a law speaks of.
    Other,
    /// The answer to a demand, by either way.
    Answer(RequestId),
    /// A demand for every epoch up to this one.
    Demand(RequestId, Epoch, Standing),
    /// A stop that was not verified.
    StopFailed,
    /// A start that failed.
    StartFailed,
}

/// What a demand can ask of a host that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It rests on a command or on checks that failed.
    Sound,
    /// It counts only if the own checks say the same.
    Weak,
    /// Who makes it could not start the service, or its time is over.
    Unready,
}

impl Told {
    /// The judge's view of an event.
    #[must_use]
    pub fn of(event: &Event) -> Told {
        match event {
            Event::Answered { request, .. } | Event::RcmdDone { request, .. } => Told::Answer(*request),
            Event::DemandReceived(demand) => Told::Demand(demand.request, demand.epoch, Standing::of(demand)),
            Event::StopDone { outcome: StopOutcome::NotVerified { .. }, .. } => Told::StopFailed,
            Event::StartDone { outcome: StartOutcome::Failed { .. }, .. } => Told::StartFailed,
            _ => Told::Other,
        }
    }
}

impl Standing {
    fn of(demand: &Demand) -> Standing {
        match demand.evidence {
            _ if !demand.ready || demand.lifetime_ms == Millis(0) => Standing::Unready,
            Evidence::Command { .. } | Evidence::RemoteCheck(_) => Standing::Sound,
            Evidence::Silence(_) | Evidence::OwnVerdict(_) | Evidence::NobodyActive | Evidence::RollBack => {
                Standing::Weak
            }
        }
    }
}

impl Judge {
    /// S1, at any change of processes.
    pub fn s1_one_writer(&mut self, hosts: &[Host; 2]) {
        if hosts[0].service.may_write() && hosts[1].service.may_write() {
            if self.leave.is_some() {
                self.saw(Sight::TwoActivesWithLeave);
            }
            self.must_unless_leave(Law::S1, false, || {
                format!("both can: {:?} and {:?}", hosts[0].service, hosts[1].service)
            });
        }
    }

    /// S3, for what beats say and what a core owns.
    pub fn s3_epochs_never_decrease(&mut self, index: usize, host: &Host) {
        let Some(node) = host.node() else { return };
        let (owned, before) = (node.record().owned, self.owned[index]);
        self.must(Law::S3, owned >= before, || format!("the {} owned epoch {before}, now {owned}", host.role));
        self.owned[index] = owned;
        if !matches!(node.state().name(), StateName::Claimed | StateName::Starting) {
            self.known[index] = node.record().highest;
        }
    }

    /// S3, when a beat leaves: only what was durable may be told, or a crash would take it back.
    pub fn s3_beats_never_decrease(&mut self, index: usize, owned: Epoch, duty_is_firm: bool) {
        if !duty_is_firm {
            return;
        }
        let before = self.told_owned[index];
        self.must(Law::S3, owned >= before, || format!("host {index} told that it owned {before}, now {owned}"));
        self.told_owned[index] = owned;
    }

    /// S5 and S9, when an acknowledgement leaves: it must be true and durable at this moment.
    pub fn s5_acknowledged_is_stopped(&mut self, host: &Host, request: RequestId, answer: &Answer) {
        let Answer::Acked { epoch, means, forced } = answer else { return };
        self.acked.push(request);
        if forced.is_some() {
            self.saw(Sight::AckForced);
        }
        match means {
            StopMeans::Rebooted => self.saw(Sight::AckRebooted),
            StopMeans::NotRunning => self.saw(Sight::AckNotRunning),
            StopMeans::PostConditions | StopMeans::Operator => {}
        }
        // Nobody can see what somebody else starts between the look and the durable answer.
        let runs = host.service.may_write() && !(host.service.foreign && host.foreign_unseen);
        self.must(Law::S5, !runs, || format!("the {} acknowledged, but there is {:?}", host.role, host.service));
        let kept = host.disk.durable().is_some_and(|record| {
            record.boot == host.boot
                && matches!(record.phase, Phase::Standby | Phase::Stopped { .. } | Phase::FailedStart { .. })
        });
        self.must(Law::S9, kept, || {
            format!("the {} acknowledged before it was durable: the disk says {:?}", host.role, host.disk.durable())
        });
        let index = host.index();
        self.acked_through[index] = self.acked_through[index].max(*epoch);
    }

    /// S9, when a demand leaves.
    pub fn s9_demand_is_durable(&mut self, host: &Host, demand: &Demand) {
        let kept = host.disk.durable().is_some_and(|record| {
            record.boot == host.boot
                && matches!(&record.phase, Phase::Requesting(attempt) if attempt.request == demand.request)
        });
        self.must(Law::S9, kept, || {
            format!("the {} demands before that is durable: the disk says {:?}", host.role, host.disk.durable())
        });
    }

    /// S9 and S10, when a host orders the clients to itself.
    pub fn s10_balancer_epoch(&mut self, host: &Host, epoch: Epoch) {
        let active = host.node().is_some_and(|node| node.state().name() == StateName::Active);
        self.must(Law::S10, active, || format!("the {} takes the clients before its start is done", host.role));
        let kept = host.disk.durable().is_some_and(|record| record.owned >= epoch);
        self.must(Law::S9, kept, || format!("the {} takes the clients of epoch {epoch}, not durable", host.role));
        let (before, forgetful) = (self.balancer_epoch, self.is_forgetful);
        self.must_unless_leave(Law::S10, epoch >= before || forgetful, || {
            format!("the {} takes the clients of epoch {epoch} after epoch {before}", host.role)
        });
        self.balancer_epoch = before.max(epoch);
    }

    /// S11, when a list is to run.
    pub fn s11_one_list_at_a_time(&mut self, host: &Host, starts: bool) {
        let stops_now =
            host.service.run.as_ref().is_some_and(|run| !run.starts && run.incarnation == host.incarnation());
        self.must(Law::S11, !(starts && stops_now), || {
            format!("the {} starts while its stop list runs: {:?}", host.role, host.service.run)
        });
    }

    /// S12, after a step that was told of a failed stop or start.
    pub fn s12_failed_list_is_no_success(&mut self, before: Before, told: Told, node: &Node) {
        if told == Told::StopFailed && before.name == StateName::Stopping {
            let after = node.state();
            let is_taken = matches!(after, State::Stopped { .. } | State::Standby | State::FailedStart { .. });
            self.must(Law::S12, !is_taken, || format!("a stop that was not verified led to {after:?}"));
        }
        let began = told == Told::StartFailed && before.name == StateName::Starting;
        self.must(Law::S12, !began || node.state().name() != StateName::Active, || {
            "a start that failed counts as done".to_string()
        });
    }

    /// Whether what a core is told is old: the answer to another demand than the one under way, or a demand that
    /// speaks of an epoch before the one that runs.
    #[must_use]
    pub fn is_stale(before: Before, told: Told) -> bool {
        match told {
            Told::Answer(request) => before.request != Some(request),
            Told::Demand(_, epoch, _) => before.active.is_some_and(|active| epoch < active),
            Told::Other | Told::StopFailed | Told::StartFailed => false,
        }
    }

    /// S13, after a step that was told something old: the core is as its twin, which was told nothing.
    pub fn s13_stale_changes_nothing(&mut self, told: Told, node: &Node, twin: &Node) {
        self.must(Law::S13, node == twin, || {
            format!("{told:?} is old, and led to {:?} instead of {:?}", node.state(), twin.state())
        });
    }

    /// S13, when a beat is believed.
    pub fn s13_beats_echo(&mut self, echoes: bool) {
        self.must(Law::S13, echoes, || "a beat counts that does not echo this start's nonce".to_string());
    }

    /// S16, when the service writes.
    pub fn s16_store_epochs_in_order(&mut self, host: &Host) {
        let Some(epoch) = host.service.running.filter(|_| !host.service.foreign && !host.stands) else { return };
        let (before, forgetful) = (self.written_epoch, self.is_forgetful);
        self.must_unless_leave(Law::S16, epoch >= before || forgetful, || {
            format!("the {} writes in epoch {epoch} after something was written in epoch {before}", host.role)
        });
        self.written_epoch = before.max(epoch);
    }

    /// Every change of state leaves a reason; the core caught itself in nothing.
    pub fn core_keeps_its_rules(&mut self, host: &Host, before: Before, out: &[Action]) -> bool {
        let Some(node) = host.node() else { return false };
        let after = node.state().name();
        self.must(Law::Core, !node.is_frozen(), || format!("the {} caught itself in a wrong belief", host.role));
        let changed = before.name != after;
        if changed {
            let explained = out.iter().any(|action| matches!(action, Action::Note(_)));
            self.must(Law::Core, explained, || format!("{:?} became {after:?} and no rule says why", before.name));
            self.came_to(after);
        }
        changed
    }
}
