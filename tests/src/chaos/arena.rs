//! A pair at work, with devices that can fail, and the hand that lets them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use failover_shared::decision::Role;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ROLES;
use super::configuration::{self, RECORDS, SERVICE, Setup};
use super::device::{Devices, StateDisk, own_mounts};
use super::etcd::Etcd;
use super::fault::{Fault, Keeper};
use super::judge::Judge;
use crate::lab::hanging_store::{Fault as StoreFault, Filer};
use crate::lab::service::haproxy;
use crate::lab::{Cable, Host, Lab, Process, Running, fault as network, not_run};
use crate::pair::Pair;

/// Of all packets, at each host.
const LOSS_PERCENT: u8 = 30;
/// How long an operator's command is watched; it goes on afterwards.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// The pair and everything that can be done to it.
pub struct Arena {
    /// The pair.
    pub pair: Pair,
    /// The judge of its store.
    pub judge: Judge,
    devices: BTreeMap<Role, Devices>,
    disks: BTreeMap<Role, StateDisk>,
    filer: Filer,
    etcd: Etcd,
    keeper: Keeper,
    stopped: Vec<Pid>,
}

impl Arena {
    /// A pair with both daemons started. `None` where that cannot be made, which is said.
    ///
    /// # Errors
    /// When something of it cannot be made.
    pub fn begin(test: &str, setup: Setup) -> Result<Option<Arena>> {
        let etcd = if setup.keeper == Keeper::Etcd { Etcd::possible() } else { Ok(()) };
        if let Err(why) = Filer::possible().and(etcd) {
            not_run(test, why)?;
            return Ok(None);
        }
        own_mounts()?;
        let Some(lab) = Lab::new(test)? else { return Ok(None) };
        configuration::install(&lab, setup)?;
        let judge = Judge::new(lab.store().join(RECORDS));
        let mut arena = Arena {
            pair: Pair::over(lab),
            judge,
            devices: BTreeMap::new(),
            disks: BTreeMap::new(),
            filer: Filer::new(),
            keeper: setup.keeper,
            etcd: Etcd::default(),
            stopped: Vec::new(),
        };
        for role in ROLES {
            let host = arena.pair.host(role);
            host.power_cut()?;
            let disk = StateDisk::mount(host)?;
            arena.disks.insert(role, disk);
            arena.boot(role)?;
        }
        if setup.keeper == Keeper::Etcd {
            arena.etcd.start(&arena.pair.lab)?;
        }
        let master = arena.devices(Role::Master)?;
        master.initialise_lease()?;
        arena.pair.balancer_returns()?;
        arena.pair.start(Role::Master)?;
        arena.pair.start(Role::Slave)?;
        Ok(Some(arena))
    }

