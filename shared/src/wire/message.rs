//! The messages of the control channel: one a line, verb first, then one JSON object. See `docs/protocol.md`.

use serde::{Deserialize, Serialize};

use crate::decision::{Answer, BootId, Demand, Epoch, Incarnation, RequestId, Role};

/// The protocol's version. A daemon talks to the version before its own.
pub const PROTOCOL_VERSION: u16 = 1;

/// The longest line that is read, its end included. A longer one ends the connection.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Who speaks, in front of every message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u16,
    /// The pair's name.
    pub pair: String,
    /// The sender's role.
    pub role: Role,
    /// The sender's kernel start.
    pub boot: BootId,
    /// The sender's daemon start.
    pub incarnation: Incarnation,
    /// Counts the sender's messages on this connection, from 1.
    pub sequence: u64,
    /// The highest epoch the sender knows.
    pub epoch: Epoch,
    /// Digest of the sender's configuration.
    pub digest: u64,
}

/// What is said. Every request is idempotent: a repetition gets the same answer again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// `SHUTDOWN_YOUR_SERVICE`: stop, verify, answer. `GIVEBACK_PREPARE`: only say whether that would be obeyed.
    ShutdownYourService(Demand),
    /// `SHUTDOWN_PROGRESS`: the stop goes on. Moves no safety timer.
    ShutdownProgress {
        /// The demand.
        request: RequestId,
        /// The step that runs, from 1; zero while the ladder runs or the stop is verified.
        step: u32,
        /// In words.
        text: String,
    },
    /// `SHUTDOWN_ACK`, `SHUTDOWN_NACK` and `GIVEBACK_READY`: the answer. The verb follows the answer's kind.
    ShutdownAnswer {
        /// The demand.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// `SHUTDOWN_WITHDRAW`: the reason for the demand is gone.
    ShutdownWithdraw {
        /// The demand.
        request: RequestId,
    },
    /// `TAKEOVER_NOTICE`: the sender owns this epoch now.
    TakeoverNotice {
        /// The epoch.
        epoch: Epoch,
    },
    /// `START_PLEASE`: the sender's commanded start failed, its service is stopped and verified: take it back.
    StartPlease {
        /// The epoch whose start failed.
        epoch: Epoch,
    },
    /// `COMMAND`: an operator's command that the other host has to carry out, as JSON of `control`.
    Command {
        /// The command.
        command: serde_json::Value,
    },
    /// `STATUS`: what does the other host see?
    Status,
    /// `HISTORY`: the newest entries of the other host's journal.
    History {
        /// At most so many.
        count: u32,
    },
    /// `REPLY`: the answer to COMMAND, STATUS and HISTORY.
    Reply {
        /// The answer.
        body: serde_json::Value,
    },
    /// `OK`: heard.
    Ok,
    /// `ERROR`: not understood or not allowed, in words.
    Error {
        /// In words.
        text: String,
    },
}
