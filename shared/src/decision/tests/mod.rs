//! The core's tests: the table of transitions, and stories of one host. Schedules of two are the simulator's.

extern crate std;

mod boot;
mod commands;
mod contend;
mod demand;
mod doubt;
mod ending;
mod explain;
mod fencing;
mod giveback;
mod lease;
mod leased;
mod leave;
mod maintenance;
mod place;
#[cfg(feature = "planted")]
pub(super) mod planting;
mod proofs;
mod story;
mod table;
