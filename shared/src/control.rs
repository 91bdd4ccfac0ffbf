//! The operator's way in: a unix socket that only the daemon's own user can open. One JSON line asks, one answers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::decision::{Epoch, Role};

/// The longest question.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// The longest answer: a long history fits.
const REPLY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How many questions may be open at once.
const OPEN_MAX: usize = 32;

/// What may be asked of a daemon. The peer's daemon passes the commands on in the same form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The daemon's view of the pair.
    Status,
    /// Journal entries after this sequence number, at most so many, the newest.
    History {
        /// Zero: from the beginning.
        after: u64,
        /// At most.
        count: u32,
    },
    /// The same of the peer, through the control channel.
    PeerHistory {
        /// At most.
        count: u32,
    },
    /// The peer's own view, through the control channel.
    PeerStatus,
    /// Move the service to the host with this role.
    Move {
        /// Where to.
        to: Role,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Only say whether it would be accepted.
        dry_run: bool,
        /// Go on although the configurations differ.
        despite_config_difference: bool,
        /// Go on although a copy is old. Older versions do not send it.
        #[serde(default)]
        despite_old_copy: bool,
    },
    /// Give up the move that is under way, if it is not acknowledged yet.
    Abort {
        /// Who.
        by: String,
    },
    /// Start although the peer was never heard.
    StartAlone {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Go on although a copy is old.
        #[serde(default)]
        despite_old_copy: bool,
    },
    /// The service is stopped on that host: a person says so.
    ConfirmStopped {
        /// That host.
        host: Role,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The epoch typed out, to override what speaks against it.
        epoch: Option<Epoch>,
    },
    /// Seen.
    Acknowledge {
        /// Who.
        by: String,
    },
    /// The service is stopped here although that could not be verified: a person says so.
    ForceOffline {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Leave the service alone for a while.
    MaintenanceOn {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// For so long.
        span_ms: u64,
    },
    /// Watch over it again.
    MaintenanceOff {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

/// An answer: what was asked for, or why not.
pub type Reply = Result<serde_json::Value, String>;

/// A question on its way to the loop.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub request: Request,
    /// Where the answer goes. Dropped unanswered: the daemon is ending.
    pub reply: oneshot::Sender<Reply>,
}

/// Why the socket could not be opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket could not be made.
    #[error("cannot open the control socket {path}: {source}")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody listens.
    #[error("no daemon answers at {path} ({source}); is it running? Look at its log, or give --run-dir")]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The conversation broke off.
    #[error("the daemon at {path} broke off: {source}")]
    Broken {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("the daemon at {path} did not answer within {limit:?}")]
    TimedOut {
        /// Where.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// An answer that is none.
    #[error("the daemon at {path} answered something that is not understood: {source}")]
    Form {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// The control socket's place.
#[must_use]
pub fn socket_path(run_dir: &Path, role: Role) -> PathBuf {
    run_dir.join(format!("{role}.sock"))
}

/// Listens at `path`; questions go to `questions`, and wait there for a place when the loop is slow. Ends with the
/// returned task; stopping it at any await loses only questions that nobody has answered.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(path: &Path, questions: mpsc::Sender<Asked>) -> Result<tokio::task::JoinHandle<()>, ControlError> {
    let bind = |source| ControlError::Bind { path: path.to_path_buf(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(bind(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(bind)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(bind)?;
    let open = std::sync::Arc::new(tokio::sync::Semaphore::new(OPEN_MAX));
    Ok(tokio::spawn(async move {
        loop {
            let Ok(place) = open.clone().acquire_owned().await else { return };
            // An accept fails when descriptors run out; the next try comes after a breath.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let questions = questions.clone();
            tokio::spawn(async move {
                let _place = place;
                // A conversation that breaks off concerns only the one who asked.
                let _ = tokio::time::timeout(Duration::from_secs(30), converse(stream, questions)).await;
            });
        }
    }))
}

async fn converse(stream: UnixStream, questions: mpsc::Sender<Asked>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(REQUEST_BYTES_MAX)).read_line(&mut line).await?;
    let answer: Reply = match serde_json::from_str(&line) {
        Err(error) => Err(format!("not understood: {error}")),
        Ok(request) => {
            let (reply, answer) = oneshot::channel();
            match questions.send(Asked { request, reply }).await {
                Err(_) => Err("the daemon is ending".to_string()),
                Ok(()) => answer.await.unwrap_or_else(|_| Err("the daemon is ending".to_string())),
            }
        }
    };
    let mut text = serde_json::to_vec(&answer).map_err(std::io::Error::other)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks the daemon at `path`.
///
/// # Errors
/// When nobody answers there, in time and in form.
pub async fn ask(path: &Path, request: &Request, limit: Duration) -> Result<Reply, ControlError> {
    let owned = || path.to_path_buf();
    let conversation = async {
        let mut stream =
            UnixStream::connect(path).await.map_err(|source| ControlError::Connect { path: owned(), source })?;
        let broken = |source| ControlError::Broken { path: owned(), source };
        let mut text = serde_json::to_vec(request).map_err(|source| ControlError::Form { path: owned(), source })?;
        text.push(b'\n');
        stream.write_all(&text).await.map_err(broken)?;
        let mut line = String::new();
        BufReader::new(stream.take(REPLY_BYTES_MAX)).read_line(&mut line).await.map_err(broken)?;
        serde_json::from_str(&line).map_err(|source| ControlError::Form { path: owned(), source })
    };
    tokio::time::timeout(limit, conversation)
        .await
        .unwrap_or_else(|_| Err(ControlError::TimedOut { path: owned(), limit }))
}
