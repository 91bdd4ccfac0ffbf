//! How bad it is, in the four steps of monitoring plug-ins.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::decision::{Duty, Verdict};

/// How bad it is, as monitoring plug-ins count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// All is well.
    Ok = 0,
    /// The service runs, but something is not as it should be.
    Degraded = 1,
    /// The service does not run, may run twice, or waits for a person.
    Critical = 2,
    /// It cannot be told.
    Unknown = 3,
}

impl Status {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let peer_active = !self.peer.silent && self.peer.duty == Some(Duty::Active);
        let service_there = match (self.duty, peer_active) {
            (Duty::Active, true) => return Severity::Critical,
            (Duty::Active, false) => self.service,
            (_, true) => self.peer.service.unwrap_or_default(),
            (_, false) => {
                let moving = matches!(self.duty, Duty::Requesting | Duty::Starting | Duty::Stopping);
                return if moving || self.peer.heard_age_ms.is_some() { Severity::Critical } else { Severity::Unknown };
            }
        };
        let held = self.duty == Duty::Held || self.frozen;
        if matches!(service_there, Verdict::Failed(_)) || held || self.guardian.is_missing() {
            return Severity::Critical;
        }
        let standby_ready = match self.duty {
            Duty::Active => self.peer.ready == Some(true) && !self.peer.silent,
            _ => self.not_ready.is_empty() && self.readiness_age_ms.is_some(),
        };
        let spotless = standby_ready
            && service_there == Verdict::Passed
            && self.withheld.is_none()
            && self.locked.is_none()
            && self.maintenance.is_none()
            && self.peer.maintenance != Some(true)
            && !self.isolated
            && self.balancer.diverged.is_none()
            && self.config.equal != Some(false)
            && self.config.refused.is_none()
            && self.troubles.is_empty()
            && self.is_safe();
        if spotless { Severity::Ok } else { Severity::Degraded }
    }

    /// What makes silence safe to act on is all there.
    fn is_safe(&self) -> bool {
        let arbiter = self.arbiter.as_ref().and_then(|arbiter| arbiter.failing.as_ref());
        // One failed attempt is no news: the next one follows before anything is at stake.
        arbiter.is_none_or(|failing| !failing.unusable)
            && self.guardian.trouble.is_none()
            && self.fenced.is_none()
            && !self.clocks_beyond_drift
            && self.fence.iter().all(|device| !device.is_bad())
    }
}
