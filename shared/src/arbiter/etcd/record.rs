//! What stands behind a key in etcd: JSON of one line, so that an operator can read it with `etcdctl get`.
//!
//! Each record says its version first. Fields are never added to a version: a program that meets a version that it does
//! not know, or a field, says "damaged" instead of guessing what an epoch might mean.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decision::{BootId, Claim, Epoch, Millis, Role, Slot, Terms};

/// The one version of both records.
const RECORD_VERSION: u16 = 1;

/// The longest record that is looked at. Ours have some 300 bytes.
pub(super) const RECORD_BYTES_MAX: usize = 1024;

/// The latest claim, and the one that it followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) claim: Claim,
    pub(super) before: Option<Claim>,
}

/// A host's slot, and what tells this write from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) slot: Slot,
    pub(super) mark: Mark,
}

/// Drawn anew for each write of a slot. A clone of a running machine has the same boot id, epoch and sequence; it does not
/// draw the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn draw() -> Result<Mark, getrandom::Error> {
        getrandom::u64().map(Mark)
    }
}

/// Why a value is not a record of ours.
#[derive(Debug, Error)]
pub(super) enum RecordError {
    #[error("it has {0} bytes, and no record has more than {RECORD_BYTES_MAX}")]
    TooLong(usize),
    #[error("it is not a record: {0}")]
    Form(#[source] serde_json::Error),
    #[error("it is of version {0}, and this program knows {RECORD_VERSION}")]
    Version(u16),
    #[error("{0:?} is not a hexadecimal number of its size")]
    Number(String),
}

impl Claims {
    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let [claim, before] = [Some(self.claim), self.before].map(|claim| claim.map(ClaimFields::of));
        encode(&ClaimRecord { version: RECORD_VERSION, claim, before })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Claims, RecordError> {
        let record: ClaimRecord = decode(bytes)?;
        let claim = record.claim.ok_or_else(|| RecordError::Form(serde::de::Error::missing_field("claim")))?;
        Ok(Claims { claim: claim.claim()?, before: record.before.map(|before| before.claim()).transpose()? })
    }
}

impl Marked {
    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let Slot { epoch, sequence, boot, released, hold, terms } = self.slot;
        encode(&SlotRecord {
            version: RECORD_VERSION,
            epoch: epoch.0,
            sequence,
            boot: format!("{:032x}", boot.0),
            released,
            hold,
            lease_ms: terms.lease_ms.0,
            drift_permille: terms.drift_permille,
            digest: format!("{:016x}", terms.digest),
            terms_version: terms.version,
            mark: format!("{:016x}", self.mark.0),
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Marked, RecordError> {
        let record: SlotRecord = decode(bytes)?;
        let terms = Terms {
            lease_ms: Millis(record.lease_ms),
            drift_permille: record.drift_permille,
            digest: number_64(&record.digest)?,
            version: record.terms_version,
        };
        let slot = Slot {
            epoch: Epoch(record.epoch),
            sequence: record.sequence,
            boot: boot(&record.boot)?,
            released: record.released,
            hold: record.hold,
            terms,
        };
        Ok(Marked { slot, mark: Mark(number_64(&record.mark)?) })
    }
}

// Numbers above 2^53 stand in strings: most readers of JSON, `jq` among them, would round them.

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimRecord {
    version: u16,
    claim: Option<ClaimFields>,
    before: Option<ClaimFields>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimFields {
    epoch: u64,
    owner: Role,
    boot: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotRecord {
    version: u16,
    epoch: u64,
    sequence: u64,
    boot: String,
    released: bool,
    hold: bool,
    lease_ms: u64,
    drift_permille: u32,
    digest: String,
    terms_version: u16,
    mark: String,
}

/// Read before anything else: the rest may look different in another version.
#[derive(Deserialize)]
struct VersionOnly {
    version: u16,
}

impl ClaimFields {
    fn of(claim: Claim) -> ClaimFields {
        ClaimFields { epoch: claim.epoch.0, owner: claim.owner, boot: format!("{:032x}", claim.boot.0) }
    }

    fn claim(&self) -> Result<Claim, RecordError> {
        Ok(Claim { epoch: Epoch(self.epoch), owner: self.owner, boot: boot(&self.boot)? })
    }
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, RecordError> {
    serde_json::to_vec(record).map_err(RecordError::Form)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong(bytes.len()));
    }
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(RecordError::Form)?;
    if version != RECORD_VERSION {
        return Err(RecordError::Version(version));
    }
    serde_json::from_slice(bytes).map_err(RecordError::Form)
}

fn boot(text: &str) -> Result<BootId, RecordError> {
    hexadecimal(text, 32, u128::from_str_radix).map(BootId)
}

fn number_64(text: &str) -> Result<u64, RecordError> {
    hexadecimal(text, 16, u64::from_str_radix)
}

fn hexadecimal<T, E>(text: &str, digits: usize, parse: fn(&str, u32) -> Result<T, E>) -> Result<T, RecordError> {
    let number = || RecordError::Number(text.chars().take(64).collect());
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(number());
    }
    parse(text, 16).map_err(|_| number())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot() -> Marked {
        let terms = Terms { lease_ms: Millis(60_000), drift_permille: 10, digest: u64::MAX, version: 1 };
        let slot = Slot { epoch: Epoch(7), sequence: 3, boot: BootId(0xabc), released: false, hold: true, terms };
        Marked { slot, mark: Mark(5) }
    }

    #[test]
    fn records_come_back_as_they_were_written_and_stay_far_below_the_bound() {
        let claim = Claim { epoch: Epoch(u64::MAX), owner: Role::Slave, boot: BootId(u128::MAX) };
        for before in [None, Some(Claim { epoch: Epoch(6), owner: Role::Master, boot: BootId(0) })] {
            let claims = Claims { claim, before };
            let bytes = claims.encode().unwrap();
            assert_eq!(Claims::decode(&bytes).unwrap(), claims);
            assert!(bytes.len() < 300, "{}", String::from_utf8_lossy(&bytes));
        }
        let bytes = slot().encode().unwrap();
        assert_eq!(Marked::decode(&bytes).unwrap(), slot());
        assert!(bytes.len() < 300, "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn another_version_and_an_unknown_field_are_refused_instead_of_guessed_at() {
        let text = String::from_utf8(slot().encode().unwrap()).unwrap();
        let newer = text.replacen("\"version\":1", "\"version\":2", 1).replace("\"hold\"", "\"held\"");
        assert!(matches!(Marked::decode(newer.as_bytes()), Err(RecordError::Version(2))), "{newer}");
        let more = text.replacen('{', "{\"more\":1,", 1);
        assert!(matches!(Marked::decode(more.as_bytes()), Err(RecordError::Form(_))), "{more}");
        let signed = text.replace("0000000000000005", "+000000000000005");
        assert!(matches!(Marked::decode(signed.as_bytes()), Err(RecordError::Number(_))), "{signed}");
    }

    #[test]
    fn an_overlong_value_is_not_even_parsed() {
        let long = [b' '; RECORD_BYTES_MAX + 1];
        assert!(matches!(Claims::decode(&long), Err(RecordError::TooLong(1025))));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..300_usize) {
            let _ = Claims::decode(&bytes);
            let mut own = slot().encode().unwrap();
            own.truncate(cut);
            own.extend(bytes);
            let _ = Marked::decode(&own);
        }
    }
}
