//! The operator: during the trouble one who types anything, afterwards one who follows the printed ways out.

use alloc::format;

use crate::decision::{Command, Event, Millis, Phase, Rule, State, StateName};

use super::faults::Fault;
use super::random::Random;
use super::world::{Item, World, role};

impl World {
    fn types(&mut self, host: usize, command: Command) {
        self.tell(|| format!("{} operator: {command:?}", role(host)));
        self.give(host, Event::Command { ticket: self.now, command });
    }

    /// Whether it is so that nothing runs on the host, and that nothing is about to: what a careful person looks at.
    fn is_stopped(&self, index: usize) -> bool {
        let host = &self.hosts[index];
        let about_to = |name| matches!(name, StateName::Claimed | StateName::Starting);
        let kept_start = host.disk.as_ref().is_some_and(|record| {
            let Phase::Starting { attempt, .. } = &record.phase else { return false };
            record.boot == host.boot && self.now < attempt.began.0 + self.policy.shutdown_timeout_ms.0
        });
        // Nor does a careful person forget a command that still waits for its answer over there.
        let unanswered = host
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.inbox.iter().any(|event| matches!(event, Event::Command { .. })));
        !unanswered
            && !host.may_write()
            && !host.node().is_some_and(|node| about_to(node.state().name()))
            && !kept_start
    }

    /// During the trouble: any command, most of them with a true word.
    pub(super) fn random_command(&mut self, host: usize) {
        let (by, reason) = ("eve".into(), "trying".into());
        let lies = self.random.percent(self.faults.wrong_word_percent);
        let state = self.hosts[host].node().map(|node| node.state().name());
        let command = match (state, self.random.below(10)) {
            (Some(StateName::TakeoverBlocked), 0..8) | (_, 0) => {
                let stopped = self.is_stopped(1 - host);
                if !stopped && !lies {
                    return;
                }
                self.judge.person_spoke(host, stopped);
                let epoch =
                    self.hosts[host].node().map(|node| node.record().highest).filter(|_| half(&mut self.random));
                let (host, port_answers) = (role(1 - host), self.hosts[1 - host].serves());
                Command::ConfirmStopped { host, by, reason, epoch, port_answers }
            }
            (Some(StateName::Passive), 0..8) | (_, 1) => {
                let stopped = self.is_stopped(1 - host);
                if !stopped && !lies {
                    return;
                }
                self.judge.person_spoke(host, stopped);
                Command::StartAlone { by, reason, despite_old_copy: false }
            }
            (Some(StateName::FailedStop), 0..8) | (_, 2) => {
                if !lies && state == Some(StateName::FailedStop) {
                    self.hosts[host].kill_everything();
                }
                self.judge.excused |= lies;
                Command::ForceOffline { by, reason }
            }
            (_, 3) => Command::Acknowledge { by },
            (_, 4) if half(&mut self.random) => {
                Command::BeginMaintenance { by, reason, span_ms: Millis(60_000), now_utc_s: 0 }
            }
            (_, 4) => Command::EndMaintenance { by, reason },
            _ => Command::MoveHere {
                by,
                reason,
                despite_config_difference: half(&mut self.random),
                despite_old_copy: false,
            },
        };
        self.types(host, command);
    }

    /// Afterwards: looks at both hosts every few seconds and does what the state's way out says.
    pub(super) fn person_comes(&mut self) {
        self.after(4_000, 6_000, Item::Person);
        for host in 0..2 {
            let Some(node) = self.hosts[host].node() else { continue };
            let by = || "ann".into();
            let reason = || "the printed way out".into();
            let name = node.state().name();
            let (withheld, maintenance) = (node.withheld(), node.record().maintenance.is_some());
            let command = match node.state() {
                _ if maintenance => Some(Command::EndMaintenance { by: by(), reason: reason() }),
                State::FailedStart { .. } => Some(Command::Acknowledge { by: by() }),
                State::FailedStop { .. } => {
                    self.hosts[host].kill_everything();
                    Some(Command::ForceOffline { by: by(), reason: reason() })
                }
                State::ExclusivityError { looking: None, .. } => {
                    self.hosts[host].kill_everything();
                    Some(Command::Acknowledge { by: by() })
                }
                State::Standby | State::Suspect { .. } => match withheld {
                    Some(Rule::WithheldHoldDown) => Some(Command::Acknowledge { by: by() }),
                    Some(Rule::WithheldNoReverse) => Some(Command::MoveHere {
                        by: by(),
                        reason: reason(),
                        despite_config_difference: false,
                        despite_old_copy: false,
                    }),
                    _ => None,
                },
                _ => None,
            };
            if let Some(command) = command {
                self.judge.saw("a person was needed");
                self.must_be_explained(name);
                self.types(host, command);
            }
        }
    }

    /// A state that waits for a person is no accident: something went wrong that leads there.
    fn must_be_explained(&mut self, state: StateName) {
        let faults = &self.faults;
        let slow = faults.slow_disk_percent > 0;
        let (causes, other): (&[Fault], bool) = match state {
            StateName::FailedStart => (&[Fault::StartGoesWrong, Fault::DiskFails, Fault::DaemonFreezes], slow),
            StateName::FailedStop => (&[Fault::StopGoesWrong, Fault::DiskFails, Fault::DaemonFreezes], slow),
            StateName::ExclusivityError => (&[Fault::StartedByAnother, Fault::StateTorn], faults.blind_percent > 0),
            _ => return,
        };
        let explained = other || causes.iter().any(|cause| faults.struck.contains(cause));
        let struck = format!("{:?}", faults.struck);
        self.judge.must(explained, || format!("{state:?} waits for a person, but only this went wrong: {struck}"));
    }
}

fn half(random: &mut Random) -> bool {
    random.percent(50)
}
