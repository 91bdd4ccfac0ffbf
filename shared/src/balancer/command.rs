//! A pair of commands, for every balancer that the program does not know by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::excerpt;
use super::{Admin, BalancerError, Device, Seen, View, Wanted};
use crate::child::{self, Run};
use crate::config::Step;
use crate::decision::{Epoch, Role};

/// One command that sets, one that tells. Both get `FAILOVER_TARGET` (host name) and `FAILOVER_TARGET_ROLE`; the first
/// gets `FAILOVER_WANTED` (`up`, `drain`, `down`) and `FAILOVER_EPOCH`, too.
#[derive(Debug)]
pub struct CommandPair {
    set: Step,
    observe: Step,
    master: String,
    slave: String,
    folder: PathBuf,
}

impl CommandPair {
    /// The two commands, the names of the two hosts, and the folder in which relative names start.
    #[must_use]
    pub fn new(set: &Step, observe: &Step, master: &str, slave: &str, folder: &Path) -> CommandPair {
        CommandPair {
            set: set.clone(),
            observe: observe.clone(),
            master: master.to_owned(),
            slave: slave.to_owned(),
            folder: folder.to_owned(),
        }
    }

    fn run(&self, line: &str, limit: Duration, host: Role) -> Run {
        let name = match host {
            Role::Master => &self.master,
            Role::Slave => &self.slave,
        };
        let mut run = Run::shell(line, limit);
        run.folder = Some(self.folder.clone());
        run.environment.push(("FAILOVER_TARGET", name.into()));
        run.environment.push(("FAILOVER_TARGET_ROLE", host.to_string().into()));
        run
    }

    async fn see(&self, host: Role) -> Result<Seen, BalancerError> {
        let trouble = |source| BalancerError::Command { name: "observe", source };
        let run = self.run(&self.observe.command, self.observe.timeout, host);
        let finished = child::run(run).await.map_err(trouble)?.succeeded().map_err(trouble)?;
        let answer = String::from_utf8_lossy(&finished.stdout);
        let admin = match answer.trim() {
            "up" => Admin::Up,
            "drain" => Admin::Drain,
            "down" => Admin::Down,
            _ => {
                let command = self.observe.command.clone();
                return Err(BalancerError::NotUnderstood { command, answer: excerpt(&answer) });
            }
        };
        Ok(Seen { admin, ..Seen::NOTHING })
    }
}

impl Device for CommandPair {
    async fn set(&self, host: Role, wanted: Wanted, epoch: Epoch) -> Result<(), BalancerError> {
        let trouble = |source| BalancerError::Command { name: "set", source };
        let mut run = self.run(&self.set.command, self.set.timeout, host);
        run.environment.push(("FAILOVER_WANTED", wanted.to_string().into()));
        run.environment.push(("FAILOVER_EPOCH", epoch.to_string().into()));
        child::run(run).await.map_err(trouble)?.succeeded().map_err(trouble)?;
        Ok(())
    }

    async fn observe(&self) -> Result<View, BalancerError> {
        let (master, slave) = tokio::join!(self.see(Role::Master), self.see(Role::Slave));
        Ok(View { master: master?, slave: slave? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(set: &str, observe: &str, folder: &Path) -> CommandPair {
        let step = |line: &str| Step { command: line.to_owned(), timeout: Duration::from_secs(20) };
        CommandPair::new(&step(set), &step(observe), "cfg1", "cfg2", folder)
    }

    #[tokio::test]
    async fn what_the_first_command_sets_the_second_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let set = "echo $FAILOVER_WANTED >$FAILOVER_TARGET; echo $FAILOVER_TARGET_ROLE $FAILOVER_EPOCH >>log";
        let device = pair(set, "cat $FAILOVER_TARGET", folder.path());
        device.set(Role::Master, Wanted::Down, Epoch(7)).await.unwrap();
        device.set(Role::Slave, Wanted::Drain, Epoch(8)).await.unwrap();
        let view = device.observe().await.unwrap();
        assert_eq!((view.master.admin, view.slave.admin), (Admin::Down, Admin::Drain));
        device.set(Role::Slave, Wanted::Up, Epoch(8)).await.unwrap();
        assert_eq!(device.observe().await.unwrap().slave.admin, Admin::Up);
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "master 7\nslave 8\nslave 8\n");
    }

    #[tokio::test]
    async fn a_command_that_fails_or_babbles_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let device = pair("echo no route to it >&2; exit 4", "echo perhaps", folder.path());
        let error = device.set(Role::Master, Wanted::Up, Epoch(1)).await.unwrap_err();
        let BalancerError::Command { name: "set", source } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains("no route to it"), "{source}");
        let error = device.observe().await.unwrap_err();
        assert!(matches!(&error, BalancerError::NotUnderstood { answer, .. } if answer == "perhaps"), "{error:?}");
    }
}
