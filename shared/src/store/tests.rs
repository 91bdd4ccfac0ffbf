use std::process::Command;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    epoch: u64,
    text: String,
}

fn memory(epoch: u64) -> Memory {
    Memory { epoch, text: format!("epoch {epoch}, é, \"quoted\"") }
}

fn open(path: &Path) -> (Store, Loaded<Memory>) {
    Store::open(path, "cfg1", "mail").unwrap()
}

#[test]
fn a_record_is_read_back_and_the_newest_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, loaded) = open(&path);
    assert_eq!(loaded, Loaded::Fresh);
    for epoch in 1..=5 {
        store.write(&memory(epoch)).unwrap();
        assert_eq!(open(&path).1, Loaded::Valid(memory(epoch)));
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), FILE_BYTES as u64);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert!(String::from_utf8(fs::read(&path).unwrap()).unwrap().contains("\"epoch\":5"), "an operator can read it");
}

#[test]
fn a_write_that_is_cut_at_any_byte_leaves_the_record_before_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    for epoch in 1..=2 {
        store.write(&memory(epoch)).unwrap();
    }
    let before = fs::read(&path).unwrap();
    store.write(&memory(3)).unwrap();
    let after = fs::read(&path).unwrap();
    let start = SLOT_BYTES * usize::from(before[..SLOT_BYTES] == after[..SLOT_BYTES]);
    let mut kept_new = 0;
    for cut in 0..=SLOT_BYTES {
        let mut torn = before.clone();
        torn[start..start + cut].copy_from_slice(&after[start..start + cut]);
        // Not only stale bytes may follow a cut, but also whatever the disk had half written.
        for filler in [None, Some(0_u8), Some(0xFF)] {
            let mut torn = torn.clone();
            if let Some(filler) = filler {
                torn[start + cut..start + SLOT_BYTES].fill(filler);
            }
            fs::write(&path, &torn).unwrap();
            match open(&path).1 {
                Loaded::Valid(found) if found == memory(3) => kept_new += 1,
                found => assert_eq!(found, Loaded::Valid(memory(2)), "cut at byte {cut}, filled with {filler:?}"),
            }
        }
    }
    assert!(kept_new > 0, "the whole write was never recognised");
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_never_taken_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    for epoch in 1..=3 {
        store.write(&memory(epoch)).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let mut torn = 0;
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        match open(&path).1 {
            Loaded::Torn { detail } => {
                torn += 1;
                assert!(detail.contains("slot 1") && detail.contains("slot 2"), "{detail}");
            }
            found => assert!(
                [2, 3].iter().any(|epoch| found == Loaded::Valid(memory(*epoch))),
                "cut at byte {cut}: {found:?}"
            ),
        }
    }
    // The blanks after a record do not belong to it: only cuts in front of the first slot's last letter lose both.
    assert!(torn > 100, "an empty or half file was told as torn at {torn} cuts only");
}

#[test]
fn any_changed_bit_of_the_only_record_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.write(&memory(1)).unwrap();
    let whole = fs::read(&path).unwrap();
    let end = SLOT_BYTES + whole[SLOT_BYTES..].iter().rposition(|byte| *byte == b'}').unwrap();
    for place in SLOT_BYTES..=end {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert!(matches!(open(&path).1, Loaded::Torn { .. }), "byte {place}: {:?}", open(&path).1);
    }
}

#[test]
fn a_torn_store_can_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, [b'#'; FILE_BYTES]).unwrap();
    let (mut store, loaded) = open(&path);
    assert!(matches!(loaded, Loaded::Torn { .. }));
    store.write(&memory(1)).unwrap();
    store.write(&memory(2)).unwrap();
    assert_eq!(open(&path).1, Loaded::Valid(memory(2)));
}

