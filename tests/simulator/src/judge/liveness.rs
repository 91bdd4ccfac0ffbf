//! The laws of progress: what must come, and by when.

use failover_shared::decision::{Action, Page, PageKind, Policy, StateName};

use super::super::host::Host;
use super::safety::{Before, Told};
use super::{Judge, Law};

/// What a driver, a look and a turn may add to the core's own limits.
const SLACK_MS: u64 = 5_000;

impl Judge {
    /// V3, after each step: a demand that was taken is answered, withdrawn, or followed by another, within the limits of
    /// a stop and a write.
    pub fn v3_demands_end(&mut self, now: u64, host: &Host, told: Told, out: &[Action]) {
        let index = host.index();
        if let Told::Demand(request, ..) = told {
            // A repetition of the same demand does not move the limit.
            if self.taken[index].is_none_or(|(known, _)| known != request) {
                self.taken[index] = Some((request, now));
            }
        }
        let Some((request, since)) = self.taken[index] else { return };
        let answered = |action: &Action| matches!(action, Action::Answer { request: to, .. } if *to == request);
        if out.iter().any(answered) {
            self.taken[index] = None;
            return;
        }
        let Some(node) = host.node() else { return };
        let limit = node.policy().stop_limit_ms.0 * 2 + Policy::PERSIST_LIMIT_MS.0 + SLACK_MS;
        self.must(Law::V3, now.saturating_sub(since) <= limit, || {
            format!("the {} took demand {request} and has not answered for {} ms", host.role, now - since)
        });
    }

    /// The demand is withdrawn, or its taker stood still: no limit runs any more.
    pub fn v3_no_demand(&mut self, index: usize) {
        self.taken[index] = None;
    }

    /// V4, after each step: who comes to wait for a person has called one.
    pub fn v4_a_person_is_called(&mut self, host: &Host, before: Before, out: &[Action]) {
        let Some(node) = host.node() else { return };
        let after = node.state().name();
        let kind = match after {
            StateName::TakeoverBlocked => PageKind::Blocked,
            StateName::FailedStart => PageKind::StartFailed,
            StateName::FailedStop => PageKind::StopFailed,
            StateName::ExclusivityError => PageKind::Exclusivity,
            _ => return,
        };
        if before.name == after {
            return;
        }
        let called =
            out.iter().any(|action| matches!(action, Action::Page(Page { kind: paged, .. }) if *paged == kind));
        self.must(Law::V4, called || node.has_told(kind), || {
            format!("the {} came to {after:?} and called nobody", host.role)
        });
    }
}
