//! A seeded simulator of a pair: the very core that ships, two hosts that fail in every way that is known, and a judge
//! who knows nothing of the core's beliefs.
//!
//! One seed decides everything. [`schedule`] is one run, [`corpus`] many of them, [`story`] puts single faults and pairs
//! of them at every position of the base stories, [`canary`] shows that the judge still looks.

mod arbiter;
mod balancer;
pub mod canary;
mod clock;
pub mod corpus;
mod daemon;
mod disk;
mod driver;
pub mod fault;
mod fence;
mod guard;
mod host;
mod item;
mod judge;
mod lease;
pub mod model;
mod network;
pub mod options;
mod person;
mod plan;
mod probe;
pub mod quiet;
pub mod random;
pub mod schedule;
mod scripts;
pub mod seen;
mod service;
pub mod story;
mod teller;
mod trace;
mod trouble;
mod world;
