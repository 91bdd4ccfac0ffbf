//! The pair's protocol: messages of the control channel and their lines.

mod message;

pub use message::{Header, LINE_BYTES_MAX, Message, PROTOCOL_VERSION};
