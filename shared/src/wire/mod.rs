//! The pair's protocol: messages of the control channel and their lines.

mod header;
mod line;
mod message;

pub use header::{HeaderSource, version_is_spoken};
pub(crate) use header::{pair_tag, role_byte};
pub use line::{DecodeError, EncodeError, Envelope, decode, encode, verb};
pub use message::{Header, LINE_BYTES_MAX, Message, PROTOCOL_VERSION};
