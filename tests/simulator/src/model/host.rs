//! One host of the model: its power, clock, disk, service, guardian, and the daemon with the core in it.

use super::bounds::LEASE;
use failover_shared::decision::{
    ArbiterReply, ArbiterRequest, BootId, Epoch, GuardedLease, HeldLease, Incarnation, Millis, Node, OperationId,
    Record, Role,
};

/// A host. A daemon's death leaves the service and the disk; a power cut leaves the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Its role.
    pub role: Role,
    /// Its own clock.
    pub clock: Millis,
    /// The daemon's core; `None`: no daemon runs.
    pub node: Option<Node>,
    /// The daemon stands still since then.
    pub frozen: Option<Millis>,
    /// The daemon was told to end.
    pub told: bool,
    /// It has power.
    pub powered: bool,
    /// Kernel starts so far.
    pub boots: u8,
    /// Daemon starts so far.
    pub starts: u8,
    /// What is durable.
    pub disk: Option<Record>,
    /// What is written and not synced, in order.
    pub writes: Vec<(OperationId, Record)>,
    /// What the daemon handed over to the guardian, and the last t0.
    pub guard: Option<(GuardedLease, Millis)>,
    /// The guardian does nothing; the watchdog is all there is.
    pub unguarded: bool,
    /// The service may write here, in this epoch. The truth, which no daemon knows.
    pub writes_as: Option<Epoch>,
    /// The script list that runs.
    pub list: Option<List>,
    /// The question to the arbiter whose answer the daemon waits for.
    pub question: Option<Question>,
    /// A request that was given up and may still take effect.
    pub stray: Option<ArbiterRequest>,
    /// It does not reach the arbiter.
    pub arbiter_cut: bool,
    /// Nothing leaves it for the other host.
    pub link_cut: bool,
}

/// A script list under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct List {
    /// For the report.
    pub operation: OperationId,
    /// It starts the service.
    pub starts: bool,
    /// What becomes of it.
    pub mood: Mood,
}

/// How a list behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mood {
    /// It ends with the step.
    Works,
    /// It never ends.
    Hangs,
    /// It ends with the step, and failed.
    Fails,
}

/// A question under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// For the report.
    pub operation: OperationId,
    /// What is asked.
    pub request: ArbiterRequest,
    /// When, on the host's clock.
    pub at: Millis,
    /// How far it is.
    pub stage: Stage,
    /// It need not go on within the step.
    pub is_late: bool,
}

/// How far a question is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// On its way there.
    Asked,
    /// The slot is written; the look for a claim above that epoch follows.
    Looks(Epoch),
    /// The answer is on its way back.
    Answered(ArbiterReply),
    /// It will never be answered: the answer was lost, or an attempt before it hangs.
    Dead,
}

impl Host {
    /// A host that was never switched on. Its clock shows some time already, so that "never" and "at zero" differ.
    #[must_use]
    pub fn new(role: Role) -> Host {
        Host {
            role,
            clock: Millis(100_000),
            node: None,
            frozen: None,
            told: false,
            powered: false,
            boots: 0,
            starts: 0,
            disk: None,
            writes: Vec::new(),
            guard: None,
            unguarded: false,
            writes_as: None,
            list: None,
            question: None,
            stray: None,
            arbiter_cut: false,
            link_cut: false,
        }
    }

    /// This kernel start.
    #[must_use]
    pub fn boot(&self) -> BootId {
        BootId(u128::from(self.boots) + if self.role == Role::Master { 100 } else { 200 })
    }

    /// This daemon start.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(u64::from(self.starts) + if self.role == Role::Master { 100 } else { 200 })
    }

    /// A daemon runs and gets processor time.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.node.is_some() && self.frozen.is_none()
    }

    /// What a daemon that starts is told of its forerunner's lease.
    #[must_use]
    pub fn held(&self) -> Option<HeldLease> {
        match self.guard? {
            (GuardedLease::Held { epoch, since }, _) => {
                Some(HeldLease { epoch, since, hold: false, spans: LEASE.spans() })
            }
            (GuardedLease::Hold { epoch }, since) => Some(HeldLease { epoch, since, hold: true, spans: LEASE.spans() }),
            (GuardedLease::Ended, _) => None,
        }
    }

    /// How old the guarded lease is, if it runs out at all.
    #[must_use]
    pub fn lease_age(&self) -> Option<Millis> {
        match self.guard? {
            (GuardedLease::Held { since, .. }, _) => Some(self.clock.since(since)),
            (GuardedLease::Hold { .. } | GuardedLease::Ended, _) => None,
        }
    }

    /// The daemon hands over what holds from now on. Only an advancing t0 counts inside an epoch.
    pub fn guards(&mut self, lease: GuardedLease) {
        let before = self.guard.map_or(Millis(0), |(_, since)| since);
        let since = match (lease, self.guard) {
            (
                GuardedLease::Held { epoch, since },
                Some((GuardedLease::Held { epoch: known, since: known_since }, _)),
            ) if epoch == known && since < known_since => {
                return;
            }
            (GuardedLease::Held { since, .. }, _) => since,
            (GuardedLease::Hold { .. } | GuardedLease::Ended, _) => before,
        };
        self.guard = Some((lease, since));
    }

    /// The daemon is gone. What it asked the arbiter may still arrive if it was late on its way.
    pub fn daemon_dies(&mut self) {
        self.node = None;
        self.frozen = None;
        self.told = false;
        self.writes.clear();
        self.list = None;
        self.gives_up();
    }

    /// The power is gone.
    pub fn power_fails(&mut self) {
        self.daemon_dies();
        self.powered = false;
        self.guard = None;
        self.unguarded = false;
        self.writes_as = None;
    }

    /// Nobody waits for the question any more.
    pub fn gives_up(&mut self) {
        let Some(question) = self.question.take() else { return };
        let underway = question.stage == Stage::Asked && (question.is_late || self.arbiter_cut);
        if underway && question.request != ArbiterRequest::Observe {
            self.stray = Some(question.request);
        }
    }
}
