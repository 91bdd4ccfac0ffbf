//! Requests that the store carries out later than everybody thought.

use std::fs;

use super::*;
use crate::arbiter::shared_storage::block::BLOCK_BYTES;
use crate::arbiter::shared_storage::name;
use crate::arbiter::shared_storage::protocol::{Asked, OwnSlot};

/// What a renewal would have written, kept to be written later.
struct Late {
    path: std::path::PathBuf,
    bytes: Vec<u8>,
    place: usize,
}

impl Late {
    /// Renews in vain, takes the write back as if it had not reached the store, and keeps it.
    fn renewal(store: &Store, daemon: &mut Daemon) -> Late {
        let before = slot_files(store);
        daemon.ask_in_vain(renewal(1));
        let after = slot_files(store);
        let (path, written) = after.iter().find(|file| !before.contains(file)).unwrap().clone();
        let whole = before.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone());
        for (path, _) in &after {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in &before {
            fs::write(path, bytes).unwrap();
        }
        match whole {
            None => Late { path, bytes: written, place: 0 },
            Some(whole) => {
                let changed = (0..CELLS).map(|index| index * BLOCK_BYTES);
                let place = changed
                    .clone()
                    .find(|start| whole[*start..start + BLOCK_BYTES] != written[*start..start + BLOCK_BYTES])
                    .unwrap();
                Late { path, bytes: written[place..place + BLOCK_BYTES].to_vec(), place }
            }
        }
    }

    /// The store carries it out. A file that was removed stays so: its handle is stale.
    fn arrives_in_its_file(&self) -> bool {
        let Ok(mut bytes) = fs::read(&self.path) else { return false };
        bytes[self.place..self.place + self.bytes.len()].copy_from_slice(&self.bytes);
        fs::write(&self.path, bytes).unwrap();
        true
    }

    /// The same for a file whose creation was late as well.
    fn arrives_with_its_file(&self) {
        fs::write(&self.path, &self.bytes).unwrap();
    }
}

fn slot_files(store: &Store) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let names = store.names("slot.master.");
    names.iter().map(|name| (store.path().join(name), fs::read(store.path().join(name)).unwrap())).collect()
}

fn holder(store: &Store) -> Daemon {
    let mut master = store.daemon(Role::Master, 1);
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    for _ in 0..3 {
        assert_eq!(master.renew(1), ArbiterReply::Renewed);
    }
    master
}

/// The danger: the contender sees the slot as it was, because a late write took the renewal's place.
#[test]
fn a_late_write_never_makes_a_renewed_slot_look_unchanged() {
    for renewals in 1..=2 * CELLS {
        let store = Store::new();
        let mut master = holder(&store);
        let mut slave = store.daemon(Role::Slave, 2);
        let late = Late::renewal(&store, &mut master);
        let before = slave.observe().master.unwrap();
        for _ in 0..renewals {
            assert_eq!(master.renew(1), ArbiterReply::Renewed);
        }
        assert!(!late.arrives_in_its_file(), "its file is still in use");
        let after = slave.observe().master.unwrap();
        assert!(after.sequence > before.sequence, "{before:?} {after:?} after {renewals} renewals");
        assert_eq!(master.renew(1), ArbiterReply::Renewed);
    }
}

/// It arrives between the look and the removal, and the contender sees it: the worst moment.
#[test]
fn a_late_write_that_the_contender_saw_is_numbered_below_the_next_renewal() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    let late = Late::renewal(&store, &mut master);
    let mut next = store.daemon(Role::Master, 1);
    next.observe();
    let unseen = slot_files(&store);
    assert!(late.arrives_in_its_file());
    let seen = slave.observe().master.unwrap();
    // What the next renewal has looked at is the slot without the late write.
    fs::write(&unseen[0].0, &unseen[0].1).unwrap();
    assert_eq!(next.renew(1), ArbiterReply::Renewed);
    let after = slave.observe().master.unwrap();
    assert!(after.sequence > seen.sequence, "{seen:?} {after:?}");
}

