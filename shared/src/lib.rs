//! A master/slave failover pair: the decision core (`decision`, pure, `no_std`), and the parts that act on it.
#![cfg_attr(not(feature = "acting"), no_std)]

extern crate alloc;

pub mod decision;

#[cfg(feature = "acting")]
pub mod check;
#[cfg(feature = "acting")]
pub mod config;
#[cfg(feature = "acting")]
pub mod wire;
