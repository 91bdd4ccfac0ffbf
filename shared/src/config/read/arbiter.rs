//! The arbiter, the spans of its lease, and the guard.

use std::time::Duration;

use super::super::arbiter::{Arbiter, ArbiterPlace, Guard, HostReset};
use super::super::duration::show;
use super::super::fields::Fields;
use super::super::leaf::{absolute_path, flag, number, span, span_from, text};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::{Field, Node};
use super::etcd;
use crate::decision::{LeaseTimes, Millis};

/// R, I, T, G, K, Wd, m in milliseconds. In each L is a round figure: 60 s, 30 s, 100 s.
const PROFILES: [(&str, [u64; 7]); 3] = [
    ("Standard", [3_000, 2_000, 12_000, 30_000, 5_000, 10_000, 3_000]),
    ("Fast", [1_500, 1_000, 6_000, 8_000, 3_000, 10_000, 3_000]),
    // T is longer than the take-over of a clustered filer.
    ("Long", [5_000, 4_000, 20_000, 60_000, 5_000, 10_000, 5_000]),
];
const RESET_EXAMPLE: &str = "Command([\"/sbin/reboot\", \"-n\", \"-f\"])";
const RESET_WORDS_MAX: usize = 32;
/// The most that two clocks' rates may be said to differ; crystals are better than 1 in 1000.
const DRIFT_PERMILLE_MAX: u32 = 100;
/// The watchdog interface of the kernel counts in seconds.
const WATCHDOG_LEAST: Duration = Duration::from_secs(1);

