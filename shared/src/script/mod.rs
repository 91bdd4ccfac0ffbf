//! Ordered script lists: each step awaited, limited, in a process group of its own, its output bounded, and journaled
//! before and after.
//!
//! [`run_list`] is the whole of it. What a script is, how it is called and which exits are good, is its [`kind`]; how
//! one is run, limited and ended is the same for all kinds.

mod ask;
mod attempt;
mod cancel;
pub mod cgroup;
mod class;
mod copy;
mod environment;
mod event;
mod exit;
mod group;
mod interrupted;
pub mod kind;
mod list;
mod log;
mod output;
mod patience;
mod policy;
mod prepare;
mod redact;
pub(crate) mod step;
mod task;
mod user;
mod validate;

pub use ask::{Asked, ask};
pub use cancel::{Cancel, CancelHandle, cancel};
pub use class::Class;
pub use copy::{CopyRun, end_old_runs};
pub use environment::{Environment, Operation};
pub use event::{StepEvent, StepGate};
pub use exit::StepExit;
pub use group::{Group, GroupState, look_at_group};
pub use list::{Direction, ListEnd, ListLock, ListOutcome, ListRun, OnStepFailure, Position, StepFailure, run_list};
pub use policy::{Choice, FailoverPolicy};
pub use task::{Lists, Script, Stage, Task, limit};
pub use validate::validate;

#[cfg(test)]
mod tests;
