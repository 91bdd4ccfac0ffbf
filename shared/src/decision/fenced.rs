//! A peer that was fenced, until it is let back: only in a kernel start that began after the fence, because until then it
//! may hold unwritten pages of the old service.
//!
//! Which kernel start was fenced is not known: the peer may have booted unheard just before. And a beat may have been on
//! its way for any time, so that a start which is new here may be old. So the peer is told how long ago it was fenced, and
//! answers itself: it knows how long its kernel has been up, and a notice that comes late makes the fence only look
//! younger than it is.
//!
//! ```text
//! fencing host   fenced ──────── now: "fence F, ago A" ─────────────► hears "F: booted since": lets the peer back
//!                                                     ╲             ╱
//! fenced host               boots ──── up U ──────────── U < A: "F: booted since"
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::{Action, PageKind};
use super::node::Node;
use super::peer::Beat;
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::rule::Rule;
use super::types::{BootId, Incarnation, Millis, OperationId};

/// How far a clock's rate is off true time at most, in thousandths, where no lease is configured that says it (ρ).
const DRIFT_PERMILLE: u32 = 10;

/// One fence of the pair's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FenceId {
    /// The daemon start that had it done.
    pub by: Incarnation,
    /// Its operation.
    pub operation: OperationId,
}

/// The durable note that the peer was fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fenced {
    /// Which fence.
    pub id: FenceId,
    /// The own kernel start in whose time `at` is.
    pub boot: BootId,
    /// When the device's answer was read; while there is none, when it is given up.
    pub at: Millis,
}

/// What a beat tells a peer that was fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FenceNotice {
    /// Which fence.
    pub id: FenceId,
    /// At least so long ago.
    pub ago_ms: Millis,
}

/// What the peer says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FenceAnswer {
    /// Of which fence it speaks.
    pub id: FenceId,
    /// Its kernel started after that fence.
    pub booted_since: bool,
}

impl Fenced {
    /// At least so long ago, on a host in this kernel start whose clocks have come apart by `lag` so far.
    #[must_use]
    pub fn ago(&self, now: Millis, boot: BootId, lag: Millis) -> Millis {
        // In an earlier kernel start: before this one began, which is where `now` counts from.
        let at = if self.boot == boot { self.at } else { Millis(0) };
        now.since(at).since(lag)
    }
}

impl Node {
    pub(super) fn fence_notice(&self, now: Millis) -> Option<FenceNotice> {
        let fenced = self.record.fenced.as_ref()?;
        Some(FenceNotice { id: fenced.id, ago_ms: fenced.ago(now, self.record.boot, self.clock_lag) })
    }

    /// The peer was fenced by `operation`, at `at` on this host's clock: the beats tell it so until it has answered.
    pub(super) fn fenced_until(&mut self, at: Millis, operation: OperationId) {
        let id = FenceId { by: self.incarnation, operation };
        self.record.fenced = Some(Fenced { id, boot: self.record.boot, at });
    }

    /// Takes both parts: the notice that this host was fenced, and the fenced peer's answer.
    pub(super) fn hear_fence(&mut self, now: Millis, beat: &Beat, out: &mut Vec<Action>) {
        let known = self.fence_answer.filter(|answer| answer.booted_since);
        self.fence_answer = beat.fence.map(|notice| match known {
            // Said once, it stays true; the drift that is allowed for would eat it up in time.
            Some(answer) if answer.id == notice.id => answer,
            _ => FenceAnswer { id: notice.id, booted_since: self.booted_since(notice, now) },
        });
        let Some(fenced) = self.record.fenced else { return };
        if planted(Bug::UnfencedAtOnce) {
            return self.let_back(now, out);
        }
        match beat.fence_answer.filter(|answer| answer.id == fenced.id) {
            Some(FenceAnswer { booted_since: true, .. }) => self.let_back(now, out),
            Some(FenceAnswer { booted_since: false, .. }) => self.fenced_still_runs(now, out),
            None => {}
        }
    }

    /// `now` is this kernel start's age. The fence is older, however the two hosts' clocks go within their drift.
    fn booted_since(&self, notice: FenceNotice, now: Millis) -> bool {
        let drift = self.policy.lease.map_or(DRIFT_PERMILLE, |times| times.drift_permille);
        now.on_another_clock(drift) < notice.ago_ms
    }

    /// It stays on record until the devices have said that they did it, so that what fails is tried again.
    fn let_back(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.fencing.is_busy() || now < self.fencing.back_not_before {
            return;
        }
        let operation = self.operation();
        self.fencing.letting_back = Some((operation, now));
        out.push(Action::Unfence { operation });
    }

    pub(super) fn unfence_done(
        &mut self,
        now: Millis,
        operation: OperationId,
        result: Result<(), String>,
        out: &mut Vec<Action>,
    ) {
        if self.fencing.letting_back.take_if(|(expected, _)| *expected == operation).is_none() {
            return;
        }
        let Err(why) = result else {
            self.record.fenced = None;
            self.told.remove(&PageKind::Fence);
            self.note(now, Rule::Unfenced, "", out);
            self.persist(self.record.phase.clone(), out);
            return;
        };
        self.fencing.back_not_before = now.after(Policy::FENCE_RETRY_MS);
        self.note(now, Rule::UnfenceFailed, &why, out);
        let peer = self.policy.role.peer();
        self.page(
            PageKind::Fence,
            format!("The {peer} was fenced, has booted anew, and could not be let back: {why}"),
            "It may be cut off from its store or its network still; it is tried again every half minute.",
            format!(
                "failoverctl fence status {peer}; mend the device, or: failoverctl fence on {peer} --restarted --reason …"
            ),
            out,
        );
    }

    fn fenced_still_runs(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.told.contains(&PageKind::Fence) {
            return;
        }
        self.note(now, Rule::FencedStillRuns, "", out);
        let peer = self.policy.role.peer();
        self.page(
            PageKind::Fence,
            format!("The {peer} was fenced, and is heard without having booted anew since."),
            "A power fence did not work; or, with another kind of fence, the host is still to be restarted.",
            format!("Restart the {peer}; then, if it is not let back by itself: failoverctl fence on {peer} --restarted --reason …"),
            out,
        );
    }
}
