//! Takes secrets out of what a step prints, before it reaches the log, the journal or a person: `set -x`, and agents that
//! trace themselves, print whatever is in their environment.

use std::borrow::Cow;

use crate::secret::Secret;

/// What stands in a secret's place.
const IN_PLACE: &[u8] = b"[secret]";

/// Lets everything through but these secrets, also where one comes in two pieces. A secret of several lines is only known
/// as a whole.
pub(crate) struct Redact<'a> {
    secrets: &'a [(String, Secret)],
    /// The end of what came, as long as it may be the beginning of a secret.
    held: Vec<u8>,
}

impl<'a> Redact<'a> {
    pub(crate) fn new(secrets: &'a [(String, Secret)]) -> Redact<'a> {
        Redact { secrets, held: Vec::new() }
    }

    /// What may be shown after this piece.
    pub(crate) fn pass<'p>(&mut self, piece: &'p [u8]) -> Cow<'p, [u8]> {
        if self.secrets.is_empty() {
            return Cow::Borrowed(piece);
        }
        self.held.extend_from_slice(piece);
        Cow::Owned(self.shown(false))
    }

    /// The rest, when nothing more comes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.shown(true)
    }

    /// What of the held may be shown; all of it if it is the last.
    fn shown(&mut self, last: bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
            let secrets = || self.secrets.iter().map(|(_, secret)| secret.expose());
            // Of two that begin alike, the longer one.
            if !last && secrets().any(|secret| secret.len() > rest.len() && secret.starts_with(rest)) {
                break;
            } else if let Some(found) = secrets().filter(|secret| rest.starts_with(secret)).map(<[u8]>::len).max() {
                shown.extend_from_slice(IN_PLACE);
                at += found;
            } else {
                shown.extend(rest.first());
                at += 1;
            }
        }
        self.held.drain(..at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let secrets: Vec<_> = secrets.iter().map(|secret| ("x".to_owned(), Secret::new(secret.as_bytes()))).collect();
        let mut redact = Redact::new(&secrets);
        let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| redact.pass(piece).into_owned()).collect();
        shown.extend(redact.rest());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_also_where_it_comes_in_two_pieces() {
        assert_eq!(through(&[], &[b"a", b"b"]), "ab");
        assert_eq!(through(&["abc"], &[b"xabcx abc", b"abcab"]), "x[secret]x [secret][secret]ab");
        assert_eq!(through(&["aab"], &[b"aa", b"ab", b"a"]), "a[secret]a");
        assert_eq!(through(&["pass", "password"], &[b"pass", b"word, passw"]), "[secret], [secret]w");
        assert_eq!(through(&["pass", "password"], &[b"a password"]), "a [secret]");
    }

    proptest! {
        #[test]
        fn no_split_of_the_output_lets_a_secret_through(text in "[ab]{0,40}", secret in "[ab]{2,4}", cut in 0usize..40) {
            let (one, two) = text.as_bytes().split_at(cut.min(text.len()));
            let shown = through(&[&secret], &[one, two]);
            // Every secret that the whole held is marked, and only the marks are more than was printed.
            let left: String = shown.split("[secret]").collect();
            prop_assert_eq!(shown.matches("[secret]").count() * secret.len() + left.len(), text.len());
            prop_assert_eq!(shown, text.replace(&secret, "[secret]"));
        }
    }
}
