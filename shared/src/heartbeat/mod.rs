//! Heartbeats: small signed datagrams, both ways, on every configured path. `docs/protocol.md` has every byte of them.
//!
//! This module says what was heard; when silence becomes suspicion is for the decision core.

mod beater;
mod counters;
mod freshness;
mod outgoing;
mod packet;
mod path;
mod privileges;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;

use crate::decision::{Beat, Incarnation, Millis, Role};
use crate::key::KeyRing;

pub use counters::CountersSnapshot;

use beater::Beater;
use counters::{Counters, Dropped};
use freshness::{Freshness, Judgement};
use outgoing::{Addressee, Outgoing};
use packet::{BODY_BYTES_MAX, Name, PACKET_BYTES_MAX, Packet};
use path::{Path, Received};

/// The shortest interval: the beating thread may have real-time priority and must not eat a core.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The most paths: far more than hosts have networks.
const PATHS_MAX: usize = 16;

/// Packets read from one path in one [`Heartbeat::drain`]. More than a socket's buffer holds of real beats; a flood gets
/// no more of the daemon's time than this.
const PACKETS_MAX: usize = 256;

/// What heartbeats need.
pub struct HeartbeatSettings {
    /// Own and peer's address and port of each path, in the same order on both hosts.
    pub paths: Vec<(SocketAddr, SocketAddr)>,
    /// Between two beats (η).
    pub interval: Duration,
    /// The pair's name.
    pub pair: String,
    /// The own role.
    pub role: Role,
    /// The pair's keys.
    pub keys: KeyRing,
    /// This start of the daemon. Every beat that is published must carry the same.
    pub incarnation: Incarnation,
}

