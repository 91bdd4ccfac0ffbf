//! What goes to the I/O child and comes back: one line of JSON each way.
//!
//! The child remembers nothing. What must be known from one question to the next travels with the question, so a child
//! can be thrown away at any moment.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::memory::Memory;
use crate::decision::{ArbiterReply, ArbiterRequest, BootId, Role};

/// No line is longer: a path and a few hundred numbers.
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Who asks, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The store: a folder that both hosts have mounted.
    pub path: PathBuf,
    /// The pair's name; the store must have been initialised for it.
    pub pair: String,
    /// This host's role: which slot is its own.
    pub role: Role,
    /// This host's name, for people who read the files.
    pub host: String,
    /// This start of the kernel.
    pub boot: BootId,
}

/// One question to the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) place: Place,
    pub(super) request: ArbiterRequest,
    /// Drawn for this question: names what it writes.
    pub(super) nonce: u64,
    pub(super) memory: Memory,
}

/// The child's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) reply: ArbiterReply,
    pub(super) memory: Memory,
}
