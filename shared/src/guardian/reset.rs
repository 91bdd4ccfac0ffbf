//! The last means: the host is reset.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use super::moment::Moment;
use super::plan::Reset;
use crate::decision::Millis;

/// A reset that did not come is asked for again.
const AGAIN_AFTER: Millis = Millis(2_000);

/// Asks for the reset, again and again.
#[derive(Debug, Default)]
pub(super) struct Resetter {
    asked_at: Option<Moment>,
}

impl Resetter {
    /// Asks for the reset, if it was not asked for just now. In a thread: a command may hang on the very disk that is the
    /// matter.
    pub(super) fn ask(&mut self, reset: &Reset, now: Moment) {
        if self.asked_at.is_some_and(|asked_at| now.since(asked_at) < AGAIN_AFTER) {
            return;
        }
        self.asked_at = Some(now);
        tracing::error!(?reset, "the service could not be ended in time: the host is reset");
        let reset = reset.clone();
        let work = move || {
            if let Err(error) = run(&reset) {
                tracing::error!(%error, ?reset, "the reset was refused; what is left is the watchdog, which is not petted");
            }
        };
        if let Err(error) = thread::Builder::new().name("reset".into()).stack_size(128 * 1024).spawn(work) {
            tracing::error!(%error, "no thread for the reset; it is tried again");
        }
    }
}

fn run(reset: &Reset) -> io::Result<()> {
    match reset {
        Reset::Trigger(path) => OpenOptions::new().write(true).open(path)?.write_all(b"b"),
        Reset::Command(words) => {
            let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("no command is named"))?;
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null());
            // Not waited for: the guardian collects every child.
            command.spawn().map(drop)
        }
    }
}
