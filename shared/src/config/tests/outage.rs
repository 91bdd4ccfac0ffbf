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
