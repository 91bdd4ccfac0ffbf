//! How a round of a check failed: the class, the step, and the words.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

use crate::decision::Symptom;

/// The longest text of the other side that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// A failed round. Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{symptom} at {at}: {detail}")]
pub struct CheckFailure {
    /// The class: each has another likely cause. [`Symptom::Stale`]: this host could not ask.
    pub symptom: Symptom,
    /// The step at which it failed: `connect`, `login`, `retr` ….
    pub at: &'static str,
    /// What was seen, in words; text of the other side is cut and made printable.
    pub detail: String,
}

impl CheckFailure {
    /// A failure of class `symptom` at step `at`.
    #[must_use]
    pub fn new(symptom: Symptom, at: &'static str, detail: impl Into<String>) -> CheckFailure {
        CheckFailure { symptom, at, detail: detail.into() }
    }

    /// What an error of the socket says about the other side, or about this one.
    #[must_use]
    pub fn of_io(at: &'static str, error: &io::Error) -> CheckFailure {
        CheckFailure::new(symptom_of(error), at, error.to_string())
    }
}

/// The class of a socket's error. connect(2) and tcp(7) name the numbers.
fn symptom_of(error: &io::Error) -> Symptom {
    let by_kind = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => Symptom::Closed,
        // OpenSSL's own complaints about what the other side sent arrive as `Other` or `InvalidData`.
        _ => Symptom::WrongAnswer,
    };
    let Some(number) = error.raw_os_error() else { return by_kind };
    match Errno::from_raw(number) {
        Errno::ECONNREFUSED => Symptom::Refused,
        // ETIMEDOUT: no SYN was answered, or the keep-alive's packets vanish. EPERM and EACCES come from a packet filter.
        Errno::EHOSTUNREACH
        | Errno::ENETUNREACH
        | Errno::EHOSTDOWN
        | Errno::ENETDOWN
        | Errno::ENONET
        | Errno::ETIMEDOUT
        | Errno::EPERM
        | Errno::EACCES => Symptom::Unreachable,
        Errno::ECONNRESET | Errno::ECONNABORTED | Errno::EPIPE | Errno::ENOTCONN => Symptom::Closed,
        // This host has run out of something: it says nothing about the service.
        Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOBUFS
        | Errno::ENOMEM
        | Errno::EAGAIN
        | Errno::EADDRNOTAVAIL
        | Errno::EADDRINUSE => Symptom::Stale,
        _ => by_kind,
    }
}

/// Bytes of the other side, fit to be shown: one line, printable, cut. Control characters would let a server write to an
/// operator's terminal.
pub(super) fn printable(bytes: &[u8]) -> String {
    // Cut before decoding: a line may hold 8 KiB.
    let cut = bytes.get(..SHOWN_CHARS_MAX * 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(cut);
    let mut shown: String =
        text.chars().take(SHOWN_CHARS_MAX).map(|char| if char.is_control() { '.' } else { char }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() || cut.len() < bytes.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_socket_has_its_class() {
        let table = [
            (Errno::ECONNREFUSED, Symptom::Refused),
            (Errno::EHOSTUNREACH, Symptom::Unreachable),
            (Errno::ENETUNREACH, Symptom::Unreachable),
            (Errno::ETIMEDOUT, Symptom::Unreachable),
            (Errno::ECONNRESET, Symptom::Closed),
            (Errno::EPIPE, Symptom::Closed),
            (Errno::EMFILE, Symptom::Stale),
            (Errno::ENFILE, Symptom::Stale),
            (Errno::EADDRNOTAVAIL, Symptom::Stale),
        ];
        for (errno, symptom) in table {
            assert_eq!(symptom_of(&io::Error::from(errno)), symptom, "{errno}");
        }
        assert_eq!(symptom_of(&io::Error::from(io::ErrorKind::UnexpectedEof)), Symptom::Closed);
        assert_eq!(symptom_of(&io::Error::other("wrong version number")), Symptom::WrongAnswer);
    }

    #[test]
    fn text_of_the_other_side_is_printable_and_cut() {
        assert_eq!(printable(b"-ERR \x1b[31mred\r\n"), "-ERR .[31mred..");
        let long = printable(&vec![b'x'; 8_192]);
        assert_eq!(long.chars().count(), SHOWN_CHARS_MAX + 1);
        assert!(printable(&[0xff, 0xfe, b'a']).ends_with('a'));
    }
}
