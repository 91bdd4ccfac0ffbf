//! What goes wrong, when, and for how long. Each schedule draws its own mix, so that rare mixes come up too.

use alloc::vec::Vec;

use crate::decision::{Epoch, Event, Forced, Phase, Policy, Record, StopMeans, StopOutcome};

use super::host::Mood;
use super::random::Random;
use super::world::{Item, World, role};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    ServiceDies,
    ServiceHangs,
    DaemonCrashes,
    DaemonFreezes,
    PowerCut,
    BothPowerCut,
    OneWayCut,
    LinkCut,
    BalancerBlind,
    SecondWayCut,
    DiskFails,
    StateTorn,
    NotReady,
    ConfigDiffers,
    Isolated,
    StartGoesWrong,
    StopGoesWrong,
    StartedByAnother,
    Command,
}

const ALL: [Fault; 19] = [
    Fault::ServiceDies,
    Fault::ServiceHangs,
    Fault::DaemonCrashes,
    Fault::DaemonFreezes,
    Fault::PowerCut,
    Fault::BothPowerCut,
    Fault::OneWayCut,
    Fault::LinkCut,
    Fault::BalancerBlind,
    Fault::SecondWayCut,
    Fault::DiskFails,
    Fault::StateTorn,
    Fault::NotReady,
    Fault::ConfigDiffers,
    Fault::Isolated,
    Fault::StartGoesWrong,
    Fault::StopGoesWrong,
    Fault::StartedByAnother,
    Fault::Command,
];

/// The mix of one schedule.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    enabled: Vec<Fault>,
    mean_gap_ms: u64,
    /// How often a transition is followed by a fault at once.
    company_percent: u64,
    pub(super) blind_percent: u64,
    pub(super) slow_disk_percent: u64,
    pub(super) wrong_word_percent: u64,
    /// What has struck so far.
    pub(super) struck: Vec<Fault>,
}

impl Faults {
    pub(super) fn draw(random: &mut Random) -> Faults {
        let share = random.between(15, 60);
        let enabled = ALL.into_iter().filter(|_| random.percent(share)).collect();
        Faults {
            enabled,
            mean_gap_ms: random.between(400, 12_000),
            company_percent: random.between(0, 25),
            blind_percent: if random.percent(10) { 20 } else { 0 },
            slow_disk_percent: if random.percent(20) { 15 } else { 0 },
            wrong_word_percent: if random.percent(5) { 50 } else { 0 },
            struck: Vec::new(),
        }
    }
}

impl World {
    /// Draws the network's manners and the first fault.
    pub(super) fn trouble_begins(&mut self) {
        if self.random.percent(50) {
            self.network.beat_loss_percent = self.random.between(0, 30);
            self.network.beat_double_percent = self.random.between(0, 20);
            self.network.delay_most_ms = self.random.between(0, 400);
            self.network.connection_loss_percent = self.random.between(0, 20);
        }
        self.after(0, 3_000, Item::FaultDue);
    }

    pub(super) fn fault_due(&mut self) {
        if self.healed || self.faults.enabled.is_empty() {
            return;
        }
        let gap = self.faults.mean_gap_ms;
        self.after(0, gap * 2, Item::FaultDue);
        self.strike_any();
    }

    /// Most of what can go wrong goes wrong within moments of a change of state.
    pub(super) fn keep_company(&mut self) {
        if !self.healed && self.random.percent(self.faults.company_percent) {
            self.after(0, 700, Item::Strike);
        }
    }

    pub(super) fn strike_any(&mut self) {
        if self.healed || self.faults.enabled.is_empty() {
            return;
        }
        let fault = self.faults.enabled[self.random.below(self.faults.enabled.len() as u64) as usize];
        let host = self.random.below(2) as usize;
        self.tell(|| alloc::format!("---- {fault:?} on the {}", role(host)));
        self.faults.struck.push(fault);
        self.strike(fault, host);
    }

