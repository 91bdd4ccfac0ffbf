//! One simulated host: its processes, its disk, and the daemon that drives the core as the acting half does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::decision::{BootId, Epoch, Event, Incarnation, Node, OperationId, Record, Role, Verdict};

/// A host. What survives what: a daemon's crash leaves processes and disk; a power cut leaves the disk.
pub(super) struct Host {
    pub(super) role: Role,
    pub(super) powered: bool,
    pub(super) boot: BootId,
    pub(super) daemon: Option<Daemon>,
    /// The daemon gets no processor time; what reaches it waits.
    pub(super) frozen_since: Option<u64>,
    pub(super) disk: Option<Record>,
    pub(super) disk_works: bool,
    /// Writes under way, in order. Those that are not done at a crash are lost.
    pub(super) writes: VecDeque<(OperationId, Record)>,
    /// Grows with each crash, so that ends of lost writes are known as stale.
    pub(super) writes_generation: u64,
    pub(super) service_runs: bool,
    pub(super) service_hangs: bool,
    pub(super) started_by_another: bool,
    pub(super) script: Option<Script>,
    pub(super) next_script: u64,
    pub(super) start_mood: Mood,
    pub(super) stop_mood: Mood,
    pub(super) ready: bool,
    pub(super) digest: u64,
    pub(super) isolated: bool,
    /// `stop-here` ran and the daemon has not noticed yet.
    pub(super) foreign_stop: Option<Epoch>,
    pub(super) incarnations: u64,
    /// The state will be found torn after the next crash of the daemon.
    pub(super) tear: bool,
    pub(super) last_verdict: [Verdict; 3],
}

/// The running daemon.
pub(super) struct Daemon {
    pub(super) node: Node,
    pub(super) incarnation: Incarnation,
    pub(super) inbox: Vec<Event>,
    /// The next turn that is planned.
    pub(super) turn_at: u64,
}

/// What runs now: a start list or a stop list.
pub(super) struct Script {
    pub(super) id: u64,
    pub(super) starts: bool,
    pub(super) operation: OperationId,
    pub(super) incarnation: Incarnation,
    pub(super) mood: Mood,
}

/// How the next script of a kind behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    Fails,
    Hangs,
}

impl Host {
    pub(super) fn new(role: Role) -> Host {
        Host {
            role,
            powered: false,
            boot: BootId(if role == Role::Master { 0x1000 } else { 0x2000 }),
            daemon: None,
            frozen_since: None,
            disk: None,
            disk_works: true,
            writes: VecDeque::new(),
            writes_generation: 0,
            service_runs: false,
            service_hangs: false,
            started_by_another: false,
            script: None,
            next_script: 1,
            start_mood: Mood::Works,
            stop_mood: Mood::Works,
            ready: true,
            digest: 1,
            isolated: false,
            foreign_stop: None,
            incarnations: 0,
            tear: false,
            last_verdict: [Verdict::Unknown; 3],
        }
    }

    /// A process that can write the store is there, or a start list that may yet bring one up.
    pub(super) fn may_write(&self) -> bool {
        self.service_runs || self.script.as_ref().is_some_and(|script| script.starts)
    }

    pub(super) fn serves(&self) -> bool {
        self.powered && self.service_runs && !self.service_hangs
    }

    /// A daemon that takes part: it runs and gets processor time.
    pub(super) fn listens(&self) -> bool {
        self.powered && self.daemon.is_some() && self.frozen_since.is_none()
    }

    pub(super) fn node(&self) -> Option<&Node> {
        self.daemon.as_ref().map(|daemon| &daemon.node)
    }

    /// The daemon ends; writes under way are lost with it.
    pub(super) fn daemon_dies(&mut self) {
        self.daemon = None;
        self.frozen_since = None;
        self.writes.clear();
        self.writes_generation += 1;
    }

    /// The power goes; only the disk is left.
    pub(super) fn power_goes(&mut self) {
        self.daemon_dies();
        self.powered = false;
        self.service_runs = false;
        self.service_hangs = false;
        self.script = None;
        self.foreign_stop = None;
    }

    pub(super) fn kill_everything(&mut self) {
        self.script = None;
        self.service_runs = false;
        self.service_hangs = false;
    }
}
