//! A real etcd of one or more members on loopback, for the tests of the arbiter that is kept in it.

pub mod ask;
mod authority;
mod member;
mod relay;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

pub use self::authority::{Authority, Credential};
use self::member::Member;
pub use self::relay::Relay;
use crate::lab::not_run;
use crate::still::stand_still;
use crate::wait::wait_until;

/// Until all members are healthy. An election takes a second; this machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// etcd cannot be told to find its own ports; one that was free a moment ago may be taken.
const STARTS: usize = 5;

/// Members that know each other. All are ended, and their files removed, on drop.
pub struct Cluster {
    members: Vec<Member>,
    credential: Option<Credential>,
    _folder: TempDir,
}

impl Cluster {
    /// Starts `count` members that talk without TLS. `None`: etcd is not installed, which is said.
    ///
    /// # Errors
    /// They do not start, with what they logged.
    pub fn start(test: &str, count: usize) -> Result<Option<Cluster>> {
        Cluster::start_with(test, count, None)
    }

    /// Starts `count` members that keep their data where every write is waited for. `None`: etcd is not installed.
    ///
    /// # Errors
    /// They do not start, with what they logged.
    pub fn start_on_disk(count: usize) -> Result<Option<Cluster>> {
        if missing_program().is_some() {
            return Ok(None);
        }
        Cluster::start_in(|| Ok(folder_builder().tempdir()?), count, None).map(Some)
    }

    /// The same with TLS to the clients, who must show a certificate of the same authority.
    ///
    /// # Errors
    /// They do not start, with what they logged.
    pub fn start_with_tls(test: &str, count: usize, credential: &Credential) -> Result<Option<Cluster>> {
        Cluster::start_with(test, count, Some(credential))
    }

    fn start_with(test: &str, count: usize, credential: Option<&Credential>) -> Result<Option<Cluster>> {
        if let Some(program) = missing_program() {
            not_run(test, &format!("{program} is not installed (etcd-server, etcd-client)"))?;
            return Ok(None);
        }
        Cluster::start_in(folder, count, credential).map(Some)
    }

    fn start_in(
        folder: impl Fn() -> Result<TempDir>,
        count: usize,
        credential: Option<&Credential>,
    ) -> Result<Cluster> {
        let mut tried = 1;
        loop {
            match Cluster::start_once(folder()?, count, credential) {
                Err(_) if tried < STARTS => tried += 1,
                started => return started,
            }
        }
    }

    fn start_once(folder: TempDir, count: usize, credential: Option<&Credential>) -> Result<Cluster> {
        let mut members = Member::make(count, folder.path(), credential)?;
        members.iter_mut().try_for_each(Member::start)?;
        let mut cluster = Cluster { members, credential: credential.cloned(), _folder: folder };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Waits until every member that runs is healthy.
    ///
    /// # Errors
    /// One has ended, or the limit is over; with what they logged.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let ready = wait_until("all members of etcd healthy", READY_LIMIT, || {
            self.members.iter_mut().try_fold(true, |all, member| Ok(member.is_ready()? && all))
        });
        ready.with_context(|| self.members.iter().map(Member::log_end).collect::<Vec<_>>().join("\n"))
    }

    /// For clients, one of each member.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// The port that member `number` serves clients on.
    #[must_use]
    pub fn port(&self, number: usize) -> u16 {
        self.members[number].port()
    }

    /// Where member `number` keeps its data.
    #[must_use]
    pub fn data(&self, number: usize) -> &Path {
        self.members[number].data()
    }

    /// Ends a member as a power cut would.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        self.members[number].kill()
    }

    /// Starts a member that was ended, on the same ports with the same data.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_again(&mut self, number: usize) -> Result<()> {
        self.members[number].start()
    }

    /// Stops a member in its tracks: its connections stand, and nothing answers.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self, number: usize) -> Result<()> {
        stand_still(self.members[number].process()?)
    }

    /// Lets a frozen member go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self, number: usize) -> Result<()> {
        Ok(kill(self.members[number].process()?, Signal::SIGCONT)?)
    }

    /// All members' metrics, one after the other, as Prometheus reads them.
    ///
    /// # Errors
    /// A member does not answer.
    pub fn metrics(&self) -> Result<String> {
        self.members.iter().map(|member| member.ask("/metrics")).collect()
    }

    /// Runs `etcdctl` against the first member with `input` on its standard input; gives what it printed.
    ///
    /// # Errors
    /// It fails; with what it said.
    pub fn control(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new("etcdctl");
        command.env_clear().env("ETCDCTL_API", "3").arg("--endpoints").arg(self.members[0].endpoint());
        if let Some(credential) = &self.credential {
            command.arg("--cacert").arg(&credential.authority);
            command.arg("--cert").arg(&credential.certificate).arg("--key").arg(&credential.key);
        }
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start etcdctl")?;
        child.stdin.take().context("etcdctl's input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "etcdctl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn missing_program() -> Option<&'static str> {
    // One that is there runs, whatever it says to this.
    let runs = |program: &&str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    ["etcd", "etcdctl"].into_iter().find(|program| !runs(program))
}

/// In memory where there is a place for it: etcd syncs each write, and 3.4 cannot be told not to.
fn folder() -> Result<TempDir> {
    folder_builder().tempdir_in("/dev/shm").or_else(|_| folder_builder().tempdir()).context("make a folder for etcd")
}

fn folder_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("failover-etcd-");
    builder
}
