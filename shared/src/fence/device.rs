//! One device: how it is told and asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::options::Told;
use super::{CallError, Power};
use crate::child::{self, Finished, Run, last_words};
use crate::config::{Config, FenceAgent, FenceDevice, Step};
use crate::decision::Role;

/// Exit of `status` for a host that is off (FenceAgentAPI).
const EXIT_OFF: i32 = 2;
/// Where Debian and Red Hat keep the agents, for daemons whose `PATH` has no folders of the administrator.
const AGENT_FOLDERS: &str = "/usr/sbin:/usr/local/sbin:/sbin";

/// A configured device.
#[derive(Debug)]
pub(super) struct Device {
    /// By its place in the configuration: `fence[1] fence_ipmilan`.
    pub(super) name: String,
    kind: FenceDevice,
    master: String,
    slave: String,
    folder: PathBuf,
}

impl Device {
    pub(super) fn new(config: &Config, kind: &FenceDevice, number: usize) -> Device {
        let what = match kind {
            FenceDevice::Agent(agent) => agent.agent.rsplit('/').next().unwrap_or_default(),
            FenceDevice::Command { .. } => "command",
        };
        Device {
            name: format!("fence[{number}] {what}"),
            kind: kind.clone(),
            master: config.master.name.clone(),
            slave: config.slave.name.clone(),
            folder: config.service.directory.clone(),
        }
    }

    /// How long one question for the state may take.
    pub(super) fn status_limit(&self) -> Duration {
        match &self.kind {
            FenceDevice::Agent(agent) => agent.timeout,
            FenceDevice::Command { status, .. } => status.timeout,
        }
    }

    /// Tells it. That it says done is no proof yet.
    pub(super) async fn switch(&self, target: Role, wanted: Power) -> Result<(), CallError> {
        let (action, step) = match (&self.kind, wanted) {
            (FenceDevice::Command { off, .. }, Power::Off) => ("off", Some(off)),
            (FenceDevice::Command { on: Some(on), .. }, Power::On) => ("on", Some(on)),
            (FenceDevice::Command { on: None, .. }, Power::On) => return Err(CallError::NoOn),
            (FenceDevice::Agent(_), Power::Off) => ("off", None),
            (FenceDevice::Agent(_), Power::On) => ("on", None),
        };
        let limit = step.map_or(self.status_limit(), |step| step.timeout);
        let (status, said) = self.call(target, action, step, limit).await?;
        if status.success() { Ok(()) } else { Err(CallError::Failed { action, status, said }) }
    }

    /// Asks it: its answer, and how it put that.
    pub(super) async fn status(&self, target: Role, limit: Duration) -> Result<(Power, String), CallError> {
        let step = match &self.kind {
            FenceDevice::Agent(_) => None,
            FenceDevice::Command { status, .. } => Some(status),
        };
        let (status, said) = self.call(target, "status", step, limit).await?;
        match status.code() {
            Some(0) => Ok((Power::On, said)),
            Some(EXIT_OFF) => Ok((Power::Off, said)),
            _ => Err(CallError::Failed { action: "status", status, said }),
        }
    }

    async fn call(
        &self,
        target: Role,
        action: &'static str,
        step: Option<&Step>,
        limit: Duration,
    ) -> Result<(ExitStatus, String), CallError> {
        let (run, told) = match (&self.kind, step) {
            (FenceDevice::Agent(agent), _) => {
                let told = Told::of(agent, target, action).await?;
                (agent_run(agent, &told, limit), told)
            }
            (FenceDevice::Command { status, .. }, step) => {
                let mut run = Run::shell(&step.unwrap_or(status).command, limit);
                run.folder = Some(self.folder.clone());
                let name = match target {
                    Role::Master => &self.master,
                    Role::Slave => &self.slave,
                };
                run.environment.push(("FAILOVER_TARGET", name.into()));
                run.environment.push(("FAILOVER_TARGET_ROLE", target.to_string().into()));
                (run, Told::only(action))
            }
        };
        let finished = child::run(run).await.map_err(|source| CallError::Run { action, source })?;
        Ok((finished.status, told.blotted(&said(&finished))))
    }
}

/// An agent's call: no arguments, everything on standard input.
pub(super) fn agent_run(agent: &FenceAgent, told: &Told, limit: Duration) -> Run {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    path.push(":");
    path.push(AGENT_FOLDERS);
    Run {
        argv: vec![agent.agent.clone().into()],
        environment: vec![("PATH", path)],
        folder: None,
        input: told.lines(),
        limit,
    }
}

/// The last line of what it printed, errors first: a device in good health prints to its standard output only.
pub(super) fn said(finished: &Finished) -> String {
    let (out, error) = (last_words(&finished.stdout), last_words(&finished.stderr));
    let well = matches!(finished.status.code(), Some(0 | EXIT_OFF));
    match (out.is_empty(), error.is_empty()) {
        (_, true) => out,
        (true, false) => error,
        (false, false) if well => out,
        (false, false) => error,
    }
}
