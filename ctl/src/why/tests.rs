use failover_shared::control::Request;
use failover_shared::decision::{Epoch, Role};
use failover_shared::status::Locked;
use serde_json::json;

use super::*;
use crate::fake::{Fake, entry, printed, status, yes};

fn decided() -> Fake {
    let mut here = status(Role::Slave);
    here.locked = Some(Locked { epoch: Epoch(8), ends_in_ms: None });
    here.not_ready = vec!["./start.sh is not executable".into()];
    let fields = json!({"rule": "DemandSilence", "evidence": ["last beat 3.1 s ago", "no witness sees the service"]});
    let ours = vec![
        entry(1, "2026-11-21T06:45:00Z", "step", "noise", json!({})),
        entry(2, "2026-11-21T06:45:01Z", "decision", "DemandSilence", fields),
    ];
    Fake::start(Role::Slave, move |request| match request {
        Request::Status => yes(&here),
        Request::History { .. } => yes(&ours),
        Request::PeerHistory { .. } => yes(Vec::<u8>::new()),
        _ => None,
    })
}

async fn shown(not: bool) -> String {
    let fake = decided();
    let daemon = fake.daemon();
    let flags = Arguments { not, count: 8 };
    let (exit, text) = printed(async |out: &mut Out<'_>| run(&daemon, &flags, out).await).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    text
}

#[tokio::test]
async fn a_decision_is_told_with_its_sentence_and_every_piece_of_evidence() {
    let text = shown(false).await;
    assert!(text.contains("The active host is silent and no witness sees its service. [DemandSilence]"), "{text}");
    assert!(text.contains("evidence  last beat 3.1 s ago"), "{text}");
    assert!(text.contains("evidence  no witness sees the service"), "{text}");
    assert!(!text.contains("noise"), "{text}");
}

#[tokio::test]
async fn what_is_held_back_now_is_told_with_the_way_out() {
    for not in [false, true] {
        let text = shown(not).await;
        assert!(text.contains("failoverctl ack"), "{text}");
        assert!(text.contains("a start here would fail: ./start.sh is not executable"), "{text}");
    }
    assert!(!shown(true).await.contains("DemandSilence"));
}
