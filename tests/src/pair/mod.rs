//! A pair at work in a lab: the real daemons on both hosts, Dovecot, HAProxy, and what an operator would ask them.

mod resources;
mod setup;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use failover_shared::decision::{Duty, Role, StateName};
use failover_shared::status::Status;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::lab::service::{haproxy, scripts};
use crate::lab::{Host, Lab, Output, Running};
use crate::program::{program, program_with_kill_points};
use crate::wait::wait_for;

pub use resources::own_service;
pub use setup::{CONFIG, Proofs, Setup, install_keys};

/// How long the pair may take to come up or to move, scripts and a loaded machine included.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The pair, its lab, and its balancer.
pub struct Pair {
    /// Where all of it runs.
    pub lab: Lab,
    haproxy: Option<Running>,
    daemons: BTreeMap<Role, Running>,
}

impl Pair {
    /// A lab with the pair installed and HAProxy running, but no daemon yet. `None` where labs cannot be made.
    ///
    /// # Errors
    /// When something of it cannot be made.
    pub fn install(test: &str, setup: &Setup) -> Result<Option<Pair>> {
        let Some(lab) = Lab::new(test)? else { return Ok(None) };
        let mut pair = Pair::furnish(lab, setup)?;
        pair.balancer_returns()?;
        Ok(Some(pair))
    }

    /// The pair installed in a lab, and nothing of it running.
    ///
    /// # Errors
    /// When something of it cannot be made.
    pub fn furnish(lab: Lab, setup: &Setup) -> Result<Pair> {
        setup.install(&lab)?;
        Ok(Pair::over(lab))
    }

    /// A pair in a lab whose hosts somebody else has furnished.
    #[must_use]
    pub fn over(lab: Lab) -> Pair {
        Pair { lab, haproxy: None, daemons: BTreeMap::new() }
    }

    /// The same with both daemons running, the service active on the master and clean for a move.
    ///
    /// # Errors
    /// When the pair does not come up.
    pub fn begin(test: &str, setup: &Setup) -> Result<Option<Pair>> {
        let Some(mut pair) = Pair::install(test, setup)? else { return Ok(None) };
        pair.come_up()?;
        Ok(Some(pair))
    }

    /// Both daemons running, the service active on the master and clean for a move.
    ///
    /// # Errors
    /// When the pair does not come up.
    pub fn come_up(&mut self) -> Result<()> {
        self.start(Role::Master)?;
        self.start(Role::Slave)?;
        self.wait_active(Role::Master)?;
        self.wait_for(Role::Slave, "the slave to be ready and the balancer to lead to the master", |status| {
            status.not_ready.is_empty() && status.readiness_age_ms.is_some() && status.peer.duty == Some(Duty::Active)
        })?;
        self.wait_readable()
    }

    /// The host with a role.
    #[must_use]
    pub fn host(&self, role: Role) -> &Host {
        match role {
            Role::Master => &self.lab.cfg1,
            Role::Slave => &self.lab.cfg2,
        }
    }

