//! The control channel: TCP, TLS with the peer's certificate pinned, a mutual proof of the pair's key, then one message
//! a line. `docs/protocol.md` has every byte of it.
//!
//! The server side is [`serve`], the client side [`PeerClient`]. Neither decides anything: messages go to the daemon.

mod client;
mod conversation;
mod counters;
mod limits;
mod lines;
mod proof;
mod server;
mod socket;

pub use client::{ClientError, ClientSettings, Link, PeerClient, RequestError};
pub use counters::{Counters, CountersSnapshot, Refused};
pub use limits::Limits;
pub use server::{Incoming, Listener, Replies, ReplyError, ServeError, ServerSettings, serve};

#[cfg(test)]
mod tests;