    /// What keeps the pair's lease.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        self.keeper
    }

    /// Lets a fault begin. What it could not be done to, if it could not be done: a host that is off has no daemon.
    ///
    /// # Errors
    /// Why it did not begin.
    pub fn inflict(&mut self, fault: Fault, role: Role) -> Result<()> {
        let (host, other) = (self.pair.host(role), self.pair.host(role.peer()));
        match fault {
            Fault::KillService => ensure!(host.signal(SERVICE, Signal::SIGKILL)? > 0, "it does not run there"),
            Fault::KillDaemon => kill(daemon(host, role)?, Signal::SIGKILL)?,
            Fault::KillGuardian => kill(guardian(host, role)?, Signal::SIGKILL)?,
            Fault::KillBoth => {
                let both = (daemon(host, role)?, guardian(host, role)?);
                kill(both.0, Signal::SIGKILL)?;
                kill(both.1, Signal::SIGKILL)?;
            }
            Fault::StopDaemon | Fault::StopGuardian => {
                let pid = if fault == Fault::StopDaemon { daemon(host, role)? } else { guardian(host, role)? };
                kill(pid, Signal::SIGSTOP)?;
                self.stopped.push(pid);
            }
            Fault::FreezeHost => host.freeze(true)?,
            Fault::PowerCut => self.power_cut(role)?,
            Fault::PowerCutBoth => {
                self.power_cut(role)?;
                self.power_cut(role.peer())?;
            }
            Fault::CutLink => network::cut(host, other)?,
            Fault::Deaf => host.deaf_to(other)?,
            Fault::Silence => host.silence()?,
            Fault::Loss => self.pair.lab.pair().into_iter().try_for_each(|host| host.lose(LOSS_PERCENT))?,
            Fault::CableOut => host.cable_out(Cable::Service)?,
            Fault::FullDisk => self.disks.get(&role).context("no disk")?.fill()?,
            Fault::HangLease => self.devices(role)?.lease()?.fault(StoreFault::Hang),
            Fault::HangLeaseBoth => {
                for role in ROLES {
                    self.devices(role)?.lease()?.fault(StoreFault::Hang);
                }
            }
            Fault::LoseAnswers => self.devices(role)?.lease()?.fault(StoreFault::LoseAnswers),
            Fault::FailLease => self.devices(role)?.lease()?.fault(StoreFault::Fail(Errno::EIO as i32)),
            Fault::ReadOnlyLease => self.devices(role)?.lease()?.fault(StoreFault::ReadOnly),
            Fault::FullLease => self.devices(role)?.lease()?.fault(StoreFault::Full),
            Fault::LoseLease => self.devices(role)?.cover_lease()?,
            Fault::StopEtcd => self.etcd.signal(Signal::SIGSTOP)?,
            Fault::KillEtcd => self.etcd.kill()?,
            Fault::DeafToEtcd => host.deaf_to(&self.pair.lab.client)?,
            Fault::BalancerRefuses => self.pair.lab.balancer.refuse_port(haproxy::ADMIN_PORT)?,
            Fault::BalancerDies => self.pair.balancer_dies()?,
            Fault::Move => {
                let word = if role == Role::Master { "takeover" } else { "takeback" };
                let order = [word, "--reason", "chaos", "--wait", "1s"];
                self.pair.ctl_within(role.peer(), &order, COMMAND_LIMIT)?;
            }
        }
        Ok(())
    }

    /// Ends a fault. What is whole already stays as it is.
    ///
    /// # Errors
    /// When a host does not boot or a program does not start.
    pub fn mend(&mut self, fault: Fault, role: Role) -> Result<()> {
        let (host, other) = (self.pair.host(role), self.pair.host(role.peer()));
        match fault {
            Fault::KillService | Fault::KillDaemon | Fault::KillGuardian | Fault::KillBoth | Fault::Move => {}
            Fault::StopDaemon | Fault::StopGuardian => {
                for pid in self.stopped.drain(..) {
                    // It may have been killed meanwhile.
                    let _ = kill(pid, Signal::SIGCONT);
                }
                self.pair.helper_goes_on(role);
            }
            Fault::FreezeHost => host.freeze(false)?,
            Fault::PowerCut => self.power_up(role)?,
            Fault::PowerCutBoth => {
                self.power_up(role.peer())?;
                self.power_up(role)?;
            }
            // A host that was reset has forgotten its filters.
            Fault::CutLink => {
                let _ = host.listen_to(other);
                let _ = other.listen_to(host);
            }
            Fault::Deaf => drop(host.listen_to(other)),
            Fault::Silence => drop(host.hear_again()),
            Fault::Loss => {
                let _ = host.lose_nothing();
                let _ = other.lose_nothing();
            }
            Fault::CableOut => drop(host.cable_in(Cable::Service)),
            Fault::FullDisk => self.disks.get(&role).context("no disk")?.clear(),
            Fault::HangLeaseBoth => self.devices.values().filter_map(|one| one.lease().ok()).for_each(|one| one.heal()),
            Fault::HangLease | Fault::LoseAnswers | Fault::FailLease | Fault::ReadOnlyLease | Fault::FullLease => {
                self.devices.get(&role).and_then(|one| one.lease().ok()).into_iter().for_each(|one| one.heal());
            }
            Fault::LoseLease => {
                if let Some(devices) = self.devices.get(&role) {
                    devices.uncover_lease()?;
                }
            }
            Fault::StopEtcd => {
                // It may have been killed and started again meanwhile.
                if self.etcd.runs() {
                    self.etcd.signal(Signal::SIGCONT)?;
                }
            }
            Fault::KillEtcd => {
                if !self.etcd.runs() {
                    self.etcd.start(&self.pair.lab)?;
                }
            }
            Fault::DeafToEtcd => drop(host.listen_to(&self.pair.lab.client)),
            Fault::BalancerRefuses => drop(self.pair.lab.balancer.accept_port(haproxy::ADMIN_PORT)),
            Fault::BalancerDies => {
                if !self.pair.balancer_runs() {
                    self.pair.balancer_returns()?;
                }
            }
        }
        Ok(())
    }

    /// Ends what the watchdog left of the hosts, and starts what does not run: what service managers and people do.
    ///
    /// # Errors
    /// When a host does not boot or a program does not start.
    pub fn raise(&mut self) -> Result<Vec<Role>> {
        let mut raised = Vec::new();
        for role in ROLES {
            if !self.pair.host(role).is_powered() || self.was_reset(role) {
                self.power_up(role)?;
                raised.push(role);
                continue;
            }
            // One that has just been started has another name yet, and one whose guardian died another parent.
            let is_launched = self.pair.guardian(role).and_then(Running::is_running).unwrap_or(false);
            let host = self.pair.host(role);
            if !is_launched && daemon(host, role).is_err() && guardian(host, role).is_err() {
                self.pair.start(role)?;
                raised.push(role);
            }
        }
        Ok(raised)
    }

    /// Whether the watchdog has reset a host since its boot.
    #[must_use]
    pub fn was_reset(&self, role: Role) -> bool {
        self.devices.get(&role).is_some_and(Devices::has_reset)
    }

    fn boot(&mut self, role: Role) -> Result<()> {
        let host = self.pair.host(role);
        host.boot()?;
        let devices = Devices::plug(host, &self.filer)?;
        self.devices.insert(role, devices);
        Ok(())
    }

    fn power_cut(&mut self, role: Role) -> Result<()> {
        ensure!(self.pair.host(role).is_powered() && !self.was_reset(role), "the host is off already");
        self.clear_away(role)
    }

    fn power_up(&mut self, role: Role) -> Result<()> {
        if self.pair.host(role).is_powered() {
            if !self.was_reset(role) {
                return Ok(());
            }
            self.clear_away(role)?;
        }
        self.boot(role)?;
        self.pair.start(role)
    }

    fn clear_away(&mut self, role: Role) -> Result<()> {
        // Who waits for the store cannot be killed. What such a write does comes late, as from a filer's queue.
        if let Some(lease) = self.devices.get(&role).and_then(|one| one.lease().ok()) {
            lease.heal();
        }
        self.pair.helper_goes_on(role);
        let host = self.pair.host(role);
        if self.was_reset(role) {
            host.clear_away()?
        } else {
            host.power_cut()?
        }
        host.freeze(false)?;
        self.devices.remove(&role);
        Ok(())
    }

    fn devices(&self, role: Role) -> Result<&Devices> {
        self.devices.get(&role).with_context(|| format!("the {role} is off"))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for role in ROLES {
            if self.pair.host(role).is_powered() {
                // What is left is ended with the lab.
                let _ = self.clear_away(role);
            }
        }
        self.devices.clear();
        self.disks.clear();
    }
}

fn daemon(host: &Host, role: Role) -> Result<Pid> {
    find(host, role, false).with_context(|| format!("no daemon runs on the {role}"))
}

fn guardian(host: &Host, role: Role) -> Result<Pid> {
    find(host, role, true).with_context(|| format!("no guardian runs on the {role}"))
}

/// Guardian and daemon have the same name; the guardian's program is another one.
fn find(host: &Host, role: Role, guardian: bool) -> Option<Pid> {
    let name = format!("failover-{role}");
    let is_daemon = |process: &Process| process.name == name && process.arguments.contains("--no-guardian");
    let is_guardian = |process: &Process| {
        process.arguments.split(' ').next().is_some_and(|program| program.ends_with("failover-guardian"))
    };
    let fits = |process: &Process| {
        if guardian { is_guardian(process) } else { is_daemon(process) && !is_guardian(process) }
    };
    host.processes().ok()?.into_iter().find(fits).map(|process| process.outside)
}
