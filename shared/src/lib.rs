//! A master/slave failover pair: the decision core (`decision`, pure, `no_std`), and the parts that act on it.
#![cfg_attr(not(feature = "acting"), no_std)]

extern crate alloc;

pub mod decision;

#[cfg(feature = "acting")]
pub mod config;
#[cfg(feature = "acting")]
pub mod failpoint;
#[cfg(feature = "acting")]
pub mod journal;
#[cfg(feature = "acting")]
pub mod process;
#[cfg(feature = "acting")]
pub mod script;
#[cfg(feature = "acting")]
pub mod stop;
#[cfg(feature = "acting")]
pub mod store;
#[cfg(feature = "acting")]
pub mod wire;
