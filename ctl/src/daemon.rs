//! The daemon of this host, asked over its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failover_shared::control::{ControlError, Request, ask, socket_path};
use failover_shared::decision::Role;
use failover_shared::status::Status;
use serde::de::DeserializeOwned;

/// What the daemon answers from memory. Shorter than a second: the status screen has to be there by then.
pub(crate) const LOOK_LIMIT: Duration = Duration::from_millis(800);
/// What the daemon first asks its peer for, while the operator waits for a screen.
pub(crate) const PEER_LOOK_LIMIT: Duration = Duration::from_millis(150);
/// Two journals. The daemon gives its peer 800 ms.
pub(crate) const HISTORY_LIMIT: Duration = Duration::from_secs(2);
/// A command, which may travel to the peer, or look at the whole host before it is answered.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// The daemon of this host.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    path: PathBuf,
}

/// Why the daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// No socket.
    #[error(
        "no daemon runs on this host: there is no control socket in {0}\n\
         effect: nothing can be told or commanded here; the service itself is not touched by that\n\
         next:   start the daemon (systemctl start failover-master or failover-slave, or scripts/start.sh),\n\
         \x20       or say where its socket is: --run-dir"
    )]
    NoSocket(PathBuf),
    /// Two sockets.
    #[error("both daemons have a socket in {0}\nnext:   say which one is meant: --role master, or --role slave")]
    TwoSockets(PathBuf),
    /// The socket is there; the conversation failed.
    #[error("{0}\neffect: nothing can be told or commanded here; the service itself is not touched by that{next}", next = next_step(.0))]
    Control(#[from] ControlError),
    /// The daemon said no.
    #[error("refused: {0}")]
    Refused(String),
    /// The answer has another form than this version of the command knows.
    #[error(
        "the daemon's answer is not understood: {0}\nnext:   compare failoverctl --version with the daemon's version"
    )]
    Form(#[from] serde_json::Error),
}

fn next_step(error: &ControlError) -> &'static str {
    match error {
        ControlError::Connect { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            "\nnext:   only the daemon's own user may ask it: use sudo"
        }
        ControlError::Connect { .. } => "\nnext:   look into the daemon's log; start it again if it ended",
        _ => "\nnext:   ask again; if it stays so, look into the daemon's log",
    }
}

impl Daemon {
    /// The one whose socket is in the folder.
    pub(crate) fn find(run_dir: &Path, role: Option<Role>) -> Result<Daemon, DaemonError> {
        if let Some(role) = role {
            return Ok(Daemon { path: socket_path(run_dir, role) });
        }
        let [master, slave] = [Role::Master, Role::Slave].map(|role| socket_path(run_dir, role));
        match (master.exists(), slave.exists()) {
            (true, false) => Ok(Daemon { path: master }),
            (false, true) => Ok(Daemon { path: slave }),
            (true, true) => Err(DaemonError::TwoSockets(run_dir.to_path_buf())),
            (false, false) => Err(DaemonError::NoSocket(run_dir.to_path_buf())),
        }
    }

    /// Its answer, in the form that belongs to the question.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: &Request, limit: Duration) -> Result<T, DaemonError> {
        match ask(&self.path, request, limit).await? {
            Ok(value) => Ok(serde_json::from_value(value)?),
            Err(refusal) => Err(DaemonError::Refused(refusal)),
        }
    }

    /// Its view of the pair.
    pub(crate) async fn status(&self) -> Result<Status, DaemonError> {
        self.ask(&Request::Status, LOOK_LIMIT).await
    }

    /// A command, and what the daemon says to it in words.
    pub(crate) async fn command(&self, request: &Request) -> Result<String, DaemonError> {
        let answer: serde_json::Value = self.ask(request, COMMAND_LIMIT).await?;
        Ok(match answer {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        })
    }
}

/// Who gives the command: the person behind sudo, or the user as the system knows it, or at least the user's number.
pub(crate) fn commander() -> String {
    let behind_sudo = std::env::var("SUDO_USER").ok().map(|name| name.trim().to_string());
    behind_sudo.filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let own = nix::unistd::geteuid();
        let known = nix::unistd::User::from_uid(own).ok().flatten();
        known.map_or_else(|| format!("uid {own}"), |user| user.name)
    })
}

/// The role that a person means by a role word or by a host name.
pub(crate) fn role_named(status: &Status, word: &str) -> Result<Role, DaemonError> {
    let is = |name: &str| name == word || name.split('.').next() == Some(word) || word.split('.').next() == Some(name);
    match word {
        "master" => Ok(Role::Master),
        "slave" => Ok(Role::Slave),
        _ if is(&status.host) => Ok(status.role),
        _ if is(&status.peer.host) => Ok(status.peer.role),
        _ => Err(DaemonError::Refused(format!(
            "{word} is no host of this pair; its hosts are {} ({}) and {} ({})",
            status.host, status.role, status.peer.host, status.peer.role
        ))),
    }
}
