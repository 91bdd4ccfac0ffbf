//! What the stand-by copies from the active host, because it is not on the shared store.

use std::time::Duration;

use serde::Serialize;

use super::model::Step;

/// A command that brings over what is not on the shared store: users' settings, for one. CPMS did that each hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandbyCopy {
    /// Its name in status, journal and messages. Unique.
    pub name: String,
    /// What is run on the stand-by. Good if it exits 0.
    pub command: Step,
    /// Between the starts of two runs.
    pub every: Duration,
    /// What is older is old.
    pub max_age: Duration,
    /// What an old copy means for a take-over.
    pub when_old: WhenOld,
}

/// What an old copy means for a take-over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum WhenOld {
    /// Nothing but a line in status and journal, and a page: what CPMS did.
    #[default]
    Allowed,
    /// This host does not start the service.
    Blocked,
    /// It does not do so by itself; a person may command it in spite of that.
    Asks,
}

/// How old a copy can become while all of them succeed: its data is that of the beginning of its last run. They run one
/// at a time, so each may have to wait for every other.
#[must_use]
pub fn oldest_in_use(copies: &[StandbyCopy], copy: &StandbyCopy) -> Duration {
    let runs = copies.iter().map(|copy| copy.command.timeout);
    runs.fold(copy.every, Duration::saturating_add)
}
