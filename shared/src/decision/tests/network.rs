//! The simulated network: one-way cuts, lost, late, doubled and overtaking beats, connections that break.

use crate::decision::Sight;

use super::random::Random;

/// What the network does now. Index 0 is the master, 1 the slave.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// Nothing from this host reaches the other.
    pub(super) cut_from: [bool; 2],
    /// The balancer sees this host.
    pub(super) balancer_sees: [bool; 2],
    /// The way that ssh takes works.
    pub(super) second_way: bool,
    pub(super) beat_loss_percent: u64,
    pub(super) beat_double_percent: u64,
    pub(super) delay_most_ms: u64,
    pub(super) connection_loss_percent: u64,
    /// A connection keeps its order: nothing arrives before what was sent earlier.
    last_arrival: [u64; 2],
}

impl Network {
    pub(super) fn perfect() -> Network {
        Network {
            cut_from: [false; 2],
            balancer_sees: [true; 2],
            second_way: true,
            beat_loss_percent: 0,
            beat_double_percent: 0,
            delay_most_ms: 2,
            connection_loss_percent: 0,
            last_arrival: [0; 2],
        }
    }

    /// Everything works again; what is under way still arrives in its order.
    pub(super) fn heal(&mut self) {
        *self = Network { last_arrival: self.last_arrival, ..Network::perfect() };
    }

    /// When the copies of a beat arrive: none, one or two.
    pub(super) fn beat(&mut self, from: usize, now: u64, random: &mut Random) -> [Option<u64>; 2] {
        if self.cut_from[from] || random.percent(self.beat_loss_percent) {
            return [None; 2];
        }
        let arrival = |random: &mut Random| Some(now + random.between(0, self.delay_most_ms));
        let first = arrival(random);
        let second = if random.percent(self.beat_double_percent) { arrival(random) } else { None };
        [first, second]
    }

    /// When a message over the control channel arrives, or `None` when its connection breaks first.
    pub(super) fn message(&mut self, from: usize, now: u64, random: &mut Random) -> Option<u64> {
        // A connection needs both ways.
        if self.cut_from[0] || self.cut_from[1] || random.percent(self.connection_loss_percent) {
            return None;
        }
        let at = (now + random.between(0, self.delay_most_ms)).max(self.last_arrival[from]);
        self.last_arrival[from] = at;
        Some(at)
    }

    /// What a check or a witness sees of a host's service.
    pub(super) fn sight(&self, reachable: bool, serves: bool) -> Sight {
        if reachable && serves { Sight::Serving } else { Sight::NotServing }
    }
}
