//! The state of the model: two hosts, the arbiter, and what is under way between them.

use std::sync::Arc;

use failover_shared::decision::{ClaimStep, Event, LeaseProof, Node, Proof, Role, State, StateName};

use super::arbiter::{Arbiter, Kind};
use super::bounds::{Begin, Bounds, Drift};
use super::fault::Fault;
use super::host::Host;
use super::moves::Move;

/// One state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Steps of true time since the run began.
    pub time: u64,
    /// How the clocks differ.
    pub drift: Drift,
    /// Master and slave. Shared with the states before, since one move changes one host mostly.
    pub hosts: [Arc<Host>; 2],
    /// The arbiter.
    pub arbiter: Arbiter,
    /// Messages under way.
    pub messages: Vec<Message>,
    /// Faults so far.
    pub faults: u8,
    /// Somebody may still crash. If not, nobody can tell when a write becomes durable, and it does at once.
    pub may_crash: bool,
    /// A core asked for one turn after another at one and the same time.
    pub spins: bool,
}

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// To the host with this index.
    pub to: usize,
    /// What it will be told.
    pub event: Event,
    /// It need not arrive within the step, or at all.
    pub is_late: bool,
}

/// So many steps a beginning may take until the master runs the service.
const BEGIN_STEPS_MOST: u64 = 12;

impl Pair {
    /// Every state in which a run begins.
    #[must_use]
    pub fn begins(bounds: &Bounds) -> Vec<Pair> {
        let all = bounds.begins.iter().flat_map(|begin| bounds.drifts.iter().map(move |drift| (*begin, *drift)));
        all.map(|(begin, drift)| Pair::new(bounds, begin, drift)).collect()
    }

    fn new(bounds: &Bounds, begin: Begin, drift: Drift) -> Pair {
        let mut pair = Pair {
            time: 0,
            drift,
            hosts: [Arc::new(Host::new(Role::Master)), Arc::new(Host::new(Role::Slave))],
            arbiter: Arbiter::new(bounds.kind),
            messages: Vec::new(),
            faults: 0,
            may_crash: false,
            spins: false,
        };
        [0, 1].into_iter().for_each(|index| pair.boots(index));
        if begin == Begin::Running {
            while pair.time < BEGIN_STEPS_MOST && !pair.serves() {
                let within_the_step = pair.ordinary_moves().into_iter().find(|next| *next != Move::Time);
                pair.goes(within_the_step.unwrap_or(Move::Time));
            }
        }
        pair.time = 0;
        pair.counts_faults(bounds, 0);
        pair
    }

    fn serves(&self) -> bool {
        let names = [0, 1].map(|index| self.hosts[index].node.as_ref().map(|node| node.state().name()));
        names == [Some(StateName::Active), Some(StateName::Standby)] && self.is_quiet()
    }

    /// Faults that have been used up.
    pub fn counts_faults(&mut self, bounds: &Bounds, more: u8) {
        self.faults += more;
        let crash = |fault: &Fault| matches!(fault, Fault::DaemonDies | Fault::DaemonTold | Fault::PowerFails);
        self.may_crash = self.faults < bounds.faults && bounds.may.iter().any(crash);
    }

    /// A host, to be changed.
    pub fn host(&mut self, index: usize) -> &mut Host {
        Arc::make_mut(&mut self.hosts[index])
    }

    /// The core of a host, if its daemon runs.
    #[must_use]
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.hosts[index].node.as_ref()
    }

    /// Both may write to the store.
    #[must_use]
    pub fn has_two_writers(&self) -> bool {
        self.hosts.iter().all(|host| host.writes_as.is_some())
    }

    /// A host starts on this proof.
    #[must_use]
    pub fn starts_on(&self, wanted: fn(&Proof) -> bool) -> bool {
        let starts = |node: &Node| matches!(node.state(), State::Starting { proof, .. } if wanted(proof));
        [0, 1].into_iter().any(|index| self.node(index).is_some_and(starts))
    }

    /// A host starts because the other's lease has run out.
    #[must_use]
    pub fn takes_over_by_lease(&self) -> bool {
        self.starts_on(|proof| matches!(proof, Proof::Lease(LeaseProof::Expired { .. })))
    }

    /// A host starts because the other has acknowledged.
    #[must_use]
    pub fn takes_over_by_ack(&self) -> bool {
        self.starts_on(|proof| matches!(proof, Proof::Ack { .. }))
    }

    /// The look after a claim has shown a late renewal, and the wait runs anew.
    #[must_use]
    pub fn has_waiting_claim(&self) -> bool {
        let waits = |node: &Node| matches!(node.state(), State::Claimed { step: ClaimStep::Waiting, .. });
        [0, 1].into_iter().any(|index| self.node(index).is_some_and(waits))
    }

    /// The service has been on the other host and is back, or on its way.
    #[must_use]
    pub fn has_come_back(&self) -> bool {
        self.hosts.iter().all(|host| host.node.as_ref().is_some_and(|node| node.record().owned.0 > 0))
            && self.node(0).is_some_and(|master| {
                matches!(master.state(), State::Starting { .. })
                    && self.node(1).is_some_and(|slave| master.record().owned > slave.record().owned)
            })
    }

    /// A core caught itself in a wrong belief.
    #[must_use]
    pub fn has_broken_invariant(&self) -> bool {
        [0, 1].into_iter().any(|index| self.node(index).is_some_and(Node::is_frozen))
    }

    /// On shared storage one attempt at a time is outstanding, whatever became of it.
    #[must_use]
    pub fn has_hanging_attempt(&self, index: usize) -> bool {
        self.arbiter.kind() == Kind::Storage && self.hosts[index].stray.is_some()
    }
}