    fn strike(&mut self, fault: Fault, host: usize) {
        let lasts = |world: &mut World, low: u64, high: u64| world.after(low, high, Item::FaultEnds(fault, host));
        let bad = if self.random.percent(70) { Mood::Fails } else { Mood::Hangs };
        match fault {
            Fault::ServiceDies => self.hosts[host].service_runs = false,
            Fault::ServiceHangs => self.hosts[host].service_hangs = self.hosts[host].service_runs,
            Fault::DaemonCrashes => self.daemon_crashes(host),
            Fault::DaemonFreezes => {
                if self.hosts[host].daemon.is_some() && self.hosts[host].frozen_since.is_none() {
                    self.hosts[host].frozen_since = Some(self.now);
                    self.after(50, 20_000, Item::Thaws(host));
                }
            }
            Fault::PowerCut => {
                self.hosts[host].power_goes();
                self.after(500, 20_000, Item::PowerOn(host));
            }
            Fault::BothPowerCut => {
                for host in 0..2 {
                    self.hosts[host].power_goes();
                    self.after(500, 20_000, Item::PowerOn(host));
                }
            }
            Fault::OneWayCut => {
                self.network.cut_from[host] = true;
                lasts(self, 200, 15_000);
            }
            Fault::LinkCut => {
                self.network.cut_from = [true; 2];
                lasts(self, 200, 20_000);
            }
            Fault::BalancerBlind => {
                self.network.balancer_sees[host] = false;
                lasts(self, 500, 20_000);
            }
            Fault::SecondWayCut => {
                self.network.second_way = false;
                lasts(self, 500, 20_000);
            }
            Fault::DiskFails => {
                self.hosts[host].disk_works = false;
                lasts(self, 100, 10_000);
            }
            Fault::StateTorn => self.hosts[host].tear = true,
            Fault::NotReady => {
                self.readiness(host, false);
                lasts(self, 500, 15_000);
            }
            Fault::ConfigDiffers => {
                self.configure(host, 2);
                lasts(self, 500, 15_000);
            }
            Fault::Isolated => {
                self.isolate(host, true);
                lasts(self, 500, 10_000);
            }
            Fault::StartGoesWrong => self.hosts[host].start_mood = bad,
            Fault::StopGoesWrong => self.hosts[host].stop_mood = bad,
            // An enabled unit, or a person's hand: nobody can forbid it, but it must never be acknowledged away.
            Fault::StartedByAnother => {
                let host = &mut self.hosts[host];
                // Nobody can see what begins between the look and the durable answer.
                let idle = host.writes.is_empty() && host.daemon.as_ref().is_none_or(|daemon| daemon.inbox.is_empty());
                if host.powered && host.script.is_none() && !host.service_runs && idle {
                    host.service_runs = true;
                    host.started_by_another = true;
                    self.judge.excused = true;
                }
            }
            Fault::Command => self.random_command(host),
        }
    }

    pub(super) fn fault_ends(&mut self, fault: Fault, host: usize) {
        match fault {
            Fault::OneWayCut => self.network.cut_from[host] = false,
            Fault::LinkCut => self.network.cut_from = [false; 2],
            Fault::BalancerBlind => self.network.balancer_sees[host] = true,
            Fault::SecondWayCut => self.network.second_way = true,
            Fault::DiskFails => self.hosts[host].disk_works = true,
            Fault::NotReady => self.readiness(host, true),
            Fault::ConfigDiffers => self.configure(host, 1),
            Fault::Isolated => self.isolate(host, false),
            Fault::ServiceDies
            | Fault::ServiceHangs
            | Fault::DaemonCrashes
            | Fault::DaemonFreezes
            | Fault::PowerCut
            | Fault::BothPowerCut
            | Fault::StateTorn
            | Fault::StartGoesWrong
            | Fault::StopGoesWrong
            | Fault::StartedByAnother
            | Fault::Command => {}
        }
    }

