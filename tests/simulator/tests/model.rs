//! Every order of events of a pair within small bounds, over the core that ships. Larger bounds: scripts/model.sh

use std::time::Duration;

use failover_simulator::model::{Begin, Bounds, Checked, Drift, Fault, Kind, check};

/// Longer than any check here takes on a slow machine; none of them is to end by it.
const TIME_MOST: Duration = Duration::from_secs(200);

fn bounds(kind: Kind, steps: u64, may: &[Fault], faults: u8) -> Bounds {
    let drifts = Bounds::DRIFTS.to_vec();
    Bounds { kind, steps, faults, may: may.to_vec(), begins: vec![Begin::Running], drifts }
}

/// Tries everything within the bounds, breaks no law, and comes to see what it was to see.
fn hold(bounds: Bounds, seen: &[&str]) -> Checked {
    let checked = check(bounds, None, TIME_MOST, 2);
    let broken: Vec<String> = checked.broken.iter().map(|(name, way)| format!("{name}\n{}", way.join("\n"))).collect();
    assert!(broken.is_empty(), "broken after {} states: {}", checked.unique, broken.join("\n\n"));
    assert!(checked.is_complete, "not everything was tried in {:?}", checked.took);
    for name in seen {
        assert!(checked.happened.contains(&(*name, true)), "never seen: {name}; {:?}", checked.happened);
    }
    checked
}

const BY_LEASE: &str = "a takeover by lease";
const BY_ACK: &str = "a takeover by acknowledgement";
const WAITS: &str = "a claim waits";
const THERE_AND_BACK: &str = "the service moves there and back";

#[test]
fn no_single_fault_makes_two_writers_with_shared_storage() {
    let checked = hold(bounds(Kind::Storage, 11, &Fault::ALL, 1), &[BY_LEASE, BY_ACK]);
    assert!(checked.unique > 500_000, "only {} states", checked.unique);
}

#[test]
fn no_single_fault_makes_two_writers_with_compare_and_swap() {
    let checked = hold(bounds(Kind::Compare, 11, &Fault::ALL, 1), &[BY_LEASE, BY_ACK]);
    assert!(checked.unique > 500_000, "only {} states", checked.unique);
}

#[test]
fn no_single_fault_makes_two_writers_while_two_hosts_boot() {
    let fresh = Bounds { begins: vec![Begin::Fresh], ..bounds(Kind::Storage, 6, &Fault::ALL, 1) };
    hold(fresh, &[BY_ACK]);
}

#[test]
fn a_renewal_that_arrives_during_a_claim_makes_the_claim_wait() {
    hold(bounds(Kind::Storage, 9, &[Fault::LinkCut, Fault::QuestionLate], 2), &[BY_LEASE, WAITS]);
}

#[test]
fn a_service_that_is_commanded_there_and_back_never_has_two_writers() {
    hold(bounds(Kind::Storage, 8, &[Fault::Command], 2), &[BY_ACK, THERE_AND_BACK]);
}

#[test]
fn clocks_that_differ_by_more_than_they_may_make_two_writers() {
    let crash = [Fault::DaemonDies, Fault::GuardianFails];
    let beyond = Bounds { drifts: vec![Drift::BeyondRho], ..bounds(Kind::Storage, 9, &crash, 2) };
    let checked = check(beyond, None, TIME_MOST, 2);
    let names: Vec<&str> = checked.broken.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["never two writers"], "the checker is blind: {} states", checked.unique);
}
