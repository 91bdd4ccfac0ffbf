//! Reference points: does the network, does the store answer this host at all?

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::config::Reference;

/// How long a reference point may take to answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The stack of a thread that makes one system call.
const STACK_BYTES: usize = 64 * 1024;

/// One reference point. It keeps at most one thread, and none between two questions unless the path hangs.
#[derive(Clone, Debug)]
pub struct ReferencePoint {
    reference: Reference,
    /// A thread still hangs in the path's file system. A dead NFS server can hold it for ever, and no signal ends it.
    hangs: Arc<AtomicBool>,
}

impl ReferencePoint {
    /// A point that was not asked yet.
    #[must_use]
    pub fn new(reference: Reference) -> ReferencePoint {
        ReferencePoint { reference, hangs: Arc::default() }
    }

    /// The point itself.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Whether it answers within [`ANSWER_WITHIN`]. A refused connection is an answer: the host at the other end lives.
    pub async fn answers(&self) -> bool {
        let answer = async {
            match &self.reference {
                Reference::Tcp(address) => tcp_answers(*address).await,
                Reference::Path(path) => self.path_answers(path.clone()).await,
            }
        };
        tokio::time::timeout(ANSWER_WITHIN, answer).await.unwrap_or(false)
    }

    /// Asks for the file system's figures: of an NFS mount that goes to the server (FSSTAT) and is never answered from a
    /// cache, as stat(2) would be. In a thread of its own, because the call cannot be interrupted.
    async fn path_answers(&self, path: PathBuf) -> bool {
        if self.hangs.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (answer, answered) = oneshot::channel();
        let hangs = Arc::clone(&self.hangs);
        let ask = move || {
            let result = statvfs(&path);
            hangs.store(false, Ordering::Release);
            // Nobody listens any more after the time limit.
            answer.send(result).ok();
        };
        let thread = thread::Builder::new().name("reference".into()).stack_size(STACK_BYTES).spawn(ask);
        if thread.is_err() {
            self.hangs.store(false, Ordering::Release);
            return false;
        }
        // A path that is not there was looked up on the local disk: it says nothing of the store.
        matches!(answered.await, Ok(Ok(_)))
    }
}

async fn tcp_answers(address: SocketAddr) -> bool {
    match TcpStream::connect(address).await {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_and_a_refusing_port_both_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let point = ReferencePoint::new(Reference::Tcp(listener.local_addr().unwrap()));
        assert!(point.answers().await);
        drop(listener);
        assert!(point.answers().await);
    }

    #[tokio::test]
    async fn a_path_answers_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let point = ReferencePoint::new(Reference::Path(folder.path().to_owned()));
        assert!(point.answers().await);
        assert!(point.answers().await);
    }

    #[tokio::test]
    async fn a_path_that_is_not_there_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!ReferencePoint::new(Reference::Path(folder.path().join("gone"))).answers().await);
    }

    #[tokio::test]
    async fn a_path_whose_last_question_still_hangs_does_not_answer_and_takes_no_second_thread() {
        let point = ReferencePoint::new(Reference::Path("/".into()));
        point.hangs.store(true, Ordering::Release);
        assert!(!point.answers().await);
        point.hangs.store(false, Ordering::Release);
        assert!(point.answers().await);
    }
}
