//! Which beats prove that the peer lives now. Pure.
//!
//! A recorded beat is signed as well as a new one, so a signature proves nothing about the time. What does: the beat
//! echoes a nonce that this host drew at its own start, and its number is higher than every number before it. And the
//! nonce changes when the peer has started anew: otherwise beats of the peer's earlier start, which echo the same nonce
//! and have numbers of their own, could be played again once the new start has died.
//!
//! ```text
//!            first fresh beat of start B1            first fresh beat of start B2
//! own nonce: N0 ────────────────────► N1 ─────────────────────────────► N2
//! accepted:  N0 from anyone          N0, N1 from B1; N1 from others    N1, N2 from B2; N2 from others
//! ```
//! The nonce before the current one stays good for the established start only: its beats that are on their way, or that
//! were sent before it heard the new nonce, must not be lost.

use crate::decision::{Bug, Incarnation, planted};

use super::packet::{Nonce, Packet};

/// What a beat is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The peer lives. `newest` unless a later beat came before it on another path; `nonces_changed` if what this host
    /// sends has to change.
    Fresh { newest: bool, nonces_changed: bool },
    /// A repeated or overtaken beat.
    Old,
    /// Signed, but it does not echo this host's nonce: recorded, or of a peer that has not heard the nonce yet.
    Unproven,
}

/// What is known about the peer's start.
#[derive(Debug)]
pub(super) struct Freshness {
    own: Nonce,
    own_before: Option<Nonce>,
    established: Option<Established>,
}

#[derive(Debug)]
struct Established {
    incarnation: Incarnation,
    nonce: Nonce,
    /// The highest number heard on each path.
    highest: Vec<u64>,
}

impl Freshness {
    /// `drawn` must be random: no earlier start of this host may have used it.
    pub(super) fn new(drawn: Nonce) -> Freshness {
        Freshness { own: drawn, own_before: None, established: None }
    }

    /// The nonce that this host's beats carry.
    pub(super) fn own(&self) -> Nonce {
        self.own
    }

    /// The nonce that this host's beats echo.
    pub(super) fn echo(&self) -> Option<Nonce> {
        self.established.as_ref().map(|peer| peer.nonce)
    }

    /// Judges a packet that came on the path with this number, of `paths` in all.
    pub(super) fn judge(&mut self, packet: &Packet<'_>, paths: usize) -> Judgement {
        let path = usize::from(packet.path);
        match &mut self.established {
            Some(peer) if peer.incarnation == packet.incarnation => {
                let echoes = packet.echo == self.own || Some(packet.echo) == self.own_before;
                if !echoes && !planted(Bug::EchoIgnored) {
                    return Judgement::Unproven;
                }
                let newest_before = peer.highest.iter().copied().max().unwrap_or(0);
                match peer.highest.get_mut(path) {
                    Some(highest) if packet.sequence > *highest => *highest = packet.sequence,
                    _ => return Judgement::Old,
                }
                let newest = packet.sequence > newest_before;
                let nonces_changed = newest && peer.nonce != packet.nonce;
                if nonces_changed {
                    peer.nonce = packet.nonce;
                }
                Judgement::Fresh { newest, nonces_changed }
            }
            _ if packet.echo != self.own && !planted(Bug::EchoIgnored) => Judgement::Unproven,
            _ => {
                let mut highest = vec![0; paths];
                if let Some(number) = highest.get_mut(path) {
                    *number = packet.sequence;
                }
                let Packet { incarnation, nonce, .. } = *packet;
                self.established = Some(Established { incarnation, nonce, highest });
                self.own_before = Some(self.own);
                self.own = next(self.own);
                Judgement::Fresh { newest: true, nonces_changed: true }
            }
        }
    }
}

