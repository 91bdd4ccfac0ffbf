//! The daemon's log: to standard error, where systemd or the start script takes it from.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts to log. `FAILOVER_LOG` is `error`, `warn`, `info` (the default), `debug` or `trace`.
///
/// Levels are promises: error is broken now, warn wants a look, info is a change of state.
pub fn start(json: bool) {
    // An empty text would parse as `error`.
    let wanted = std::env::var("FAILOVER_LOG").ok().filter(|text| !text.is_empty());
    let level = wanted.and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO);
    let registry = tracing_subscriber::registry().with(level);
    let started = if json {
        registry.with(fmt::layer().json().with_writer(io::stderr)).try_init()
    } else {
        registry
            .with(fmt::layer().with_ansi(io::stderr().is_terminal()).with_target(false).with_writer(io::stderr))
            .try_init()
    };
    if started.is_err() {
        tracing::debug!("somebody else logs already");
    }
}

/// An error with all its causes, outermost first, for people.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}
