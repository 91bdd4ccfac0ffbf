//! The decision core: events and time in, actions out. No I/O, no clock, no randomness, no async.
//!
//! The daemons, the simulator and the model checker drive this very code; see `docs/architecture.md`.

mod action;
mod arbiter;
mod arbitration;
mod attempt;
mod boot;
mod claim;
mod combined;
mod command;
mod contend;
mod ending;
mod event;
mod facts;
mod fenced;
mod fencing;
mod invariant;
mod lease;
mod maintenance;
mod node;
mod obey;
mod peer;
mod planted;
mod policy;
mod reading;
mod record;
mod rule;
mod start;
mod state;
mod suspicion;
mod tally;
#[cfg(test)]
mod tests;
mod timer;
mod turn;
mod types;

pub use action::{Action, Balance, GuardedLease, Note, Page, PageKind};
pub use arbiter::{ArbiterFailure, ArbiterReply, ArbiterRequest, Claim, LeaseTimes, Slot, Spans, Stamp, Terms, View};
pub use combined::Combined;
pub use event::{Command, Event, Sight};
pub use fenced::{FenceAnswer, FenceId, FenceNotice, Fenced};
pub use lease::HeldLease;
pub use maintenance::Maintenance;
pub use node::Node;
pub use peer::{Answer, Beat, Demand, Duty, Evidence, Refusal};
#[cfg(feature = "planted")]
pub use planted::plant;
#[doc(hidden)]
pub use planted::{Bug, planted};
pub use policy::Policy;
pub use record::{Attempt, LeaseProof, Phase, Proof, Record, StopCause};
pub use rule::Rule;
pub use state::{ClaimStep, Progress, State, StateName};
pub use tally::{Tally, TallyAction, TallyEvent, TallyRules};
pub use timer::Timer;
pub use types::{
    BootId, Epoch, Forced, Incarnation, Millis, OperationId, Presence, RequestId, Role, StartOutcome, StopMeans,
    StopOutcome, Symptom, Verdict,
};