#[test]
fn the_record_of_another_host_or_version_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.write(&memory(1)).unwrap();
    let (_, other) = Store::open::<Memory>(&path, "cfg2", "mail").unwrap();
    assert_eq!(other, Loaded::OfAnotherHost { host: "cfg1".to_owned(), pair: "mail".to_owned() });
    let (_, other) = Store::open::<Memory>(&path, "cfg1", "web").unwrap();
    assert_eq!(other, Loaded::OfAnotherHost { host: "cfg1".to_owned(), pair: "mail".to_owned() });
    let (_, later) = Store::open::<Vec<u8>>(&path, "cfg1", "mail").unwrap();
    assert!(matches!(&later, Loaded::Torn { detail } if detail.contains("not understood")), "{later:?}");
}

#[test]
fn a_write_over_another_programs_record_is_refused_until_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut frozen, _) = open(&path);
    frozen.write(&memory(1)).unwrap();
    assert!(!frozen.changed_by_other().unwrap());
    open(&path).0.write(&memory(2)).unwrap();

    assert!(frozen.changed_by_other().unwrap());
    let refused = frozen.write(&memory(9)).unwrap_err();
    assert!(matches!(refused, StoreError::ForeignWrite { found: 2, expected: 1 }), "{refused:?}");
    assert_eq!(open(&path).1, Loaded::Valid(memory(2)));
    assert_eq!(frozen.reload::<Memory>().unwrap(), Loaded::Valid(memory(2)));
    frozen.write(&memory(3)).unwrap();
    assert_eq!(open(&path).1, Loaded::Valid(memory(3)));
}

#[test]
fn a_replaced_file_counts_as_another_programs_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.write(&memory(1)).unwrap();
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    assert!(store.changed_by_other().unwrap());
    assert!(matches!(store.write(&memory(2)), Err(StoreError::ForeignWrite { .. })));
    assert_eq!(store.reload::<Memory>().unwrap(), Loaded::Valid(memory(1)));
    store.write(&memory(2)).unwrap();
    assert_eq!(open(&path).1, Loaded::Valid(memory(2)));
}

#[test]
fn a_writer_waits_for_the_lock_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    let other = File::open(&path).unwrap();
    other.lock().unwrap();
    let writer = thread::spawn(move || store.write(&memory(1)));
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished() && open(&path).1 == Loaded::Fresh, "it wrote without the lock");
    other.unlock().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(open(&path).1, Loaded::Valid(memory(1)));
}

#[test]
fn a_record_that_fills_a_slot_is_kept_and_one_byte_more_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = Store::open::<String>(&path, "cfg1", "mail").unwrap();
    let (host, pair) = ("cfg1".into(), "mail".into());
    let envelope = serde_json::to_string(&Envelope { sequence: 1, host, pair, record: "" }).unwrap().len();
    let fits = "x".repeat(RECORD_BYTES_MAX - envelope);
    let refused = store.write(&format!("{fits}x")).unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { bytes } if bytes == RECORD_BYTES_MAX + 1), "{refused:?}");
    store.write(&fits).unwrap();
    assert_eq!(Store::open::<String>(&path, "cfg1", "mail").unwrap().1, Loaded::Valid(fits));
}

#[test]
fn after_a_failed_sync_the_handle_writes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut store, _) = open(&path);
    store.sync_fails = true;
    assert!(matches!(store.write(&memory(1)), Err(StoreError::Sync(_))));
    store.sync_fails = false;
    assert!(matches!(store.write(&memory(1)), Err(StoreError::Failed)));
}

/// A small file system of its own, in memory.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_record_is_written_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |path: &Path| {
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(path).output().unwrap()
    };
    let output = mount(folder.path());
    if !output.status.success() {
        println!("not run: no file system can be mounted here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let disk = Disk(folder.path().to_owned());
    let path = disk.0.join("state");
    let (mut store, _) = open(&path);
    store.write(&memory(1)).unwrap();
    let full = fs::write(disk.0.join("filler"), vec![b'x'; 128 * 1024]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    for epoch in 2..=5 {
        store.write(&memory(epoch)).unwrap();
    }
    assert_eq!(open(&path).1, Loaded::Valid(memory(5)));
    drop(store);
}
