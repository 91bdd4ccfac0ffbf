//! One entry, and its line.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A longer line is not read: it is no entry of ours.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;
/// What is left of the text of an entry whose line would be longer.
const SHORT_TEXT_BYTES: usize = 4 * 1024;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1, without gaps. Given by the journal.
    pub sequence: u64,
    /// When, by the wall clock. For people; nothing is decided by it.
    pub utc: Timestamp,
    /// When, in milliseconds since the host's boot, time asleep included.
    pub uptime_ms: u64,
    /// What kind of thing: one word, for filters.
    pub kind: String,
    /// What happened, as a sentence.
    pub text: String,
    /// The values in it, epoch and boot among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}

impl Entry {
    /// An entry of now.
    #[must_use]
    pub fn now(kind: &str, text: impl Into<String>) -> Entry {
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        Entry {
            sequence: 0,
            utc: Timestamp::now(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            kind: kind.to_owned(),
            text: text.into(),
            fields: BTreeMap::new(),
        }
    }

    /// With one more value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Entry {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

/// The entry's line under this number, its end included. An entry that is too long loses its values and the rest of its
/// text rather than being refused.
pub(super) fn encode(entry: &Entry, sequence: u64) -> Result<Vec<u8>, serde_json::Error> {
    let mut entry = Entry { sequence, ..entry.clone() };
    let mut text = serde_json::to_string(&entry)?;
    if text.len() > LINE_BYTES_MAX - SUM_BYTES {
        entry.kind.truncate(entry.kind.floor_char_boundary(64));
        entry.text.truncate(entry.text.floor_char_boundary(SHORT_TEXT_BYTES));
        entry.text.push_str(" … (shortened: the entry was too long)");
        entry.fields.clear();
        text = serde_json::to_string(&entry)?;
    }
    // Inside the object, so that every line is JSON for other tools.
    text.truncate(text.len() - 1);
    let sum = sum(text.as_bytes());
    text.push_str(&format!("{SUM_FRONT}{sum}{SUM_BACK}\n"));
    Ok(text.into_bytes())
}

/// The entry of a line without its end; `None` for anything but a whole line of ours.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    let (content, expected) = line.strip_suffix(SUM_BACK.as_bytes())?.split_last_chunk::<SUM_DIGITS>()?;
    let content = content.strip_suffix(SUM_FRONT.as_bytes())?;
    if sum(content).as_bytes() != expected {
        return None;
    }
    serde_json::from_slice(line).ok()
}

const SUM_FRONT: &str = ",\"sum\":\"";
const SUM_BACK: &str = "\"}";
const SUM_DIGITS: usize = 8;
const SUM_BYTES: usize = SUM_FRONT.len() + SUM_DIGITS + SUM_BACK.len();

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(SUM_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}
