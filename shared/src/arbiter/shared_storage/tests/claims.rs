//! Claims: one owner for each epoch, for ever.

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::arbiter::shared_storage::folder::Folder;
use crate::arbiter::shared_storage::record::ClaimRecord;
use crate::arbiter::shared_storage::{InitialiseError, name};

#[test]
fn a_claim_is_won_once_and_may_be_asked_for_again() {
    let store = Store::new();
    let (mut master, mut slave) = (store.daemon(Role::Master, 1), store.daemon(Role::Slave, 2));
    assert_eq!(master.observe(), View::default());
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    assert_eq!(slave.claim(1), ArbiterReply::NotClaimed);
    assert_eq!(slave.claim(4), ArbiterReply::Claimed);
    assert_eq!(master.claim(1), ArbiterReply::NotClaimed, "it is not the highest any more");
    assert_eq!(master.claim(3), ArbiterReply::NotClaimed);
    let view = slave.observe();
    assert_eq!(view.claim, Some(Claim { epoch: Epoch(4), owner: Role::Slave, boot: BootId(2) }));
    assert_eq!(view.before, Some(Claim { epoch: Epoch(1), owner: Role::Master, boot: BootId(1) }));
    assert_eq!(store.names("unfinished"), [""; 0]);
}

#[test]
fn a_claim_of_an_earlier_kernel_start_is_not_the_claim_of_this_one() {
    let store = Store::new();
    assert_eq!(store.daemon(Role::Master, 1).claim(1), ArbiterReply::Claimed);
    assert_eq!(store.daemon(Role::Master, 2).claim(1), ArbiterReply::NotClaimed);
    assert_eq!(store.daemon(Role::Master, 1).claim(1), ArbiterReply::Claimed, "a daemon started again goes on");
}

#[test]
fn of_two_that_claim_at_once_exactly_one_wins_each_time() {
    const ROUNDS: u64 = 300;
    let store = Store::new();
    let start = Barrier::new(2);
    let contend = |mut daemon: Daemon| {
        (1..=ROUNDS)
            .map(|epoch| {
                start.wait();
                daemon.claim(epoch)
            })
            .collect::<Vec<_>>()
    };
    let (master, slave) = thread::scope(|scope| {
        let master = scope.spawn(|| contend(store.daemon(Role::Master, 1)));
        let slave = scope.spawn(|| contend(store.daemon(Role::Slave, 2)));
        (master.join().unwrap(), slave.join().unwrap())
    });
    let mut wins = (0, 0);
    for (epoch, pair) in (1..).zip(master.into_iter().zip(slave)) {
        match pair {
            (ArbiterReply::Claimed, ArbiterReply::NotClaimed) => wins.0 += 1,
            (ArbiterReply::NotClaimed, ArbiterReply::Claimed) => wins.1 += 1,
            other => panic!("epoch {epoch}: {other:?}"),
        }
    }
    assert!(wins.0 > 0 && wins.1 > 0, "they never met: {wins:?}");
}

/// The answer to LINK is lost, and the repeated request fails with EEXIST on its own work.
#[test]
fn a_link_that_finds_its_own_work_has_won() {
    let store = Store::new();
    let daemon = store.daemon(Role::Master, 1);
    let folder = Folder::open(&daemon.place).unwrap();
    let claim = Claim { epoch: Epoch(1), owner: Role::Master, boot: BootId(1) };
    let record = ClaimRecord { store: folder.id, claim, host: "host".into(), nonce: 5 };
    let unfinished = name::unfinished(Role::Master, 5);
    folder.create_claim(&unfinished, &record).unwrap();
    std::fs::hard_link(store.path().join(&unfinished), store.path().join("claim.1")).unwrap();
    assert!(folder.link_claim(&unfinished, Epoch(1)).unwrap());
    folder.create_claim("other", &record).unwrap();
    assert!(!folder.link_claim("other", Epoch(1)).unwrap(), "another file's link has not");
}

/// The daemon heard nothing of its claim, and asks again.
#[test]
fn a_claim_whose_answer_was_lost_is_found_again() {
    let store = Store::new();
    let mut daemon = store.daemon(Role::Master, 1);
    daemon.ask_in_vain(ArbiterRequest::Claim { epoch: Epoch(1), stamp: Stamp(0) });
    assert_eq!(daemon.claim(1), ArbiterReply::Claimed);
}

#[test]
fn what_an_attempt_left_behind_is_removed_by_the_next_one_of_the_same_host() {
    let store = Store::new();
    let left = [name::unfinished(Role::Master, 1), name::unfinished(Role::Slave, 2)];
    for name in &left {
        std::fs::write(store.path().join(name), "half").unwrap();
    }
    assert_eq!(store.daemon(Role::Master, 1).claim(1), ArbiterReply::Claimed);
    assert_eq!(store.names("unfinished"), [left[1].clone()]);
}

