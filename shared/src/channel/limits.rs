//! Who may have how many connections. Pure: the time is an argument.
//!
//! The aim: whoever is not the peer can never take the place that the peer needs. So places are reserved for the
//! peer's addresses, strangers share a small rest, and within a share an old silent handshake yields to a new one.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The bounds of a socket server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that have not passed the proof, from everywhere.
    pub half_open_max: usize,
    /// Those of them that strangers may have: every address that is not one of the peer's.
    pub strangers_half_open_max: usize,
    /// Those that one strange address may have.
    pub stranger_half_open_max: usize,
    /// Handshakes with strangers begun in one second: each costs a signature.
    pub strangers_per_second: u32,
    /// Connections that have passed the proof. They are the peer's own; the oldest yields.
    pub established_max: usize,
    /// How long TLS and proof may take together.
    pub handshake_max: Duration,
    /// How long one line may take to be written.
    pub write_max: Duration,
    /// A half-open connection younger than this does not yield: a living peer needs a few milliseconds, and under a flood
    /// nobody would get through if everyone were pushed out at once.
    pub protected_age: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            half_open_max: 64,
            strangers_half_open_max: 16,
            stranger_half_open_max: 4,
            strangers_per_second: 50,
            established_max: 16,
            handshake_max: Duration::from_secs(3),
            write_max: Duration::from_secs(5),
            protected_age: Duration::from_millis(20),
        }
    }
}

/// Names a connection of the table.
pub(super) type ConnectionId = u64;

/// A place in the table, and the signal that it has to be given up.
pub(super) struct Place {
    pub(super) id: ConnectionId,
    pub(super) yielded: Arc<Notify>,
}

/// What happens to a new connection.
pub(super) enum Admission {
    /// It may begin its handshake; `displaced` tells whether an older one was told to yield.
    Admitted { place: Place, displaced: bool },
    /// It is closed at once.
    Refused(&'static str),
}

/// The open connections of a server.
pub(super) struct Table {
    limits: Limits,
    peer_addresses: Vec<IpAddr>,
    next_id: ConnectionId,
    /// Ids grow with time, so the first entry that fits is the oldest.
    half_open: BTreeMap<ConnectionId, HalfOpen>,
    established: BTreeMap<ConnectionId, Arc<Notify>>,
    /// When strangers began handshakes during the last second, oldest first.
    strangers_begun: VecDeque<Instant>,
}

struct HalfOpen {
    address: IpAddr,
    since: Instant,
    yielded: Arc<Notify>,
}

impl Table {
    pub(super) fn new(limits: Limits, peer_addresses: Vec<IpAddr>) -> Table {
        Table {
            limits,
            peer_addresses,
            next_id: 0,
            half_open: BTreeMap::new(),
            established: BTreeMap::new(),
            strangers_begun: VecDeque::new(),
        }
    }

    pub(super) fn admit(&mut self, now: Instant, address: IpAddr) -> Admission {
        let peer = self.is_peer(address);
        if !peer && !self.stranger_may_begin(now) {
            return Admission::Refused("strangers have begun too many handshakes in this second");
        }
        let displaced = if peer {
            let reserved = self.limits.half_open_max.saturating_sub(self.limits.strangers_half_open_max);
            self.make_room(now, reserved, |table, other| table.is_peer(other))
        } else {
            let of_this = self.make_room(now, self.limits.stranger_half_open_max, |_, other| other == address);
            of_this.and_then(|first| {
                let of_all =
                    self.make_room(now, self.limits.strangers_half_open_max, |table, other| !table.is_peer(other));
                of_all.map(|second| first || second)
            })
        };
        let Some(displaced) = displaced else {
            return Admission::Refused("too many handshakes are under way");
        };
        if !peer {
            self.strangers_begun.push_back(now);
        }
        self.next_id += 1;
        let place = Place { id: self.next_id, yielded: Arc::new(Notify::new()) };
        self.half_open.insert(place.id, HalfOpen { address, since: now, yielded: place.yielded.clone() });
        Admission::Admitted { place, displaced }
    }

    /// The connection has passed the proof. Tells whether an older one was told to yield.
    pub(super) fn establish(&mut self, id: ConnectionId) -> bool {
        let Some(half_open) = self.half_open.remove(&id) else { return false };
        self.established.insert(id, half_open.yielded);
        if self.established.len() <= self.limits.established_max {
            return false;
        }
        self.established.pop_first().inspect(|(_, yielded)| yielded.notify_one()).is_some()
    }

