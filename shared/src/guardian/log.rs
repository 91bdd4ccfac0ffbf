//! The guardian's log. It must never wait for a reader of its standard error, or for the disk behind it: a thread of its
//! own writes, and what that cannot take in time is lost.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use tracing_subscriber::fmt::MakeWriter;

/// So many lines may wait.
const LINES_MAX: usize = 64;

/// Starts to log to standard error. The thread owns nothing but that, and ends with the process.
pub(super) fn start(json: bool) {
    let (sender, lines) = sync_channel::<Vec<u8>>(LINES_MAX);
    let write = move || {
        for line in lines {
            // There is nobody left to tell.
            let _ = io::stderr().write_all(&line);
        }
    };
    // Without a thread there is no log, and a guardian all the same.
    let _ = thread::Builder::new().name("log".into()).stack_size(64 * 1024).spawn(write);
    let builder = tracing_subscriber::fmt().with_writer(Mailbox(sender)).with_target(false).with_ansi(false);
    let started = if json { builder.json().try_init() } else { builder.try_init() };
    if started.is_err() {
        tracing::debug!("somebody else logs already");
    }
}

struct Mailbox(SyncSender<Vec<u8>>);

impl<'a> MakeWriter<'a> for Mailbox {
    type Writer = Letter;

    fn make_writer(&'a self) -> Letter {
        Letter(self.0.clone())
    }
}

/// One line; the formatter writes it whole.
struct Letter(SyncSender<Vec<u8>>);

impl Write for Letter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
