use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn open(path: &Path) -> (Journal, Recovered) {
    Journal::open(path, JournalSize::default()).unwrap()
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.text.as_str()).collect()
}

#[test]
fn entries_are_numbered_kept_and_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let (mut journal, recovered) = open(&path);
    assert_eq!(recovered, Recovered::default());
    let entry = Entry::now("script", "step 1 began\nand \"more\"").with("epoch", 7).with("command", "./a.sh >é");
    assert!(entry.uptime_ms > 0);
    assert_eq!(journal.append(&entry, true).unwrap(), 1);
    assert_eq!(journal.append(&Entry::now("script", "step 1 ended"), false).unwrap(), 2);
    drop(journal);

    let (mut journal, _) = open(&path);
    assert_eq!(journal.append(&Entry::now("script", "step 2 began"), false).unwrap(), 3);
    let read = journal.tail(10).unwrap();
    assert_eq!(read[0], Entry { sequence: 1, ..entry });
    assert_eq!(texts(&journal.tail(2).unwrap()), ["step 1 ended", "step 2 began"]);
    assert_eq!(texts(&journal.since(1, 10).unwrap()), ["step 1 ended", "step 2 began"]);
    assert_eq!(texts(&journal.since(1, 1).unwrap()), ["step 1 ended"]);
    for line in fs::read_to_string(&path).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON for other tools");
    }
}

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_line_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let (mut journal, _) = open(&path);
    for number in 1..=3 {
        journal.append(&Entry::now("test", format!("entry {number}")), false).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|place| whole[*place] == b'\n').map(|place| place + 1).collect();
    for cut in 0..=whole.len() {
        for filler in [&b""[..], &[0; 40], b"\xff\xff\n\xff"] {
            let mut torn = whole[..cut].to_vec();
            torn.extend_from_slice(filler);
            fs::write(&path, &torn).unwrap();
            let (mut journal, recovered) = open(&path);
            let kept = ends.iter().filter(|end| **end <= cut).count();
            let torn_bytes = torn.len() - kept.checked_sub(1).map_or(0, |last| ends[last]);
            assert_eq!(recovered.torn_bytes, torn_bytes as u64, "cut at byte {cut}");
            assert_eq!(journal.append(&Entry::now("test", "next"), false).unwrap(), kept as u64 + 1);
            assert_eq!(journal.tail(10).unwrap().len(), kept + 1, "cut at byte {cut}");
        }
    }
}

#[test]
fn a_spoiled_line_in_the_middle_is_passed_over_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let (mut journal, _) = open(&path);
    for number in 1..=3 {
        journal.append(&Entry::now("test", format!("entry {number}")), false).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap().replace("entry 2", "entry 9");
    fs::write(&path, text).unwrap();
    let (journal, recovered) = open(&path);
    assert_eq!(recovered, Recovered { torn_bytes: 0, spoiled_lines: 1 });
    assert_eq!(texts(&journal.tail(10).unwrap()), ["entry 1", "entry 3"]);
}

#[test]
fn files_are_put_aside_by_size_and_the_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let size = JournalSize { file_bytes_max: 2_000, files: 3 };
    let (mut journal, _) = Journal::open(&path, size).unwrap();
    for number in 1..=100 {
        assert_eq!(journal.append(&Entry::now("test", format!("entry {number}")), false).unwrap(), number);
    }
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 2_000));
    let kept = journal.tail(1_000).unwrap();
    assert!(kept.len() > 20 && kept.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    assert_eq!(kept.last().unwrap().sequence, 100);
    assert_eq!(journal.since(0, 1_000).unwrap(), kept);

    // A daemon that died right after the file was put aside.
    drop(journal);
    put_aside(&path, 3).unwrap();
    let (mut journal, _) = Journal::open(&path, size).unwrap();
    assert_eq!(journal.append(&Entry::now("test", "after"), false).unwrap(), 101);
}

#[test]
fn what_another_program_appended_is_kept_and_counted_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let (mut frozen, _) = open(&path);
    frozen.append(&Entry::now("test", "daemon"), false).unwrap();
    open(&path).0.append(&Entry::now("test", "stop-here"), true).unwrap();
    assert_eq!(frozen.append(&Entry::now("test", "thawed"), false).unwrap(), 3);
    assert_eq!(texts(&frozen.tail(10).unwrap()), ["daemon", "stop-here", "thawed"]);
}

#[test]
fn an_entry_that_is_too_long_is_shortened_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let (mut journal, _) = open(&path);
    let tail = "\u{1}é".repeat(40_000);
    journal.append(&Entry::now("script", tail.clone()).with("tail", tail), false).unwrap();
    journal.append(&Entry::now("script", "next"), false).unwrap();
    let read = journal.tail(10).unwrap();
    assert!(read[0].text.contains("shortened") && read[0].fields.is_empty());
    assert_eq!(read[1].text, "next");
}

#[test]
fn a_disk_that_fails_gives_an_error_and_the_journal_works_again_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let room = folder.path().join("room");
    fs::create_dir(&room).unwrap();
    let path = room.join("journal.jsonl");
    let (mut journal, _) = open(&path);
    journal.append(&Entry::now("test", "before"), true).unwrap();
    // A folder that went away fails like a disk that did, for root too.
    fs::rename(&room, folder.path().join("away")).unwrap();
    let error = journal.append(&Entry::now("test", "lost"), true).unwrap_err();
    assert!(matches!(error, JournalError::Open { .. }), "{error:?}");
    fs::rename(folder.path().join("away"), &room).unwrap();
    assert_eq!(journal.append(&Entry::now("test", "after"), true).unwrap(), 2);
    assert_eq!(texts(&journal.tail(10).unwrap()), ["before", "after"]);
}

#[test]
fn a_full_disk_costs_entries_but_no_half_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut mount = std::process::Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()).output().unwrap();
    if !mounted.status.success() {
        println!("not run: no file system can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    struct Disk(PathBuf);
    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(&self.0).status();
        }
    }
    let disk = Disk(folder.path().to_owned());
    let path = disk.0.join("journal.jsonl");
    let (mut journal, _) = open(&path);
    journal.append(&Entry::now("test", "before"), true).unwrap();
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![b'x'; 128 * 1024]).unwrap_err();
    let long = Entry::now("test", "x".repeat(20_000));
    let error = journal.append(&long, true).unwrap_err();
    assert!(matches!(error, JournalError::Write(_)), "{error:?}");
    fs::remove_file(&filler).unwrap();
    journal.append(&Entry::now("test", "after"), true).unwrap();
    assert_eq!(open(&path).1, Recovered::default());
    assert_eq!(texts(&journal.tail(10).unwrap()), ["before", "after"]);
    drop(journal);
}

#[test]
fn a_journal_that_is_not_there_reads_as_empty_and_one_that_may_not_be_read_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tail(&folder.path().join("none"), 5).unwrap(), []);
    let path = folder.path().join("closed");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        println!("not run in part: root may read everything");
        return;
    }
    tail(&path, 5).unwrap_err();
}
