//! The decision core alone.

use std::time::Instant;

use anyhow::Result;
use failover_shared::decision::{BootId, Event, Incarnation, Millis, Node, Policy, Role};

use super::Row;

const STEPS: u32 = 200_000;

/// Feeds a core with turns.
///
/// # Errors
/// None today.
pub fn step() -> Result<Row> {
    let policy = Policy {
        role: Role::Slave,
        digest: 1,
        proof_ack: true,
        proof_operator: true,
        proof_timeout: false,
        proof_lease: false,
        proof_fence: false,
        lease: None,
        fence_delay_ms: Millis(0),
        fence_limit_ms: Millis(30_000),
        hold_failed_stop: false,
        rcmd: false,
        reverse_protection: false,
        suspect_after_ms: Millis(3_000),
        shutdown_timeout_ms: Millis(60_000),
        start_limit_ms: Millis(60_000),
        stop_limit_ms: Millis(60_000),
        boot_wait_ms: Millis(60_000),
        hold_down_ms: Millis(600_000),
    };
    let mut out = Vec::new();
    let mut node = Node::new(policy, BootId(1), Incarnation(1), None, None, Millis(0), &mut out);
    let begun = Instant::now();
    for turn in 0..STEPS / 2 {
        let now = Millis(u64::from(turn));
        node.step(now, Event::TurnBegan, &mut out);
        node.step(now, Event::TurnEnded, &mut out);
        out.clear();
    }
    let one = begun.elapsed() / STEPS;
    let note = format!("mean of {STEPS}; invariants checked after each");
    Ok(Row::value("one step of the decision core", "-", format!("{} ns", one.as_nanos()), None, note))
}
