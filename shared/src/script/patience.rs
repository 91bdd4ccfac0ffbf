//! How long a list waits for its journal.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::list::Direction;

/// How long a stop waits for a journal that hangs, once in the whole list, and any list for a step's end to be in it. A
/// hanging disk must not keep the service alive.
pub(super) const STOP_WAITS_FOR_JOURNAL: Duration = Duration::from_secs(2);
/// How long a start waits for it. A start without a journal is not begun.
const START_WAITS_FOR_JOURNAL: Duration = Duration::from_secs(30);

/// Used up by the first answer that does not come; shared by the steps of a list.
pub(super) struct Patience {
    at_first: Duration,
    used_up: AtomicBool,
}

impl Patience {
    pub(super) fn of(direction: Direction) -> Patience {
        let at_first = match direction {
            Direction::Start | Direction::Restart => START_WAITS_FOR_JOURNAL,
            Direction::Stop => STOP_WAITS_FOR_JOURNAL,
        };
        Patience { at_first, used_up: AtomicBool::new(false) }
    }

    /// Whether a step's beginning got into the journal.
    pub(super) async fn for_beginning(&self, asked: impl Future<Output = bool>) -> bool {
        self.within(self.at_first, asked).await
    }

    /// Whether its end did.
    pub(super) async fn for_end(&self, asked: impl Future<Output = bool>) -> bool {
        self.within(STOP_WAITS_FOR_JOURNAL, asked).await
    }

    async fn within(&self, span: Duration, asked: impl Future<Output = bool>) -> bool {
        let span = if self.used_up.load(Ordering::Relaxed) { Duration::ZERO } else { span };
        timeout(span, asked).await.unwrap_or_else(|_| {
            self.used_up.store(true, Ordering::Relaxed);
            false
        })
    }
}
