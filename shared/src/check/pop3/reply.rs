//! POP3 status lines.

use crate::decision::Symptom;

/// A status line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// `+OK text`.
    Ok(&'a [u8]),
    /// `-ERR [CODE] text`.
    Refused {
        /// What stands in brackets, if anything does (RFC 2449 §8).
        code: Option<&'a [u8]>,
    },
}

/// Takes a status line (without its end) apart. `None`: it is none.
pub(super) fn parse(line: &[u8]) -> Option<Reply<'_>> {
    let (word, text) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (line.get(..at)?, line.get(at + 1..)?),
        None => (line, &b""[..]),
    };
    // RFC 1939 §3 wants upper case. A server that does otherwise still gives users their mail.
    if word.eq_ignore_ascii_case(b"+OK") {
        Some(Reply::Ok(text))
    } else if word.eq_ignore_ascii_case(b"-ERR") {
        let code = text.strip_prefix(b"[").and_then(|rest| rest.split(|byte| *byte == b']').next());
        let is_closed = text.contains(&b']');
        Some(Reply::Refused { code: code.filter(|_| is_closed) })
    } else {
        None
    }
}

/// The number of messages in the text of a STAT's `+OK`: `count size`, both decimal.
pub(super) fn message_count(text: &[u8]) -> Option<u64> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let count = words.next()?.parse().ok()?;
    let _size: u64 = words.next()?.parse().ok()?;
    Some(count)
}

/// What an `-ERR` at `step` says.
///
/// At the login it is the canary's account, unless the server says that it is itself in trouble: RFC 3206 has `[SYS/…]` for
/// that. `[IN-USE]` and `[LOGIN-DELAY]` (RFC 2449) come when two checks share one mailbox: the service works.
pub(super) fn symptom_of_refusal(step: &str, code: Option<&[u8]>) -> Symptom {
    let is_login = matches!(step, "user" | "pass");
    let is = |wanted: &[u8]| code.is_some_and(|code| code.to_ascii_uppercase().starts_with(wanted));
    if is(b"SYS/") || !is_login { Symptom::WrongAnswer } else { Symptom::LoginRefused }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn status_lines_are_taken_apart() {
        assert_eq!(parse(b"+OK Dovecot ready."), Some(Reply::Ok(b"Dovecot ready.")));
        assert_eq!(parse(b"+OK"), Some(Reply::Ok(b"")));
        assert_eq!(parse(b"+ok 1 2"), Some(Reply::Ok(b"1 2")));
        assert_eq!(parse(b"-ERR"), Some(Reply::Refused { code: None }));
        assert_eq!(parse(b"-ERR [AUTH] no"), Some(Reply::Refused { code: Some(b"AUTH") }));
        assert_eq!(parse(b"-ERR [AUTH no"), Some(Reply::Refused { code: None }));
        for wrong in [&b""[..], b"+OKAY", b"* OK IMAP", b"220 smtp", b"-ERROR x", b" +OK"] {
            assert_eq!(parse(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_stat_has_two_numbers() {
        assert_eq!(message_count(b"3 1234"), Some(3));
        assert_eq!(message_count(b"0 0 extra"), Some(0));
        for wrong in [&b""[..], b"3", b"x 1", b"-1 2", b"99999999999999999999999 1", b"\xff 1"] {
            assert_eq!(message_count(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_server_in_trouble_is_not_a_refused_login() {
        let table: &[(&str, Option<&[u8]>, Symptom)] = &[
            ("pass", None, Symptom::LoginRefused),
            ("pass", Some(b"AUTH"), Symptom::LoginRefused),
            ("user", Some(b"auth"), Symptom::LoginRefused),
            ("pass", Some(b"IN-USE"), Symptom::LoginRefused),
            ("pass", Some(b"SYS/TEMP"), Symptom::WrongAnswer),
            ("pass", Some(b"sys/perm"), Symptom::WrongAnswer),
            ("stat", None, Symptom::WrongAnswer),
            ("greeting", Some(b"IN-USE"), Symptom::WrongAnswer),
        ];
        for (step, code, symptom) in table {
            assert_eq!(symptom_of_refusal(step, *code), *symptom, "{step} {code:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(Reply::Ok(text)) = parse(&line) {
                message_count(text);
            }
            message_count(&line);
        }

        #[test]
        fn no_refusal_makes_the_parser_panic(text in "-ERR [\\[\\]A-Z/ ]{0,40}") {
            prop_assert!(matches!(parse(text.as_bytes()), Some(Reply::Refused { .. })), "not a refusal");
        }
    }
}
