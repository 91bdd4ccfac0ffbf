//! The bytes of a heartbeat. Every number is in network order; `docs/protocol.md` has the table.

use crate::decision::{Incarnation, Role};
use crate::key::{HeldKeys, KeyId, KeyRing};
use crate::wire::{PROTOCOL_VERSION, pair_tag, role_byte, version_is_spoken};

use super::counters::Dropped;

/// The longest beat, as JSON, that a packet carries.
pub(super) const BODY_BYTES_MAX: usize = 1_200;
/// The longest packet: below the smallest MTU that is in use, so that no beat is ever a set of fragments.
pub(super) const PACKET_BYTES_MAX: usize = HEADER_BYTES + BODY_BYTES_MAX + TAG_BYTES;

const MAGIC: [u8; 4] = *b"FOHB";
const LABEL: &[u8] = b"failover heartbeat 1\0";
const HEADER_BYTES: usize = 4 + 2 + 1 + 1 + 1 + 4 + 8 + 8 + 8 + 8 + 16 + 16 + 2;
/// Half of HMAC-SHA-256. A forger needs 2^128 packets on average, RFC 2104 §5 allows it, and at 2 ms a beat sixteen bytes
/// less are worth having.
const TAG_BYTES: usize = 16;
const FAREWELL: u8 = 1;

/// Drawn by a host at its start and changed with every new start of its peer; a beat that echoes it is not older than it.
pub(super) type Nonce = [u8; 16];

/// Echoed by a host that has not heard a nonce yet.
pub(super) const NO_NONCE: Nonce = [0; 16];

/// What stands between the fixed bytes and the tag of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) farewell: bool,
    /// The path that it belongs to: a packet recorded on one path keeps no other path alive.
    pub(super) path: u8,
    /// The keys its sender holds, for the choice of a common one.
    pub(super) keys: HeldKeys,
    pub(super) incarnation: Incarnation,
    pub(super) sequence: u64,
    pub(super) nonce: Nonce,
    pub(super) echo: Nonce,
    /// The beat, as JSON.
    pub(super) body: &'a [u8],
}

/// In whose name packets are written or read.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) pair: &'a str,
    /// The role of the sender.
    pub(super) role: Role,
}

/// Writes the packet, signed with the key `id`, over what is in `bytes`. `false` if that key is not held (any more).
pub(super) fn encode(packet: &Packet<'_>, name: Name<'_>, ring: &KeyRing, id: KeyId, bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    bytes.push(if packet.farewell { FAREWELL } else { 0 });
    bytes.push(role_byte(name.role));
    bytes.push(packet.path);
    bytes.extend_from_slice(&id.0);
    for KeyId(held) in packet.keys {
        bytes.extend_from_slice(&held);
    }
    bytes.extend_from_slice(&pair_tag(name.pair));
    bytes.extend_from_slice(&packet.incarnation.0.to_be_bytes());
    bytes.extend_from_slice(&packet.sequence.to_be_bytes());
    bytes.extend_from_slice(&packet.nonce);
    bytes.extend_from_slice(&packet.echo);
    let Ok(length) = u16::try_from(packet.body.len()) else { return false };
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(packet.body);
    let Some(mac) = ring.sign(id, &[LABEL, &(name.pair.len() as u64).to_be_bytes(), name.pair.as_bytes(), bytes])
    else {
        return false;
    };
    bytes.extend_from_slice(&mac[..TAG_BYTES]);
    true
}

