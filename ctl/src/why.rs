//! `failoverctl why`: the last decisions with rule and evidence, and what is held back now.

use failover_shared::decision::Rule;
use failover_shared::status::Status;

use crate::daemon::Daemon;
use crate::entry::{Entry, of_both};
use crate::exit::Exit;
use crate::out::{Out, Tone};

/// Far enough back to find decisions among steps and checks.
const LOOK_BACK: u32 = 2_000;

/// Flags of `why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only why nothing moves now
    #[arg(long)]
    not: bool,
    /// How many decisions, the newest
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    count: u32,
}

pub(crate) async fn run(daemon: &Daemon, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let status = daemon.status().await?;
    if !arguments.not {
        decisions(daemon, &status, arguments.count, out).await?;
    }
    withheld(&status, out)?;
    Ok(Exit::Ok)
}

async fn decisions(daemon: &Daemon, status: &Status, count: u32, out: &mut Out<'_>) -> anyhow::Result<()> {
    let (entries, missing) = of_both(daemon, status, LOOK_BACK).await?;
    let decided: Vec<&Entry> = entries.iter().filter(|entry| entry.written.kind == "decision").collect();
    let first = decided.len().saturating_sub(count as usize);
    if decided.is_empty() {
        out.line("no decision is in the journal")?;
    }
    for entry in decided.into_iter().skip(first) {
        out.line(format!("{}  {}", entry.written.utc.strftime("%F %T%.3fZ"), out.paint(Tone::Strong, &entry.host)))?;
        let sentence = entry.rule().map_or(entry.written.text.as_str(), |rule| rule.sentence());
        let name = entry.field("rule").map(|name| format!(" [{name}]")).unwrap_or_default();
        out.folded("  rule", 12, &format!("{sentence}{name}"))?;
        for evidence in entry.evidence() {
            out.folded("  evidence", 12, evidence)?;
        }
    }
    if let Some(missing) = missing {
        out.folded("?", 2, &format!("without the decisions of {}: {missing}", status.peer.host))?;
    }
    out.line("")?;
    Ok(())
}

fn withheld(status: &Status, out: &mut Out<'_>) -> std::io::Result<()> {
    out.line(out.paint(Tone::Strong, &format!("now, on {} ({:?})", status.host, status.state)))?;
    let mut held = Vec::new();
    held.extend(status.withheld.clone());
    if status.locked.is_some() && !held.iter().any(|text| text == Rule::WithheldHoldDown.sentence()) {
        held.push(format!("{} Next: failoverctl ack", Rule::WithheldHoldDown.sentence()));
    }
    if status.config.equal == Some(false) && !held.iter().any(|text| text == Rule::WithheldConfigDiffers.sentence()) {
        let keys = status.config.differing.join(", ");
        held.push(format!("{} {keys}", Rule::WithheldConfigDiffers.sentence()));
    }
    held.extend(status.not_ready.iter().map(|reason| format!("a start here would fail: {reason}")));
    if held.is_empty() {
        out.folded("  withheld", 12, "nothing: a move would be decided as soon as there is a reason for it")?;
    }
    for text in &held {
        out.folded("  withheld", 12, text)?;
    }
    out.folded("  proofs", 12, &format!("a start needs one of: {}", status.proofs.join(", ")))?;
    out.folded("  way out", 12, &status.way_out)
}

#[cfg(test)]
mod tests;
