//! "My service is stopped": what `failoverctl stop-here` prints and the other host believes, if the signature holds.
//!
//! One line: `STOPPED {json} hex`, where `hex` is HMAC-SHA-256 (RFC 2104) with the pair's key over everything before the
//! last blank. The signed text starts with a verb that no beat and no handshake starts with, so that nothing else that
//! is signed with this key can pass for a statement.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;

use crate::decision::{BootId, Epoch, Forced, RequestId, Role, StopMeans};
use crate::secret::Secret;

/// The start of the line, its blank included.
pub const VERB: &str = "STOPPED ";

/// The longest line that is looked at.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What the stopped host states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The pair's name.
    pub pair: String,
    /// The role of the host that stopped.
    pub host: Role,
    /// The order that it followed.
    pub request: RequestId,
    /// Every epoch up to this one is stopped on that host, verified and durable.
    pub epoch: Epoch,
    /// By what the stop was verified.
    pub means: StopMeans,
    /// Set when the ladder had to run.
    pub forced: Option<Forced>,
    /// That host's kernel start.
    pub boot: BootId,
    /// When it was signed by that host's wall clock. For people; nothing is decided by it.
    pub signed_at: jiff::Timestamp,
}

/// What a statement must answer.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The pair's name.
    pub pair: &'a str,
    /// The host that was to stop.
    pub role: Role,
    /// The order.
    pub request: RequestId,
    /// The lowest epoch that it must cover.
    pub epoch: Epoch,
}

/// Why a statement does not count.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// It is not of the form.
    #[error("it is not `STOPPED`, an object and a signature")]
    Malformed,
    /// The signature was made with another key, or the text was changed.
    #[error("its signature does not hold; are both hosts' key files equal?")]
    WrongSignature,
    /// It is genuine, and answers something else.
    #[error("it speaks of {what}, not of what was asked")]
    OtherMatter {
        /// What differs.
        what: &'static str,
    },
}

/// The signed line, without its line end.
///
/// # Errors
/// [`StatementError::Malformed`] when it would be longer than what the other side reads.
pub fn sign(key: &Secret, statement: &Statement) -> Result<String, StatementError> {
    let json = serde_json::to_string(statement).map_err(|_| StatementError::Malformed)?;
    let mut line = format!("{VERB}{json}");
    let tag = mac(key, &line).ok_or(StatementError::Malformed)?.finalize().into_bytes();
    line.push(' ');
    for byte in tag {
        // Writing to a string cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    if line.len() > LINE_BYTES_MAX { Err(StatementError::Malformed) } else { Ok(line) }
}

/// The statement in `line`, if one of `keys` signed it and it answers what was asked.
///
/// # Errors
/// See [`StatementError`]. The signature is looked at before the content.
pub fn verify(keys: &[Secret], line: &str, expected: Expected<'_>) -> Result<Statement, StatementError> {
    let line = line.trim_end();
    if line.len() > LINE_BYTES_MAX {
        return Err(StatementError::Malformed);
    }
    let (text, tag) = line.rsplit_once(' ').ok_or(StatementError::Malformed)?;
    let json = text.strip_prefix(VERB).ok_or(StatementError::Malformed)?;
    let tag = from_hex(tag).ok_or(StatementError::Malformed)?;
    // `verify_slice` compares in constant time.
    let signed = keys.iter().any(|key| mac(key, text).is_some_and(|mac| mac.verify_slice(&tag).is_ok()));
    if !signed {
        return Err(StatementError::WrongSignature);
    }
    let statement: Statement = serde_json::from_str(json).map_err(|_| StatementError::Malformed)?;
    let other = |what| Err(StatementError::OtherMatter { what });
    if statement.pair != expected.pair {
        return other("another pair");
    }
    if statement.host != expected.role {
        return other("the other host");
    }
    if statement.request != expected.request {
        return other("another request");
    }
    if statement.epoch < expected.epoch {
        return other("an older epoch");
    }
    Ok(statement)
}

fn mac(key: &Secret, text: &str) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length; an empty one cannot be read from a file.
    Some(Hmac::<Sha256>::new_from_slice(key.expose()).ok()?.chain_update(text.as_bytes()))
}

