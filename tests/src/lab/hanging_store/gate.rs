//! What stands between a mount and the server: the fault, and who waits behind it.

use std::sync::{Condvar, Mutex, PoisonError};

use fuser::Errno;

use super::lock;

/// What happens to the requests of one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They wait, and are carried out when it is over: late.
    Hang,
    /// They are carried out at once, and the answer waits.
    LoseAnswers,
    /// They fail with this error of errno(3): EIO of a dead server, ESTALE of a replaced one.
    Fail(i32),
    /// The server writes nothing: EROFS.
    ReadOnly,
    /// What needs space fails with ENOSPC. Empty files are made, and overwriting in place goes on.
    Full,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Write,
    /// To write, and space on the disk.
    Space,
}

/// The gate of one mount.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    closed: bool,
    waiting: u32,
}

impl Gate {
    pub(super) fn set(&self, fault: Option<Fault>) {
        lock(&self.state).fault = fault;
        self.changed.notify_all();
    }

    /// For good: who waits goes, with an error.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    pub(super) fn holds_a_request(&self) -> bool {
        lock(&self.state).waiting > 0
    }

    /// Before a request is carried out.
    pub(super) fn enter(&self, need: Need) -> Result<(), Errno> {
        match self.pass(Fault::Hang)? {
            Some(Fault::Fail(error)) => Err(Errno::from_i32(error)),
            Some(Fault::ReadOnly) if need != Need::Read => Err(Errno::EROFS),
            Some(Fault::Full) if need == Need::Space => Err(Errno::ENOSPC),
            _ => Ok(()),
        }
    }

    /// Before it is answered.
    pub(super) fn leave(&self) -> Result<(), Errno> {
        self.pass(Fault::LoseAnswers).map(drop)
    }

    /// Waits as long as the fault is this one. The fault that there is then.
    fn pass(&self, fault: Fault) -> Result<Option<Fault>, Errno> {
        let mut state = lock(&self.state);
        state.waiting += 1;
        while state.fault == Some(fault) && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        if state.closed { Err(Errno::EIO) } else { Ok(state.fault) }
    }
}
