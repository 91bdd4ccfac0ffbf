use failover_shared::control::Request;
use failover_shared::decision::{Epoch, StateName, Verdict};

use super::*;
use crate::fake::{Fake, printed, status, yes};

/// The slave's view after a take-over: it is active, the master stands by again.
fn after_takeover() -> Status {
    let mut here = status(Role::Slave);
    (here.state, here.duty, here.epoch, here.owned) = (StateName::Active, Duty::Active, Epoch(8), Epoch(8));
    here.service = Verdict::Passed;
    here.peer.duty = Some(Duty::Standby);
    here
}

async fn sheet(here: Status) -> (Exit, String) {
    let fake = Fake::start(here.role, move |request| match request {
        Request::Status => yes(&here),
        _ => None,
    });
    let daemon = fake.daemon();
    let (exit, text) = printed(async |out: &mut Out<'_>| run(&daemon, out).await).await;
    (exit.unwrap(), text)
}

#[tokio::test]
async fn a_mended_master_gives_the_whole_sheet_and_the_command() {
    let (exit, text) = sheet(after_takeover()).await;
    assert_eq!(exit, Exit::Ok, "{text}");
    let order: Vec<&str> = text.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(
        order,
        [
            "[x] 1. Fix cfg1",
            "[ ] 2. heart-beatd cfg2 stop",
            "[ ] 3. CPMS cfg2 stop",
            "[ ] 4. CPMS cfg1 start",
            "[ ] 5. heart-beatd cfg2 start"
        ],
        "{text}"
    );
    assert!(text.contains("failoverctl takeback --reason"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[tokio::test]
async fn a_silent_master_is_marked_and_the_command_is_not_offered() {
    let mut here = after_takeover();
    here.peer.silent = true;
    here.peer.heard_age_ms = Some(90_000);
    let (exit, text) = sheet(here).await;
    assert_eq!(exit, Exit::Warning);
    assert!(text.contains("[!] 1. Fix cfg1") && text.contains("heard 1 min 30 s ago"), "{text}");
    assert!(text.contains("systemctl start failover-master"), "{text}");
    assert!(!text.contains("takeback --reason"), "{text}");
}

#[tokio::test]
async fn a_master_that_is_not_ready_is_marked() {
    let mut here = after_takeover();
    here.peer.ready = Some(false);
    let (exit, text) = sheet(here).await;
    assert_eq!(exit, Exit::Warning);
    assert!(text.contains("[!] 1. Fix cfg1") && text.contains("NOT ready"), "{text}");
}

#[tokio::test]
async fn a_difference_of_the_configurations_is_marked_with_its_keys() {
    let mut here = after_takeover();
    here.config.equal = Some(false);
    here.config.differing = vec!["timing.beat".into()];
    let (exit, text) = sheet(here).await;
    assert_eq!(exit, Exit::Warning);
    assert!(text.contains("[!] 2.") && text.contains("timing.beat"), "{text}");
}

#[tokio::test]
async fn there_is_nothing_to_do_while_the_master_runs_the_service() {
    let (exit, text) = sheet(status(Role::Master)).await;
    assert_eq!(exit, Exit::Ok);
    assert!(text.contains("nothing to do: cfg1 runs the service already"), "{text}");
}
