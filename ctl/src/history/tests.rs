use failover_shared::control::Request;
use failover_shared::decision::Role;
use serde_json::{Value, json};

use super::*;
use crate::fake::{Fake, entry, printed, status, yes};

fn two_journals(peer_answers: bool) -> Fake {
    let failed = json!({"list": "stop", "index": 1, "of": 1, "command": "./stop.sh", "result": "exit 1",
        "duration_ms": 1_200, "tail": "cannot unmount\n\u{1b}[31mbusy"});
    let ours = vec![
        entry(1, "2026-11-21T06:45:00.000Z", "decision", "a demand", json!({})),
        entry(2, "2026-11-21T06:45:03.000Z", "state", "Starting", json!({})),
    ];
    let theirs = vec![entry(9, "2026-11-21T06:45:01.000Z", "step", "", failed)];
    Fake::start(Role::Slave, move |request| match request {
        Request::Status => yes(status(Role::Slave)),
        Request::History { .. } => yes(&ours),
        Request::PeerHistory { .. } if peer_answers => yes(&theirs),
        Request::PeerHistory { .. } => Some(Err("the peer is not connected".into())),
        _ => None,
    })
}

async fn shown(fake: &Fake, since: Option<&str>, json: bool) -> (Exit, String) {
    let flags = Arguments { since: since.map(|text| super::since(text).unwrap()), count: 100, json };
    let daemon = fake.daemon();
    let (exit, text) = printed(async |out: &mut Out<'_>| run(&daemon, &flags, out).await).await;
    (exit.unwrap(), text)
}

#[tokio::test]
async fn both_journals_are_one_line_of_time() {
    let (exit, text) = shown(&two_journals(true), None, false).await;
    assert_eq!(exit, Exit::Ok);
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[0].starts_with("2026-11-21 06:45:00.000Z") && rows[0].contains("cfg2"), "{text}");
    assert!(rows[1].contains("+1.0 s") && rows[1].contains("cfg1") && rows[1].contains("exit 1 after 1.2 s"), "{text}");
    assert!(rows[2].contains("| cannot unmount"), "{text}");
    assert!(rows.last().unwrap().contains("Starting"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_named_and_exits_1() {
    let (exit, text) = shown(&two_journals(false), None, false).await;
    assert_eq!(exit, Exit::Warning);
    assert!(text.contains("without the entries of cfg1: refused: the peer is not connected"), "{text}");
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let (_, text) = shown(&two_journals(true), Some("2026-11-21T06:45:02Z"), false).await;
    assert_eq!(text.lines().count(), 1, "{text}");
    let (_, text) = shown(&two_journals(true), Some("1s"), false).await;
    assert_eq!(text, "");
}

#[tokio::test]
async fn json_is_one_object_a_line_with_its_host() {
    let (_, text) = shown(&two_journals(true), None, true).await;
    let hosts: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["host"].clone()).collect();
    assert_eq!(hosts, ["cfg2", "cfg1", "cfg2"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_turn_a_hosts_entries_round() {
    let parse = |value: Value| Entry { host: "cfg1".into(), written: serde_json::from_value(value).unwrap() };
    let ours = vec![
        parse(entry(1, "2026-11-21T07:00:00Z", "state", "one", json!({}))),
        parse(entry(2, "2026-11-21T06:00:00Z", "state", "two", json!({}))),
    ];
    let theirs = vec![parse(entry(1, "2026-11-21T06:30:00Z", "state", "between", json!({})))];
    let order: Vec<String> = crate::entry::merge(ours, theirs).into_iter().map(|entry| entry.written.text).collect();
    assert_eq!(order, ["between", "one", "two"]);
}
