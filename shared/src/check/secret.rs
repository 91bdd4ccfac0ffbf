//! A password in memory: shown nowhere, wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A password. `Debug` prints `Password(****)`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Wraps a password, without the line end that a file has after it.
    #[must_use]
    pub fn new(text: &str) -> Password {
        Password(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The password itself: to be sent, never to be shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with the password masked: some servers repeat what they did not like.
    pub(super) fn mask(&self, text: String) -> String {
        if self.0.is_empty() || !text.contains(self.0.as_str()) { text } else { text.replace(self.0.as_str(), "****") }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let password = Password::new("s3cret\n");
        assert_eq!(password.expose(), "s3cret");
        assert_eq!(format!("{password:?}"), "Password(****)");
        assert_eq!(password.mask("-ERR no s3cret here".into()), "-ERR no **** here");
        assert_eq!(Password::new("").mask("abc".into()), "abc");
    }
}
