//! Every timer of the pair, and the sums that must hold between them.

use std::time::Duration;

use super::super::duration::show;
use super::super::leaf::{span, span_from};
use super::super::model::Timing;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::Node;

/// A deadline shorter than this many beats takes a few lost packets for a dead host.
const BEATS_IN_DEADLINE_LEAST: u32 = 3;

pub(super) fn timing(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Timing> {
    let mut timing = reader.fields(node, path, "Timing")?;
    let beat = timing.or(reader, "beat", "\"200ms\"", span);
    let suspect_after = timing.or(reader, "suspect_after", "\"3s\"", span);
    let shutdown_timeout = timing.or(reader, "shutdown_timeout", "\"60s\"", span);
    let restart_grace = timing.or(reader, "restart_grace", "\"5s\"", span_from(Duration::ZERO));
    let script_timeout = timing.or(reader, "script_timeout", "\"60s\"", span);
    let kill_after = timing.or(reader, "kill_after", "\"2s\"", span);
    let start_verify = timing.or(reader, "start_verify", "\"30s\"", span);
    let boot_wait = timing.or(reader, "boot_wait", "\"60s\"", span);
    let balancer_timeout = timing.or(reader, "balancer_timeout", "\"5s\"", span);
    let balancer_every = timing.or(reader, "balancer_every", "\"10s\"", span);

    if let (Some(beat), Some(suspect_after)) = (beat, suspect_after)
        && beat.saturating_mul(BEATS_IN_DEADLINE_LEAST) > suspect_after
    {
        let problem = Problem::at(
            timing.place("suspect_after"),
            format!("`suspect_after` {} holds fewer than three beats of {}", show(suspect_after), show(beat)),
        );
        let longer = show(beat.saturating_mul(BEATS_IN_DEADLINE_LEAST));
        let shorter = show(suspect_after / BEATS_IN_DEADLINE_LEAST);
        reader.problem(problem.help(format!(
            "one or two lost packets would count as a dead host: write `suspect_after: \"{longer}\"` or more, or \
             `beat: \"{shorter}\"` or less"
        )));
    }
    timing.finish(reader);
    Some(Timing {
        beat: beat?,
        suspect_after: suspect_after?,
        shutdown_timeout: shutdown_timeout?,
        restart_grace: restart_grace?,
        script_timeout: script_timeout?,
        kill_after: kill_after?,
        start_verify: start_verify?,
        boot_wait: boot_wait?,
        balancer_timeout: balancer_timeout?,
        balancer_every: balancer_every?,
    })
}
