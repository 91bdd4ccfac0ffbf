//! The second way to a silent host: the system's `ssh` runs `failoverctl stop-here` there.
//!
//! Nothing that `ssh` or the remote side says counts, but a [`Statement`]: made for this very request and epoch, and
//! signed with the pair's key. Keys or agent only: `BatchMode` makes `ssh` fail where it would ask for a password.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::child::{self, Run, RunError};
use crate::config::{Host, Rcmd};
use crate::decision::{Epoch, RequestId, Role};
use crate::secret::Secret;
use crate::statement::{self, Statement, StatementError};

/// Where the system's `ssh` is looked up.
pub const SSH: &str = "ssh";

/// The exit of `ssh` itself, as `ssh(1)` has it: no connection, or it broke. The remote command's own exits are lower.
const SSH_FAILED: i32 = 255;

/// The longest time that `ssh` may take to connect; the whole call has its own limit.
const CONNECT_SECONDS_MAX: u64 = 10;

/// What is asked of the other host.
#[derive(Clone, Copy, Debug)]
pub struct StopOrder<'a> {
    /// The pair's name.
    pub pair: &'a str,
    /// The role of the host that shall stop.
    pub role: Role,
    /// That host.
    pub host: &'a Host,
    /// The demand that the statement must name.
    pub request: RequestId,
    /// Every epoch up to this one shall be stopped.
    pub epoch: Epoch,
}

/// Why there is no statement. None of these says that the host has stopped, and none that it has not.
#[derive(Debug, Error)]
pub enum RcmdError {
    /// `ssh` could not reach the host or not log in, or the connection broke.
    #[error("ssh cannot reach {host}: {said:?}; try `ssh -o BatchMode=yes {user}@{host} true` by hand")]
    Unreachable {
        /// The host's address.
        host: String,
        /// The login user.
        user: String,
        /// The last line that `ssh` said.
        said: String,
    },
    /// No end within the limit. What runs on the other host runs on there.
    #[error("no statement within {} ms; the stop may still go on there", limit.as_millis())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The local `ssh` could not be run.
    #[error("the second way cannot be gone on this host; install ssh, or take `rcmd` out of the configuration")]
    NoSsh(#[source] RunError),
    /// A user or an address that `ssh` would take for an option.
    #[error("rcmd: {value:?} cannot be a login user or a host")]
    Settings {
        /// What stands in the configuration.
        value: String,
    },
    /// The remote command ended without saying that it stopped the service.
    #[error("the stop on the other host ended with exit {exit} and no statement: {said:?}")]
    NotStopped {
        /// Its exit; -1 when a signal ended it.
        exit: i32,
        /// The last line that it said.
        said: String,
    },
    /// It said so, and what it said is not valid.
    #[error("the other host's statement does not count")]
    Statement(#[source] StatementError),
}

/// Has the other host stop its service and returns its signed word. `ssh` names the program to run, [`SSH`] as a rule.
///
/// Bounded by `settings.timeout`. Dropped half way, it ends the local `ssh`; the other host may go on to stop, which is
/// safe: a stop can be repeated.
///
/// # Errors
/// See [`RcmdError`].
pub async fn stop_there(
    ssh: &Path,
    settings: &Rcmd,
    order: StopOrder<'_>,
    keys: &[Secret],
) -> Result<Statement, RcmdError> {
    let argv = arguments(ssh, settings, order)?;
    let run = Run { argv, environment: Vec::new(), folder: None, input: Vec::new(), limit: settings.timeout };
    let finished = match child::run(run).await {
        Ok(finished) => finished,
        Err(RunError::TimedOut { limit }) => return Err(RcmdError::TimedOut { limit }),
        Err(error) => return Err(RcmdError::NoSsh(error)),
    };
    let exit = finished.status.code().unwrap_or(-1);
    let stdout = String::from_utf8_lossy(&finished.stdout);
    // A login shell may talk before the command does. A statement counts whatever the exit: it is signed, the exit is not.
    if let Some(line) = stdout.lines().rev().find(|line| line.starts_with(statement::VERB)) {
        let expected =
            statement::Expected { pair: order.pair, role: order.role, request: order.request, epoch: order.epoch };
        return statement::verify(keys, line, expected).map_err(RcmdError::Statement);
    }
    let said = child::last_words(&finished.stderr);
    if exit == SSH_FAILED {
        let (host, user) = (order.host.address.to_string(), settings.user.clone());
        return Err(RcmdError::Unreachable { host, user, said });
    }
    Err(RcmdError::NotStopped { exit, said })
}

/// The argument list. Nothing in it is secret, and nothing in it goes through a local shell. The remote command does go
/// through the login user's shell there: `remote_command` may hold several words on purpose.
fn arguments(ssh: &Path, settings: &Rcmd, order: StopOrder<'_>) -> Result<Vec<OsString>, RcmdError> {
    if settings.user.is_empty() || settings.user.starts_with('-') || settings.user.contains(char::is_whitespace) {
        return Err(RcmdError::Settings { value: settings.user.clone() });
    }
    let connect_seconds = settings.timeout.as_secs().clamp(1, CONNECT_SECONDS_MAX);
    let mut argv: Vec<OsString> = vec![ssh.into()];
    argv.extend(["-o", "BatchMode=yes", "-o"].map(OsString::from));
    argv.push(format!("ConnectTimeout={connect_seconds}").into());
    argv.extend(settings.ssh_arguments.iter().map(OsString::from));
    argv.push(format!("{}@{}", settings.user, order.host.address).into());
    let (request, epoch) = (order.request, order.epoch);
    argv.push(format!("{} stop-here --request {request} --epoch {epoch}", settings.remote_command).into());
    Ok(argv)
}

#[cfg(test)]
mod tests;
