//! A model of a pair for the model checker stateright: the very core that ships, and around it every order of events that
//! a small world allows.
//!
//! Time goes in steps. Within a step everything that is under way ends, in any order; what is late, lost, cut or dead is
//! a fault, and of those a run has a few. All runs within the bounds are tried. The lease is a few steps long, and both
//! clocks differ by exactly what its drift allows, so that an error of one step shows.
//!
//! It is a `Model` and not stateright's `ActorModel`, whose timers forget how long they run.

mod arbiter;
mod bounds;
mod checker;
mod fault;
mod host;
mod moves;
mod pair;
mod time;
mod turn;

pub use arbiter::Kind;
pub use bounds::{Begin, Bounds, Drift};
pub use checker::{Checked, check};
pub use fault::Fault;
pub use moves::Move;
pub use pair::Pair;
