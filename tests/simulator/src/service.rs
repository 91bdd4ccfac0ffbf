//! The service of one host and the script lists that start and stop it.

use failover_shared::decision::{Bug, Epoch, Incarnation, OperationId, planted};

/// What of the service is there.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// The main processes run, started in this epoch.
    pub running: Option<Epoch>,
    /// They run and answer nobody.
    pub hangs: bool,
    /// Processes that a script left behind.
    pub children: bool,
    /// Some process waits in the kernel: nothing but a reset ends it.
    pub stuck: bool,
    /// The store is mounted.
    pub mounted: bool,
    /// Neither the daemon nor its scripts started it.
    pub foreign: bool,
    /// The list that runs.
    pub run: Option<Run>,
}

/// A script list that runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// Tells its steps' ends from those of earlier lists.
    pub id: u64,
    /// Start or stop.
    pub starts: bool,
    /// For the report.
    pub operation: OperationId,
    /// The daemon that gets the report; `None`: an orphan, of which only the step that runs comes to its end.
    pub incarnation: Option<Incarnation>,
    /// The epoch that begins or ends.
    pub epoch: Epoch,
    /// How it behaves.
    pub mood: Mood,
    /// The step at which its mood shows.
    pub bad_step: u32,
    /// The step that runs, from 0.
    pub step: u32,
    /// What went wrong, so far.
    pub trouble: Option<(u32, &'static str)>,
}

/// How the next list of a kind behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Works,
    /// A step exits 1; it may have acted or not.
    Fails,
    /// A step never ends.
    Hangs,
    /// Every step exits 0, and nothing was done.
    Lies,
    /// It works, and leaves a process behind.
    LeavesChild,
    /// A process ends in the kernel's hands: the ladder cannot end it.
    Stubborn,
}

/// The steps of either list: the store, and the service itself.
pub const STEPS: u32 = 2;

impl Service {
    /// Something that can write the store is there, or a start list that may yet bring it up.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.is_there() || self.run.as_ref().is_some_and(|run| run.starts)
    }

    /// What a look finds.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.running.is_some() || self.children || self.stuck || self.mounted
    }

    /// The processes answer their clients.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.running.is_some() && !self.hangs
    }

    /// TERM, KILL, `cgroup.kill`, unmount. What waits in the kernel stays, and keeps the store mounted.
    pub fn kill(&mut self) {
        self.running = None;
        self.hangs = false;
        self.children &= planted(Bug::KillsPidOnly);
        self.mounted &= self.stuck || planted(Bug::AcksBeforeUnmount);
        self.foreign = false;
    }

    /// What a step of a list does, if it does it.
    pub fn act(&mut self, starts: bool, step: u32, epoch: Epoch) {
        match (starts, step) {
            (true, 0) => self.mounted = true,
            (true, _) => {
                self.running = Some(epoch);
                self.hangs = false;
            }
            (false, 0) => {
                self.running = None;
                self.hangs = false;
            }
            // A process that is left keeps the store busy.
            (false, _) => self.mounted = self.children || self.stuck || self.running.is_some(),
        }
    }
}
