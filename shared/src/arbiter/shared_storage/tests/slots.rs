//! Slots: renewals, releases, and who writes them.

use super::*;
use crate::arbiter::shared_storage::block::BLOCK_BYTES;

/// A master that holds epoch 1 and has renewed it.
fn holder(store: &Store) -> Daemon {
    let mut master = store.daemon(Role::Master, 1);
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    assert_eq!(master.renew(1), ArbiterReply::Renewed);
    master
}

fn slot_file(store: &Store, role: Role) -> std::path::PathBuf {
    let names = store.names(&format!("slot.{role}."));
    assert_eq!(names.len(), 1, "{names:?}");
    store.path().join(&names[0])
}

#[test]
fn every_renewal_changes_the_slot_that_the_other_host_sees() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    let mut before = slave.observe();
    assert_eq!(before.slave, None);
    for _ in 0..3 * CELLS {
        assert_eq!(slave.observe(), before, "unchanged as long as nobody renews");
        assert_eq!(master.renew(1), ArbiterReply::Renewed);
        let after = slave.observe();
        let (old, new) = (before.master.unwrap(), after.master.unwrap());
        assert_eq!(new, Slot { sequence: old.sequence + 1, ..old });
        before = after;
    }
    let slot = before.master.unwrap();
    assert_eq!(
        (slot.epoch, slot.boot, slot.released, slot.hold, slot.terms),
        (Epoch(1), BootId(1), false, false, TERMS)
    );
    slot_file(&store, Role::Master);
}

#[test]
fn a_hold_and_a_release_are_seen() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    let reply = master.ask(ArbiterRequest::Renew { epoch: Epoch(1), hold: true, terms: TERMS });
    assert_eq!(reply, ArbiterReply::Renewed);
    assert!(slave.observe().master.unwrap().hold);
    assert_eq!(master.release(1), ArbiterReply::Released);
    let slot = slave.observe().master.unwrap();
    assert!(slot.released && !slot.hold);
    assert_eq!(master.release(1), ArbiterReply::Released, "may be asked again");
    failure(master.renew(1), ArbiterFailure::RolledBack);
}

#[test]
fn a_later_claim_ends_the_lease() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    assert_eq!(slave.claim(2), ArbiterReply::Claimed);
    let before = slave.observe().master;
    let later = Claim { epoch: Epoch(2), owner: Role::Slave, boot: BootId(2) };
    assert_eq!(master.renew(1), ArbiterReply::Deposed(later));
    assert_eq!(slave.observe().master, before, "who lost the epoch does not make the new owner wait");
    assert_eq!(slave.renew(2), ArbiterReply::Renewed);
}

#[test]
fn an_epoch_is_not_renewed_without_its_claim() {
    let store = Store::new();
    failure(store.daemon(Role::Master, 1).renew(1), ArbiterFailure::RolledBack);
}

#[test]
fn a_daemon_that_is_started_again_goes_on_in_a_file_of_its_own() {
    let store = Store::new();
    holder(&store);
    let (before, file) = (store.daemon(Role::Slave, 2).observe().master.unwrap(), slot_file(&store, Role::Master));
    let mut again = store.daemon(Role::Master, 1);
    assert_eq!(again.renew(1), ArbiterReply::Renewed);
    let after = store.daemon(Role::Slave, 2).observe().master.unwrap();
    assert!(after.sequence > before.sequence + 1, "{before:?} {after:?}: the first record of a file does not count");
    assert_ne!(slot_file(&store, Role::Master), file);
}

/// A power cut tears the cell that is being written. Whichever it is and however far it came, the record before is there.
#[test]
fn a_torn_write_leaves_the_record_before_it() {
    let store = Store::new();
    let mut master = holder(&store);
    let path = slot_file(&store, Role::Master);
    for round in 0..2 * CELLS {
        let (whole, before) = (std::fs::read(&path).unwrap(), store.daemon(Role::Slave, 2).observe().master);
        assert_eq!(master.renew(1), ArbiterReply::Renewed);
        let written = std::fs::read(&path).unwrap();
        let cell = (0..CELLS)
            .map(|index| index * BLOCK_BYTES..(index + 1) * BLOCK_BYTES)
            .find(|cell| whole[cell.clone()] != written[cell.clone()])
            .unwrap();
        let tear = cell.start + 40 + round * 13;
        let mut torn = written.clone();
        torn[tear..cell.end].copy_from_slice(&whole[tear..cell.end]);
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(store.daemon(Role::Slave, 2).observe().master, before, "round {round}");
        std::fs::write(&path, &written).unwrap();
    }
}

#[test]
fn a_slot_of_which_more_than_one_write_is_broken_is_damaged() {
    let store = Store::new();
    let mut master = holder(&store);
    for _ in 0..CELLS {
        assert_eq!(master.renew(1), ArbiterReply::Renewed);
    }
    let path = slot_file(&store, Role::Master);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    bytes[BLOCK_BYTES + 60] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let text = failure(store.daemon(Role::Slave, 2).ask(ArbiterRequest::Observe), ArbiterFailure::Damaged);
    assert!(text.contains(path.to_str().unwrap()), "{text}");
}

#[test]
fn an_older_slot_than_before_is_a_roll_back_for_both_hosts() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    let path = slot_file(&store, Role::Master);
    let old = std::fs::read(&path).unwrap();
    assert_eq!(master.renew(1), ArbiterReply::Renewed);
    slave.observe();
    std::fs::write(&path, old).unwrap();
    for reply in [master.renew(1), master.release(1), slave.ask(ArbiterRequest::Observe)] {
        let text = failure(reply, ArbiterFailure::RolledBack);
        assert!(text.contains("next:"), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    failure(slave.ask(ArbiterRequest::Observe), ArbiterFailure::RolledBack);
}

/// The machine was copied while it ran: the same memory, the same boot id, two writers.
#[test]
fn of_a_machine_and_its_copy_one_sees_that_it_is_not_alone_before_its_renewal_counts() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut copy = master.clone();
    assert_eq!(master.renew(1), ArbiterReply::Renewed);
    let text = failure(copy.renew(1), ArbiterFailure::Cloned);
    assert!(text.contains("host-master") && text.contains("next:"), "{text}");
    assert_eq!(master.renew(1), ArbiterReply::Renewed, "the copy wrote nothing");
    failure(copy.ask(ArbiterRequest::Observe), ArbiterFailure::Cloned);
}

/// A copy that was booted does not write, and sees its own slot advance.
#[test]
fn a_copy_that_was_booted_sees_that_the_original_lives() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut copy = store.daemon(Role::Master, 99);
    copy.observe();
    assert_eq!(master.renew(1), ArbiterReply::Renewed);
    failure(copy.ask(ArbiterRequest::Observe), ArbiterFailure::Cloned);
}

#[test]
fn a_slot_of_another_store_is_not_taken_for_one_of_this() {
    let (store, other) = (Store::new(), Store::new());
    holder(&other);
    let file = slot_file(&other, Role::Master);
    std::fs::copy(&file, store.path().join(file.file_name().unwrap())).unwrap();
    failure(store.daemon(Role::Slave, 2).ask(ArbiterRequest::Observe), ArbiterFailure::Damaged);
}
