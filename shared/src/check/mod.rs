//! Health questions: is the service there, and does it answer as a user would read it?
//!
//! - [`Asker`] holds one round of any check and says how it went, with a transcript if one is wanted.
//! - [`Checks`] runs rounds on a beat, one small task a check, and sends a [`Report`] for each.
//! - [`Tallies`] turns reports into verdicts (by [`crate::decision::Tally`]) and into rows for the status screen.
//! - [`ProcessWatch`] sees a service's main process die within a millisecond.
//! - [`ReferencePoint`] asks the places that tell a host whether it is itself cut off.
//!
//! Nothing here decides anything, and nothing here can block the loop: each round has a limit and a bound on what it reads.

mod ask;
mod command;
mod failure;
mod imap;
mod lines;
pub mod pop3;
mod port;
mod process;
mod record;
mod reference;
mod resource;
mod schedule;
mod search;
mod secret;
mod tallies;
mod tls;

pub use ask::{Asker, PasswordLoader, Run};
pub use failure::CheckFailure;
pub use pop3::Dialogue;
pub use process::{Death, ProcessWatch, WatchError};
pub use record::{Record, StepLatency};
pub use reference::ReferencePoint;
pub use schedule::{Checks, Clock, Report, ScheduledCheck, Vantage};
pub use secret::Password;
pub use tallies::{Change, Row, Tallies};
pub use tls::{Encryption, TlsSetupError, connector};

#[cfg(test)]
mod scripted;
