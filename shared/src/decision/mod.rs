//! The decision core: events and time in, actions out. No I/O, no clock, no randomness, no async.

mod combined;
mod peer;
mod tally;
mod types;

pub use combined::Combined;
pub use peer::{Answer, Beat, Demand, Duty, Evidence, Refusal};
pub use tally::{ROUNDS_MAX, Tally, TallyAction, TallyEvent, TallyRules};
pub use types::{
    BootId, Epoch, Forced, Incarnation, Millis, OperationId, Presence, RequestId, Role, StartOutcome, StopMeans,
    StopOutcome, Symptom, Verdict,
};
