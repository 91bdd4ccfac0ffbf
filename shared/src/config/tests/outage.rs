//! The longest outage, by hand and by the program.

use super::*;

fn outage(text: &str, fault: &str) -> Option<Duration> {
    let rows = worst_case(&good(text).config);
    let row =
        rows.iter().find(|row| row.fault.contains(fault)).unwrap_or_else(|| panic!("{fault:?} is not in {rows:#?}"));
    row.outage
}

#[test]
fn each_fault_is_counted_step_by_step() {
    // Stop 2 × 60 s + 2 × 2 s, start 2 × 60 s, verify 30 s, balancer 2 × 5 s.
    let moved = 124 + 120 + 30 + 10;
    // The quicker of the two checks: 3 × 2 s + 1 s.
    assert_eq!(outage(SKETCH, "hangs"), Some(Duration::from_secs(7 + moved)));
    assert_eq!(outage(SKETCH, "process dies"), Some(Duration::from_secs(7 + moved)));
    let watched = changed("stopped_when:", "watch_processes: [\"dovecot\"], stopped_when:");
    assert_eq!(outage(&watched, "process dies"), Some(Duration::from_secs(5 + moved)));
    assert_eq!(outage(SKETCH, "silent (Operator)"), None);
    assert_eq!(outage(SKETCH, "start fails"), None);
    assert_eq!(outage(SKETCH, "balancer is down"), None);
    let classic = changed("[Ack, Operator]", "[Ack, Timeout(two_actives_possible: true)]")
        .replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"124s\"");
    let silent = Duration::from_millis(3_200) + Duration::from_secs(124 + 120 + 30 + 10);
    assert_eq!(outage(&classic, "two actives possible"), Some(silent));
    let remote = changed("objective_outage", "rcmd: Rcmd(user: \"failover\"), objective_outage");
    assert_eq!(
        outage(&remote, "freezes"),
        Some(Duration::from_millis(3_200) + Duration::from_secs(60 + 120 + 30 + 10))
    );
}

#[test]
fn without_an_acknowledgement_a_person_is_always_needed() {
    assert_eq!(outage(&changed("[Ack, Operator]", "[Operator]"), "process dies"), None);
}

#[test]
fn a_lease_and_a_fence_limit_the_outage_of_a_silent_host() {
    let text = changed("[Ack, Operator]", "[Ack, Fence, Lease, Operator]")
        .replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"60s\", script_timeout: \"13s\"")
        .replace(
            "objective_outage",
            "arbiter: SharedStorage(path: \"/l\", guard: Watchdog(\"/dev/watchdog\")), fence: [Command(status: \"s\", off: \
             \"o\", timeout: \"20s\")], objective_outage",
        );
    // Claim 2 × 3 s, start 2 × 13 s, verify 30 s, balancer 2 × 5 s.
    let started = Duration::from_secs(6 + 26 + 30 + 10);
    assert_eq!(outage(&text, "silent (Lease)"), Some(Duration::from_millis(61_213) + started));
    // Silence 3.2 s, the slave's delay 5 s, off and status 20 s each and a second.
    assert_eq!(outage(&text, "silent (Fence)"), Some(Duration::from_millis(3_200 + 5_000 + 41_000) + started));
    let remote = text.replace("objective_outage", "rcmd: Rcmd(user: \"failover\"), objective_outage");
    assert_eq!(
        outage(&remote, "silent (Fence)"),
        Some(Duration::from_millis(3_200 + 2_000 + 5_000 + 41_000) + started)
    );
    // Detection 7 s, stop 2 × 13 s + 2 × 2 s.
    assert_eq!(outage(&text, "cannot be verified"), Some(Duration::from_millis(7_000 + 30_000 + 61_213) + started));
    let asks = text.replace("stopped_when:", "on_stop_failure: AskOperator, stopped_when:");
    assert_eq!(outage(&asks, "cannot be verified"), None);
    assert_eq!(outage(&text, "lose the arbiter"), None);
}
