//! The core's timers. Each has a name and a sentence; `deadline` is the earliest of those that run.

use serde::{Deserialize, Serialize};

/// A timer of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Timer {
    /// A durable write that has not been reported by then has failed.
    PersistLimit,
    /// A start that has not been reported by then has failed.
    StartLimit,
    /// A stop that has not been reported by then is not verified.
    StopLimit,
    /// The lease was not renewed by then: the service stops (T).
    LeaseStop,
    /// A question to the arbiter that has not been answered by then has failed.
    ArbiterLimit,
    /// The next question to the arbiter: a renewal, or a look.
    ArbiterNext,
    /// A guardian that has not confirmed by then does not guard.
    GuardLimit,
    /// A claim that is not complete by then is given up.
    ClaimLimit,
    /// The peer's lease is over by then, if its slot does not change.
    LeaseWait,
    /// The silent peer is fenced, or fenced again.
    FenceNext,
    /// A fence, or its end, that has not been reported by then has failed.
    FenceLimit,
    /// The peer's silence becomes suspicion.
    SuspectAfter,
    /// A booted host that has not heard its peer by then pages.
    BootWait,
    /// Both hosts have been idle long enough for one to start by itself.
    Settle,
    /// A demand that nobody took is sent again.
    DemandRetry,
    /// A commanded move whose first phase nobody answers goes on to the second.
    PrepareLimit,
    /// The second way is tried.
    RcmdAfter,
    /// A demand that is not acknowledged by then has timed out.
    ShutdownTimeout,
    /// The witnesses are asked again, or their time is over.
    Witness,
    /// A host that was refused may demand again.
    RefusedPause,
    /// The peer is asked again to take the service back.
    RollBack,
    /// A stopped host says that the peer has not started.
    StoppedWait,
    /// Maintenance ends by itself.
    MaintenanceEnd,
    /// A person is reminded of the maintenance.
    MaintenanceNag,
    /// The loop has been punctual long enough.
    TiltEnd,
    /// Both hosts have been well long enough to end the hold-down.
    HoldDownEnd,
}

impl Timer {
    /// Safety timers fire before any input of a turn; the others only after every ready socket was read.
    #[must_use]
    pub const fn is_safety(self) -> bool {
        match self {
            Timer::PersistLimit
            | Timer::StartLimit
            | Timer::StopLimit
            | Timer::LeaseStop
            | Timer::ArbiterLimit
            | Timer::ArbiterNext
            | Timer::GuardLimit => true,
            Timer::ClaimLimit
            | Timer::LeaseWait
            | Timer::FenceNext
            | Timer::FenceLimit
            | Timer::SuspectAfter
            | Timer::BootWait
            | Timer::Settle
            | Timer::DemandRetry
            | Timer::PrepareLimit
            | Timer::RcmdAfter
            | Timer::ShutdownTimeout
            | Timer::Witness
            | Timer::RefusedPause
            | Timer::RollBack
            | Timer::StoppedWait
            | Timer::MaintenanceEnd
            | Timer::MaintenanceNag
            | Timer::TiltEnd
            | Timer::HoldDownEnd => false,
        }
    }
}
