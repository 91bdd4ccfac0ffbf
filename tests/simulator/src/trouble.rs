//! Faults strike, last, and are mended.

use failover_shared::decision::{Epoch, Event, Node, StateName};

use super::fault::Fault;
use super::fence::Device;
use super::host::role;
use super::item::Item;
use super::judge::FALSE_WORD;
use super::network::Way;
use super::seen::Sight;
use super::service::Mood;
use super::world::World;

impl World {
    /// The network behaves as drawn, and the first fault is due.
    pub fn trouble_begins(&mut self) {
        self.network.behave(self.options.manners);
        self.after(0, 3_000, Item::FaultDue);
    }

    /// One fault of the mix, and the next is due.
    pub fn fault_due(&mut self) {
        if self.healed || self.options.faults.is_empty() {
            return;
        }
        let gap = self.options.mean_gap_ms;
        self.after(0, gap * 2, Item::FaultDue);
        self.strike_any();
    }

    /// Most of what can go wrong goes wrong within moments of a change of state.
    pub fn keep_company(&mut self) {
        if !self.healed && self.random.percent(self.options.company_percent) {
            self.after(0, 700, Item::Strike);
        }
    }

    /// A daemon may end between two actions of one step.
    pub fn crash_between(&mut self, index: usize) {
        if !self.healed && self.options.crash_between > 0 && self.random.below(10_000) < self.options.crash_between {
            self.daemon_crashes(index);
        }
    }

