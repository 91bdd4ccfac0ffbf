//! A message as a line: the verb, a blank, one JSON object, a line feed. The whole grammar is in `docs/protocol.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::decision::{Answer, Demand};

use super::message::{Header, LINE_BYTES_MAX, Message};

/// A message with what belongs to it on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Who speaks.
    pub header: Header,
    /// Numbers the sender's requests on this connection, from 1; zero for an answer.
    pub id: u64,
    /// The request that this answers.
    pub reply_to: Option<u64>,
    /// What is said.
    pub message: Message,
}

/// Why a message cannot become a line.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The other side would close the connection.
    #[error("the message would be a line of {found} bytes; at most {LINE_BYTES_MAX} are read")]
    TooLong {
        /// How long it would be.
        found: usize,
    },
    /// A value has no JSON form.
    #[error("the message has no JSON form")]
    Json(#[from] serde_json::Error),
}

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is no verb in front, or no envelope behind it: whatever speaks there, it is not this protocol.
    #[error("the line is no verb with a JSON object")]
    Malformed(#[source] Option<serde_json::Error>),
    /// The envelope is good, the verb is not known: perhaps a newer version.
    #[error("the verb is not known")]
    UnknownVerb {
        /// The request, so that it can be answered.
        id: u64,
        /// Who spoke.
        header: Header,
    },
    /// Verb and envelope are good, the body does not fit the verb.
    #[error("the body does not fit the verb {verb}")]
    WrongBody {
        /// The verb.
        verb: &'static str,
        /// The request, so that it can be answered.
        id: u64,
        /// Who spoke.
        header: Header,
        /// What is wrong; `None` if it is an ACK that says no, or a NACK that says yes.
        #[source]
        cause: Option<serde_json::Error>,
    },
}

/// The verb of a message.
#[must_use]
pub fn verb(message: &Message) -> &'static str {
    match message {
        Message::ShutdownYourService(Demand { prepare: true, .. }) => "GIVEBACK_PREPARE",
        Message::ShutdownYourService(_) => "SHUTDOWN_YOUR_SERVICE",
        Message::ShutdownProgress { .. } => "SHUTDOWN_PROGRESS",
        Message::ShutdownAnswer { answer: Answer::Prepared, .. } => "GIVEBACK_READY",
        Message::ShutdownAnswer { answer: Answer::Acked { .. }, .. } => "SHUTDOWN_ACK",
        Message::ShutdownAnswer { answer: Answer::AckedFailed { .. } | Answer::Refused(_), .. } => "SHUTDOWN_NACK",
        Message::ShutdownWithdraw { .. } => "SHUTDOWN_WITHDRAW",
        Message::TakeoverNotice { .. } => "TAKEOVER_NOTICE",
        Message::StartPlease { .. } => "START_PLEASE",
        Message::Command { .. } => "COMMAND",
        Message::Status => "STATUS",
        Message::History { .. } => "HISTORY",
        Message::Reply { .. } => "REPLY",
        Message::Ok => "OK",
        Message::Error { .. } => "ERROR",
    }
}

/// The line of a message, its line feed included.
///
/// # Errors
/// [`EncodeError::TooLong`] if it passes [`LINE_BYTES_MAX`].
pub fn encode(envelope: &Envelope) -> Result<Vec<u8>, EncodeError> {
    let Envelope { header, id, reply_to, message } = envelope;
    let body = match serde_json::to_value(message)? {
        // Serde puts the variant's name around the fields; on the wire the verb says it.
        Value::Object(variant) => variant.into_iter().next().map(|(_, fields)| fields),
        _ => None,
    };
    let mut line = verb(message).as_bytes().to_vec();
    line.push(b' ');
    serde_json::to_writer(&mut line, &Outgoing { header, id: *id, reply_to: *reply_to, body })?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX { Err(EncodeError::TooLong { found: line.len() }) } else { Ok(line) }
}

/// The message of a line, with or without its line feed.
///
/// # Errors
/// [`DecodeError`], which says whether an answer is possible.
pub fn decode(line: &[u8]) -> Result<Envelope, DecodeError> {
    let blank = line.iter().position(|byte| *byte == b' ').ok_or(DecodeError::Malformed(None))?;
    let (spoken, rest) = line.split_at(blank);
    let Incoming { header, id, reply_to, body } =
        serde_json::from_slice(rest).map_err(|error| DecodeError::Malformed(Some(error)))?;
    let Some(form) = FORMS.iter().find(|form| form.verb.as_bytes() == spoken) else {
        return Err(DecodeError::UnknownVerb { id, header });
    };
    // A verb without fields may get some in a later version: they are ignored like every unknown field.
    let fields = if form.fields { body } else { Value::Null };
    let variant = Value::Object(Map::from_iter([(form.variant.to_owned(), fields)]));
    match Message::deserialize(variant) {
        Ok(message) if verb(&message) == form.verb => Ok(Envelope { header, id, reply_to, message }),
        Ok(_) => Err(DecodeError::WrongBody { verb: form.verb, id, header, cause: None }),
        Err(cause) => Err(DecodeError::WrongBody { verb: form.verb, id, header, cause: Some(cause) }),
    }
}

/// How a verb maps to the variant of [`Message`], by the name that serde knows it by.
struct Form {
    verb: &'static str,
    variant: &'static str,
    fields: bool,
}

const FORMS: [Form; 15] = [
    Form { verb: "GIVEBACK_PREPARE", variant: "ShutdownYourService", fields: true },
    Form { verb: "GIVEBACK_READY", variant: "ShutdownAnswer", fields: true },
    Form { verb: "SHUTDOWN_YOUR_SERVICE", variant: "ShutdownYourService", fields: true },
    Form { verb: "SHUTDOWN_PROGRESS", variant: "ShutdownProgress", fields: true },
    Form { verb: "SHUTDOWN_ACK", variant: "ShutdownAnswer", fields: true },
    Form { verb: "SHUTDOWN_NACK", variant: "ShutdownAnswer", fields: true },
    Form { verb: "SHUTDOWN_WITHDRAW", variant: "ShutdownWithdraw", fields: true },
    Form { verb: "TAKEOVER_NOTICE", variant: "TakeoverNotice", fields: true },
    Form { verb: "START_PLEASE", variant: "StartPlease", fields: true },
    Form { verb: "COMMAND", variant: "Command", fields: true },
    Form { verb: "STATUS", variant: "Status", fields: false },
    Form { verb: "HISTORY", variant: "History", fields: true },
    Form { verb: "REPLY", variant: "Reply", fields: true },
    Form { verb: "OK", variant: "Ok", fields: false },
    Form { verb: "ERROR", variant: "Error", fields: true },
];

// The header holds a number of 128 bits (the boot id), which serde's `flatten` and `Value` cannot carry: so it is read
// straight into its type, and only the body goes through `Value`.
#[derive(Serialize)]
struct Outgoing<'a> {
    header: &'a Header,
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

#[derive(Deserialize)]
struct Incoming {
    header: Header,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    reply_to: Option<u64>,
    #[serde(default)]
    body: Value,
}

#[cfg(test)]
mod tests;