/// Why heartbeats cannot start, or a beat cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    /// There must be something to beat on.
    #[error("{0} heartbeat paths are configured; 1 to {PATHS_MAX} are possible")]
    Paths(usize),
    /// A real-time thread that never sleeps would stop the host.
    #[error("a heartbeat every {0:?} is too often; the least interval is {INTERVAL_MIN:?}")]
    Interval(Duration),
    /// A socket could not be made.
    #[error("the heartbeat path from {local} cannot be opened; is the port in use?")]
    Socket {
        /// The own address of the path.
        local: SocketAddr,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The system gave no random bytes for the nonce.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The beating thread could not be started.
    #[error("the beating thread cannot be started")]
    Thread(#[source] io::Error),
    /// There is no tokio runtime to wait in.
    #[error("heartbeats must be started inside a tokio runtime")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
    /// The beat has no JSON form, or one that is too long for a packet.
    #[error("the beat does not fit into a packet of {BODY_BYTES_MAX} bytes")]
    Beat(#[source] Option<serde_json::Error>),
}

/// A beat that proves the peer alive: rightly signed, of this pair, in the peer's role, echoing this host's nonce, and
/// later than every one before it on its path. Nothing less is ever handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The path, by its place in the settings.
    pub path: usize,
    /// What the peer says.
    pub beat: Beat,
    /// Its number. All packets of one round have the same.
    pub sequence: u64,
    /// No later beat has come on another path: only then is what it says news.
    pub newest: bool,
    /// The peer's daemon says good-bye: its silence from now on says nothing about its service.
    pub farewell: bool,
}

/// Running heartbeats. Dropping them ends the beating thread without a farewell.
pub struct Heartbeat {
    outgoing: Arc<Outgoing>,
    incoming: Mutex<Incoming>,
    readiness: Vec<tokio::net::UdpSocket>,
    interval: Duration,
    beater: Beater,
}

struct Incoming {
    freshness: Freshness,
    /// When a peer that does not echo was answered last, by path.
    answered: Vec<Option<Millis>>,
}

impl Heartbeat {
    /// Opens the paths and starts the beating thread, which sends nothing before the first [`Heartbeat::publish`].
    ///
    /// # Errors
    /// [`HeartbeatError`]. Missing privileges are no error: see [`Heartbeat::privileges`].
    pub fn start(settings: HeartbeatSettings) -> Result<Heartbeat, HeartbeatError> {
        let HeartbeatSettings { paths, interval, pair, role, keys, incarnation } = settings;
        if paths.is_empty() || paths.len() > PATHS_MAX {
            return Err(HeartbeatError::Paths(paths.len()));
        }
        if interval < INTERVAL_MIN {
            return Err(HeartbeatError::Interval(interval));
        }
        tokio::runtime::Handle::try_current()?;
        let mut nonce = packet::NO_NONCE;
        getrandom::fill(&mut nonce)?;
        let mut opened = Vec::new();
        let mut readiness = Vec::new();
        for (local, peer) in paths {
            let failed = |cause| HeartbeatError::Socket { local, cause };
            let path = Path::open(local, peer).map_err(failed)?;
            readiness.push(path.ready().map_err(failed)?);
            opened.push(path);
        }
        let incoming = Incoming { freshness: Freshness::new(nonce), answered: vec![None; opened.len()] };
        let outgoing = Arc::new(Outgoing::new(opened, pair, role, keys, incarnation, nonce));
        let beater = Beater::start(outgoing.clone(), interval).map_err(HeartbeatError::Thread)?;
        Ok(Heartbeat { outgoing, incoming: Mutex::new(incoming), readiness, interval, beater })
    }

    /// What the beats say from now on; `urgent` says it at once on every path, beside the regular beats. Nothing is
    /// published after the farewell.
    ///
    /// # Errors
    /// [`HeartbeatError::Beat`]; the beat before it then stays.
    pub fn publish(&self, beat: &Beat, urgent: bool) -> Result<(), HeartbeatError> {
        let body = serde_json::to_vec(beat).map_err(|error| HeartbeatError::Beat(Some(error)))?;
        if body.len() > BODY_BYTES_MAX {
            return Err(HeartbeatError::Beat(None));
        }
        self.outgoing.set_body(body);
        if urgent {
            self.outgoing.send_round(&mut Vec::with_capacity(PACKET_BYTES_MAX));
        }
        Ok(())
    }

    /// Says good-bye on every path and beats no more.
    pub fn farewell(&self) {
        self.outgoing.farewell();
    }

    /// Waits until a packet is there. Safe to drop at its await. One caller at a time: only the last one is woken.
    pub async fn readable(&self) {
        poll_fn(|context| {
            let ready = self.readiness.iter().any(|socket| self.holds_packet(socket, context));
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Appends what is there to `out`; at most 256 packets a path are looked at. Reads the sockets themselves, whatever
    /// the runtime believes about them: silence may only be judged after this. `now` bounds the answers to a peer that
    /// has just started, to one an interval and path.
    pub fn drain(&self, now: Millis, out: &mut Vec<Heard>) {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        // One byte more than a beat may have, so that one that was cut off is known.
        let mut buffer = [0; PACKET_BYTES_MAX + 1];
        for (number, path) in self.outgoing.paths.iter().enumerate() {
            for _ in 0..PACKETS_MAX {
                let heard = match path.receive(&mut buffer) {
                    None => break,
                    Some(Received::Unreachable) => {
                        Counters::count(&self.outgoing.counters.unreachable);
                        continue;
                    }
                    Some(Received::Foreign) => Err(Dropped::Address),
                    Some(Received::Packet { length }) => {
                        self.hear(&mut incoming, number, buffer.get(..length).unwrap_or(&[]), now)
                    }
                };
                match heard {
                    Ok(heard) => {
                        Counters::count(&self.outgoing.counters.fresh);
                        out.push(heard);
                    }
                    Err(why) => self.outgoing.counters.count_dropped(why),
                }
            }
        }
    }

    /// Changes the keys, here and for every other holder of the same ring.
    pub fn set_keys(&self, keys: &KeyRing) {
        self.outgoing.keys.replace_with(keys);
    }

    /// The numbers now.
    #[must_use]
    pub fn counters(&self) -> CountersSnapshot {
        self.outgoing.counters.snapshot()
    }

    /// What the kernel granted the beating thread, in words.
    #[must_use]
    pub fn privileges(&self) -> &str {
        self.beater.privileges()
    }

    /// The own address and port of each path.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.outgoing.paths.iter().map(Path::local).collect()
    }

    fn hear(&self, incoming: &mut Incoming, path: usize, bytes: &[u8], now: Millis) -> Result<Heard, Dropped> {
        let name = Name { pair: &self.outgoing.pair, role: self.outgoing.role.peer() };
        let number = u8::try_from(path).map_err(|_| Dropped::Path)?;
        let packet = packet::decode(bytes, name, number, &self.outgoing.keys)?;
        let (newest, nonces_changed) = match incoming.freshness.judge(&packet, self.outgoing.paths.len()) {
            Judgement::Fresh { newest, nonces_changed } => (newest, nonces_changed),
            Judgement::Old => return Err(Dropped::Old),
            Judgement::Unproven => {
                self.answer(incoming, path, &packet, now);
                return Err(Dropped::Unproven);
            }
        };
        if nonces_changed || newest {
            let peer = incoming.freshness.echo().map(|nonce| Addressee { nonce, keys: packet.keys });
            self.outgoing.set_peer(incoming.freshness.own(), peer);
        }
        let beat: Beat = serde_json::from_slice(packet.body).map_err(|_| Dropped::Malformed)?;
        if beat.incarnation != packet.incarnation {
            return Err(Dropped::Malformed);
        }
        Ok(Heard { path, beat, sequence: packet.sequence, newest, farewell: packet.farewell })
    }

    fn answer(&self, incoming: &mut Incoming, path: usize, packet: &Packet<'_>, now: Millis) {
        let interval = Millis(u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX));
        let Some(answered) = incoming.answered.get_mut(path) else { return };
        if answered.is_none_or(|before| now.since(before) >= interval) {
            *answered = Some(now);
            self.outgoing.answer(path, Addressee { nonce: packet.nonce, keys: packet.keys });
        }
    }

    /// Whether the socket holds a packet. The runtime only tells that something *came*, and stays with that until it is told
    /// that the socket is empty; [`Heartbeat::drain`] goes past it, so the socket is asked here.
    fn holds_packet(&self, socket: &tokio::net::UdpSocket, context: &mut Context<'_>) -> bool {
        let mut byte = [0; 1];
        loop {
            match socket.poll_peek_from(context, &mut ReadBuf::new(&mut byte)) {
                Poll::Pending => return false,
                Poll::Ready(Ok(_)) => return true,
                // The answer to a packet that was sent: nobody listens there. Asking has taken it off the socket.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Counters::count(&self.outgoing.counters.unreachable);
                }
                // Whatever else it is, draining goes on past it.
                Poll::Ready(Err(_)) => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests;
