//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Between two looks at the condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks `look` again and again until it gives a value.
///
/// # Errors
/// When `limit` is over, with `what` and the newest error of `look`, if there was one.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        let error = match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if begin.elapsed() >= limit {
            let told = format!("waited {limit:?} in vain for: {what}");
            return Err(match error {
                Some(error) => error.context(told),
                None => anyhow!(told),
            });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// [`wait_for`] for a plain yes or no.
///
/// # Errors
/// When `limit` is over.
pub fn wait_until(what: &str, limit: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, limit, || Ok(look()?.then_some(())))
}