/// A renewal in its two halves, with something that happens between write and list.
fn renewal_with(daemon: &mut Daemon, between: impl FnOnce()) -> Result<ArbiterReply, ArbiterFailure> {
    let mut asked = Asked::about(&daemon.place, rand(), &mut daemon.memory)?;
    let OwnSlot { names, newest, sequence } = asked.own_slot()?;
    asked.write(&names, Slot { sequence, ..newest.unwrap() })?;
    between();
    asked.confirm(Epoch(1))
}

#[test]
fn a_slot_file_that_appears_late_keeps_a_renewal_from_counting_and_is_removed_by_the_next() {
    let store = Store::new();
    holder(&store);
    let mut master = store.daemon(Role::Master, 1);
    let late = Late::renewal(&store, &mut master);
    assert_eq!(renewal_with(&mut master, || ()), Ok(ArbiterReply::Renewed));
    let reply = renewal_with(&mut master, || late.arrives_with_its_file());
    let text = failure(ArbiterReply::Failed(reply.unwrap_err()), ArbiterFailure::Unreachable);
    assert!(text.contains("arrived late"), "{text}");
    let mut slave = store.daemon(Role::Slave, 2);
    let before = slave.observe().master.unwrap();
    assert_eq!(master.renew(1), ArbiterReply::Renewed);
    assert!(slave.observe().master.unwrap().sequence > before.sequence);
    assert_eq!(store.names("slot.master.").len(), 1);
}

/// The heart of it: the claim came after the look and before the list.
#[test]
fn a_claim_between_write_and_list_ends_the_lease_and_its_owner_sees_the_write() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    let before = slave.observe().master.unwrap();
    let reply = renewal_with(&mut master, || assert_eq!(slave.claim(2), ArbiterReply::Claimed));
    assert!(matches!(reply, Ok(ArbiterReply::Deposed(Claim { epoch: Epoch(2), .. }))), "{reply:?}");
    assert_ne!(slave.observe().master.unwrap(), before);
}

#[test]
fn a_renewal_that_arrives_after_the_release_does_not_undo_it() {
    let store = Store::new();
    let mut master = holder(&store);
    let mut slave = store.daemon(Role::Slave, 2);
    let late = Late::renewal(&store, &mut master);
    assert_eq!(master.release(1), ArbiterReply::Released);
    assert!(!late.arrives_in_its_file());
    late.arrives_with_its_file();
    assert!(slave.observe().master.unwrap().released);
}

/// The write took effect, and only its answer was lost.
#[test]
fn a_write_whose_answer_was_lost_is_known_as_the_own_one() {
    let store = Store::new();
    let mut master = holder(&store);
    for _ in 0..3 {
        master.ask_in_vain(renewal(1));
        assert_eq!(master.renew(1), ArbiterReply::Renewed);
    }
    master.ask_in_vain(renewal(1));
    master.ask_in_vain(renewal(1));
    assert_eq!(master.renew(1), ArbiterReply::Renewed);
    assert_eq!(store.names("slot.master.").len(), 1);
}

/// The daemon before this one left a write behind, which arrives after this one has looked.
#[test]
fn a_late_write_of_the_daemon_before_is_no_copy_of_the_machine() {
    let store = Store::new();
    let mut first = holder(&store);
    let late = Late::renewal(&store, &mut first);
    let mut second = store.daemon(Role::Master, 1);
    second.observe();
    assert!(late.arrives_in_its_file());
    second.observe();
    assert_eq!(second.renew(1), ArbiterReply::Renewed);
}

#[test]
fn a_late_link_finds_nothing_to_link() {
    let store = Store::new();
    let mut master = store.daemon(Role::Master, 1);
    let unfinished = store.path().join(name::unfinished(Role::Master, 3));
    fs::write(&unfinished, "the file of an attempt that hangs before its link").unwrap();
    assert_eq!(master.claim(1), ArbiterReply::Claimed);
    assert!(fs::hard_link(&unfinished, store.path().join("claim.2")).is_err());
}
