//! A message as RETR sends it: dot-stuffed, ended by a lone dot (RFC 1939 §3). It is hashed and searched as it comes in and
//! never held as a whole.

use sha2::{Digest, Sha256};

use super::MESSAGE_BYTES_MAX;
use crate::check::search::Search;

/// How a message stands after more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its end has not come yet.
    More,
    /// Its end has come.
    Complete,
    /// [`MESSAGE_BYTES_MAX`] were read, and no end came.
    TooLong,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Message {
    at: At,
    bytes: u64,
    /// Bytes off the wire, stuffing included: the bound holds for them too.
    raw_bytes: u64,
    digest: Sha256,
    search: Search,
    truncated: bool,
    /// Unstuffed bytes of the present chunk.
    scratch: Vec<u8>,
}

/// Where in a line the next byte falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    InLine,
    /// After a CR, which may begin a line end.
    Cr,
    /// After a dot at the start of a line, which was held back.
    Dot,
    /// After a dot and a CR.
    DotCr,
    End,
}

impl Message {
    pub(super) fn new(expect: Option<&str>) -> Message {
        Message {
            at: At::LineStart,
            bytes: 0,
            raw_bytes: 0,
            digest: Sha256::new(),
            search: Search::new(expect.unwrap_or_default().as_bytes()),
            truncated: false,
            scratch: Vec::new(),
        }
    }

    /// Takes bytes off the wire. Returns how the message stands and how many of them belonged to it.
    pub(super) fn push(&mut self, chunk: &[u8]) -> (Progress, usize) {
        self.scratch.clear();
        let mut taken = 0;
        for byte in chunk {
            if self.at == At::End || self.raw_bytes >= MESSAGE_BYTES_MAX {
                break;
            }
            taken += 1;
            self.raw_bytes += 1;
            self.at = self.unstuff(*byte);
        }
        self.digest.update(&self.scratch);
        self.search.push(&self.scratch);
        self.bytes += self.scratch.len() as u64;
        let progress = if self.at == At::End {
            Progress::Complete
        } else if self.raw_bytes >= MESSAGE_BYTES_MAX {
            self.truncated = true;
            Progress::TooLong
        } else {
            Progress::More
        };
        (progress, taken)
    }

    /// Whether the expected text has been seen; yes if none is expected.
    pub(super) fn has_expected(&self) -> bool {
        self.search.found()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn truncated(&self) -> bool {
        self.truncated
    }

    pub(super) fn sha256(self) -> [u8; 32] {
        self.digest.finalize().into()
    }

    /// One byte on: what belongs to the message goes to `scratch`. Only CRLF ends a line: a message may hold a bare LF before
    /// a dot, and that dot is neither stuffing nor the end.
    fn unstuff(&mut self, byte: u8) -> At {
        match (self.at, byte) {
            (At::LineStart, b'.') => return At::Dot,
            (At::Dot, b'\r') => return At::DotCr,
            (At::DotCr, b'\n') => return At::End,
            // The dot before this CR was stuffing: RFC 1939 removes it whatever follows.
            (At::DotCr, _) => self.scratch.push(b'\r'),
            (At::LineStart | At::InLine | At::Cr | At::Dot | At::End, _) => {}
        }
        self.scratch.push(byte);
        match (self.at, byte) {
            (At::Cr, b'\n') => At::LineStart,
            (_, b'\r') => At::Cr,
            _ => At::InLine,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server sends for `text` (whose lines end in CRLF).
    fn stuffed(text: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        let text = std::str::from_utf8(text).unwrap();
        for line in text.split_inclusive("\r\n") {
            if line.starts_with('.') {
                sent.push(b'.');
            }
            sent.extend_from_slice(line.as_bytes());
        }
        sent.extend_from_slice(b".\r\n");
        sent
    }

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    #[test]
    fn a_message_ends_at_the_lone_dot_and_not_before() {
        let mut message = Message::new(Some("dot"));
        let sent = b"..leading dot\r\n.. \r\na.\r\n.\r\n+OK next";
        assert_eq!(message.push(sent), (Progress::Complete, sent.len() - 8));
        assert!(message.has_expected());
        assert_eq!(message.bytes(), 22);
        assert_eq!(message.sha256(), sha256(b".leading dot\r\n. \r\na.\r\n"));
    }

    #[test]
    fn an_endless_message_is_cut() {
        let mut message = Message::new(None);
        let chunk = vec![b'x'; 100_000];
        let mut pushed = 0;
        loop {
            let (progress, taken) = message.push(&chunk);
            pushed += taken as u64;
            if progress != Progress::More {
                assert_eq!(progress, Progress::TooLong);
                break;
            }
        }
        assert_eq!(pushed, MESSAGE_BYTES_MAX);
        assert!(message.truncated());
    }

    proptest! {
        #[test]
        fn a_message_survives_any_cut_of_the_wire(
            lines in prop::collection::vec("[.a-c\r\n]{0,5}", 0..30),
            cuts in prop::collection::vec(1_usize..20, 1..50),
        ) {
            let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            let wire = stuffed(&text);
            let mut message = Message::new(None);
            let mut rest = wire.as_slice();
            let mut cuts = cuts.into_iter().cycle();
            while let Some(cut) = (!rest.is_empty()).then(|| cuts.next()).flatten() {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                let (progress, taken) = message.push(chunk);
                prop_assert_eq!(taken, chunk.len());
                prop_assert_eq!(progress == Progress::Complete, after.is_empty());
                rest = after;
            }
            prop_assert_eq!(message.bytes(), text.len() as u64);
            prop_assert_eq!(message.sha256(), sha256(&text));
        }

        #[test]
        fn no_bytes_make_it_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let mut message = Message::new(Some("ab"));
            for chunk in chunks {
                let (_, taken) = message.push(&chunk);
                prop_assert!(taken <= chunk.len());
            }
        }
    }
}
