//! Where the headers of a daemon's messages come from: fixed facts, and two numbers that the daemon keeps up to date.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::decision::{BootId, Epoch, Incarnation, Role};

use super::message::{Header, PROTOCOL_VERSION};

/// Fills the headers. One for the whole daemon, behind an `Arc`.
#[derive(Debug)]
pub struct HeaderSource {
    pair: String,
    role: Role,
    boot: BootId,
    incarnation: Incarnation,
    epoch: AtomicU64,
    digest: AtomicU64,
}

impl HeaderSource {
    /// A source for the host `role` of `pair`; epoch and digest are zero until they are set.
    #[must_use]
    pub fn new(pair: &str, role: Role, boot: BootId, incarnation: Incarnation) -> HeaderSource {
        let (epoch, digest) = (AtomicU64::new(0), AtomicU64::new(0));
        HeaderSource { pair: pair.to_owned(), role, boot, incarnation, epoch, digest }
    }

    /// The pair's name.
    #[must_use]
    pub fn pair(&self) -> &str {
        &self.pair
    }

    /// The own role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The highest epoch known from now on.
    pub fn set_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Relaxed);
    }

    /// The digest of the configuration from now on.
    pub fn set_digest(&self, digest: u64) {
        self.digest.store(digest, Ordering::Relaxed);
    }

    /// The header of the message with this number on its connection.
    #[must_use]
    pub fn header(&self, sequence: u64) -> Header {
        Header {
            version: PROTOCOL_VERSION,
            pair: self.pair.clone(),
            role: self.role,
            boot: self.boot,
            incarnation: self.incarnation,
            sequence,
            epoch: Epoch(self.epoch.load(Ordering::Relaxed)),
            digest: self.digest.load(Ordering::Relaxed),
        }
    }
}

/// Whether a peer of this protocol version is talked to: the own version and its two neighbours. The newer of two
/// neighbours is the one that knows how to speak to the older.
#[must_use]
pub fn version_is_spoken(version: u16) -> bool {
    version.abs_diff(PROTOCOL_VERSION) <= 1
}

/// The first eight bytes of the SHA-256 of a pair's name: enough to tell pairs apart in binary packets; their MACs
/// cover the whole name.
pub(crate) fn pair_tag(pair: &str) -> [u8; 8] {
    let mut tag = [0; 8];
    tag.copy_from_slice(&Sha256::digest(pair.as_bytes())[..8]);
    tag
}

/// The byte of a role in binary packets.
pub(crate) const fn role_byte(role: Role) -> u8 {
    match role {
        Role::Master => 1,
        Role::Slave => 2,
    }
}
