//! How long an outage may last, fault by fault, with the configured timers.

use std::time::Duration;

use super::duration::show;
use super::model::{Balancer, Check, Config, OnStopFailure, Postcondition, Proof, Service, Timing};
use crate::decision::Policy;
use crate::script::limit;

/// One fault, and how long the clients may be without the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultOutage {
    /// The fault, in words.
    pub fault: String,
    /// The longest outage. `None`: until an operator acts.
    pub outage: Option<Duration>,
    /// How the figure comes about, in words.
    pub formula: String,
}

/// The longest time that a stop of the service may take: every step to its limit, the ladder with its two waits (after
/// TERM and after KILL), and the commands that verify it.
#[must_use]
pub fn stop_limit(timing: &Timing, service: &Service) -> Duration {
    let verify = service.stopped_when.iter().filter_map(|condition| match condition {
        Postcondition::Command(step) => Some(step.timeout),
        Postcondition::NotRunning(script) => {
            script.contract().tells_not_running().map(|says| script.to(says.asked).limit())
        }
        _ => None,
    });
    total([slowest_stop(service), timing.kill_after, timing.kill_after].into_iter().chain(verify))
}

/// Every step of the stop list to its limit, on the host where that takes longer.
pub(super) fn slowest_stop(service: &Service) -> Duration {
    limit(&service.lists.giveaway).max(limit(&service.lists.giveback))
}

/// The longest outage for each fault that the pair knows. Every step is counted to its limit, so real moves are shorter.
#[must_use]
pub fn worst_case(config: &Config) -> Vec<FaultOutage> {
    let timing = &config.timing;
    let seen = Part("detection", detection(config));
    let silence = Part("silence", timing.suspect_after.saturating_add(timing.beat));
    let stop = Part("stop", stop_limit(timing, &config.service));
    let lists = &config.service.lists;
    let start = Part("start", limit(&lists.takeback).max(limit(&lists.takeover)));
    let verify = Part("verify", timing.start_verify);
    let switch = Part("balancer", switch_limit(config));
    let died =
        if config.service.watch_processes.is_empty() { seen } else { Part("restart_grace", timing.restart_grace) };
    let allows = |proof| config.proof_of_stop.contains(&proof);
    let acknowledged = allows(Proof::Ack);
    let times = config.lease_times();
    // The last look at the slot may be one renewal old; claiming and looking again take no longer than another.
    let claim = Part("claim", millis(times.map_or(0, |times| times.renew_ms.0)).saturating_mul(2));
    let lease = Part("lease", times.map_or(Duration::ZERO, |times| millis(times.terms(0).wait_ms().0)));
    let second_way = if config.rcmd.is_some() { millis(Policy::RCMD_AFTER_MS.0) } else { Duration::ZERO };
    let second_way = Part("second way first", second_way);
    let delay = Part("fence_delay", config.fence_delay.master.max(config.fence_delay.slave));
    let fence = Part("fence", config.fence_limit());

    let mut faults = Vec::new();
    for (fault, first) in
        [("a service process dies on the active host", died), ("the service hangs on the active host", seen)]
    {
        // With a lease the stopped host's release of it is proof enough.
        faults.push(if acknowledged || allows(Proof::Lease) {
            limited(fault, &[first, stop, claim, start, verify, switch])
        } else {
            waits(fault, "no acknowledgement is allowed: `confirm-stopped` after the stop")
        });
    }
    for proof in &config.proof_of_stop {
        faults.push(match proof {
            Proof::Ack => continue,
            Proof::Fence => {
                let parts = [silence, second_way, delay, fence, claim, start, verify, switch];
                limited("the active host falls silent (Fence)", &parts)
            }
            Proof::Lease => {
                // The lease runs from the last renewal, while the silence is still being noticed.
                let longer = Part(if silence.1 > lease.1 { silence.0 } else { lease.0 }, silence.1.max(lease.1));
                limited("the active host falls silent (Lease)", &[longer, claim, start, verify, switch])
            }
            Proof::Operator => {
                waits("the active host falls silent (Operator)", "`failoverctl confirm-stopped` by a person")
            }
            Proof::Timeout => {
                let time_out = Part("shutdown_timeout", timing.shutdown_timeout);
                let fault = "the active host falls silent (Timeout: two actives possible)";
                limited(fault, &[silence, time_out, claim, start, verify, switch])
            }
        });
    }
    if acknowledged && let Some(rcmd) = &config.rcmd {
        let remote = Part("rcmd", rcmd.timeout);
        faults.push(limited(
            "the daemon of the active host freezes, ssh still answers",
            &[silence, remote, claim, start, verify, switch],
        ));
    }
    if config.proof_of_stop == [Proof::Ack] {
        faults.push(waits(
            "the active host falls silent",
            "no other proof than `Ack` is allowed: until the host is back",
        ));
    }
    let forced = config.service.on_stop_failure == OnStopFailure::Force;
    faults.push(match "the stop cannot be verified" {
        fault if forced && allows(Proof::Lease) => limited(fault, &[seen, stop, lease, claim, start, verify, switch]),
        fault if forced && allows(Proof::Fence) => {
            limited(fault, &[seen, stop, delay, fence, claim, start, verify, switch])
        }
        fault => waits(fault, "`failoverctl confirm-stopped` by a person"),
    });
    if let Some(times) = times {
        let after = show(millis(times.stop_after_ms.0));
        faults.push(waits(
            "both hosts lose the arbiter",
            &format!("its repair: {after} after the last renewal the active host stops, and nobody starts without it"),
        ));
    }
    faults.push(waits(
        "the start fails on the other host",
        "a person finds out why, then `failoverctl takeover` or `takeback`",
    ));
    if config.balancer != Balancer::None {
        faults.push(waits("the balancer is down", "its repair; it is set again within `balancer_every` after that"));
    }
    faults
}

/// The faults whose longest outage is above `objective_outage`.
pub(super) fn above_objective(config: &Config) -> Vec<FaultOutage> {
    worst_case(config)
        .into_iter()
        .filter(|fault| fault.outage.is_some_and(|outage| outage > config.objective_outage))
        .collect()
}

/// One summand, with its word.
#[derive(Clone, Copy)]
struct Part(&'static str, Duration);

fn limited(fault: &str, parts: &[Part]) -> FaultOutage {
    let words: Vec<String> =
        parts.iter().filter(|part| !part.1.is_zero()).map(|part| format!("{} {}", part.0, show(part.1))).collect();
    FaultOutage {
        fault: fault.to_owned(),
        outage: Some(total(parts.iter().map(|part| part.1))),
        formula: words.join(" + "),
    }
}

fn waits(fault: &str, until: &str) -> FaultOutage {
    FaultOutage { fault: fault.to_owned(), outage: None, formula: until.to_owned() }
}

/// The quickest check decides. The fault may fall just behind a round that passed, so the first failing round begins
/// `every` later; the last of them may take its whole time-out.
fn detection(config: &Config) -> Duration {
    let one = |check: &Check| check.every.saturating_mul(check.fails).saturating_add(check.timeout);
    config.checks.iter().map(one).min().unwrap_or_default()
}

/// One call that takes the old host out, one that brings the new one in.
fn switch_limit(config: &Config) -> Duration {
    match &config.balancer {
        Balancer::None => Duration::ZERO,
        Balancer::HaProxy { .. } | Balancer::Alteon { .. } => config.timing.balancer_timeout.saturating_mul(2),
        Balancer::Command { set, .. } => set.timeout.saturating_mul(2),
    }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn total(spans: impl Iterator<Item = Duration>) -> Duration {
    spans.fold(Duration::ZERO, Duration::saturating_add)
}
