//! One step of time: clocks, guardians and watchdogs first, then what ends with the step, then the daemons.

use failover_shared::decision::{
    ArbiterFailure, ArbiterReply, Beat, Event, GuardedLease, Millis, StartOutcome, StopMeans, StopOutcome,
};

use super::bounds::LEASE;
use super::host::{Host, Mood};
use super::pair::Pair;

impl Pair {
    /// Time goes on by one step.
    pub fn steps(&mut self) {
        self.time += 1;
        let spans = self.drift.step_ms();
        let mut due = [Vec::new(), Vec::new()];
        for index in [0, 1] {
            let host = self.host(index);
            host.clock = host.clock.after(Millis(spans[index]));
            due[index].extend(guards(host));
            due[index].extend(ends_list(host));
            due[index].extend(times_out(host));
        }
        let beats = [self.beat_of(0), self.beat_of(1)];
        self.messages.retain(|message| self.hosts[message.to].node.is_some());
        for (index, mut due) in due.into_iter().enumerate() {
            if self.hosts[index].listens() {
                due.extend(beats[1 - index].clone().map(Event::Beat));
                self.turns(index, due);
            }
        }
    }

    fn beat_of(&self, index: usize) -> Option<Beat> {
        let host = &self.hosts[index];
        let node = host.node.as_ref().filter(|_| host.listens() && !host.link_cut)?;
        Some(node.beat(host.clock, Millis(0), Millis(0)))
    }
}

/// The guardian ends a daemon that stands still at T and the service at T + G; at P + Wd the watchdog resets the host.
fn guards(host: &mut Host) -> Option<Event> {
    let age = host.lease_age()?;
    host.writes_as?;
    if age >= LEASE.lease_ms() {
        host.power_fails();
        return None;
    }
    if host.unguarded {
        return None;
    }
    if age >= LEASE.stop_after_ms && host.frozen.is_some() {
        host.daemon_dies();
    }
    if age < LEASE.stop_after_ms.after(LEASE.scripts_ms) {
        return None;
    }
    let (GuardedLease::Held { epoch, .. }, _) = host.guard? else { return None };
    host.writes_as = None;
    host.node.is_some().then_some(Event::GuardianEnded { epoch })
}

/// A list ends with the step after the one in which it began.
fn ends_list(host: &mut Host) -> Option<Event> {
    let list = host.list.filter(|list| list.mood != Mood::Hangs && host.frozen.is_none())?;
    host.list = None;
    let operation = list.operation;
    Some(match (list.starts, list.mood) {
        (true, Mood::Fails) => {
            Event::StartDone { operation, outcome: StartOutcome::Failed { step: 1, reason: String::new() } }
        }
        (true, Mood::Works | Mood::Hangs) => Event::StartDone { operation, outcome: StartOutcome::Started },
        (false, _) => {
            host.writes_as = None;
            let outcome = StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None };
            Event::StopDone { operation, outcome }
        }
    })
}

/// One attempt's time is over: the daemon hears of it, and the attempt may still take effect.
fn times_out(host: &mut Host) -> Option<Event> {
    let question = host.question.as_ref().filter(|_| host.listens())?;
    if host.clock.since(question.at) < LEASE.attempt_ms {
        return None;
    }
    let operation = question.operation;
    host.gives_up();
    Some(Event::Arbiter { operation, reply: ArbiterReply::Failed(ArbiterFailure::TimedOut) })
}
