//! The decision core: events and time in, actions out. No I/O, no clock, no randomness, no async.

mod peer;
mod types;

pub use peer::{Answer, Beat, Demand, Duty, Evidence, Refusal};
pub use types::{
    BootId, Epoch, Forced, Incarnation, Millis, OperationId, Presence, RequestId, Role, StartOutcome, StopMeans,
    StopOutcome, Symptom, Verdict,
};
