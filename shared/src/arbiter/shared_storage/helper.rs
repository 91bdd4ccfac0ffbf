//! The daemon's end of the I/O child: starts it, asks it, gives it up.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Child;

use super::question::{Answer, LINE_BYTES_MAX, Question};

/// A child that runs, or that was killed and is not yet gone.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    socket: BufReader<UnixStream>,
    /// A question was sent and its answer was not read: what comes next would be the answer to something else.
    busy: bool,
}

impl Helper {
    /// Starts the program of `command`.
    pub(super) fn start(mut command: Command) -> io::Result<Helper> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = BufReader::new(UnixStream::from_std(ours)?);
        // One socket both ways is all that it gets of the daemon: no other output, no folder, not its process group (a
        // Ctrl-C is for the daemon).
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let child = command.current_dir("/").process_group(0).kill_on_drop(true).spawn()?;
        Ok(Helper { child, socket, busy: false })
    }

    /// It waits for a question.
    pub(super) fn is_ready(&mut self) -> bool {
        !self.busy && !self.is_gone()
    }

    /// It has ended and is reaped. A process that hangs in the kernel is not gone, killed or not.
    pub(super) fn is_gone(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Has it killed. It goes at once, or when the kernel lets go of it.
    pub(super) fn kill(&mut self) {
        // Gone already is as good.
        let _ = self.child.start_kill();
        self.busy = true;
    }

    /// Asks. Dropped half way, it leaves the child busy: it answers no further question.
    pub(super) async fn ask(&mut self, question: &Question) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        self.busy = true;
        self.socket.write_all(&line).await?;
        let mut answer = Vec::new();
        (&mut self.socket).take(LINE_BYTES_MAX).read_until(b'\n', &mut answer).await?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = serde_json::from_slice(&answer)?;
        self.busy = false;
        Ok(answer)
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}
