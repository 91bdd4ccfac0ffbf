//! How a step ended, and the sentence an operator reads about it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::decision::Millis;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepExit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It ran longer than its limit and was ended: TERM, then KILL, to its process group.
    TimedOut(Duration),
    /// It was ended because the list was cancelled.
    Cancelled,
    /// It was never begun, and why.
    NotRun(String),
}

impl From<ExitStatus> for StepExit {
    fn from(status: ExitStatus) -> StepExit {
        match (status.code(), status.signal()) {
            (Some(code), _) => StepExit::Code(code),
            (None, Some(signal)) => StepExit::Signal(signal),
            (None, None) => StepExit::NotRun(format!("its end was not understood: {status}")),
        }
    }
}

impl fmt::Display for StepExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepExit::Code(126) => f.write_str("exited 126: the command was found but is not executable"),
            StepExit::Code(127) => f.write_str("exited 127: the command was not found"),
            // A shell reports the signal that ended its command as 128 + number; a script may also choose such a code.
            StepExit::Code(code @ 129..=192) => match Signal::try_from(code - 128) {
                Ok(signal) => write!(f, "exited {code}: its command was ended by {signal}, or it chose this code"),
                Err(_) => write!(f, "exited {code}"),
            },
            StepExit::Code(code) => write!(f, "exited {code}"),
            StepExit::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "ended by {signal}"),
                Err(_) => write!(f, "ended by signal {number}"),
            },
            StepExit::TimedOut(limit) => {
                let limit = Millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
                write!(f, "still running after its limit of {limit}, and ended")
            }
            StepExit::Cancelled => f.write_str("ended because the list was cancelled"),
            StepExit::NotRun(why) => write!(f, "not run: {why}"),
        }
    }
}
