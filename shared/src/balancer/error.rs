//! How a call of the balancer fails.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::child::RunError;
use crate::secret::SecretError;

/// Why a device could not be told or asked. No variant ever holds a password.
#[derive(Debug, Error)]
pub enum BalancerError {
    /// No connection, or it broke.
    #[error(
        "the balancer at {at} cannot be talked to; clients stay where they are; look whether it runs and is reachable from this host"
    )]
    Unreachable {
        /// Its address or socket.
        at: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The device, or a dialogue with it, took too long.
    #[error("the balancer gave no full answer within {} ms; it is asked again", after.as_millis())]
    TimedOut {
        /// The limit that ran out.
        after: Duration,
    },
    /// The device said no.
    #[error("the balancer refused {command:?}: {answer:?}{}", hint(answer))]
    Refused {
        /// What it was told.
        command: String,
        /// Its answer, bounded and printable.
        answer: String,
    },
    /// The device refused the user or the password.
    #[error("the balancer at {at} refused the login; put the right password into the password file, then reload")]
    LoginRefused {
        /// Its address.
        at: String,
    },
    /// The device answered something that no known version says.
    #[error("the balancer's answer to {command:?} is not understood: {answer:?}")]
    NotUnderstood {
        /// What it was told.
        command: String,
        /// Its answer, bounded and printable.
        answer: String,
    },
    /// The answer was longer than any real one.
    #[error("the balancer's answer to {command:?} is longer than {bytes_max} bytes; is this the right address?")]
    TooLong {
        /// What it was told.
        command: String,
        /// The bound.
        bytes_max: usize,
    },
    /// The configured command could not be run, or ran too long.
    #[error("the balancer's command {name:?} did not do its work")]
    Command {
        /// `set` or `observe`.
        name: &'static str,
        /// How it failed.
        #[source]
        source: RunError,
    },
    /// A setting that cannot work.
    #[error("{0}")]
    Settings(String),
    /// The password file.
    #[error("the balancer's password file cannot be used")]
    Password(#[source] SecretError),
}

/// The longest part of a device's answer that an error carries.
const ANSWER_CHARS_MAX: usize = 200;

/// A device's answer as an error may carry it: one line, printable, bounded.
pub(super) fn excerpt(answer: &str) -> String {
    let printable = answer.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(ANSWER_CHARS_MAX).collect()
}

/// What to do about the refusals that operators meet first.
fn hint(answer: &str) -> &'static str {
    if answer.starts_with("Permission denied") {
        "; the HAProxy socket needs `level admin`"
    } else if answer.starts_with("No such server") || answer.contains("backend") {
        "; compare the names in the configuration with the balancer's own"
    } else {
        ""
    }
}
