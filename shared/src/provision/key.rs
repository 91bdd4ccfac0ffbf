//! The key that both hosts share: it proves in every message and every beat that the sender belongs to the pair.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::{ProvisionError, create};
use crate::secret::{Secret, SecretError};

/// The key's file, beside the configuration.
pub const PAIR_KEY_FILE: &str = "pair.key";
/// As long as the digest that it keys (RFC 2104, section 3).
const KEY_BYTES: usize = 32;

/// Makes a new key of 32 random bytes and writes it in hexadecimal, mode 0600.
///
/// # Errors
/// The file is there already or cannot be written, or the system gives no random bytes.
pub fn create_pair_key(dir: &Path) -> Result<PathBuf, ProvisionError> {
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    getrandom::fill(&mut *key).map_err(ProvisionError::Random)?;
    let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES * 2 + 1));
    for byte in key.iter() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    let path = dir.join(PAIR_KEY_FILE);
    create(&path, text.as_bytes())?;
    Ok(path)
}

/// Reads a key that [`create_pair_key`] wrote.
///
/// # Errors
/// Those of [`Secret::read`]; and the file does not hold at least 32 bytes in hexadecimal.
pub fn load_pair_key(path: &Path) -> Result<Secret, SecretError> {
    let text = Secret::read(path)?;
    let refusal = || SecretError::PairKey { path: path.to_owned() };
    let digits = text.expose();
    if digits.len() % 2 != 0 || digits.len() < KEY_BYTES * 2 {
        return Err(refusal());
    }
    let mut key = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.chunks_exact(2) {
        let nibble = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        match pair.iter().map(nibble).collect::<Option<Vec<u8>>>().as_deref() {
            Some([high, low]) => key.push(high << 4 | low),
            _ => return Err(refusal()),
        }
    }
    Ok(Secret::new(&key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_made_key_is_private_read_back_and_never_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = create_pair_key(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let first = load_pair_key(&path).unwrap();
        assert_eq!(first.expose().len(), KEY_BYTES);
        assert!(matches!(create_pair_key(dir.path()), Err(ProvisionError::Exists { .. })));
        assert_eq!(load_pair_key(&path).unwrap().expose(), first.expose());
        let other = tempfile::tempdir().unwrap();
        let second = load_pair_key(&create_pair_key(other.path()).unwrap()).unwrap();
        assert_ne!(second.expose(), first.expose());
    }

    #[test]
    fn a_short_or_mistyped_key_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PAIR_KEY_FILE);
        for text in ["ab".repeat(31), format!("{}g0", "ab".repeat(31)), format!("{}a", "ab".repeat(32))] {
            std::fs::write(&path, &text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let error = load_pair_key(&path).unwrap_err().to_string();
            assert!(error.contains("failoverctl init") && !error.contains("abab"), "{error}");
        }
    }
}
