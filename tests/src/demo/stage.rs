//! Where the demo is played.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

/// The two hosts, the master first.
pub const HOSTS: [&str; 2] = ["cfg1", "cfg2"];
/// The first line of the demo's own message.
pub const FIRST_LINE: &str = "From: demo@failover.example";

/// One of [`HOSTS`].
pub type Place = usize;
/// The master's place.
pub const MASTER: Place = 0;
/// The slave's.
pub const SLAVE: Place = 1;

/// What a program answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A place for the demo: everything but the acts.
pub trait Stage: Send + Sync {
    /// What it is made of, in a few lines for the audience.
    fn describe(&self) -> String;
    /// Starts the balancer, then both daemons.
    ///
    /// # Errors
    /// When one cannot be started.
    fn start(&self) -> Result<()>;
    /// Runs `failoverctl` at a host.
    ///
    /// # Errors
    /// When it takes longer than `limit`.
    fn operator(&self, at: Place, arguments: &[&str], limit: Duration) -> Result<Answer>;
    /// Hands a message in at the balancer.
    ///
    /// # Errors
    /// When it is not accepted.
    fn deliver(&self, message: &str) -> Result<()>;
    /// Starts the reader, which knows the balancer's address only; gives the file that its lines go to.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start_reader(&self, digest: &str) -> Result<PathBuf>;
    /// Kills the mail server at a host, and nothing else.
    ///
    /// # Errors
    /// When none runs there.
    fn kill_service(&self, at: Place) -> Result<()>;
    /// Makes the whole host silent: daemon, guardian and service say nothing any more.
    ///
    /// # Errors
    /// When that fails.
    fn silence(&self, at: Place) -> Result<()>;
    /// What silence is made of here, for the audience.
    fn silence_is(&self) -> &'static str;
    /// The ends of all logs, for a demo that failed.
    fn logs(&self) -> String;
}