#[test]
fn sixteen_claims_are_kept_the_two_highest_among_them() {
    let store = Store::new();
    let mut master = store.daemon(Role::Master, 1);
    for epoch in 1..=40 {
        assert_eq!(master.claim(epoch * 10), ArbiterReply::Claimed);
    }
    let view = master.observe();
    assert_eq!(view.claim.map(|claim| claim.epoch), Some(Epoch(400)));
    assert_eq!(view.before.map(|claim| claim.epoch), Some(Epoch(390)));
    let kept: Vec<String> = (25..=40).map(|epoch| format!("claim.{}", epoch * 10)).collect();
    assert_eq!(store.names("claim"), kept);
}

#[test]
fn a_damaged_claim_is_named_and_nobody_owns_it() {
    let store = Store::new();
    let mut master = store.daemon(Role::Master, 1);
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    let path = store.path().join("claim.1");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, String::from_utf8(whole.clone()).unwrap().replace("\"master\"", "\"slave\"")).unwrap();
    for reply in [master.ask(ArbiterRequest::Observe), master.renew(1), master.claim(1)] {
        let text = failure(reply, ArbiterFailure::Damaged);
        assert!(text.contains("claim.1") && text.contains("digest") && text.contains("next:"), "{text}");
    }
    std::fs::write(store.path().join("claim.2"), whole).unwrap();
    failure(master.ask(ArbiterRequest::Observe), ArbiterFailure::Damaged);
}

#[test]
fn a_folder_without_marker_is_not_the_store_and_one_of_another_pair_is_refused() {
    let store = Store::new();
    let mut daemon = store.daemon(Role::Master, 1);
    let marker = store.path().join("lease.id");
    let aside = store.path().join("aside");
    std::fs::rename(&marker, &aside).unwrap();
    let text = failure(daemon.ask(ArbiterRequest::Observe), ArbiterFailure::Unreachable);
    assert!(text.contains("not mounted") && text.contains("failoverctl arbiter-init"), "{text}");
    std::fs::rename(&aside, &marker).unwrap();
    daemon.observe();
    daemon.place.pair = "news".to_owned();
    let text = failure(daemon.ask(ArbiterRequest::Observe), ArbiterFailure::Damaged);
    assert!(text.contains("\"mail\"") && text.contains("\"news\""), "{text}");
}

#[test]
fn a_store_is_initialised_once_and_never_over_claims() {
    let store = Store::new();
    let again = initialise(store.path(), "mail");
    assert!(matches!(again, Err(InitialiseError::AlreadyThere { .. })), "{again:?}");
    assert_eq!(store.daemon(Role::Master, 1).claim(1), ArbiterReply::Claimed);
    std::fs::remove_file(store.path().join("lease.id")).unwrap();
    let again = initialise(store.path(), "mail");
    assert!(matches!(again, Err(InitialiseError::LeftOver { .. })), "{again:?}");
    assert_eq!(store.names("lease"), [""; 0]);
    let nowhere = initialise(&store.path().join("nowhere"), "mail");
    assert!(matches!(nowhere, Err(InitialiseError::Io { .. })), "{nowhere:?}");
}

#[test]
fn a_holder_whose_epoch_the_other_host_claimed_anew_is_deposed() {
    let store = Store::new();
    let mut slave = store.daemon(Role::Slave, 1);
    assert_eq!(slave.claim(1), ArbiterReply::Claimed);
    assert_eq!(slave.renew(1), ArbiterReply::Renewed);
    // The store is put back to the time before; the other host had never heard of that claim.
    std::fs::remove_file(store.path().join("claim.1")).unwrap();
    let mut master = store.daemon(Role::Master, 2);
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    let reply = slave.renew(1);
    assert!(matches!(reply, ArbiterReply::Deposed(claim) if claim.owner == Role::Master), "{reply:?}");
}

#[test]
fn claims_that_are_gone_and_another_store_in_the_same_place_are_a_roll_back() {
    let store = Store::new();
    let mut daemon = store.daemon(Role::Slave, 1);
    assert_eq!(daemon.claim(1), ArbiterReply::Claimed);
    assert_eq!(daemon.claim(2), ArbiterReply::Claimed);
    std::fs::remove_file(store.path().join("claim.2")).unwrap();
    for reply in [daemon.ask(ArbiterRequest::Observe), daemon.renew(2), daemon.claim(3), daemon.release(2)] {
        failure(reply, ArbiterFailure::RolledBack);
    }
    std::fs::remove_file(store.path().join("claim.1")).unwrap();
    std::fs::remove_file(store.path().join("lease.id")).unwrap();
    let mut fresh = store.daemon(Role::Slave, 1);
    failure(fresh.ask(ArbiterRequest::Observe), ArbiterFailure::Unreachable);
    initialise(store.path(), "mail").unwrap();
    fresh.observe();
    for _ in 0..2 {
        failure(daemon.ask(ArbiterRequest::Observe), ArbiterFailure::RolledBack);
    }
}
