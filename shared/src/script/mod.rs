//! Ordered script lists: each step awaited, limited, in a process group of its own, its output bounded, and journaled
//! before and after.
//!
//! [`run_list`] is the whole of it. What a step is, how it is called and which exits are good, is its [`Contract`];
//! how one is run, limited and ended is the same for all contracts.

mod cancel;
pub mod cgroup;
mod contract;
mod environment;
mod event;
mod exit;
mod list;
mod log;
mod output;
pub(crate) mod step;

pub use cancel::{Cancel, CancelHandle, cancel};
pub use contract::Contract;
pub use environment::{Environment, Operation};
pub use event::{StepEvent, StepGate};
pub use exit::StepExit;
pub use list::{Direction, ListEnd, ListLock, ListOutcome, ListRun, OnStepFailure, StepFailure, run_list};

#[cfg(test)]
mod tests;
