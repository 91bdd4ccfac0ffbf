use super::*;

fn open(path: &Path) -> (Store<String>, Loaded<String>) {
    Store::open(path, "cfg1", "mail").unwrap()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, loaded) = open(&path);
    assert_eq!(loaded, Loaded::Fresh);
    for state in ["one", "two", "three"] {
        store.write(&state.to_string()).unwrap();
        assert_eq!(open(&path).1, Loaded::Valid(state.to_string()));
    }
}

#[test]
fn a_write_torn_at_any_byte_leaves_the_state_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.write(&"old".to_string()).unwrap();
    let before = std::fs::read(&path).unwrap();
    store.write(&"new".to_string()).unwrap();
    let after = std::fs::read(&path).unwrap();
    let changed: Vec<usize> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
    let (first, last) = (*changed.first().unwrap(), *changed.last().unwrap());
    let mut seen_old = 0;
    for cut in first..=last {
        let mut torn = before.clone();
        torn[first..cut].copy_from_slice(&after[first..cut]);
        std::fs::write(&path, &torn).unwrap();
        match open(&path).1 {
            Loaded::Valid(state) if state == "old" => seen_old += 1,
            Loaded::Valid(state) => assert!(state == "new" && torn == after, "cut at {cut} gave {state}"),
            other => panic!("cut at {cut} gave {other:?}"),
        }
    }
    assert!(seen_old > 0);
}

#[test]
fn damage_in_both_slots_and_a_file_of_another_host_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.write(&"one".to_string()).unwrap();
    assert!(matches!(
        Store::<String>::open(&path, "cfg2", "mail").unwrap().1,
        Loaded::OfAnotherHost { host, .. } if host == "cfg1"
    ));
    std::fs::write(&path, vec![7; 2 * SLOT_BYTES]).unwrap();
    assert!(matches!(open(&path).1, Loaded::Torn { .. }));
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(open(&path).1, Loaded::Torn { .. }));
}

#[test]
fn a_second_writer_is_noticed_before_anything_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut daemon, _) = open(&path);
    daemon.write(&"active".to_string()).unwrap();
    let (mut other, _) = open(&path);
    assert!(!daemon.changed_by_other().unwrap());
    other.write(&"stopped".to_string()).unwrap();
    assert!(daemon.changed_by_other().unwrap());
    assert!(matches!(daemon.write(&"active".to_string()), Err(StoreError::ForeignWrite { .. })));
    assert_eq!(daemon.reload().unwrap(), Loaded::Valid("stopped".to_string()));
    daemon.write(&"standby".to_string()).unwrap();
    assert_eq!(open(&path).1, Loaded::Valid("standby".to_string()));
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_the_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.write(&"small".to_string()).unwrap();
    assert!(matches!(store.write(&"x".repeat(SLOT_BYTES)), Err(StoreError::TooLarge { .. })));
    assert_eq!(open(&path).1, Loaded::Valid("small".to_string()));
}
