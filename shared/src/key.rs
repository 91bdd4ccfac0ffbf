//! The pair's pre-shared keys: one that is used, and one that is accepted too while an operator changes keys.
//!
//! No files here: the configuration loads the bytes. Nothing in this module prints a key.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The shortest key that is taken: as long as the output of SHA-256, as RFC 2104 §3 asks.
pub const KEY_BYTES_MIN: usize = 32;

/// Bytes of an untruncated HMAC-SHA-256.
pub const MAC_BYTES: usize = 32;

/// Names a key without telling it: the first four bytes of its SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// Stands for "no key" on the wire.
    pub const NONE: KeyId = KeyId([0; 4]);
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// The ids of the keys a host holds: the one it uses, then the one it still accepts ([`KeyId::NONE`] if there is none).
pub type HeldKeys = [KeyId; 2];

/// Why a key is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Guessing a short key is cheaper than guessing the MAC.
    #[error(
        "the pre-shared key has {found} bytes; at least {KEY_BYTES_MIN} are needed; `failoverctl init` makes a new one"
    )]
    TooShort {
        /// How many bytes it has.
        found: usize,
    },
}

/// The keys. Clones share them: [`KeyRing::replace`] changes them for the channel and the heartbeats at once.
#[derive(Clone)]
pub struct KeyRing {
    keys: Arc<RwLock<Keys>>,
}

struct Keys {
    current: Key,
    old: Option<Key>,
}

struct Key {
    id: KeyId,
    bytes: Zeroizing<Vec<u8>>,
}

impl KeyRing {
    /// Takes the key that is used and the one that is accepted too.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] if either is shorter than [`KEY_BYTES_MIN`].
    pub fn new(current: &[u8], old: Option<&[u8]>) -> Result<KeyRing, KeyError> {
        Ok(KeyRing { keys: Arc::new(RwLock::new(Keys::new(current, old)?)) })
    }

    /// Changes the keys for every holder of this ring. Open connections stay open: they were proved when they began.
    ///
    /// # Errors
    /// As [`KeyRing::new`]; the keys in force then stay.
    pub fn replace(&self, current: &[u8], old: Option<&[u8]>) -> Result<(), KeyError> {
        let keys = Keys::new(current, old)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Gives this ring the keys of `other`.
    pub fn replace_with(&self, other: &KeyRing) {
        // The other lock is let go before the own one is taken: `other` may be a clone of this ring.
        let copy = other.read(Keys::copy);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = copy;
    }

    /// The ids of the keys held.
    #[must_use]
    pub fn held(&self) -> HeldKeys {
        self.read(|keys| [keys.current.id, keys.old.as_ref().map_or(KeyId::NONE, |key| key.id)])
    }

    /// The key to use towards a peer that holds `peer`: the own current one if the peer has it, else the old one. So a
    /// host whose keys were changed first goes on talking to the one whose turn is still to come.
    #[must_use]
    pub fn common(&self, peer: HeldKeys) -> Option<KeyId> {
        self.held().into_iter().find(|id| *id != KeyId::NONE && peer.contains(id))
    }

    /// HMAC-SHA-256 over the parts, one after the other; `None` if no key has this id. The caller makes the parts
    /// unambiguous (fixed lengths, or a length in front).
    #[must_use]
    pub fn sign(&self, id: KeyId, parts: &[&[u8]]) -> Option<[u8; MAC_BYTES]> {
        self.read(|keys| keys.mac(id, parts).map(|mac| mac.finalize().into_bytes().into()))
    }

    /// Whether `tag` is the HMAC-SHA-256 over the parts, or the first bytes of it. Takes the same time for every wrong
    /// tag. A tag shorter than half the MAC is never accepted (RFC 2104 §5).
    #[must_use]
    pub fn verify(&self, id: KeyId, parts: &[&[u8]], tag: &[u8]) -> bool {
        tag.len() >= MAC_BYTES / 2
            && self.read(|keys| keys.mac(id, parts).is_some_and(|mac| mac.verify_truncated_left(tag).is_ok()))
    }

    fn read<T>(&self, look: impl FnOnce(&Keys) -> T) -> T {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.held()).finish()
    }
}

