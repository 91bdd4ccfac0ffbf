use std::os::unix::fs::PermissionsExt;

use super::*;

fn arguments(directory: &Path, given: &[(&'static str, &str)]) -> Arguments {
    Arguments {
        directory: Some(directory.to_path_buf()),
        given: given.iter().map(|(key, answer)| (*key, (*answer).to_string())).collect(),
    }
}

const COMPLETE: &[(&str, &str)] = &[
    ("master", "cfg1"),
    ("master-address", "192.0.2.11"),
    ("slave", "cfg2"),
    ("slave-address", "192.0.2.12"),
    ("silence", "wait"),
    ("process", "dovecot"),
];

fn run_with(arguments: &Arguments, typed: Option<&str>) -> (anyhow::Result<Exit>, String) {
    let mut bytes = Vec::new();
    let mut person = typed.map(str::as_bytes);
    let person = person.as_mut().map(|person| person as &mut dyn BufRead);
    let result = run(Path::new("/nowhere/failover.ron"), arguments, person, &mut Out::plain(&mut bytes));
    (result, String::from_utf8(bytes).unwrap())
}

#[test]
fn flags_alone_make_a_whole_pair() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, text) = run_with(&arguments(folder.path(), COMPLETE), None);
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    for name in ["failover.ron", "pair.key", "cfg1.cert.pem", "cfg1.key.pem", "cfg2.cert.pem", "cfg2.key.pem"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    assert!(text.contains("failoverctl check"), "{text}");
}

#[test]
fn without_a_terminal_every_missing_answer_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, _) = run_with(&arguments(folder.path(), &[("master", "cfg1")]), None);
    let error = exit.unwrap_err().to_string();
    for key in ["--master-address", "--slave ", "--silence", "--process"] {
        assert!(error.contains(key), "{key}: {error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_silence_means_is_asked_in_words_and_has_no_default() {
    let folder = tempfile::tempdir().unwrap();
    let given: Vec<_> = COMPLETE.iter().copied().filter(|(key, _)| *key != "silence").collect();
    // pair, second-path, an empty answer and a wrong one for silence, then "act", then defaults.
    let typed = format!("mail\n\n\nperhaps\nact\n{}", "\n".repeat(20));
    let (exit, text) = run_with(&arguments(folder.path(), &given), Some(&typed));
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    assert!(text.contains("nobody can tell whether it is dead or only cut off"), "{text}");
    let config = std::fs::read_to_string(folder.path().join("failover.ron")).unwrap();
    assert!(config.contains("Timeout(two_actives_possible: true)"), "{config}");
}

#[test]
fn an_input_that_ends_too_early_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, _) = run_with(&arguments(folder.path(), &[]), Some("mail\n"));
    assert!(exit.unwrap_err().to_string().contains("nothing was written"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
