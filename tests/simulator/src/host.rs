//! One simulated host: its power, its clocks, its disk, its service, and the daemon that drives the core.

use failover_shared::decision::{
    BootId, Epoch, Event, Incarnation, Millis, Node, OperationId, RequestId, Role, Verdict,
};

use super::balancer::Wish;
use super::clock::Clock;
use super::disk::Disk;
use super::guard::Guard;
use super::random::Random;
use super::service::{Mood, Service};

/// Older ones of the same demand have answers of their own, which nobody waits for.
const SENDINGS_MOST: usize = 8;

/// A demand that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The demand.
    pub request: RequestId,
    /// When that was ordered, on the own clock.
    pub sent: Millis,
    /// When it arrives.
    pub arrives: u64,
}

/// A host. What survives what: a daemon's crash leaves processes and what was written; a power cut leaves the disk.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its role.
    pub role: Role,
    /// It has power.
    pub powered: bool,
    /// This start of its kernel.
    pub boot: BootId,
    /// Its clocks, new with each boot.
    pub clock: Clock,
    /// The whole machine stands still, as a paused guest does; what is due on it waits.
    pub stands: bool,
    /// The daemon, if it runs.
    pub daemon: Option<Daemon>,
    /// The daemon gets no processor time (SIGSTOP); what reaches it waits.
    pub frozen: bool,
    /// The state file.
    pub disk: Disk,
    /// What of the service is there.
    pub service: Service,
    /// How the next start list behaves.
    pub start_mood: Mood,
    /// How the next stop list behaves.
    pub stop_mood: Mood,
    /// A start would succeed, as far as the daemon can tell.
    pub ready: bool,
    /// Digest of its configuration.
    pub digest: u64,
    /// None of its reference points answers.
    pub isolated: bool,
    /// `stop-here` ran and the daemon has not noticed yet.
    pub foreign_stop: Option<Epoch>,
    /// Somebody else started the service since the daemon looked for it last.
    pub foreign_unseen: bool,
    /// How often its daemon was started.
    pub starts: u64,
    /// The number of the next script list.
    pub next_run: u64,
    /// Its checks' last verdicts: own service, peer's service, through the balancer.
    pub verdicts: [Verdict; 3],
    /// What it wants of the balancer.
    pub wish: Wish,
    /// Its guardian and its watchdog.
    pub guard: Guard,
    /// The question to the arbiter whose answer the daemon waits for.
    pub asked: Option<OperationId>,
    /// An attempt at the arbiter is under way, perhaps one that was given up.
    pub hanging: bool,
    /// Of the demand that it sent last: the newest ones.
    pub sendings: Vec<Sending>,
    /// The balancer was read back as wanted.
    pub wish_done: bool,
}

/// The running daemon.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// The core.
    pub node: Node,
    /// This start of it.
    pub incarnation: Incarnation,
    /// What arrived and waits for the next turn.
    pub inbox: Vec<Event>,
    /// The next turn that is planned, in true time.
    pub turn_at: u64,
    /// Turns in a row that came because something was due still.
    pub spins: u32,
    /// How much the core was told that the slower clock is behind.
    pub lag_told: Millis,
    /// It was told to end.
    pub is_told_to_end: bool,
    /// The peer's daemon start whose nonce this one echoes.
    pub echoes: Option<Incarnation>,
}

impl Host {
    /// A host without power and without memory.
    #[must_use]
    pub fn new(role: Role) -> Host {
        Host {
            role,
            powered: false,
            boot: BootId(if role == Role::Master { 0x1000 } else { 0x2000 }),
            clock: Clock::boots(0, 0, 0),
            stands: false,
            daemon: None,
            frozen: false,
            disk: Disk::default(),
            service: Service::default(),
            start_mood: Mood::Works,
            stop_mood: Mood::Works,
            ready: true,
            digest: 1,
            isolated: false,
            foreign_stop: None,
            foreign_unseen: false,
            starts: 0,
            next_run: 1,
            verdicts: [Verdict::Unknown; 3],
            wish: Wish::Nothing,
            guard: Guard::default(),
            asked: None,
            hanging: false,
            sendings: Vec::new(),
            wish_done: true,
        }
    }

    /// The number of its role: 0 for the master.
    #[must_use]
    pub fn index(&self) -> usize {
        usize::from(self.role == Role::Slave)
    }

    /// A demand leaves.
    pub fn note_sending(&mut self, sending: Sending) {
        self.sendings.retain(|known| known.request == sending.request);
        if self.sendings.len() == SENDINGS_MOST {
            self.sendings.remove(0);
        }
        self.sendings.push(sending);
    }

    /// When the sending was ordered that an answer of now belongs to: the newest that the other host can know.
    #[must_use]
    pub fn sending_answered(&self, request: RequestId, now: u64) -> Millis {
        let newest = self.sendings.iter().rev().find(|sending| sending.request == request && sending.arrives <= now);
        newest.map_or(Millis(0), |sending| sending.sent)
    }

    /// Clients are served here.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.powered && !self.stands && self.service.answers()
    }

    /// A daemon that takes part: it runs and gets processor time.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.powered && !self.stands && self.daemon.is_some() && !self.frozen
    }

    /// The core, if the daemon runs.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.daemon.as_ref().map(|daemon| &daemon.node)
    }

    /// This start of the daemon, if it runs.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.daemon.as_ref().map(|daemon| daemon.incarnation)
    }

    /// The daemon ends. True: a write was under way and is now written, but not synced.
    pub fn daemon_dies(&mut self, random: &mut Random) -> bool {
        self.daemon = None;
        self.frozen = false;
        self.wish = Wish::Nothing;
        self.asked = None;
        if let Some(run) = &mut self.service.run {
            run.incarnation = None;
        }
        self.disk.daemon_dies(random)
    }

    /// The power goes; only the disk is left. True: something that was written is lost.
    pub fn power_goes(&mut self, random: &mut Random) -> bool {
        self.daemon_dies(random);
        self.powered = false;
        self.stands = false;
        self.service = Service::default();
        self.guard = Guard::default();
        self.hanging = false;
        self.foreign_stop = None;
        self.disk.power_goes(random)
    }
}

/// The role with a number.
#[must_use]
pub fn role(index: usize) -> Role {
    if index == 0 { Role::Master } else { Role::Slave }
}
