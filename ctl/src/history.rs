//! `failoverctl history`: what happened on both hosts, in one line of time.

use failover_shared::decision::Millis;
use jiff::{SignedDuration, Timestamp};

use crate::daemon::Daemon;
use crate::entry::{Entry, of_both};
use crate::exit::Exit;
use crate::out::{Out, Tone, pad};

/// Where the text begins behind time, difference, host and kind.
const TEXT_AT: usize = 24 + 2 + 11 + 9 + 9;

/// Flags of `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only what is younger: a span ("90s", "2h") or a point in time ("2026-11-21T06:45:00Z")
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// At most so many entries, the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    Span(SignedDuration),
    Point(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(point) = text.parse() {
        return Ok(Since::Point(point));
    }
    text.parse().map(Since::Span).map_err(|_| "write a span (90s, 2h) or a time (2026-11-21T06:45:00Z)".to_string())
}

pub(crate) async fn run(daemon: &Daemon, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let status = daemon.status().await?;
    let (mut entries, missing) = of_both(daemon, &status, arguments.count).await?;
    let oldest = match arguments.since {
        Some(Since::Point(point)) => Some(point),
        Some(Since::Span(span)) => Timestamp::now().checked_sub(span).ok(),
        None => None,
    };
    if let Some(oldest) = oldest {
        entries.retain(|entry| entry.written.utc >= oldest);
    }
    if arguments.json {
        for entry in &entries {
            out.line(serde_json::to_string(entry)?)?;
        }
        return Ok(if missing.is_some() { Exit::Warning } else { Exit::Ok });
    }
    let mut before = None;
    for entry in &entries {
        show(entry, before, out)?;
        before = Some(entry);
    }
    if let Some(missing) = missing {
        let note = format!("without the entries of {}: {missing}", status.peer.host);
        out.folded(&out.paint(Tone::Warning, "?"), 2, &note)?;
        return Ok(Exit::Warning);
    }
    Ok(Exit::Ok)
}

/// One entry; `before` is the one above it, for the difference.
pub(crate) fn show(entry: &Entry, before: Option<&Entry>, out: &mut Out<'_>) -> std::io::Result<()> {
    let delta = before.map_or(String::new(), |before| difference(before, entry));
    let head = format!(
        "{}  {}{}{}",
        entry.written.utc.strftime("%F %T%.3fZ"),
        pad(&delta, 11),
        pad(&entry.host, 9.max(entry.host.chars().count() + 1)),
        pad(&out.paint(tone(&entry.written.kind), &entry.written.kind), 9)
    );
    out.folded(&head, TEXT_AT, &entry.line())?;
    for row in entry.complaint().into_iter().flatten() {
        out.folded("", TEXT_AT, &format!("| {row}"))?;
    }
    Ok(())
}

/// Of one host by its own clock, which never jumps; between hosts by their wall clocks, for want of better.
fn difference(before: &Entry, entry: &Entry) -> String {
    if before.host == entry.host && before.written.uptime_ms <= entry.written.uptime_ms {
        return format!("+{}", Millis(entry.written.uptime_ms - before.written.uptime_ms));
    }
    let span = entry.written.utc.as_millisecond() - before.written.utc.as_millisecond();
    let sign = if span < 0 { '-' } else { '+' };
    format!("{sign}{}", Millis(span.unsigned_abs()))
}

fn tone(kind: &str) -> Tone {
    match kind {
        "state" | "decision" | "command" => Tone::Strong,
        "page" => Tone::Bad,
        _ => Tone::Faint,
    }
}

#[cfg(test)]
mod tests;
