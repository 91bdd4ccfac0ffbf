//! What the allowed proofs guarantee, in words for every status.

use super::arbiter::Guard;
use super::model::{Config, Proof};

impl Config {
    /// Whether two actives are excluded, and on what that rests. The table is that of `docs/verification.md`.
    #[must_use]
    pub fn guarantee(&self) -> String {
        if self.proof_of_stop.contains(&Proof::Timeout) {
            return "none against two actives: silence past shutdown_timeout is taken for a stop".to_string();
        }
        let mut conditions = Vec::new();
        for proof in &self.proof_of_stop {
            match proof {
                Proof::Ack | Proof::Timeout => {}
                Proof::Operator => conditions.push("the person who confirms a stop is right".to_string()),
                Proof::Fence => conditions.push("the fence device tells the truth".to_string()),
                Proof::Lease => conditions.extend(self.lease_conditions()),
            }
        }
        if conditions.is_empty() {
            return "never two actives: only a verified acknowledgement is followed by a start".to_string();
        }
        format!("never two actives, as long as {}", conditions.join(", "))
    }

    /// The risks that the file accepts in so many words: they stand in every status.
    #[must_use]
    pub fn accepted_risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        if self.proof_of_stop.contains(&Proof::Timeout) {
            risks.push(
                "Timeout is an allowed proof: after a silence both hosts may run the service at once".to_string(),
            );
        }
        if self.arbiter.as_ref().is_some_and(|arbiter| arbiter.guard == Guard::GuardianOnly) {
            risks.push(
                "GuardianOnly: a host that stands still as a whole and goes on later may run the service beside the other"
                    .to_string(),
            );
        }
        risks
    }

    fn lease_conditions(&self) -> Vec<String> {
        let Some(arbiter) = &self.arbiter else { return Vec::new() };
        let drift = arbiter.times.drift_permille;
        let clocks = format!("each clock's rate is right within {}.{} %", drift / 10, drift % 10);
        let guard = match arbiter.guard {
            Guard::Watchdog { .. } => "the watchdog resets its host in time",
            Guard::GuardianOnly => "no host stands still as a whole",
        };
        vec![clocks, guard.to_string()]
    }
}