    /// No new fault, and those that are there end. Failed services stay failed: moving them is the pair's work.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.tell(|| "==== healed".into());
        self.network.heal();
        for host in 0..2 {
            self.hosts[host].disk_works = true;
            self.hosts[host].start_mood = Mood::Works;
            self.hosts[host].stop_mood = Mood::Works;
            self.hosts[host].tear = false;
            if self.hosts[host].started_by_another {
                self.hosts[host].service_runs = false;
            }
            self.readiness(host, true);
            self.configure(host, 1);
            self.isolate(host, false);
            self.thaws(host);
            self.power_on(host);
            self.after(0, 500, Item::DaemonStarts(host));
        }
        self.after(5_000, 6_000, Item::Person);
    }

    pub(super) fn thaws(&mut self, host: usize) {
        self.hosts[host].frozen_since = None;
        if let Some(daemon) = &mut self.hosts[host].daemon {
            // The turn that was planned while it was frozen comes late.
            let at = self.now;
            daemon.turn_at = daemon.turn_at.min(at);
            self.plan(at, Item::Turn(host));
        }
    }

    fn daemon_crashes(&mut self, index: usize) {
        let kills_script = self.random.percent(50);
        let host = &mut self.hosts[index];
        if host.daemon.is_none() {
            return;
        }
        host.daemon_dies();
        if kills_script {
            host.script = None;
        }
        if core::mem::take(&mut host.tear) {
            host.disk = None;
            self.judge.forgotten(&self.hosts);
            self.tell(|| alloc::format!("{} forgets", role(index)));
        }
        let most = if self.random.percent(80) { 4_000 } else { 25_000 };
        self.after(20, most, Item::DaemonStarts(index));
    }

    fn readiness(&mut self, host: usize, ready: bool) {
        if self.hosts[host].ready != ready {
            self.hosts[host].ready = ready;
            let reasons = if ready { Vec::new() } else { alloc::vec!["the store is not mounted".into()] };
            self.give(host, Event::Readiness(reasons));
        }
    }

    fn configure(&mut self, host: usize, digest: u64) {
        if self.hosts[host].digest != digest {
            self.hosts[host].digest = digest;
            let policy = Policy { role: role(host), digest, ..self.policy.clone() };
            self.give(host, Event::PolicyChanged(policy));
        }
    }

    fn isolate(&mut self, host: usize, isolated: bool) {
        if self.hosts[host].isolated != isolated {
            self.hosts[host].isolated = isolated;
            let answering = if isolated { 0 } else { 2 };
            self.give(host, Event::References { answering, of: 2, link_up: true });
        }
    }

    /// `stop-here` on a host, come by the second way: it keeps the daemon out, stops, verifies and writes.
    pub(super) fn stop_here(
        &mut self,
        index: usize,
        epoch: Epoch,
    ) -> Result<(Epoch, StopMeans, Option<Forced>), alloc::string::String> {
        let host = &mut self.hosts[index];
        if !self.network.second_way || !host.powered {
            return Err("ssh: exit 255".into());
        }
        let running = match host.disk.as_ref().filter(|record| record.boot == host.boot).map(|record| &record.phase) {
            Some(Phase::Starting { epoch, .. } | Phase::Active { epoch } | Phase::Stopping { epoch, .. }) => *epoch,
            _ => Epoch(0),
        };
        if running > epoch {
            return Err("a newer epoch runs here".into());
        }
        // A daemon whose list is ended from outside sees its processes go, and verifies.
        if let Some(script) = host.script.as_ref().filter(|script| !script.starts) {
            let outcome = StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None };
            let event = Event::StopDone { operation: script.operation, outcome };
            let (at, incarnation) = (self.now + 1, script.incarnation);
            self.plan(at, Item::Result(index, incarnation, event));
        }
        let host = &mut self.hosts[index];
        host.kill_everything();
        if !host.disk_works {
            return Err("stopped, but not durable".into());
        }
        let record = host.disk.clone().unwrap_or_else(|| Record::fresh(host.boot));
        let epoch = epoch.max(record.highest);
        let means = StopMeans::PostConditions;
        let phase = Phase::Stopped { epoch, means, forced: None };
        host.disk = Some(Record { boot: host.boot, highest: epoch, phase, ..record });
        // What the daemon was about to write is void, and it reads the new state before it does anything else.
        host.writes.clear();
        host.writes_generation += 1;
        host.foreign_stop = Some(epoch);
        self.judge.saw("stop-here");
        self.give(index, Event::TakeoverNotice(epoch));
        Ok((epoch, means, None))
    }
}