/// The nonce after this one. It need not be random again: nobody without the key can make a beat that echoes it, and the
/// peer echoes only what it heard.
fn next(mut nonce: Nonce) -> Nonce {
    let (_, counter) = nonce.split_at_mut(12);
    for byte in counter.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::super::packet::NO_NONCE;
    use super::*;
    use crate::key::KeyId;

    const DRAWN: Nonce = [0xff; 16];

    fn beat(start: u64, sequence: u64, path: u8, nonce: u8, echo: Nonce) -> Packet<'static> {
        let incarnation = Incarnation(start);
        let keys = [KeyId::NONE; 2];
        Packet { farewell: false, path, keys, incarnation, sequence, nonce: [nonce; 16], echo, body: b"" }
    }

    fn fresh(judgement: Judgement) -> bool {
        matches!(judgement, Judgement::Fresh { .. })
    }

    #[test]
    fn a_beat_counts_only_once_it_echoes_the_nonce() {
        let mut host = Freshness::new(DRAWN);
        assert_eq!(host.judge(&beat(1, 1, 0, 1, NO_NONCE), 1), Judgement::Unproven);
        assert_eq!(host.echo(), None, "a beat that proves nothing changes nothing");
        assert_eq!(host.judge(&beat(1, 2, 0, 1, [9; 16]), 1), Judgement::Unproven);
        assert!(fresh(host.judge(&beat(1, 3, 0, 1, DRAWN), 1)));
        assert_eq!(host.echo(), Some([1; 16]));
    }

    #[test]
    fn numbers_grow_on_each_path_and_the_newest_of_all_paths_is_marked() {
        let mut host = Freshness::new(DRAWN);
        assert!(fresh(host.judge(&beat(1, 5, 0, 1, DRAWN), 2)));
        assert_eq!(host.judge(&beat(1, 5, 0, 1, DRAWN), 2), Judgement::Old);
        assert_eq!(host.judge(&beat(1, 4, 0, 1, DRAWN), 2), Judgement::Old);
        let same_round = Judgement::Fresh { newest: false, nonces_changed: false };
        assert_eq!(host.judge(&beat(1, 5, 1, 1, DRAWN), 2), same_round);
        let next_round = Judgement::Fresh { newest: true, nonces_changed: false };
        assert_eq!(host.judge(&beat(1, 6, 1, 1, DRAWN), 2), next_round);
        assert_eq!(host.judge(&beat(1, 7, 2, 1, DRAWN), 2), Judgement::Old, "there is no such path");
    }

    #[test]
    fn beats_of_an_earlier_start_of_the_peer_keep_nobody_alive_after_the_later_start_has_died() {
        let mut host = Freshness::new(DRAWN);
        let first = host.own();
        assert!(fresh(host.judge(&beat(1, 1, 0, 1, first), 1)));
        let second = host.own();
        assert!(fresh(host.judge(&beat(1, 2, 0, 1, first), 1)), "it may not have heard the new nonce");
        assert!(fresh(host.judge(&beat(1, 3, 0, 1, second), 1)));

        assert_eq!(host.judge(&beat(2, 1, 0, 2, first), 1), Judgement::Unproven, "an old nonce makes no start");
        assert!(fresh(host.judge(&beat(2, 1, 0, 2, second), 1)));
        for (sequence, echo) in [(4, first), (4, second), (u64::MAX, second)] {
            assert_eq!(host.judge(&beat(1, sequence, 0, 1, echo), 1), Judgement::Unproven);
        }
        assert!(fresh(host.judge(&beat(2, 2, 0, 2, second), 1)), "while the later start itself goes on");
        assert!(fresh(host.judge(&beat(2, 3, 0, 2, host.own()), 1)));
    }

    #[test]
    fn a_changed_nonce_of_the_same_start_is_echoed_without_a_new_one_being_drawn() {
        let mut host = Freshness::new(DRAWN);
        assert!(fresh(host.judge(&beat(1, 1, 0, 1, DRAWN), 1)));
        let own = host.own();
        let changed = Judgement::Fresh { newest: true, nonces_changed: true };
        assert_eq!(host.judge(&beat(1, 2, 0, 7, own), 1), changed);
        assert_eq!((host.own(), host.echo()), (own, Some([7; 16])), "or the two hosts would change for ever");
    }

    #[test]
    fn the_next_nonce_differs_and_keeps_the_random_part() {
        assert_eq!(next([0xff; 16])[..12], [0xff; 12]);
        assert_eq!(next([0xff; 16])[12..], [0; 4]);
        assert_eq!(next([0; 16])[12..], [0, 0, 0, 1]);
    }
}
