//! One slot: a head line with length and digest, the record's JSON, and blanks to the end.

use sha2::{Digest, Sha256};

/// One page: the largest piece that disks and file systems commonly write in one go.
pub(super) const SLOT_BYTES: usize = 4096;
/// `failover-state 1 00001234 ` and 64 hexadecimal digits and a line end.
const HEAD_BYTES: usize = MAGIC.len() + LENGTH_DIGITS + 1 + DIGEST_DIGITS + 1;
const MAGIC: &str = "failover-state 1 ";
const LENGTH_DIGITS: usize = 8;
const DIGEST_DIGITS: usize = 64;

/// The largest record, its envelope included.
pub const RECORD_BYTES_MAX: usize = SLOT_BYTES - HEAD_BYTES - 1;

/// A slot that was never written.
pub(super) const EMPTY: [u8; SLOT_BYTES] = {
    let mut bytes = [b' '; SLOT_BYTES];
    bytes[SLOT_BYTES - 1] = b'\n';
    bytes
};

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Never written.
    Empty,
    /// What was written, whole.
    Whole {
        /// The record with its envelope.
        text: String,
    },
    /// Anything else, and why.
    Broken(&'static str),
}

/// The bytes of a slot; `None` if the text does not fit.
pub(super) fn encode(text: &str) -> Option<[u8; SLOT_BYTES]> {
    let mut bytes = EMPTY;
    let head = format!("{MAGIC}{:0LENGTH_DIGITS$} {}\n", text.len(), digest(text.as_bytes()));
    let (front, rest) = bytes.split_at_mut(HEAD_BYTES);
    front.copy_from_slice(head.as_bytes());
    // The last byte stays a line end.
    rest.get_mut(..text.len()).filter(|_| text.len() <= RECORD_BYTES_MAX)?.copy_from_slice(text.as_bytes());
    Some(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Slot {
    if bytes == EMPTY {
        return Slot::Empty;
    }
    read(bytes).map_or_else(Slot::Broken, |text| Slot::Whole { text })
}

fn read(bytes: &[u8]) -> Result<String, &'static str> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or("too short")?;
    let head = std::str::from_utf8(head).map_err(|_| "no head line")?;
    let head = head.strip_prefix(MAGIC).and_then(|head| head.strip_suffix('\n')).ok_or("no head line")?;
    let (length, expected) = head.split_once(' ').ok_or("no head line")?;
    let length: usize = length.parse().map_err(|_| "no length")?;
    let text = rest.get(..length).ok_or("shorter than it says")?;
    if digest(text) != expected {
        return Err("its digest does not match");
    }
    String::from_utf8(text.to_vec()).map_err(|_| "no text")
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
