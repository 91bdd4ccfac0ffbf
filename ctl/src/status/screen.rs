//! The status screen. Every value stands beside its age; what is old or unknown is marked `?` and never shown as fact.

use std::io::Result;

use failover_shared::decision::{Duty, Millis, Role, Symptom, Verdict};
use failover_shared::status::{BalancerStatus, CheckStatus, Severity, Status};

use super::headline::{Remark, headline, remarks};
use super::safety;
use crate::out::{Out, Tone, harmless, pad, to_second};
use crate::views::Views;

/// A value older than this is marked, whatever it says; a check has a limit of its own, by how often it is asked.
const STALE_AFTER_MS: u64 = 60_000;
/// Where the text behind a label begins.
const TEXT_AT: usize = 15;

pub(super) fn clear(out: &mut Out<'_>) -> Result<()> {
    // ECMA-48: cursor home, erase to the end of the screen. A file gets the screens one below the other.
    let code = if out.is_terminal() { "\u{1b}[H\u{1b}[J" } else { "" };
    out.part(code)
}

pub(super) fn draw(views: &Views, out: &mut Out<'_>) -> Result<()> {
    let here = &views.here;
    let seen = format!(
        "pair {}, seen from {} ({}) at {}, version {}",
        here.pair,
        here.host,
        here.role,
        to_second(&here.utc),
        here.version
    );
    out.line(out.paint(Tone::Faint, &harmless(&seen)))?;
    let (tone, word) = match here.severity() {
        Severity::Ok => (Tone::Good, "OK"),
        Severity::Degraded => (Tone::Warning, "DEGRADED"),
        Severity::Critical => (Tone::Bad, "CRITICAL"),
        Severity::Unknown => (Tone::Bad, "UNKNOWN"),
    };
    let head = format!("{}  ", out.paint(tone, word));
    out.folded(&head, word.len() + 2, &headline(here))?;
    out.line("")?;
    hosts(views, out)?;
    out.line("")?;
    let remarks = remarks(views);
    for remark in &remarks {
        let label = out.paint(if remark.mark == '!' { Tone::Bad } else { Tone::Strong }, remark.label);
        out.folded(&format!(" {} {label}", remark.mark), TEXT_AT, &remark.text)?;
    }
    if !remarks.is_empty() {
        out.line("")?;
    }
    checks(&here.checks, out)?;
    rest(here, out)
}

fn hosts(views: &Views, out: &mut Out<'_>) -> Result<()> {
    let Views { here, there } = views;
    let heading =
        row(["", "host", "role", "state", "for", "epoch", "own checks", "ready", "heard"].map(str::to_string));
    out.line(out.paint(Tone::Strong, &heading))?;
    let own = [
        mark_of(here.duty, here.service, here.peer.duty == Some(Duty::Active) && !here.peer.silent).to_string(),
        here.host.clone(),
        here.role.to_string(),
        format!("{:?}", here.state),
        Millis(here.state_age_ms).to_string(),
        here.epoch.to_string(),
        service_of(here.duty, here.service),
        match (here.readiness_age_ms, here.duty) {
            (_, Duty::Active) => "runs".to_string(),
            (None, _) => "? not looked".to_string(),
            (Some(age), _) => format!("{}, {}", if here.not_ready.is_empty() { "yes" } else { "NO" }, Millis(age)),
        },
        "this host".to_string(),
    ];
    let peer = &here.peer;
    let stale = peer.silent || peer.heard_age_ms.is_none();
    let doubt = |text: String| if stale { format!("?{text}") } else { text };
    let duty = peer.duty.unwrap_or(Duty::Passive);
    let service = peer.service.unwrap_or_default();
    let other = [
        if stale { '?' } else { mark_of(duty, service, here.duty == Duty::Active) }.to_string(),
        peer.host.clone(),
        peer.role.to_string(),
        match (there, peer.duty) {
            (Some(there), _) => format!("{:?}", there.state),
            (None, Some(duty)) => doubt(duty.to_string()),
            (None, None) => "?".to_string(),
        },
        there.as_ref().map_or("?".to_string(), |there| Millis(there.state_age_ms).to_string()),
        peer.epoch.map_or("?".to_string(), |epoch| doubt(epoch.to_string())),
        peer.service.map_or("?".to_string(), |verdict| doubt(service_of(duty, verdict))),
        match (peer.ready, duty) {
            (Some(_), Duty::Active) => doubt("runs".to_string()),
            (Some(ready), _) => doubt(if ready { "yes" } else { "NO" }.to_string()),
            (None, _) => "?".to_string(),
        },
        peer.heard_age_ms.map_or("never".to_string(), |age| format!("{} ago", Millis(age))),
    ];
    let (first, second) = if here.role == Role::Master { (own, other) } else { (other, own) };
    out.line(harmless(&row(first)))?;
    out.line(harmless(&row(second)))
}

fn row(cells: [String; 9]) -> String {
    let widths = [2, 12, 8, 16, 13, 7, 12, 14, 0];
    let mut text = String::from(" ");
    for (cell, width) in cells.iter().zip(widths) {
        // A cell that is too long keeps one space to the next.
        text.push_str(&pad(cell, width.max(cell.chars().count() + usize::from(width > 2))));
    }
    text
}

