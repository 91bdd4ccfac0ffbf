//! The I/O child: reads a question from its standard input, does what it asks in the folder, answers there.
//!
//! A process of its own, because a thread that hangs in the kernel on a dead file server can neither be ended nor keeps
//! the process that it belongs to from ending. It holds nothing: no lock, no open file between two questions, none of the
//! daemon's descriptors. So killing it is safe at any moment; what a half-done question may leave behind is told in the
//! module above.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::protocol;
use super::question::{LINE_BYTES_MAX, Question};

/// The first argument by which a program becomes the I/O child of a daemon.
pub(super) const CHILD_ARGUMENT: &str = "--arbiter-child";

/// This process was started as the I/O child of a daemon: it is to [`serve`], and do nothing else.
#[must_use]
pub fn is_child() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == CHILD_ARGUMENT)
}

/// Serves questions until the daemon closes the socket or ends.
pub fn serve() -> ExitCode {
    // Until the daemon's end: an orphan that still renews would keep a dead host's lease alive. The socket's end tells the
    // same to a child that is not in the middle of something.
    let ends_with_daemon = prctl::set_pdeathsig(Signal::SIGKILL);
    // For ps and top.
    let _ = prctl::set_name(c"failover-lease");
    match ends_with_daemon.map_err(io::Error::from).and_then(|()| answer_all()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer_all() -> io::Result<()> {
    // A descriptor of its own: the buffers of `stdin` and `stdout` are of no use here.
    let mut socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut questions = BufReader::new(socket.try_clone()?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if questions.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let question: Question = serde_json::from_slice(&line)?;
        let mut answer = serde_json::to_vec(&protocol::answer(question))?;
        answer.push(b'\n');
        socket.write_all(&answer)?;
    }
}