/// Reads a packet of the peer. The cheap questions come first: garbage costs no MAC.
pub(super) fn decode<'a>(bytes: &'a [u8], name: Name<'_>, path: u8, ring: &KeyRing) -> Result<Packet<'a>, Dropped> {
    let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(Dropped::Malformed)?;
    let mut rest = signed;
    if take(&mut rest)? != MAGIC {
        return Err(Dropped::Malformed);
    }
    if !version_is_spoken(u16::from_be_bytes(take(&mut rest)?)) {
        return Err(Dropped::Version);
    }
    let [flags, role, sent_on] = take(&mut rest)?;
    let id = KeyId(take(&mut rest)?);
    let keys = [KeyId(take(&mut rest)?), KeyId(take(&mut rest)?)];
    if take(&mut rest)? != pair_tag(name.pair) {
        return Err(Dropped::Pair);
    }
    if role != role_byte(name.role) {
        return Err(Dropped::Role);
    }
    let incarnation = Incarnation(u64::from_be_bytes(take(&mut rest)?));
    let sequence = u64::from_be_bytes(take(&mut rest)?);
    let (nonce, echo) = (take(&mut rest)?, take(&mut rest)?);
    let length = u16::from_be_bytes(take(&mut rest)?);
    if rest.len() != usize::from(length) || rest.len() > BODY_BYTES_MAX {
        return Err(Dropped::Malformed);
    }
    if !ring.verify(id, &[LABEL, &(name.pair.len() as u64).to_be_bytes(), name.pair.as_bytes(), signed], tag) {
        return Err(Dropped::Key);
    }
    if sent_on != path {
        return Err(Dropped::Path);
    }
    let farewell = flags & FAREWELL != 0;
    Ok(Packet { farewell, path, keys, incarnation, sequence, nonce, echo, body: rest })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Dropped> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Dropped::Malformed)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: Name<'_> = Name { pair: "mail", role: Role::Master };

    fn ring(key: u8) -> KeyRing {
        KeyRing::new(&[key; 32], None).unwrap()
    }

    fn packet(body: &[u8]) -> Packet<'_> {
        Packet {
            farewell: false,
            path: 1,
            keys: ring(1).held(),
            incarnation: Incarnation(7),
            sequence: 9,
            nonce: [3; 16],
            echo: [4; 16],
            body,
        }
    }

    fn encoded(body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(encode(&packet(body), NAME, &ring(1), ring(1).held()[0], &mut bytes));
        bytes
    }

    proptest! {
        #[test]
        fn every_packet_comes_back_as_it_was(
            farewell: bool, path: u8, incarnation: u64, sequence: u64, nonce: [u8; 16], echo: [u8; 16],
            body in proptest::collection::vec(any::<u8>(), 0..=BODY_BYTES_MAX),
        ) {
            let incarnation = Incarnation(incarnation);
            let keys = ring(1).held();
            let packet = Packet { farewell, path, keys, incarnation, sequence, nonce, echo, body: &body };
            let mut bytes = Vec::new();
            prop_assert!(encode(&packet, NAME, &ring(1), keys[0], &mut bytes));
            prop_assert!(bytes.len() <= PACKET_BYTES_MAX);
            prop_assert_eq!(decode(&bytes, NAME, path, &ring(1)), Ok(packet));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes, NAME, 0, &ring(1)).is_err());
        }

        #[test]
        fn no_changed_or_cut_packet_is_accepted(at: usize, flip in 1u8.., cut: usize) {
            let good = encoded(b"{}");
            let mut bytes = good.clone();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes, NAME, 1, &ring(1)).is_err());
            prop_assert!(decode(&good[..cut % good.len()], NAME, 1, &ring(1)).is_err());
        }
    }

    #[test]
    fn each_mismatch_is_dropped_under_its_own_name() {
        let bytes = encoded(b"{}");
        assert!(decode(&bytes, NAME, 1, &ring(1)).is_ok());
        assert_eq!(decode(&bytes, NAME, 0, &ring(1)), Err(Dropped::Path));
        assert_eq!(decode(&bytes, NAME, 1, &ring(2)), Err(Dropped::Key));
        assert_eq!(decode(&bytes, Name { pair: "news", ..NAME }, 1, &ring(1)), Err(Dropped::Pair));
        assert_eq!(decode(&bytes, Name { role: Role::Slave, ..NAME }, 1, &ring(1)), Err(Dropped::Role));
        let mut later = bytes.clone();
        later[4] = 0xff;
        assert_eq!(decode(&later, NAME, 1, &ring(1)), Err(Dropped::Version));
    }
}
