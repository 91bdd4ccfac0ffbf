//! The whole stop of the own service: the stop list, the post-conditions, the ladder, and the post-conditions again.
//!
//! What counts is never that a script exited 0, but that every post-condition was looked at and holds: no process left,
//! ports closed, mounts gone. One that cannot be looked at does not hold.

mod condition;
mod evidence;
mod ladder;
mod mount;
mod run;
mod verify;

pub use evidence::populated_groups;
pub(crate) use mount::mounts_below;
pub(crate) use mount::unescape;
pub use run::{StopRun, stop_service};
pub use verify::{Finding, State, StopContext, Verification, look, verify};

#[cfg(test)]
mod tests;