pub(super) fn arbiter(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Arbiter> {
    let variant = reader.variant(node, &["SharedStorage", "Etcd"])?;
    reader.note(path, node, variant.word);
    let mut fields = reader.variant_fields(&variant, path);
    let place = match variant.word {
        "SharedStorage" => fields
            .required(reader, "path", "\"/mnt/failover-lease\"", absolute_path)
            .map(|path| ArbiterPlace::SharedStorage { path }),
        _ => etcd::etcd(reader, &mut fields).map(ArbiterPlace::Etcd),
    };
    let drift = fields.or(reader, "drift_permille", "10", number(1, DRIFT_PERMILLE_MAX));
    let times = fields.or(reader, "profile", "Standard", |reader, node, path| profile(reader, node, path, drift));
    let guard = fields.required(reader, "guard", "Watchdog(\"/dev/watchdog\")", guard);
    let reset = fields.or(reader, "reset", "SysRq", reset);
    if let (Some(times), Some(guard)) = (&times, &guard) {
        watchdog_span(reader, &fields, times, guard);
    }
    if let (Some(times), Some(ArbiterPlace::Etcd(etcd))) = (&times, &place) {
        etcd::attempt(reader, &fields, etcd, Duration::from_millis(times.attempt_ms.0));
    }
    fields.finish(reader);
    Some(Arbiter { place: place?, times: times?, guard: guard?, reset: reset? })
}

/// A profile by its name, or `Hard(…)` with each span written out.
fn profile(reader: &mut Reader<'_>, node: &Node, path: &str, drift: Read<u32>) -> Read<LeaseTimes> {
    let variant = reader.variant(node, &["Standard", "Fast", "Long", "Hard"])?;
    reader.note(path, node, variant.word);
    if let Some((_, spans)) = PROFILES.iter().find(|(name, _)| *name == variant.word) {
        reader.no_payload(&variant)?;
        let spans = spans.map(Duration::from_millis);
        let keys = ["renew", "attempt", "stop_after", "scripts", "kill", "watchdog", "margin"];
        for (key, span) in keys.into_iter().zip(spans) {
            reader.note_default(&format!("{path}.{key}"), format!("{:?}", show(span)));
        }
        return Some(lease_times(spans, drift?));
    }
    let mut hard = reader.variant_fields(&variant, path);
    let renew = hard.required(reader, "renew", "\"500ms\"", span);
    let attempt = hard.required(reader, "attempt", "\"300ms\"", span);
    let stop_after = hard.required(reader, "stop_after", "\"2s\"", span);
    let scripts = hard.required(reader, "scripts", "\"0s\"", span_from(Duration::ZERO));
    let kill = hard.required(reader, "kill", "\"1s\"", span);
    let watchdog = hard.required(reader, "watchdog", "\"1s\"", span_from(Duration::ZERO));
    let margin = hard.required(reader, "margin", "\"1s\"", span);
    if let (Some(renew), Some(attempt), Some(stop_after)) = (renew, attempt, stop_after) {
        renewals(reader, &hard, renew, attempt, stop_after);
    }
    hard.finish(reader);
    Some(lease_times([renew?, attempt?, stop_after?, scripts?, kill?, watchdog?, margin?], drift?))
}

/// Three attempts may fail before the stop begins: 3R + I ≤ T.
fn renewals(reader: &mut Reader<'_>, hard: &Fields<'_>, renew: Duration, attempt: Duration, stop_after: Duration) {
    if attempt > renew {
        let message = format!("`attempt` {} is longer than `renew` {}", show(attempt), show(renew));
        reader.problem(Problem::at(hard.place("attempt"), message).help(format!(
            "an attempt that hangs would put the next renewal off: write `attempt: \"{}\"` or less",
            show(renew)
        )));
        return;
    }
    let needed = renew.saturating_mul(3).saturating_add(attempt);
    if needed > stop_after {
        let message = format!(
            "`stop_after` {} holds no three renewals: 3 × `renew` {} and one `attempt` {} are {}",
            show(stop_after),
            show(renew),
            show(attempt),
            show(needed)
        );
        let renew_most = stop_after.saturating_sub(attempt) / 3;
        let or_less = if renew_most >= attempt && renew_most >= Duration::from_millis(1) {
            format!(", or `renew: \"{}\"` or less", show(renew_most))
        } else {
            String::new()
        };
        reader.problem(Problem::at(hard.place("stop_after"), message).help(format!(
            "one lost renewal would stop the service: write `stop_after: \"{}\"` or more{or_less}",
            show(needed)
        )));
    }
}

fn lease_times(spans: [Duration; 7], drift_permille: u32) -> LeaseTimes {
    let [renew_ms, attempt_ms, stop_after_ms, scripts_ms, kill_ms, watchdog_ms, margin_ms] =
        spans.map(|span| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
    LeaseTimes { renew_ms, attempt_ms, stop_after_ms, scripts_ms, kill_ms, watchdog_ms, margin_ms, drift_permille }
}

fn guard(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Guard> {
    let variant = reader.variant(node, &["Watchdog", "GuardianOnly"])?;
    reader.note(path, node, variant.word);
    if variant.word == "GuardianOnly" {
        let mut fields = reader.variant_fields(&variant, path);
        let said = fields.or(reader, "host_freeze_can_make_two_actives", "false", flag);
        fields.finish(reader);
        if said? {
            return Some(Guard::GuardianOnly);
        }
        let message =
            "without a watchdog, a host that stands still as a whole and goes on later still runs its service";
        let problem =
            Problem::at(node.span.clone(), message).missing(format!("{path}.host_freeze_can_make_two_actives"));
        reader.problem(problem.help(
            "its peer may have started by then, and two write to one store. If that risk is taken, write \
             `GuardianOnly(host_freeze_can_make_two_actives: true)`; if not, `Watchdog(\"/dev/watchdog\")`",
        ));
        return None;
    }
    if let [Field { label: None, value }] = variant.fields {
        let device = absolute_path(reader, value, &format!("{path}.device"))?;
        reader.note_default(&format!("{path}.accept_softdog"), "false");
        return Some(Guard::Watchdog { device, accept_softdog: false });
    }
    let mut fields = reader.variant_fields(&variant, path);
    let device = fields.or(reader, "device", "\"/dev/watchdog\"", absolute_path);
    let accept_softdog = fields.or(reader, "accept_softdog", "false", flag);
    fields.finish(reader);
    Some(Guard::Watchdog { device: device?, accept_softdog: accept_softdog? })
}

fn reset(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<HostReset> {
    let variant = reader.variant(node, &["SysRq", "Command"])?;
    reader.note(path, node, variant.word);
    if variant.word == "SysRq" {
        reader.no_payload(&variant)?;
        return Some(HostReset::SysRq);
    }
    let [Field { label: None, value }] = variant.fields else {
        let problem = Problem::at(node.span.clone(), "`Command` holds the program and its arguments as one list");
        reader.problem(problem.help(format!("write `{RESET_EXAMPLE}`")));
        return None;
    };
    let words = reader.list(value, path, (1, RESET_WORDS_MAX), text)?;
    // The guardian has no shell, and must not look for a program on disks that may be dead.
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        let problem = Problem::at(value.span.clone(), "the program that resets the host is not a full path");
        reader.problem(problem.help(format!("write `{RESET_EXAMPLE}`")));
        return None;
    }
    if words.iter().any(|word| word.contains(['\n', '\r'])) {
        let problem = Problem::at(value.span.clone(), "a word of the command has more than one line");
        reader.problem(problem.help("put what needs more lines into a script, and name that"));
        return None;
    }
    Some(HostReset::Command(words))
}

fn watchdog_span(reader: &mut Reader<'_>, fields: &Fields<'_>, times: &LeaseTimes, guard: &Guard) {
    let span = Duration::from_millis(times.watchdog_ms.0);
    if !matches!(guard, Guard::Watchdog { .. }) || (span >= WATCHDOG_LEAST && span.subsec_millis() == 0) {
        return;
    }
    let message = format!("a watchdog cannot be set to {}", show(span));
    let whole = Duration::from_secs(span.as_secs() + 1);
    let problem = Problem::at(fields.place_within("profile", "watchdog"), message);
    reader.problem(problem.help(format!("it counts in whole seconds: write `watchdog: \"{}\"`", show(whole))));
}
