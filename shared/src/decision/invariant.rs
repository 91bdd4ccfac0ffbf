//! What must hold after every step, in release builds too. A breach ends a start in progress; while active it freezes
//! decisions and calls a person, because a wrong assertion must not become an outage.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Action, PageKind};
use super::node::Node;
use super::record::StopCause;
use super::rule::Rule;
use super::state::{State, StateName};
use super::types::{Epoch, Millis};

/// What is remembered from before a step, to judge it.
pub(super) struct Mark {
    name: StateName,
    highest: Epoch,
    owned: Epoch,
}

impl Node {
    pub(super) fn mark(&self) -> Mark {
        Mark { name: self.state.name(), highest: self.record.highest, owned: self.record.owned }
    }

    pub(super) fn check_invariants(&mut self, now: Millis, before: &Mark, out: &mut Vec<Action>) {
        let Some(breach) = self.breach(before) else { return };
        if self.frozen {
            return;
        }
        self.frozen = true;
        self.note(now, Rule::InvariantBroken, &breach, out);
        self.page(
            PageKind::Invariant,
            format!("The program caught itself in a wrong belief: {breach}"),
            "A start in progress is ended; a running service goes on, but nothing is decided any more.",
            "Send the history (failoverctl history --json) to the authors; then: failoverctl ack",
            out,
        );
        if let State::Starting { epoch, .. } = self.state {
            self.stop_service(now, epoch, StopCause::Invariant, None, out);
        }
    }

    /// The first thing that does not hold.
    fn breach(&self, before: &Mark) -> Option<String> {
        let (name, record) = (self.state.name(), &self.record);
        if record.highest < before.highest || record.owned < before.owned {
            return Some(format!("an epoch went down: {} after {}", record.highest, before.highest));
        }
        if record.owned > record.highest {
            return Some(format!("epoch {} is owned but {} is the highest known", record.owned, record.highest));
        }
        if name != before.name && !reachable(before.name, name) {
            return Some(format!("{name:?} cannot follow {:?}", before.name));
        }
        match &self.state {
            State::Claimed { epoch, step, .. } if !step.is_owned() => {
                if *epoch > record.highest {
                    return Some(format!(
                        "epoch {epoch} is to be claimed, but {} is the highest known",
                        record.highest
                    ));
                }
            }
            State::Claimed { epoch, .. }
            | State::Starting { epoch, .. }
            | State::Active { epoch }
            | State::Stopping { epoch, .. } => {
                if *epoch != record.owned {
                    return Some(format!("{name:?} in epoch {epoch}, but {} is the one owned", record.owned));
                }
                let covered = self.keeping.as_ref().is_some_and(|keeping| keeping.epoch == *epoch);
                let needed = matches!(self.state, State::Starting { .. } | State::Active { .. })
                    && self.policy.lease.is_some()
                    && *epoch <= record.arbiter;
                if needed && !covered {
                    return Some(format!("{name:?} in epoch {epoch} without its lease"));
                }
                if self.answering.is_some() && !matches!(self.state, State::Stopping { .. }) {
                    return Some(format!("{name:?} while acknowledging that nothing runs"));
                }
            }
            State::Passive { .. }
            | State::Standby
            | State::Suspect { .. }
            | State::Requesting { .. }
            | State::Proving { .. }
            | State::TakeoverBlocked { .. }
            | State::Stopped { .. }
            | State::FailedStart { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => {}
        }
        None
    }
}

/// One event may cause two transitions in a row (heard again, then a demand); never more.
fn reachable(from: StateName, to: StateName) -> bool {
    let next = from.successors();
    next.contains(&to) || next.iter().any(|between| between.successors().contains(&to))
}