    /// The connection has ended.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.half_open.remove(&id);
        self.established.remove(&id);
    }

    fn is_peer(&self, address: IpAddr) -> bool {
        self.peer_addresses.contains(&address.to_canonical())
    }

    fn stranger_may_begin(&mut self, now: Instant) -> bool {
        let second_ago = |begun: &Instant| now.saturating_duration_since(*begun) >= Duration::from_secs(1);
        while self.strangers_begun.front().is_some_and(second_ago) {
            self.strangers_begun.pop_front();
        }
        self.strangers_begun.len() < self.limits.strangers_per_second as usize
    }

    /// Makes room for one more in the share of those that `belongs` picks: `Some(true)` if one had to yield, `None` if
    /// there is none old enough to.
    fn make_room(&mut self, now: Instant, most: usize, belongs: impl Fn(&Table, IpAddr) -> bool) -> Option<bool> {
        let mut share = self.half_open.iter().filter(|(_, entry)| belongs(self, entry.address));
        let oldest = share.next().map(|(id, entry)| (*id, entry.since));
        let count = usize::from(oldest.is_some()) + share.count();
        if count < most {
            return Some(false);
        }
        let (id, since) = oldest?;
        if now.saturating_duration_since(since) < self.limits.protected_age {
            return None;
        }
        self.half_open.remove(&id).inspect(|entry| entry.yielded.notify_one());
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 12));

    fn stranger(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::from([198, 51, high, low])
    }

    fn admitted(admission: Admission) -> Option<(Place, bool)> {
        match admission {
            Admission::Admitted { place, displaced } => Some((place, displaced)),
            Admission::Refused(_) => None,
        }
    }

    #[test]
    fn strangers_that_take_all_they_get_leave_the_peer_its_places() {
        let mut table = Table::new(Limits::default(), vec![PEER]);
        let mut now = Instant::now();
        let mut strangers = 0;
        for number in 0..10_000 {
            now += Duration::from_micros(100);
            strangers += usize::from(admitted(table.admit(now, stranger(number))).is_some());
        }
        assert!(strangers >= 16, "strangers get something: {strangers}");
        assert!(strangers <= 100, "one second of them is bounded by the rate: {strangers}");
        for _ in 0..48 {
            let (_, displaced) = admitted(table.admit(now, PEER)).expect("the peer has 48 places of its own");
            assert!(!displaced);
        }
        assert_eq!(table.half_open.len(), 64);
    }

    #[test]
    fn within_a_share_the_oldest_yields_unless_it_is_young() {
        let mut table = Table::new(Limits::default(), vec![PEER]);
        let now = Instant::now();
        let places: Vec<Place> =
            (0..48).filter_map(|_| admitted(table.admit(now, PEER))).map(|(place, _)| place).collect();
        assert_eq!(places.len(), 48);
        assert!(admitted(table.admit(now + Duration::from_millis(19), PEER)).is_none(), "all are young");

        let (_, displaced) = admitted(table.admit(now + Duration::from_millis(20), PEER)).expect("the oldest yields");
        assert!(displaced);
        assert!(!table.half_open.contains_key(&places[0].id));
        assert!(table.half_open.contains_key(&places[1].id));
    }

    #[test]
    fn one_strange_address_cannot_take_the_share_of_the_others() {
        let mut table = Table::new(Limits { strangers_per_second: 1_000, ..Limits::default() }, vec![PEER]);
        let now = Instant::now();
        let first = (0..50).filter_map(|_| admitted(table.admit(now, stranger(1)))).count();
        let others = (2..50).filter_map(|number| admitted(table.admit(now, stranger(number)))).count();
        assert_eq!((first, others), (4, 12));
    }

    #[test]
    fn the_oldest_established_connection_yields_to_a_seventeenth() {
        let mut table = Table::new(Limits::default(), vec![PEER]);
        let now = Instant::now();
        let mut yields = Vec::new();
        for _ in 0..17 {
            let (place, _) = admitted(table.admit(now, PEER)).expect("there is room");
            yields.push(table.establish(place.id));
        }
        assert_eq!(yields.iter().filter(|yielded| **yielded).count(), 1);
        assert!(yields[16]);
        assert!(!table.established.contains_key(&1));
        assert!(table.half_open.is_empty());
    }
}
