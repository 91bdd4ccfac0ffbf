//! The simulator itself, and what it shows of the core in the time of a test run. Many more schedules:
//! scripts/simulate.sh

use failover_shared::decision::Rule;
use failover_simulator::corpus::{self, Order};
use failover_simulator::options::{Options, Setup};
use failover_simulator::story::{self, Case};
use failover_simulator::{canary, quiet, schedule};

const DAY_MS: u64 = 86_400_000;

fn order(schedules: u64) -> Order {
    Order { schedules, first_seed: 1_000_000, threads: 2, canary: 0, violations_most: 3 }
}

#[test]
fn the_same_seed_gives_the_same_schedule_to_the_last_action() {
    let mut different = 0;
    let mut last = 0;
    for seed in 0..1_000 {
        let first = schedule::random(Options::draw(seed), false);
        let second = schedule::random(Options::draw(seed), seed % 10 == 0);
        assert_eq!(first.number, second.number, "seed {seed} went two ways");
        assert_eq!(first.seen, second.seen, "seed {seed} reached other things");
        different += u32::from(first.number != last);
        last = first.number;
    }
    assert_eq!(different, 1_000, "other seeds must give other schedules");
}

#[test]
fn random_schedules_break_no_law() {
    let report = corpus::run(&order(100_000));
    if let Some((seed, _)) = report.violations.first() {
        panic!("{}", corpus::show(*seed, 0));
    }
    // A property that forbids proves nothing about a decision that never came up.
    assert_eq!(report.seen.unused_rules(), TOLD_AS_STORIES, "by these rules no schedule decided");
    println!("{report}");
}

/// What schedules do not come to. A story in the core's own tests asserts each.
const TOLD_AS_STORIES: [Rule; 7] = [
    Rule::WithheldOldCopy,
    Rule::WithheldFrozen,
    Rule::OperatorAborted,
    Rule::LeaseMissing,
    Rule::OwnServiceWell,
    Rule::MaintenanceOver,
    Rule::InvariantBroken,
];

#[test]
fn a_single_fault_at_any_position_of_any_story_breaks_no_law() {
    if let Some(shown) = broken(&story::singles(Setup::ALL), 100_000) {
        panic!("{shown}");
    }
}

#[test]
fn two_grave_faults_in_a_row_break_no_law_with_a_lease_on_shared_storage() {
    if let Some(shown) = broken(&story::pairs(&[Setup::Storage]), 200_000) {
        panic!("{shown}");
    }
}

#[test]
fn two_grave_faults_in_a_row_break_no_law_with_a_lease_in_etcd() {
    if let Some(shown) = broken(&story::pairs(&[Setup::Etcd]), 200_000) {
        panic!("{shown}");
    }
}

#[test]
fn two_grave_faults_in_a_row_break_no_law_with_a_second_way() {
    if let Some(shown) = broken(&story::pairs(&[Setup::SecondWay]), 100_000) {
        panic!("{shown}");
    }
}

/// Tells every case and shows the first that breaks a law.
fn broken(cases: &[Case], at_least: usize) -> Option<String> {
    assert!(cases.len() >= at_least, "the stories have lost positions: only {} cases", cases.len());
    let report = corpus::run_cases(cases, 2);
    let (number, _) = report.violations.first()?;
    cases.get(usize::try_from(*number).ok()?).map(|case| case.show(0))
}

#[test]
fn the_canary_is_found_in_about_one_seed_of_a_hundred() {
    let report = corpus::run(&Order { canary: canary::OFTEN, violations_most: u64::MAX, ..order(2_000) });
    let found = report.violations.len();
    assert!(corpus::canary_is_well(&report), "found in {found} of {} schedules", report.schedules);
}

#[test]
fn a_corpus_that_is_too_small_misses_what_it_must_reach() {
    assert!(!corpus::run(&order(3)).missing().is_empty(), "three schedules cannot reach everything");
}

#[test]
fn a_pair_that_nobody_disturbs_stays_where_it_is_for_a_day() {
    for setup in Setup::ALL {
        let outcome = quiet::undisturbed(Options::calm(7, *setup), DAY_MS);
        assert!(outcome.breach.is_none(), "{setup:?}: {}", outcome.breach.unwrap());
    }
}

#[test]
fn a_dead_master_is_followed_in_time_wherever_something_proves_its_stop_without_it() {
    for setup in [Setup::Timeout, Setup::Storage, Setup::Etcd, Setup::StorageAndFence, Setup::Fence] {
        let policy = setup.policy();
        let wait_ms = policy.lease.map_or(policy.shutdown_timeout_ms, |times| times.terms(1).wait_ms());
        let limit_ms = policy.suspect_after_ms.0 + wait_ms.0 + policy.start_limit_ms.0 + 10_000;
        let outcome = quiet::master_dies(Options::calm(7, setup), limit_ms);
        assert!(outcome.breach.is_none(), "{setup:?}: {}", outcome.breach.unwrap());
    }
}

#[test]
fn a_dead_master_is_not_followed_without_a_proof() {
    let outcome = quiet::master_dies(Options::calm(7, Setup::Ack), 300_000);
    let breach = outcome.breach.expect("nothing proves that a silent host has stopped");
    assert!(breach.detail.contains("TakeoverBlocked"), "{breach}");
}

#[test]
fn two_hosts_that_come_back_together_serve_on_one_of_them() {
    for setup in Setup::ALL {
        let outcome = quiet::both_come_back(Options::calm(7, *setup), 10_000);
        assert!(outcome.breach.is_none(), "{setup:?}: {}", outcome.breach.unwrap());
    }
}
