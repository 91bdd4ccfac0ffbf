//! The ways between the hosts and to the things around them. Each direction of each can be cut by itself.

use super::random::Random;

/// A way from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Heartbeats to the peer, on every path.
    Beats,
    /// The control channel to the peer. A connection needs both directions.
    Control,
    /// The checks of the peer's service.
    Checks,
    /// The second way to the peer.
    Second,
    /// To the balancer.
    Balancer,
    /// To the arbiter.
    Arbiter,
    /// To the device that fences the peer.
    Fence,
}

const WAYS: usize = 7;

/// How the network behaves apart from cuts. Drawn once for each schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Beats that are lost, of a hundred.
    pub beat_loss_percent: u64,
    /// Beats that come twice, of a hundred.
    pub beat_double_percent: u64,
    /// The longest delay; different ones put beats out of order.
    pub delay_most_ms: u64,
    /// Connections that break, of a hundred messages.
    pub connection_loss_percent: u64,
    /// Messages that come again later, of a hundred.
    pub replay_percent: u64,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Network {
    manners: Manners,
    cut: [[bool; 2]; WAYS],
    /// Whether the balancer reaches each host's service.
    pub balancer_sees: [bool; 2],
    /// Everything waits until then, and then comes at once.
    clogged_until: u64,
    /// A connection keeps its order: nothing arrives before what was sent earlier.
    last_arrival: [u64; 2],
}

impl Network {
    /// Without trouble.
    #[must_use]
    pub fn perfect() -> Network {
        Network {
            manners: Manners { delay_most_ms: 2, ..Manners::default() },
            cut: [[false; 2]; WAYS],
            balancer_sees: [true; 2],
            clogged_until: 0,
            last_arrival: [0; 2],
        }
    }

    /// From now on it behaves so.
    pub fn behave(&mut self, manners: Manners) {
        self.manners = manners;
    }

    /// Everything works again; what is under way still arrives, in its order.
    pub fn heal(&mut self) {
        *self = Network { last_arrival: self.last_arrival, ..Network::perfect() };
    }

    /// Cuts a way from a host, or mends it.
    pub fn cut(&mut self, way: Way, from: usize, is_cut: bool) {
        self.cut[way as usize][from] = is_cut;
    }

    /// Nothing arrives until then.
    pub fn clog(&mut self, until: u64) {
        self.clogged_until = self.clogged_until.max(until);
    }

    /// Whether a way from a host is open.
    #[must_use]
    pub fn is_open(&self, way: Way, from: usize) -> bool {
        !self.cut[way as usize][from]
    }

    /// When the copies of a beat arrive: none, one or two.
    pub fn beat(&self, from: usize, now: u64, random: &mut Random) -> [Option<u64>; 2] {
        if !self.is_open(Way::Beats, from) || random.percent(self.manners.beat_loss_percent) {
            return [None; 2];
        }
        let start = now.max(self.clogged_until);
        let first = Some(start + random.between(0, self.manners.delay_most_ms));
        let twice = random.percent(self.manners.beat_double_percent);
        let second = twice.then(|| start + random.between(0, self.manners.delay_most_ms * 2));
        [first, second]
    }

    /// When a message over the control channel arrives, or `None` when its connection breaks first.
    pub fn message(&mut self, from: usize, now: u64, random: &mut Random) -> Option<u64> {
        let both = self.is_open(Way::Control, 0) && self.is_open(Way::Control, 1);
        if !both || random.percent(self.manners.connection_loss_percent) {
            return None;
        }
        let at = now.max(self.clogged_until) + random.between(0, self.manners.delay_most_ms);
        let at = at.max(self.last_arrival[from]);
        self.last_arrival[from] = at;
        Some(at)
    }

    /// Whether, and after how long, a message comes once more.
    pub fn replay(&self, random: &mut Random) -> Option<u64> {
        random.percent(self.manners.replay_percent).then(|| random.between(1, 20_000))
    }

    /// How long a question to something around the hosts takes, there or back.
    pub fn span(&self, now: u64, random: &mut Random) -> u64 {
        self.clogged_until.saturating_sub(now) + random.between(1, self.manners.delay_most_ms.max(1))
    }
}
