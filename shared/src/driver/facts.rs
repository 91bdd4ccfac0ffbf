//! What the loop notes for whoever asks for the status.

use std::collections::BTreeMap;

use crate::decision::Millis;
use crate::status::StepStatus;

/// What the loop has seen that the core has no use for, but an operator has.
#[derive(Debug)]
pub(super) struct Facts {
    /// When this daemon began.
    pub(super) began: Millis,
    /// When the arbiter answered last.
    pub(super) arbiter_answered: Option<Millis>,
    /// When each path was heard last.
    pub(super) paths: BTreeMap<usize, Millis>,
    /// When readiness was looked at last.
    pub(super) readiness: Option<Millis>,
    /// The step that runs.
    pub(super) step: Option<(Millis, StepStatus)>,
    /// The last reason noted.
    pub(super) last_reason: Option<String>,
    /// The peer's digests of single configuration keys.
    pub(super) peer_keys: Option<BTreeMap<String, u64>>,
}

impl Facts {
    /// Nothing is known yet.
    pub(super) fn new(began: Millis) -> Facts {
        Facts {
            began,
            arbiter_answered: None,
            paths: BTreeMap::new(),
            readiness: None,
            step: None,
            last_reason: None,
            peer_keys: None,
        }
    }
}
