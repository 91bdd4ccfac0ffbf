//! Maintenance: it holds what moves, reminds, ends by itself, and no clock prolongs it for long.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::decision::{
    Action, BootId, Command, Duty, Incarnation, Maintenance, Millis, Node, PageKind, Policy, Record, Role, Rule,
    StateName,
};

use super::place::active;
use super::story::{BOOT, Story, commanded, policy};

const HOUR_MS: u64 = 3_600_000;
/// Some day in 2026.
const UTC_S: u64 = 1_790_000_000;

pub(super) fn begin(span_ms: u64) -> Command {
    let (by, reason) = ("ann".into(), "new disks".into());
    Command::BeginMaintenance { by, reason, span_ms: Millis(span_ms), now_utc_s: UTC_S }
}

pub(super) fn end() -> Command {
    Command::EndMaintenance { by: "ann".into(), reason: "done".into() }
}

fn in_maintenance(span_ms: u64) -> Story {
    let mut story = active(policy(Role::Slave));
    story.command(begin(span_ms)).expect("accepted");
    story
}

fn order(story: &Story) -> Option<&Maintenance> {
    story.node.record().maintenance.as_deref()
}

fn reminders(story: &Story) -> usize {
    story.pages().iter().filter(|kind| **kind == PageKind::Maintenance).count()
}

/// The same record on a host whose kernel starts anew, `off_s` later by its wall clock.
fn reboots(story: &Story, wall_clock_s: u64) -> Story {
    let mut record = Record { boot: BootId(99), ..story.node.record().clone() };
    record.maintenance = record.maintenance.map(|order| Box::new(order.shortened(wall_clock_s)));
    Story::boots(policy(Role::Slave), Some(record))
}

#[test]
fn it_is_durable_told_to_the_peer_and_no_demand_is_obeyed_until_it_is_ended() {
    let mut story = in_maintenance(HOUR_MS);
    assert!(story.node.beat(Millis(0), Millis(0), Millis(0)).maintenance);
    let restarted = Story::boots(policy(Role::Slave), Some(story.node.record().clone()));
    assert_eq!(order(&restarted).map(|order| order.by.as_str()), Some("ann"));
    story.demanded(commanded(), 2);
    assert_eq!(story.state(), StateName::Active);
    story.command(end()).expect("accepted");
    story.demanded(commanded(), 2);
    assert_eq!(story.state(), StateName::Stopping);
}

#[test]
fn it_ends_by_itself_with_a_reason_and_a_page() {
    let mut story = in_maintenance(HOUR_MS);
    story.pass(HOUR_MS - 1);
    assert!(order(&story).is_some() && !story.rules.contains(&Rule::MaintenanceOver));
    story.clear().pass(1);
    assert!(order(&story).is_none() && story.rules.contains(&Rule::MaintenanceOver));
    assert_eq!(reminders(&story), 1, "the end is paged");
    let durable = story.out.iter().rev().find_map(|action| match action {
        Action::Persist { record, .. } => Some(record.maintenance.is_none()),
        _ => None,
    });
    assert_eq!(durable, Some(true));
    story.hears(Duty::Standby, 2, 1).demanded(commanded(), 2);
    assert_eq!(story.state(), StateName::Stopping, "demands are obeyed again");
}

#[test]
fn a_person_is_reminded_every_half_hour_and_each_reminder_writes_down_what_is_left() {
    let mut story = in_maintenance(2 * HOUR_MS);
    story.pass(2 * HOUR_MS - 1);
    assert_eq!(reminders(&story), 3);
    assert_eq!(order(&story).map(|order| order.left_ms), Some(Millis(HOUR_MS / 2)));
}

#[test]
fn a_new_order_takes_the_place_of_the_old_one_and_none_is_longer_than_the_limit() {
    let mut story = in_maintenance(HOUR_MS);
    story.pass(HOUR_MS / 2);
    story.command(begin(HOUR_MS)).expect("accepted");
    story.pass(HOUR_MS - 1);
    assert!(order(&story).is_some());
    let limit = Policy::MAINTENANCE_MAX_MS.0;
    assert!(story.command(begin(limit + 1)).is_err_and(|why| why.contains("7 days")));
    assert!(story.command(begin(0)).is_err());
    story.command(begin(limit)).expect("accepted");
    let long = "x".repeat(10_000);
    let wordy = Command::BeginMaintenance { by: long.clone(), reason: long, span_ms: Millis(9), now_utc_s: 0 };
    story.command(wordy).expect("accepted");
    let words = order(&story).map(|order| order.by.len() + order.reason.len());
    assert_eq!(words, Some(400), "the record has to fit into its slot");
}

#[test]
fn over_a_restart_of_the_daemon_the_own_clock_goes_on() {
    let story = in_maintenance(HOUR_MS);
    let ends = order(&story).map(|order| order.ends);
    let mut out = Vec::new();
    let later = Millis(story.now + 600_000);
    let record = Some(story.node.record().clone());
    let node = Node::new(policy(Role::Slave), BOOT, Incarnation(6), record, None, later, &mut out);
    assert_eq!(node.record().maintenance.as_ref().map(|order| order.ends), ends);
}

#[test]
fn a_reboot_takes_the_time_that_the_host_was_off_from_what_is_left() {
    let story = in_maintenance(HOUR_MS);
    let mut back = reboots(&story, UTC_S + 1_800);
    assert_eq!(order(&back).map(|order| order.ends), Some(Millis(back.now + HOUR_MS / 2)));
    back.pass(1);
    assert_eq!(reminders(&back), 1, "it goes on, and whoever ordered it is told at once");
    let mut late = reboots(&story, UTC_S + 7_200);
    late.pass(1);
    assert!(
        order(&late).is_none() && late.rules.contains(&Rule::MaintenanceOver),
        "its time was over while the host was off"
    );
}

#[test]
fn a_wall_clock_that_was_set_back_prolongs_by_no_more_than_one_reminder_a_reboot() {
    let mut story = in_maintenance(2 * HOUR_MS);
    story.pass(HOUR_MS + 100);
    // A dead battery: the wall clock begins in 1970 after each reboot.
    let back = reboots(&story, 0);
    assert_eq!(order(&back).map(|order| order.ends.since(Millis(back.now))), Some(Millis(HOUR_MS)));
    let again = reboots(&back, 0);
    assert_eq!(order(&again).map(|order| order.left_ms), Some(Millis(HOUR_MS)), "and never longer than before");
}

#[test]
fn why_names_who_ordered_it() {
    let mut story = in_maintenance(HOUR_MS);
    story.demanded(commanded(), 2);
    let named = story.out.iter().any(|action| match action {
        Action::Note(note) => note.evidence.iter().any(|line| line.contains("maintenance by ann for another")),
        _ => false,
    });
    assert!(named, "{:#?}", story.out);
    assert_eq!("1 h 0 min", Millis(HOUR_MS).to_string());
}