    /// One fault of the mix.
    pub fn strike_any(&mut self) {
        let total: u64 = self.options.faults.iter().map(|(_, weight)| weight).sum();
        if self.healed || total == 0 {
            return;
        }
        let mut left = self.random.below(total);
        let host = self.random.below(2) as usize;
        let drawn = self.options.faults.iter().find(|(_, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        if let Some((fault, _)) = drawn.copied() {
            self.strike(fault, host);
        }
    }

    /// A fault strikes.
    pub fn strike(&mut self, fault: Fault, host: usize) {
        if self.healed {
            return;
        }
        self.tell(|| format!("---- {fault:?} on the {}", role(host)));
        self.struck.push(fault);
        match fault {
            Fault::ServiceDies => self.hosts[host].service.running = None,
            Fault::ServiceHangs => {
                let service = &mut self.hosts[host].service;
                service.hangs = service.running.is_some();
            }
            Fault::DaemonCrashes => self.daemon_crashes(host),
            Fault::DaemonTold => self.daemon_is_told(host),
            Fault::DaemonFreezes => {
                if self.hosts[host].daemon.is_some() && !self.hosts[host].frozen {
                    self.hosts[host].frozen = true;
                    self.judge.v3_no_demand(host);
                    self.after(50, 20_000, Item::Thaws(host));
                }
            }
            Fault::MachineStands => self.machine_stands(host),
            Fault::PowerCut => self.power_cut(host),
            Fault::BothPowerCut => {
                self.power_cut(0);
                self.power_cut(1);
            }
            Fault::BeatsCut => self.cut(fault, host, 200, 15_000),
            Fault::OneWayCut => self.cut(fault, host, 200, 15_000),
            Fault::LinkCut => self.cut(fault, host, 200, 20_000),
            Fault::ControlCut => self.cut(fault, host, 200, 15_000),
            Fault::SecondWayCut => self.cut(fault, host, 500, 20_000),
            Fault::BalancerCut => self.cut(fault, host, 500, 20_000),
            Fault::Clog => {
                let until = self.now + self.random.between(200, 5_000);
                self.network.clog(until);
            }
            Fault::BalancerBlind => {
                self.network.balancer_sees[host] = false;
                self.mend(fault, host, 500, 20_000);
            }
            Fault::BalancerRefuses => {
                self.balancer.refuses = true;
                self.mend(fault, host, 500, 10_000);
            }
            Fault::BalancerMute => {
                self.balancer.is_mute = true;
                self.mend(fault, host, 500, 10_000);
            }
            Fault::DiskRefuses => {
                self.hosts[host].disk.refuses = true;
                self.mend(fault, host, 100, 10_000);
            }
            Fault::SyncFails => {
                self.hosts[host].disk.sync_fails = true;
                self.mend(fault, host, 100, 10_000);
            }
            Fault::StateTorn => self.hosts[host].disk.tears = true,
            Fault::NotReady => {
                self.set_ready(host, false);
                self.mend(fault, host, 500, 15_000);
            }
            Fault::ConfigDiffers => {
                self.configure(host, 2);
                self.mend(fault, host, 500, 15_000);
            }
            Fault::Isolated => {
                self.isolate(host, true);
                self.judge.saw(Sight::Isolated);
                self.mend(fault, host, 500, 10_000);
            }
            Fault::StartGoesWrong => {
                let moods = [Mood::Fails, Mood::Hangs, Mood::Lies, Mood::LeavesChild, Mood::Fails];
                self.hosts[host].start_mood = self.random.one_of(&moods);
            }
            Fault::StopGoesWrong => {
                let moods = [Mood::Fails, Mood::Hangs, Mood::Lies, Mood::LeavesChild, Mood::Stubborn];
                self.hosts[host].stop_mood = self.random.one_of(&moods);
            }
            Fault::StartedByAnother => self.started_by_another(host),
            Fault::ArbiterCut => self.cut(fault, host, 200, 8_000),
            Fault::FenceCut => self.cut(fault, host, 500, 20_000),
            Fault::ArbiterDown | Fault::ArbiterSlow | Fault::ArbiterMute | Fault::ArbiterReadOnly => {
                self.set_arbiter(fault, true);
                self.mend(fault, host, 200, 6_000);
            }
            Fault::ArbiterRolledBack => {
                let steps = self.random.below(20) as usize;
                if self.arbiter.as_mut().is_some_and(|arbiter| arbiter.roll_back(steps)) {
                    self.judge.gives_leave("the arbiter was rolled back");
                }
            }
            Fault::GuardianDies => self.guardian_dies(host),
            Fault::WatchdogDead => {
                self.hosts[host].guard.dog_is_dead = true;
                self.judge.gives_leave("the watchdog does not fire");
            }
            Fault::FenceFails => self.devices[host] = Device::Fails,
            Fault::FenceTimesOut => self.devices[host] = Device::TimesOut,
            Fault::FenceLies => self.devices[host] = Device::Lies,
            Fault::WallJumps => {
                let by = self.random.between(0, 576_000);
                self.hosts[host].clock.wall_jumps(i64::try_from(by).unwrap_or(0) - 288_000);
            }
            Fault::Command => self.random_command(host),
        }
        self.judge.s1_one_writer(&self.hosts);
    }

    fn set_arbiter(&mut self, fault: Fault, on: bool) {
        let Some(arbiter) = &mut self.arbiter else { return };
        match fault {
            Fault::ArbiterDown => arbiter.is_down = on,
            Fault::ArbiterSlow => arbiter.slow_ms = if on { 250 } else { 0 },
            Fault::ArbiterMute => arbiter.mute_percent = if on { 40 } else { 0 },
            _ => arbiter.is_read_only = on,
        }
    }

    fn mend(&mut self, fault: Fault, host: usize, low: u64, high: u64) {
        self.after(low, high, Item::FaultEnds(fault, host));
    }

    fn cut(&mut self, fault: Fault, host: usize, low: u64, high: u64) {
        self.set_cut(fault, host, true);
        self.mend(fault, host, low, high);
    }

    fn set_cut(&mut self, fault: Fault, host: usize, is_cut: bool) {
        const BETWEEN: [Way; 3] = [Way::Beats, Way::Control, Way::Checks];
        let (ways, both): (&[Way], bool) = match fault {
            Fault::BeatsCut => (&[Way::Beats], false),
            Fault::OneWayCut => (&BETWEEN, false),
            Fault::LinkCut => (&BETWEEN, true),
            Fault::ControlCut => (&[Way::Control], true),
            Fault::SecondWayCut => (&[Way::Second], false),
            Fault::BalancerCut => (&[Way::Balancer], false),
            Fault::ArbiterCut => (&[Way::Arbiter], false),
            Fault::FenceCut => (&[Way::Fence], false),
            _ => (&[], false),
        };
        for way in ways {
            self.network.cut(*way, host, is_cut);
            if both {
                self.network.cut(*way, 1 - host, is_cut);
            }
        }
    }

    /// A fault is mended.
    pub fn fault_ends(&mut self, fault: Fault, host: usize) {
        match fault {
            Fault::BalancerBlind => self.network.balancer_sees[host] = true,
            Fault::BalancerRefuses => self.balancer.refuses = false,
            Fault::BalancerMute => self.balancer.is_mute = false,
            Fault::ArbiterDown | Fault::ArbiterSlow | Fault::ArbiterMute | Fault::ArbiterReadOnly => {
                self.set_arbiter(fault, false);
            }
            Fault::DiskRefuses => self.hosts[host].disk.refuses = false,
            Fault::SyncFails => self.hosts[host].disk.sync_fails = false,
            Fault::NotReady => self.set_ready(host, true),
            Fault::ConfigDiffers => self.configure(host, 1),
            Fault::Isolated => self.isolate(host, false),
            _ => self.set_cut(fault, host, false),
        }
    }

    /// No new fault, and those that are there end. Failed services stay failed: moving them is the pair's work.
    pub fn heal(&mut self) {
        self.healed = true;
        self.tell(|| "==== healed".into());
        self.network.heal();
        self.balancer.refuses = false;
        self.balancer.is_mute = false;
        for fault in [Fault::ArbiterDown, Fault::ArbiterSlow, Fault::ArbiterMute, Fault::ArbiterReadOnly] {
            self.set_arbiter(fault, false);
        }
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.restore();
        }
        self.devices = Default::default();
        for index in 0..2 {
            let host = &mut self.hosts[index];
            host.disk.heal();
            host.guard.is_alive = true;
            host.start_mood = Mood::Works;
            host.stop_mood = Mood::Works;
            if host.service.foreign {
                host.service.kill();
            }
            // A process in the kernel's hands that nobody looks for any more, on a person's false word: that person comes back.
            let idle = host.service.running.is_none() && host.service.run.is_none();
            if self.judge.leave == Some(FALSE_WORD) && host.service.stuck && idle && host.node().is_some_and(stands_by)
            {
                self.stops_by_hand(index);
            }
            self.goes_on(index);
            self.set_ready(index, true);
            self.configure(index, 1);
            self.isolate(index, false);
            self.thaws(index);
            self.power_on(index);
            self.after(0, 500, Item::DaemonStarts(index));
        }
        self.after(5_000, 6_000, Item::Person);
    }

    /// A stopped daemon goes on: what was due meanwhile comes late.
    pub fn thaws(&mut self, index: usize) {
        if !std::mem::take(&mut self.hosts[index].frozen) {
            return;
        }
        if let Some(daemon) = &mut self.hosts[index].daemon {
            daemon.turn_at = daemon.turn_at.min(self.now);
            self.plan(self.now, Item::Turn(index));
        }
    }

    fn machine_stands(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.powered && !host.stands {
            host.stands = true;
            host.clock.stand(self.now);
            self.judge.v3_no_demand(index);
            self.judge.saw(Sight::MachineStood);
            if self.options.policy.lease.is_some() {
                self.judge.gives_leave("a machine stood still, and its watchdog with it");
            }
            self.after(50, 20_000, Item::GoesOn(index));
        }
    }

    /// A machine that stood goes on as if nothing had been.
    pub fn goes_on(&mut self, index: usize) {
        if std::mem::take(&mut self.hosts[index].stands) {
            self.hosts[index].clock.go_on(self.now);
            self.release(index);
        }
    }

    /// A host loses its power, for a while.
    pub fn power_cut(&mut self, index: usize) {
        self.tell(|| format!("{} loses power", role(index)));
        if self.hosts[index].power_goes(&mut self.random) {
            self.judge.saw(Sight::UnsyncedLost);
        }
        self.release(index);
        self.judge.lease_gone(index);
        self.torn_now(index);
        self.after(500, 20_000, Item::PowerOn(index));
    }

    /// The guardian ends a daemon that gets no processor time, and starts another.
    pub fn daemon_is_killed(&mut self, index: usize) {
        self.hosts[index].daemon_dies(&mut self.random);
        self.torn_now(index);
        self.after(20, 200, Item::DaemonStarts(index));
    }

    fn daemon_crashes(&mut self, index: usize) {
        let kills_script = self.random.percent(50);
        let host = &mut self.hosts[index];
        if host.daemon.is_none() || host.stands {
            return;
        }
        if host.daemon_dies(&mut self.random) {
            self.judge.saw(Sight::WrittenNotSynced);
        }
        if kills_script {
            self.hosts[index].service.run = None;
        }
        self.torn_now(index);
        let most = if self.random.percent(80) { 4_000 } else { 25_000 };
        self.after(20, most, Item::DaemonStarts(index));
    }

    fn daemon_is_told(&mut self, index: usize) {
        if let Some(daemon) = &mut self.hosts[index].daemon {
            daemon.is_told_to_end = true;
            self.give(index, Event::Ending);
        }
    }

    /// After a turn: a daemon that was told to end does, if its core lets it. The service runs on.
    pub fn daemon_ends(&mut self, index: usize) {
        let Some(daemon) = self.hosts[index].daemon.as_ref().filter(|daemon| daemon.is_told_to_end) else { return };
        if !daemon.node.may_end() {
            return;
        }
        let holds = daemon.node.lease().is_some_and(|(_, _, hold)| hold);
        self.judge.saw(if holds { Sight::DaemonEndedHolding } else { Sight::DaemonEnded });
        self.tell(|| format!("{} daemon ends", role(index)));
        self.hosts[index].daemon_dies(&mut self.random);
        self.torn_now(index);
        let most = if self.random.percent(80) { 4_000 } else { 25_000 };
        self.after(20, most, Item::DaemonStarts(index));
    }

    fn torn_now(&mut self, index: usize) {
        let disk = &mut self.hosts[index].disk;
        if std::mem::take(&mut disk.tears) {
            disk.torn();
            self.judge.forgotten(index, &self.hosts);
            self.tell(|| format!("{} forgets", role(index)));
        }
    }

    /// An enabled unit, or a person's hand: nobody can forbid it, but it must never be acknowledged away.
    fn started_by_another(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.powered && !host.service.may_write() {
            host.service.running = Some(Epoch(0));
            host.service.foreign = true;
            host.foreign_unseen = true;
            self.judge.gives_leave("somebody else started the service");
        }
    }

    fn set_ready(&mut self, host: usize, ready: bool) {
        if self.hosts[host].ready != ready {
            self.hosts[host].ready = ready;
            let reasons = if ready { Vec::new() } else { vec!["the store".into()] };
            self.give(host, Event::Readiness(reasons));
        }
    }

    fn configure(&mut self, host: usize, digest: u64) {
        if self.hosts[host].digest != digest {
            self.hosts[host].digest = digest;
            let policy = self.options.policy_of(role(host), digest);
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
}

fn stands_by(node: &Node) -> bool {
    matches!(node.state().name(), StateName::Passive | StateName::Standby | StateName::Suspect)
}