/// The 32 bytes of a signature. Small letters only: one signature, one spelling.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut digits = text.chars().map(|digit| digit.to_digit(16).filter(|_| !digit.is_ascii_uppercase()));
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Incarnation;

    const REQUEST: RequestId = RequestId { incarnation: Incarnation(0xfeed_f00d_dead_beef), number: 4 };
    const ASKED: Expected<'_> = Expected { pair: "mail", role: Role::Master, request: REQUEST, epoch: Epoch(7) };

    fn statement() -> Statement {
        Statement {
            pair: "mail".to_owned(),
            host: Role::Master,
            request: REQUEST,
            epoch: Epoch(7),
            means: StopMeans::PostConditions,
            forced: Some(Forced { step: 2, reason: "ran out of time, \"said\" } {".to_owned() }),
            boot: BootId(u128::MAX - 5),
            signed_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        }
    }

    fn key(text: &str) -> Secret {
        Secret::new(text.as_bytes())
    }

    #[test]
    fn what_is_signed_is_verified_with_either_key() {
        let line = sign(&key("old key"), &statement()).unwrap();
        let keys = [key("new key"), key("old key")];
        assert_eq!(verify(&keys, &format!("{line}\r\n"), ASKED).unwrap(), statement());
    }

    #[test]
    fn a_newer_epoch_is_stopped_too_and_an_older_one_is_no_answer() {
        let keys = [key("k")];
        let line = |epoch| sign(&keys[0], &Statement { epoch: Epoch(epoch), ..statement() }).unwrap();
        assert!(verify(&keys, &line(8), ASKED).is_ok());
        assert_eq!(verify(&keys, &line(6), ASKED), Err(StatementError::OtherMatter { what: "an older epoch" }));
    }

    #[test]
    fn another_pair_host_or_request_is_no_answer() {
        let keys = [key("k")];
        let number = RequestId { number: 5, ..REQUEST };
        let changed = [
            Statement { pair: "post".to_owned(), ..statement() },
            Statement { host: Role::Slave, ..statement() },
            Statement { request: number, ..statement() },
        ];
        for statement in changed {
            let line = sign(&keys[0], &statement).unwrap();
            assert!(matches!(verify(&keys, &line, ASKED), Err(StatementError::OtherMatter { .. })), "{line}");
        }
    }

    #[test]
    fn no_byte_of_the_line_can_be_changed() {
        let keys = [key("k")];
        let line = sign(&keys[0], &statement()).unwrap();
        assert!(verify(&keys, &line, ASKED).is_ok());
        for (at, bit) in (0..line.len()).flat_map(|at| [(at, 0x01), (at, 0x20)]) {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= bit;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert!(verify(&keys, &changed, ASKED).is_err(), "byte {at}: {changed}");
        }
        assert_eq!(verify(&[key("other")], &line, ASKED), Err(StatementError::WrongSignature));
        assert_eq!(verify(&[], &line, ASKED), Err(StatementError::WrongSignature));
    }

    #[test]
    fn lines_that_are_no_statements_are_malformed() {
        let long = format!("STOPPED {{}} {}", "0".repeat(100_000));
        for line in ["", "STOPPED", "STOPPED ", "STOPPED {} ", "STOPPED {} 00", "STOPPED {} é", "stopped {} 00", &long]
        {
            assert_eq!(verify(&[key("k")], line, ASKED), Err(StatementError::Malformed), "{line:.80}");
        }
    }

    #[test]
    fn a_statement_that_nobody_would_read_is_not_signed() {
        let forced = Some(Forced { step: 1, reason: "x".repeat(LINE_BYTES_MAX) });
        assert_eq!(sign(&key("k"), &Statement { forced, ..statement() }), Err(StatementError::Malformed));
    }
}
