//! The core's tests: stories of one host, and random schedules of two.

extern crate std;

mod boot;
mod demand;
mod driver;
mod faults;
mod host;
mod judge;
mod network;
mod pair;
mod person;
mod place;
mod random;
mod story;
mod table;
mod world;
