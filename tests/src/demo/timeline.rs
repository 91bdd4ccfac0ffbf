//! The time line: every line with the milliseconds since the demo began.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::wait::wait_for;

/// Prints as it happens, counts the steps that were seen, and knows whether the demo was called off.
#[derive(Clone)]
pub struct Timeline {
    begin_ms: u64,
    colour: bool,
    seen: Arc<AtomicUsize>,
    called_off: Arc<AtomicBool>,
}

impl Timeline {
    /// Begins now.
    #[must_use]
    pub fn begin(called_off: Arc<AtomicBool>) -> Timeline {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Timeline { begin_ms: now_ms(), colour, seen: Arc::default(), called_off }
    }

    /// A line of now.
    pub fn say(&self, who: &str, text: impl Display) {
        self.at(now_ms(), who, text);
    }

    /// A line of another time, in milliseconds since 1970.
    pub fn at(&self, time_ms: u64, who: &str, text: impl Display) {
        let since = time_ms.saturating_sub(self.begin_ms);
        self.print(&format!("[{:>3}.{:03} s] {who:<9} {text}", since / 1_000, since % 1_000));
    }

    /// Text without a time.
    pub fn print(&self, text: &str) {
        // An audience that has left is no reason to leave things behind: the demo goes on to its end.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// The heading of an act.
    pub fn heading(&self, text: &str) {
        self.print(&if self.colour { format!("\n\x1b[1m{text}\x1b[0m") } else { format!("\n{text}") });
    }

    /// A step of the demo was seen.
    pub fn seen(&self, text: impl Display) {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let mark = if self.colour { "\x1b[32mseen\x1b[0m" } else { "seen" };
        self.say("demo", format!("{mark} {number}: {text}"));
    }

    /// How many steps were seen.
    #[must_use]
    pub fn steps_seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// Waits for something, unless the demo is called off.
    ///
    /// # Errors
    /// When it does not come about within `limit`, or the demo is called off.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let outcome = wait_for(what, limit, || {
            if self.is_called_off() {
                return Ok(Some(None));
            }
            Ok(look()?.map(Some))
        })?;
        match outcome {
            Some(value) => Ok(value),
            None => bail!("called off while waiting for: {what}"),
        }
    }

    /// Whether it was.
    #[must_use]
    pub fn is_called_off(&self) -> bool {
        self.called_off.load(Ordering::Relaxed)
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