/// `!` for a host that is not as it should be: in the hands of a person, unwell while active, active beside the other.
fn mark_of(duty: Duty, service: Verdict, other_active: bool) -> char {
    match (duty, service) {
        (Duty::Held, _) | (Duty::Active, Verdict::Failed(_)) => '!',
        (Duty::Active, _) if other_active => '!',
        (Duty::Passive, _) => '!',
        _ => ' ',
    }
}

/// A host that does not run the service has nothing that its own checks could find well.
fn service_of(duty: Duty, verdict: Verdict) -> String {
    match (duty, verdict) {
        (Duty::Active, Verdict::Failed(symptom)) => format!("FAIL {symptom}"),
        (Duty::Active, verdict) => verdict.to_string(),
        _ => "-".to_string(),
    }
}

fn checks(checks: &[CheckStatus], out: &mut Out<'_>) -> Result<()> {
    for check in checks {
        let stale = match check.verdict {
            Verdict::Unknown | Verdict::Failed(Symptom::Stale) => true,
            Verdict::Passed | Verdict::Failed(_) => {
                let limit = check.stale_after_ms.unwrap_or(STALE_AFTER_MS);
                check.age_ms.is_none_or(|age| age > limit)
            }
        };
        let (mark, tone, word) = match check.verdict {
            _ if stale => ('?', Tone::Warning, "unknown"),
            Verdict::Failed(_) => ('!', Tone::Bad, "FAILED"),
            Verdict::Passed | Verdict::Unknown => (' ', Tone::Good, "passed"),
        };
        let age = check.age_ms.map_or("never asked".to_string(), |age| format!("{} ago", Millis(age)));
        let from = format!("{} ({})", check.name, check.vantage);
        let head = format!(
            " {mark} {} {} {} ",
            pad("check", TEXT_AT - 4),
            pad(&harmless(&from), 26),
            pad(&out.paint(tone, word), 8)
        );
        let text = format!("{age}: {}; {}", check.last, check.failures);
        out.folded(&head, 3 + TEXT_AT - 3 + 27 + 9, &text)?;
    }
    Ok(())
}

fn rest(here: &Status, out: &mut Out<'_>) -> Result<()> {
    let mut say = |mark: char, label: &str, text: String| out.folded(&format!(" {mark} {label}"), TEXT_AT, &text);
    for path in &here.peer.paths {
        let (mark, age) = match path.heard_age_ms {
            None => ('?', "never heard on it".to_string()),
            Some(age) if age > STALE_AFTER_MS => ('!', format!("last heard on it {} ago", Millis(age))),
            Some(age) => (' ', format!("heard on it {} ago", Millis(age))),
        };
        say(mark, "path", format!("{}: {age}", path.name))?;
    }
    let channel = if here.peer.channel_open { (' ', "open") } else { ('!', "not open") };
    say(channel.0, "channel", format!("to {}: {}", here.peer.host, channel.1))?;
    for copy in &here.copies {
        let (mark, text) = super::copies::line(copy);
        say(mark, "copy", text)?;
    }
    for Remark { mark, label, text } in safety::lines(here) {
        say(mark, label, text)?;
    }
    let (mark, balancer) = balancer(&here.balancer);
    say(mark, "balancer", balancer)?;
    let (mark, equal) = match here.config.equal {
        Some(true) => (' ', "equal on both hosts"),
        Some(false) => ('!', "DIFFERENT on the other host"),
        None => ('?', "the other host's is not known"),
    };
    say(mark, "config", format!("{}, {equal}", here.config.digest))?;
    let proofs = here.proofs.join(", ");
    say(' ', "proofs", if here.guarantee.is_empty() { proofs } else { format!("{proofs}: {}", here.guarantee) })?;
    if let Some(step) = &here.step {
        let text = format!("{} {} of {} for {}: {}", step.list, step.index, step.of, Millis(step.age_ms), step.command);
        say(' ', "step", text)?;
    }
    if !here.timers.is_empty() {
        let left: Vec<String> = here.timers.iter().map(|(name, left)| format!("{name} in {}", Millis(*left))).collect();
        say(' ', "timers", left.join(", "))?;
    }
    if let Some(reason) = &here.last_reason {
        say(' ', "last", format!("{reason} (more: failoverctl why)"))?;
    }
    // A host that waits for a person has said it above.
    if here.duty == Duty::Held { Ok(()) } else { say(' ', "way out", here.way_out.clone()) }
}

fn balancer(balancer: &BalancerStatus) -> (char, String) {
    let kind = &balancer.kind;
    if kind == "none" {
        return (' ', "none: the clients find the active host by themselves".to_string());
    }
    let wanted = balancer.wanted.as_ref().map_or("left to the other host".to_string(), |what| format!("wanted {what}"));
    let (mark, view) = match (&balancer.view, balancer.age_ms) {
        (Some(view), Some(age)) if age <= STALE_AFTER_MS => (' ', format!("says {view}, {} ago", Millis(age))),
        (Some(view), Some(age)) => ('?', format!("said {view}, but {} ago", Millis(age))),
        _ => ('?', "not read back".to_string()),
    };
    (mark, format!("{kind}: {view}; {wanted}"))
}
