//! The core's tests: stories of one host, and random schedules of two.

extern crate std;

mod boot;
mod commands;
mod contend;
mod demand;
mod doubt;
mod driver;
mod ending;
mod explain;
mod faults;
mod fencing;
mod giveback;
mod host;
mod judge;
mod lease;
mod leased;
mod maintenance;
mod network;
mod pair;
mod person;
mod place;
#[cfg(feature = "planted")]
pub(super) mod planting;
mod proofs;
mod random;
mod story;
mod table;
mod world;
