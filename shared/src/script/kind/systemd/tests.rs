//! The contract with systemctl(1), spoken to a stand-in: these tests do not run under systemd.

use std::fs;

use super::super::harness::Folder;
use super::*;
use crate::decision::Presence;
use crate::script::cgroup;

/// A stand-in for systemctl: a unit's state is in the file `UNIT.state`, its control group in `UNIT.group`; what is
/// called, in `calls`.
const STAND_IN: &str = include_str!("../../../../../tests/src/lab/service/systemctl.sh");
const MAIL: &str = r#"Systemd(unit: "mail")"#;

/// A folder with the stand-in in front of everything else.
fn folder() -> (Folder, Vec<(&'static str, String)>) {
    let folder = Folder::new();
    folder.script("bin/systemctl", STAND_IN);
    let path = format!("{}:{PATH}", folder.path("bin").display());
    let units = folder.path("units");
    fs::create_dir(&units).unwrap();
    (folder, vec![("PATH", path), ("STAND_IN_UNITS", units.display().to_string())])
}

async fn asked(folder: &(Folder, Vec<(&str, String)>), action: Action) -> (String, Outcome) {
    let variables: Vec<(&str, &str)> = folder.1.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let asked = folder.0.asked_with(MAIL, action, &variables).await;
    assert!(!asked.answer.said.is_empty(), "{}", asked.tail);
    (asked.answer.said, asked.answer.outcome)
}

fn write(folder: &Folder, file: &str, text: &str) {
    fs::write(folder.path(&format!("units/mail.service.{file}")), text).unwrap();
}

#[tokio::test]
async fn a_unit_is_started_asked_restarted_and_stopped_each_twice() {
    let folder = folder();
    write(&folder.0, "state", "inactive");
    for (action, said, outcome) in [
        (Action::Exclusive, "exited 3: the unit is inactive", Outcome::Passed),
        (Action::Start, "exited 0", Outcome::Passed),
        (Action::Start, "exited 0", Outcome::Passed),
        (Action::Monitor, "exited 0: the unit is active", Outcome::Passed),
        (Action::Exclusive, "exited 0: the unit is active", Outcome::Running),
        (Action::Restart, "exited 0", Outcome::Passed),
        (Action::Stop, "exited 0", Outcome::Passed),
        (Action::Stop, "exited 0", Outcome::Passed),
        (Action::Monitor, "exited 3: the unit is inactive", Outcome::NotRunning),
    ] {
        assert_eq!(asked(&folder, action).await, (said.to_owned(), outcome), "{action:?}");
    }
    let calls = folder.0.text("units/calls");
    for call in ["start -- mail.service", "restart -- mail.service", "stop -- mail.service"] {
        assert!(calls.lines().any(|line| line == call), "{calls}");
    }
}

#[tokio::test]
async fn a_unit_of_a_user_is_that_users_systemds_and_not_the_hosts() {
    let (folder, mut variables) = folder();
    let uid = nix::unistd::Uid::effective();
    fs::create_dir(folder.path(&format!("units/user-{uid}"))).unwrap();
    variables.push(("XDG_RUNTIME_DIR", folder.path("").display().to_string()));
    write(&folder, "state", "failed");
    fs::write(folder.path(&format!("units/user-{uid}/mail.service.state")), "inactive").unwrap();
    let entry = format!(r#"Systemd(unit: "mail", manager: User, run_as: "{uid}")"#);
    let ask = async |action: Action, variables: &[(&str, String)]| {
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        folder.asked_with(&entry, action, &variables).await
    };
    for (action, said) in [
        (Action::Exclusive, "exited 3: the unit is inactive"),
        (Action::Start, "exited 0"),
        (Action::Start, "exited 0"),
        (Action::Monitor, "exited 0: the unit is active"),
        (Action::Restart, "exited 0"),
        (Action::Stop, "exited 0"),
        (Action::Monitor, "exited 3: the unit is inactive"),
    ] {
        let asked = ask(action, &variables).await;
        assert_eq!(asked.answer.said, said, "{action:?}: {}", asked.tail);
    }
    assert_eq!(folder.text("units/mail.service.state"), "failed", "the host's own unit was touched");
    assert_eq!(
        folder.resource(&entry).to(Action::Stop).title(Operation::Giveback),
        "systemctl --user stop mail.service"
    );
    // Where that user's systemd does not run, nobody knows.
    variables.pop();
    variables.push(("XDG_RUNTIME_DIR", folder.path("nowhere").display().to_string()));
    let asked = ask(Action::Exclusive, &variables).await;
    assert!(asked.answer.said.starts_with("exited 4: ") && asked.answer.outcome == Outcome::Failed, "{asked:?}");
    assert!(asked.tail.contains("loginctl enable-linger"), "{}", asked.tail);
}

#[tokio::test]
async fn each_state_of_a_unit_is_told_with_its_meaning() {
    use Outcome::{Failed, NotRunning, Passed, Running};
    for (state, said, monitor, probe) in [
        ("active", "exited 0: the unit is active", Passed, Running),
        ("reloading", "exited 0: the unit is active", Passed, Running),
        ("inactive", "exited 3: the unit is inactive", NotRunning, Passed),
        ("failed", "exited 1: the unit failed", Failed, Passed),
        ("activating", "exited 5: the unit is", Failed, Running),
        ("deactivating", "exited 5: the unit is", Failed, Running),
        ("", "exited 4: systemd does not know", Failed, Failed),
    ] {
        let folder = folder();
        write(&folder.0, "state", state);
        for (action, outcome) in [(Action::Monitor, monitor), (Action::Exclusive, probe)] {
            let (told, answer) = asked(&folder, action).await;
            assert!(told.starts_with(said), "{state}: {told}");
            assert_eq!(answer, outcome, "{state}, {action:?}");
        }
    }
}

#[tokio::test]
async fn a_start_counts_if_the_unit_is_active_and_a_stop_if_it_is_not() {
    for (action, stays, said) in [
        (Action::Start, "inactive", "exited 121: it says that it has started"),
        (Action::Start, "failed", "exited 121: it says that it has started"),
        (Action::Stop, "active", "exited 122: it says that it has stopped"),
        (Action::Stop, "deactivating", "exited 122: it says that it has stopped"),
        (Action::Stop, "", "exited 123: it says that it has stopped"),
        // It did not end as it should have, but it has.
        (Action::Stop, "failed", "exited 0"),
    ] {
        let folder = folder();
        write(&folder.0, "stays", stays);
        let (told, outcome) = asked(&folder, action).await;
        assert!(told.starts_with(said), "{action:?}, {stays}: {told}");
        assert_eq!(outcome == Outcome::Passed, said == "exited 0");
    }
    let folder = folder();
    write(&folder.0, "exit", "5");
    assert_eq!(
        asked(&folder, Action::Start).await.0.split(',').next(),
        Some("exited 5: systemd does not know the unit")
    );
}

#[tokio::test]
async fn a_stop_rests_on_a_units_state_only_where_that_is_inactive_or_failed() {
    for (state, load, said, nothing_runs) in [
        ("inactive", "loaded", "", true),
        ("failed", "loaded", "", true),
        ("active", "loaded", "resource mail exited 0: the unit is active", false),
        ("deactivating", "loaded", "resource mail exited 5: the unit is starting or stopping", false),
        ("", "", "resource mail does not run: cannot tell: exited 4", false),
        // A name that is wrong is inactive, too.
        ("inactive", "not-found", "resource mail does not run: cannot tell: exited 7: systemd knows no unit", true),
    ] {
        let (folder, variables) = folder();
        write(&folder, "state", state);
        write(&folder, "load", load);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (missing, presence) = folder.stopped(MAIL, "mail", &variables).await;
        assert!(missing.starts_with(said) && missing.is_empty() == said.is_empty(), "{state}, {load}: {missing}");
        assert_eq!(presence == Presence::NothingRuns, nothing_runs, "{state}, {load}: {presence:?}");
    }
}

#[tokio::test]
async fn a_question_that_systemd_does_not_answer_is_no_evidence() {
    // Whichever of the questions fails, and however many there are.
    for failing in 1..=3 {
        let folder = folder();
        write(&folder.0, "state", "inactive");
        write(&folder.0, "load", "not-found");
        write(&folder.0, "unread", &failing.to_string());
        let (said, outcome) = asked(&folder, Action::Exclusive).await;
        assert!(said.starts_with("exited 4: ") && outcome == Outcome::Failed, "{failing}: {said}");
    }
    // The group that it had before the stop is not known, so nobody knows whether it is empty.
    let folder = folder();
    write(&folder.0, "state", "active");
    write(&folder.0, "unread", "1");
    let (said, outcome) = asked(&folder, Action::Stop).await;
    assert!(said.starts_with("exited 123: ") && outcome == Outcome::Failed, "{said}");
    assert_eq!(folder.0.text("units/mail.service.state").trim(), "inactive", "it was not stopped");
}

#[tokio::test]
async fn a_stop_does_not_count_while_a_process_is_left_in_the_units_control_group() {
    let Some(root) = cgroup::root() else {
        println!("not run: no cgroup v2 here");
        return;
    };
    let name = format!("failover-test-{}", std::process::id());
    let group = root.join(&name);
    if fs::create_dir(&group).is_err() {
        println!("not run: no right to make a control group");
        return;
    }
    let left = std::process::Command::new("sleep").arg("600").spawn();
    let told = async {
        let mut left = left.map_err(|error| error.to_string())?;
        let moved = fs::write(group.join("cgroup.procs"), left.id().to_string());
        let folder = folder();
        write(&folder.0, "state", "active");
        write(&folder.0, "group", &format!("/{name}"));
        let with = (asked(&folder, Action::Stop).await, asked(&folder, Action::Monitor).await);
        let _ = left.kill();
        let _ = left.wait();
        moved.map_err(|error| error.to_string())?;
        Ok::<_, String>((with, asked(&folder, Action::Stop).await))
    };
    let told = told.await;
    let _ = fs::remove_dir(&group);
    let ((stop, monitor), after) = told.unwrap();
    assert!(stop.0.starts_with("exited 122: it says that it has stopped"), "{stop:?}");
    assert_eq!(monitor, (format!("exited 6: {LEFT}"), Outcome::Failed));
    assert_eq!(after, ("exited 0".to_owned(), Outcome::Passed));
}

#[test]
fn a_unit_or_systemctl_that_is_not_there_is_told_before() {
    let missing = Folder::new().missing(r#"Systemd(unit: "no-such-unit@1", manager: User)"#);
    assert!(missing.contains("no-such-unit@1.service is in none of the folders of that user's systemd"), "{missing}");
    assert!(missing.contains("run `loginctl enable-linger "), "{missing}");
    let missing = Folder::new().missing(r#"Systemd(unit: "no-such-unit@1")"#);
    assert!(missing.contains("the unit no-such-unit@1.service is in none of the folders of systemd"), "{missing}");
    let unit = Systemd { unit: "getty@tty1.service".to_owned(), manager: Manager::System };
    let names: Vec<_> = unit.files(Path::new("/x")).iter().map(|file| file.display().to_string()).collect();
    assert_eq!(names, ["/x/getty@tty1.service", "/x/getty@.service"]);
}

#[test]
fn a_name_that_no_unit_can_have_is_refused_and_a_service_needs_no_type() {
    let folder = Folder::new();
    for (name, title, own) in [
        ("dovecot", "systemctl start dovecot.service", "dovecot"),
        ("store.mount", "systemctl start store.mount", "store.mount"),
        ("web@1", "systemctl start web@1.service", "web-1"),
    ] {
        let script = folder.resource(&format!("Systemd(unit: \"{name}\")"));
        assert_eq!(script.to(Action::Start).title(Operation::Takeover), title);
        assert_eq!(script.name, own);
    }
    for name in ["--now", "a b", "a/b", ".service", &"x".repeat(300)] {
        let text = format!("Pair(service: (resources: [Systemd(unit: \"{name}\")]))");
        let problems = crate::config::parse(&text, Path::new("x.ron"), Path::new("/")).unwrap_err().to_string();
        assert!(problems.contains("cannot be the name of a unit"), "{name}: {problems}");
    }
}
