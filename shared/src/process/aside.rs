//! A question to the kernel that may never be answered, asked in a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// So many questions may hang at once. A dead NFS server makes each look at its mount hang for good; without a bound
/// every new look would leave one more thread behind.
const HANGING_MAX: usize = 32;

static HANGING: AtomicUsize = AtomicUsize::new(0);

/// Runs `question` in a thread of its own and waits at most `limit` for the answer. `None`: no answer in time, or no
/// thread to ask in. The thread is not tokio's: one that hangs would hold up the end of the runtime.
pub async fn aside<T: Send + 'static>(limit: Duration, question: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if HANGING.fetch_add(1, Ordering::AcqRel) >= HANGING_MAX {
        HANGING.fetch_sub(1, Ordering::AcqRel);
        return None;
    }
    // Moved into the thread: counts down when the answer is there, when the question panics, when no thread starts.
    let place = Place;
    let (answer, answered) = oneshot::channel();
    thread::Builder::new()
        .name("aside".to_owned())
        .stack_size(256 * 1024)
        .spawn(move || {
            let _place = place;
            let _ = answer.send(question());
        })
        .ok()?;
    tokio::time::timeout(limit, answered).await.ok()?.ok()
}

struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        HANGING.fetch_sub(1, Ordering::AcqRel);
    }
}