impl Keys {
    fn new(current: &[u8], old: Option<&[u8]>) -> Result<Keys, KeyError> {
        Ok(Keys { current: Key::new(current)?, old: old.map(Key::new).transpose()? })
    }

    fn copy(&self) -> Keys {
        let copy = |key: &Key| Key { id: key.id, bytes: key.bytes.clone() };
        Keys { current: copy(&self.current), old: self.old.as_ref().map(copy) }
    }

    fn mac(&self, id: KeyId, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let key = [Some(&self.current), self.old.as_ref()].into_iter().flatten().find(|key| key.id == id)?;
        // HMAC takes keys of every length: this cannot fail.
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.bytes).ok()?;
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Key, KeyError> {
        if bytes.len() < KEY_BYTES_MIN {
            return Err(KeyError::TooShort { found: bytes.len() });
        }
        let digest = Sha256::digest(bytes);
        let mut id = [0; 4];
        id.copy_from_slice(&digest[..4]);
        // One key in four thousand million would be taken for "no key".
        let id = if id == KeyId::NONE.0 { KeyId([0, 0, 0, 1]) } else { KeyId(id) };
        Ok(Key { id, bytes: Zeroizing::new(bytes.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: [u8; 32] = [1; 32];
    const SECOND: [u8; 32] = [2; 32];
    const THIRD: [u8; 32] = [3; 32];

    #[test]
    fn two_hosts_find_a_common_key_at_every_step_of_a_change() {
        let before = KeyRing::new(&FIRST, None).unwrap();
        let after = KeyRing::new(&SECOND, Some(&FIRST)).unwrap();
        let done = KeyRing::new(&SECOND, None).unwrap();
        let stranger = KeyRing::new(&THIRD, None).unwrap();
        let [first, _] = before.held();
        let [second, _] = done.held();

        assert_eq!(after.common(before.held()), Some(first), "the peer has not changed yet");
        assert_eq!(before.common(after.held()), Some(first));
        assert_eq!(after.common(after.held()), Some(second));
        assert_eq!(after.common(done.held()), Some(second));
        assert_eq!(done.common(before.held()), None);
        assert_eq!(stranger.common(after.held()), None, "an empty slot on both sides is no common key");
    }

    #[test]
    fn a_tag_is_accepted_whole_or_halved_and_never_shorter_or_changed() {
        let ring = KeyRing::new(&FIRST, None).unwrap();
        let [id, _] = ring.held();
        let mut tag = ring.sign(id, &[b"beat", b"body"]).unwrap();

        assert!(ring.verify(id, &[b"beatbody"], &tag));
        assert!(ring.verify(id, &[b"beatbody"], &tag[..16]));
        assert!(!ring.verify(id, &[b"beatbody"], &tag[..15]));
        assert!(!ring.verify(id, &[b"beatbody"], &[]));
        assert!(!ring.verify(id, &[b"beatbodY"], &tag));
        tag[3] ^= 1;
        assert!(!ring.verify(id, &[b"beatbody"], &tag));
    }

    #[test]
    fn a_replaced_key_is_replaced_for_every_holder_and_a_bad_one_changes_nothing() {
        let ring = KeyRing::new(&FIRST, None).unwrap();
        let holder = ring.clone();
        ring.replace(&SECOND, Some(&FIRST)).unwrap();
        assert_eq!(holder.held(), ring.held());
        assert_ne!(holder.held()[1], KeyId::NONE);

        assert_eq!(ring.replace(b"short", None), Err(KeyError::TooShort { found: 5 }));
        assert_eq!(holder.held(), ring.held());
        ring.replace_with(&holder);
        assert_eq!(holder.held(), ring.held(), "a ring may be replaced with itself");
    }

    #[test]
    fn debug_output_holds_no_key_byte() {
        let ring = KeyRing::new(b"a very secret key of thirty-two bytes", None).unwrap();
        assert!(!format!("{ring:?}").contains("secret"), "{ring:?}");
    }
}
