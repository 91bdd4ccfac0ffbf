//! The orderly end of the daemon. The service runs on, so its lease must not run out behind the daemon's back.
//!
//! Without a daemon nobody renews. So the arbiter is told first to hold the lease without a time limit, as for maintenance,
//! and then daemon and guardian may go: the peer starts nothing on a lease that has no end, and the next daemon has the
//! guardian guard it again before the limit counts again. The price is the one that maintenance has: until then a silent
//! host is followed by another proof only. An arbiter that cannot be told keeps the daemon, up to T.

use alloc::vec::Vec;

use super::action::Action;
use super::node::Node;
use super::rule::Rule;
use super::state::State;
use super::types::Millis;

impl Node {
    /// The daemon was told to end.
    pub(super) fn daemon_ends(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.ending {
            return;
        }
        self.ending = true;
        if self.keeping.is_none() {
            return;
        }
        if matches!(self.state, State::Claimed { .. }) {
            // Nothing was started yet, and the peer need not wait for it.
            return self.claim_lost(now, "the daemon is told to end", out);
        }
        self.note(now, Rule::DaemonEnds, "", out);
        self.arbitration.next_at = now;
    }

    /// Whether the daemon may end now: nothing runs out behind its back.
    #[must_use]
    pub fn may_end(&self) -> bool {
        let Some(keeping) = &self.keeping else {
            // A stop that is being written down is about to be acknowledged.
            return self.policy.lease.is_none() || !matches!(self.state, State::Stopped { writing: Some(_), .. });
        };
        match &self.state {
            // It ends by itself, or at its limit; then there is no lease any more.
            State::Stopping { .. } => false,
            _ if self.wants_hold() => keeping.hold && keeping.guarding_again.is_none(),
            // What could not be stopped is the guardian's to end.
            _ => true,
        }
    }

    /// The arbiter is to hold the own lease without a time limit.
    pub(super) fn wants_hold(&self) -> bool {
        let lasts = match &self.state {
            State::Starting { .. } | State::Active { .. } => true,
            State::FailedStop { .. } => self.policy.hold_failed_stop,
            _ => false,
        };
        self.in_maintenance() || (self.ending && lasts)
    }
}
