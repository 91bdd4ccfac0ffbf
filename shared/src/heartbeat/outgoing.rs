//! What leaves: shared by the beating thread, by urgent beats of the daemon and by answers to a newly started peer.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::decision::{Incarnation, Role};
use crate::key::{HeldKeys, KeyRing};

use super::counters::Counters;
use super::packet::{self, NO_NONCE, Name, Nonce, PACKET_BYTES_MAX, Packet};
use super::path::Path;

pub(super) struct Outgoing {
    pub(super) paths: Vec<Path>,
    pub(super) pair: String,
    pub(super) role: Role,
    pub(super) keys: KeyRing,
    pub(super) counters: Counters,
    incarnation: Incarnation,
    state: Mutex<State>,
}

/// Guarded by a lock that is held for a few moves and never across a system call: the real-time thread waits for it.
struct State {
    sequence: u64,
    /// The newest beat, as JSON.
    body: Option<Arc<[u8]>>,
    farewell: bool,
    nonce: Nonce,
    peer: Option<Addressee>,
}

/// To whom a packet speaks: the nonce to echo, and the keys that are known there.
#[derive(Clone, Copy)]
pub(super) struct Addressee {
    pub(super) nonce: Nonce,
    pub(super) keys: HeldKeys,
}

/// What every packet of one round shares. Numbered when it is taken, so a higher number never carries an older beat.
struct Round {
    sequence: u64,
    body: Arc<[u8]>,
    farewell: bool,
    nonce: Nonce,
    to: Option<Addressee>,
}

impl State {
    /// Takes the next number. With the farewell it is the last one: whatever is taken after it would overtake it.
    fn round(&mut self, to: Option<Addressee>, farewell: bool) -> Option<Round> {
        if self.farewell {
            return None;
        }
        let body = self.body.clone()?;
        self.sequence += 1;
        self.farewell = farewell;
        Some(Round { sequence: self.sequence, body, farewell, nonce: self.nonce, to: to.or(self.peer) })
    }
}

impl Outgoing {
    pub(super) fn new(
        paths: Vec<Path>,
        pair: String,
        role: Role,
        keys: KeyRing,
        incarnation: Incarnation,
        nonce: Nonce,
    ) -> Outgoing {
        let state = Mutex::new(State { sequence: 0, body: None, farewell: false, nonce, peer: None });
        Outgoing { paths, pair, role, keys, counters: Counters::default(), incarnation, state }
    }

    /// What the next rounds say. Nothing after the farewell.
    pub(super) fn set_body(&self, body: Vec<u8>) {
        let mut state = self.state();
        if !state.farewell {
            state.body = Some(body.into());
        }
    }

    pub(super) fn set_peer(&self, nonce: Nonce, peer: Option<Addressee>) {
        let mut state = self.state();
        state.nonce = nonce;
        state.peer = peer;
    }

    /// One packet on every path, if there is something to say.
    pub(super) fn send_round(&self, buffer: &mut Vec<u8>) {
        let Some(round) = self.state().round(None, false) else { return };
        for path in 0..self.paths.len() {
            self.send(&round, path, buffer, &self.counters.sent);
        }
    }

    /// Shows a peer that does not echo this host's nonce yet what it has to echo. The regular beats are not used for
    /// that: recorded beats that someone plays again must not take the right echo out of them.
    pub(super) fn answer(&self, path: usize, to: Addressee) {
        let Some(round) = self.state().round(Some(to), false) else { return };
        self.send(&round, path, &mut Vec::with_capacity(PACKET_BYTES_MAX), &self.counters.answered);
    }

    /// The last round, twice, for it is never repeated; after it nothing is sent.
    pub(super) fn farewell(&self) {
        let Some(round) = self.state().round(None, true) else { return };
        let mut buffer = Vec::with_capacity(PACKET_BYTES_MAX);
        for _ in 0..2 {
            for path in 0..self.paths.len() {
                self.send(&round, path, &mut buffer, &self.counters.sent);
            }
        }
    }

    fn send(&self, round: &Round, path: usize, buffer: &mut Vec<u8>, counter: &AtomicU64) {
        let (Some(socket), Ok(number)) = (self.paths.get(path), u8::try_from(path)) else { return };
        let keys = self.keys.held();
        let [current, _] = keys;
        let id = round.to.and_then(|peer| self.keys.common(peer.keys)).unwrap_or(current);
        let packet = Packet {
            farewell: round.farewell,
            path: number,
            keys,
            incarnation: self.incarnation,
            sequence: round.sequence,
            nonce: round.nonce,
            echo: round.to.map_or(NO_NONCE, |peer| peer.nonce),
            body: &round.body,
        };
        let name = Name { pair: &self.pair, role: self.role };
        let sent = packet::encode(&packet, name, &self.keys, id, buffer) && socket.send(buffer).is_ok();
        Counters::count(if sent { counter } else { &self.counters.send_failed });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
