//! The operator: during the trouble one who types anything, afterwards one who follows the printed ways out.

use failover_shared::decision::{Command, Event, Millis, Phase, Rule, State, StateName};

use super::fault::Fault;
use super::host::role;
use super::item::Item;
use super::judge::{FALSE_WORD, Law};
use super::seen::Sight;
use super::world::World;

impl World {
    fn types(&mut self, host: usize, command: Command) {
        self.tell(|| format!("{} operator: {command:?}", role(host)));
        self.give(host, Event::Command { ticket: self.now, command });
    }

    /// Whether it is so that nothing runs on the host, and that nothing is about to: what a careful person looks at.
    fn is_stopped(&self, index: usize) -> bool {
        let host = &self.hosts[index];
        let about_to = |name| matches!(name, StateName::Claimed | StateName::Starting);
        let local = Millis(host.clock.fast_ms(self.now));
        // Written by a daemon that died before it was synced, it is gone on with all the same.
        let kept_start = host.disk.visible().is_some_and(|record| {
            let Phase::Starting { attempt, .. } = &record.phase else { return false };
            record.boot == host.boot && local < attempt.began.after(self.options.policy.shutdown_timeout_ms)
        });
        // Nor does a careful person forget a command that still waits for its answer over there, nor trust a machine
        // that does not answer and may go on where it stood.
        let unanswered = host
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.inbox.iter().any(|event| matches!(event, Event::Command { .. })));
        !unanswered
            && !host.stands
            && !host.service.may_write()
            && !host.node().is_some_and(|node| about_to(node.state().name()))
            && !kept_start
    }

    /// During the trouble: any command, most of them with a true word.
    pub fn random_command(&mut self, host: usize) {
        let (by, reason) = ("eve".into(), "trying".into());
        let lies = self.random.percent(self.options.wrong_word_percent);
        let half = self.random.percent(50);
        let state = self.hosts[host].node().map(|node| node.state().name());
        let command = match (state, self.random.below(10)) {
            (Some(StateName::TakeoverBlocked), 0..8) | (_, 0) => {
                let stopped = self.is_stopped(1 - host);
                if !stopped && !lies {
                    return;
                }
                self.judge.person_spoke(host, stopped);
                let epoch = self.hosts[host].node().map(|node| node.record().highest).filter(|_| half);
                let port_answers = self.hosts[1 - host].serves();
                Command::ConfirmStopped { host: role(1 - host), by, reason, epoch, port_answers }
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
                if lies {
                    self.judge.gives_leave(FALSE_WORD);
                } else if state == Some(StateName::FailedStop) {
                    self.stops_by_hand(host);
                }
                Command::ForceOffline { by, reason }
            }
            (_, 3) => Command::Acknowledge { by },
            (_, 4) if half => Command::BeginMaintenance { by, reason, span_ms: Millis(60_000), now_utc_s: 0 },
            (_, 4) => Command::EndMaintenance { by, reason },
            _ => Command::MoveHere { by, reason, despite_config_difference: half, despite_old_copy: false },
        };
        self.types(host, command);
    }

    /// In a story: the service is to move to this host.
    pub fn commands_move(&mut self, host: usize) {
        let (by, reason) = ("ann".into(), "the story".into());
        self.types(host, Command::MoveHere { by, reason, despite_config_difference: false, despite_old_copy: false });
    }

    /// Afterwards: looks at both hosts every few seconds and does what the state's way out says.
    pub fn person_comes(&mut self) {
        self.after(4_000, 6_000, Item::Person);
        for host in 0..2 {
            self.restarts_a_daemon_that_gave_up(host);
            let Some(node) = self.hosts[host].node() else { continue };
            let (by, reason) = (String::from("ann"), String::from("the printed way out"));
            let name = node.state().name();
            let (withheld, maintenance) = (node.withheld(), node.record().maintenance.is_some());
            let command = match node.state() {
                _ if maintenance => Some(Command::EndMaintenance { by, reason }),
                State::FailedStart { .. } => Some(Command::Acknowledge { by }),
                State::FailedStop { .. } => {
                    self.stops_by_hand(host);
                    Some(Command::ForceOffline { by, reason })
                }
                State::ExclusivityError { looking: None, .. } => {
                    self.stops_by_hand(host);
                    Some(Command::Acknowledge { by })
                }
                State::Standby | State::Suspect { .. } => match withheld {
                    Some(Rule::WithheldHoldDown) => {
                        self.judge.saw(Sight::HoldDown);
                        Some(Command::Acknowledge { by })
                    }
                    Some(Rule::WithheldNoReverse) => Some(Command::MoveHere {
                        by,
                        reason,
                        despite_config_difference: false,
                        despite_old_copy: false,
                    }),
                    _ => None,
                },
                _ => None,
            };
            if let Some(command) = command {
                self.judge.saw(Sight::PersonNeeded);
                self.must_be_explained(name);
                self.types(host, command);
            }
        }
    }

    /// What does not end by itself ends with the machine; a careful person does not say so before.
    pub(super) fn stops_by_hand(&mut self, index: usize) {
        let service = &mut self.hosts[index].service;
        service.stuck = false;
        service.run = None;
        service.kill();
    }

    /// After a failed sync a daemon writes nothing more until it is started anew, and says so.
    fn restarts_a_daemon_that_gave_up(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.disk.gave_up && host.daemon.is_some() {
            host.daemon_dies(&mut self.random);
            self.after(20, 500, Item::DaemonStarts(index));
        }
    }

    /// A state that waits for a person is no accident: something went wrong that leads there.
    fn must_be_explained(&mut self, state: StateName) {
        let slow = self.options.slow_disk_percent > 0;
        const STOOD: &[Fault] =
            &[Fault::DiskRefuses, Fault::SyncFails, Fault::DaemonFreezes, Fault::MachineStands, Fault::GuardianDies];
        const START: &[Fault] = &[Fault::StartGoesWrong, Fault::ServiceDies, Fault::ServiceHangs];
        let struck = |faults: &[Fault]| faults.iter().any(|fault| self.struck.contains(fault));
        let explained = match state {
            StateName::FailedStart => slow || struck(START) || struck(STOOD),
            StateName::FailedStop => slow || struck(&[Fault::StopGoesWrong]) || struck(STOOD),
            StateName::ExclusivityError => {
                self.options.blind_percent > 0 || struck(&[Fault::StartedByAnother, Fault::StateTorn])
            }
            _ => return,
        };
        let struck = &self.struck;
        self.judge.must(Law::Core, explained, || {
            format!("{state:?} waits for a person, but only this went wrong: {struck:?}")
        });
    }
}
