//! A master/slave failover pair: the decision core (`decision`, pure, `no_std`), and the parts that act on it.
#![cfg_attr(not(feature = "acting"), no_std)]

extern crate alloc;

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` puts bugs into the core: no release build may have it");

pub mod decision;

#[cfg(feature = "acting")]
pub mod arbiter;
#[cfg(feature = "acting")]
pub mod balancer;
#[cfg(feature = "acting")]
pub mod channel;
#[cfg(feature = "acting")]
pub mod check;
#[cfg(feature = "acting")]
pub mod child;
#[cfg(feature = "acting")]
pub mod clock;
#[cfg(feature = "acting")]
pub mod config;
#[cfg(feature = "acting")]
pub mod control;
#[cfg(feature = "acting")]
pub mod daemon;
#[cfg(feature = "acting")]
pub mod driver;
#[cfg(feature = "acting")]
pub mod failpoint;
#[cfg(feature = "acting")]
pub mod fence;
#[cfg(feature = "acting")]
pub mod guardian;
#[cfg(feature = "acting")]
pub mod heartbeat;
#[cfg(feature = "acting")]
pub mod host;
#[cfg(feature = "acting")]
pub mod journal;
#[cfg(feature = "acting")]
pub mod key;
#[cfg(feature = "acting")]
pub mod notify;
#[cfg(feature = "acting")]
pub mod process;
#[cfg(feature = "acting")]
pub mod provision;
#[cfg(feature = "acting")]
pub mod rcmd;
#[cfg(feature = "acting")]
pub mod script;
#[cfg(feature = "acting")]
pub mod secret;
#[cfg(feature = "acting")]
pub mod statement;
#[cfg(feature = "acting")]
pub mod status;
#[cfg(feature = "acting")]
pub mod stop;
#[cfg(feature = "acting")]
pub mod store;
#[cfg(feature = "acting")]
pub mod telemetry;
#[cfg(feature = "acting")]
pub mod wire;