    /// Starts a host's daemon under its guardian.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, role: Role) -> Result<()> {
        self.start_with(role, &[])
    }

    /// The same with variables in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(&mut self, role: Role, environment: &[(&str, &str)]) -> Result<()> {
        self.launch(role, program(&format!("failover-{role}"))?, environment)
    }

    /// Starts a host's daemon with kill points; it looks at `file` on its host (`failover_shared::failpoint`).
    ///
    /// # Errors
    /// When it cannot be started, or was not built.
    pub fn start_with_kill_points(&mut self, role: Role, file: &str) -> Result<()> {
        let binary = program_with_kill_points(&format!("failover-{role}"))?;
        self.launch(role, binary, &[("FAILOVER_FAILPOINT", file)])
    }

    fn launch(&mut self, role: Role, binary: PathBuf, environment: &[(&str, &str)]) -> Result<()> {
        let mut argv = vec!["env".to_string()];
        argv.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        argv.push(binary.display().to_string());
        let running = self.host(role).spawn(&argv)?;
        self.daemons.insert(role, running);
        Ok(())
    }

    /// What the daemon's log says so far.
    #[must_use]
    pub fn log(&self, role: Role) -> String {
        self.daemons.get(&role).map(Running::stderr).unwrap_or_default()
    }

    /// See `Running::helper_goes_on`: for the one that was started last on a host.
    pub(crate) fn helper_goes_on(&self, role: Role) {
        if let Some(running) = self.daemons.get(&role) {
            running.helper_goes_on();
        }
    }

    /// The guardian's process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn guardian(&mut self, role: Role) -> Result<&mut Running> {
        self.daemons.get_mut(&role).with_context(|| format!("no daemon was started on the {role}"))
    }

    /// The daemon itself, not its guardian: the child of the two.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn daemon(&self, role: Role) -> Result<Pid> {
        let name = format!("failover-{role}");
        let mut found: Vec<_> = self
            .host(role)
            .processes()?
            .into_iter()
            .filter(|process| process.name == name[..name.len().min(15)])
            .collect();
        // The guardian is the older one, with the lower number.
        found.sort_by_key(|process| process.outside.as_raw());
        let daemon = found.get(1).with_context(|| format!("no daemon under a guardian on the {role}: {found:?}"))?;
        Ok(daemon.outside)
    }

    /// Signals the daemon itself.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn signal_daemon(&self, role: Role, signal: Signal) -> Result<()> {
        Ok(nix::sys::signal::kill(self.daemon(role)?, signal)?)
    }

    /// Runs `failoverctl` on a host, whatever it says.
    ///
    /// # Errors
    /// When it cannot be run, or takes longer than [`LIMIT`].
    pub fn ctl(&self, role: Role, arguments: &[&str]) -> Result<Output> {
        self.ctl_within(role, arguments, LIMIT)
    }

    /// The same with a limit of its own.
    ///
    /// # Errors
    /// When it cannot be run, or takes longer than `limit`.
    pub fn ctl_within(&self, role: Role, arguments: &[&str], limit: Duration) -> Result<Output> {
        let binary = program("failoverctl")?.display().to_string();
        let argv: Vec<&str> = std::iter::once(binary.as_str()).chain(arguments.iter().copied()).collect();
        self.host(role).output(&argv, limit)
    }

    /// Runs `failoverctl` on a host, which must accept.
    ///
    /// # Errors
    /// With what it said.
    pub fn order(&self, role: Role, arguments: &[&str]) -> Result<String> {
        let output = self.ctl(role, arguments)?;
        ensure!(output.status.success(), "failoverctl {}: {output}", arguments.join(" "));
        Ok(output.stdout)
    }

    /// What a daemon says of the pair.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self, role: Role) -> Result<Status> {
        let output = self.ctl(role, &["status", "--json"])?;
        let value: serde_json::Value =
            serde_json::from_str(&output.stdout).with_context(|| format!("not a status: {output}"))?;
        // The tool gives both views: the own daemon's, and the peer's where it answers.
        let inner = value.get("here").cloned().unwrap_or(value);
        serde_json::from_value(inner).context("not the status of this version")
    }

    /// Waits until a host's status is as wanted, and gives it.
    ///
    /// # Errors
    /// After [`LIMIT`], with the last status and the log.
    pub fn wait_for(&self, role: Role, what: &str, mut wanted: impl FnMut(&Status) -> bool) -> Result<Status> {
        let mut last = None;
        let found = wait_for(what, LIMIT, || {
            let status = self.status(role)?;
            let fits = wanted(&status);
            last = Some(status.clone());
            Ok(fits.then_some(status))
        });
        found.with_context(|| format!("last status of the {role}: {last:#?}\n{}", self.story()))
    }

    /// Waits until a host is in a state.
    ///
    /// # Errors
    /// After [`LIMIT`].
    pub fn wait_state(&self, role: Role, state: StateName) -> Result<Status> {
        self.wait_for(role, &format!("state {state:?} on the {role}"), |status| status.state == state)
    }

    /// Waits until a host runs the service and its own checks pass.
    ///
    /// # Errors
    /// After [`LIMIT`].
    pub fn wait_active(&self, role: Role) -> Result<Status> {
        self.wait_for(role, &format!("the service active on the {role}"), |status| {
            status.state == StateName::Active && status.service == failover_shared::decision::Verdict::Passed
        })
    }

    /// Waits until mail can be read through the balancer, as a user who knows only its address reads it.
    ///
    /// # Errors
    /// After [`LIMIT`].
    pub fn wait_readable(&self) -> Result<()> {
        let address = SocketAddr::new(self.lab.balancer.address().into(), 110);
        wait_for("mail readable through the balancer", LIMIT, || {
            let look = crate::judge::place::stand_on(&self.lab.client, move || {
                crate::judge::pop3::visit(
                    address,
                    crate::lab::service::dovecot::CANARY,
                    crate::lab::service::dovecot::CANARY_PASSWORD,
                    Duration::from_secs(2),
                )
            })?;
            crate::judge::place::finish(look).map(|_| Some(()))
        })
        .with_context(|| self.story())
    }

    /// The names of the scripts that ran on a host, in order.
    ///
    /// # Errors
    /// When the log is not what scripts write.
    pub fn scripts(&self, role: Role) -> Result<Vec<String>> {
        Ok(scripts::runs(self.host(role))?.into_iter().map(|run| run.script).collect())
    }

    /// The journal entries of both hosts, as `history --json` on this one gives them.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn history(&self, role: Role) -> Result<String> {
        let output = self.ctl(role, &["history", "--json", "--count", "400"])?;
        Ok(output.stdout)
    }

    /// Those of its lines that the host wrote itself.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    pub fn own_history(&self, role: Role) -> Result<String> {
        let name = match role {
            Role::Master => "cfg1",
            Role::Slave => "cfg2",
        };
        let own =
            |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|entry| entry["host"] == name);
        Ok(self.history(role)?.lines().filter(own).collect::<Vec<_>>().join("\n"))
    }

    /// Waits until the journal of a host holds a text.
    ///
    /// # Errors
    /// After [`LIMIT`].
    pub fn wait_noted(&self, role: Role, text: &str) -> Result<()> {
        wait_for(&format!("{text:?} in the journal of the {role}"), LIMIT, || {
            Ok(self.own_history(role)?.contains(text).then_some(()))
        })
        .with_context(|| self.story())
    }

    /// Stops HAProxy at once.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn balancer_dies(&mut self) -> Result<()> {
        let Some(haproxy) = self.haproxy.take() else { bail!("HAProxy does not run") };
        haproxy.signal(Signal::SIGKILL)?;
        haproxy.wait(LIMIT)?;
        Ok(())
    }

    /// Whether HAProxy was started and not ended.
    #[must_use]
    pub fn balancer_runs(&self) -> bool {
        self.haproxy.is_some()
    }

    /// Starts HAProxy again, as a shop's configuration has it: the master in, the slave out.
    ///
    /// # Errors
    /// When it does not start.
    pub fn balancer_returns(&mut self) -> Result<()> {
        self.haproxy = Some(haproxy::start(&self.lab)?);
        Ok(())
    }

    /// Both logs, for a failed test.
    #[must_use]
    pub fn story(&self) -> String {
        let one = |role| {
            let log = self.log(role);
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(60);
            format!("--- log of the {role} ---\n{}\n", lines[from..].join("\n"))
        };
        format!("{}{}", one(Role::Master), one(Role::Slave))
    }
}
