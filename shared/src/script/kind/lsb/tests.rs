//! The contract of init scripts, with scripts that keep to it and scripts that do not.

use super::super::harness::Folder;
use super::*;
use crate::decision::Presence;

const MAIL: &str = r#"Lsb(script: "HERE/mail")"#;
/// Our own example: what it starts is a file.
const EXAMPLE: &str = include_str!("../../../../../scripts/examples/lsb.sh");

/// A script with these bodies for its actions.
fn script(start: &str, stop: &str, status: &str) -> String {
    format!("#!/bin/sh\ncase $1 in\nstart)\n{start};;\nstop)\n{stop};;\nstatus)\n{status};;\nesac\n")
}

#[tokio::test]
async fn an_init_script_is_started_asked_restarted_and_stopped_each_twice() {
    let folder = Folder::new();
    folder.script("mail", EXAMPLE);
    let file = [("PID_FILE", folder.path("pid").display().to_string())];
    let file: Vec<_> = file.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (action, said, outcome) in [
        (Action::Exclusive, "exited 3: it does not run", Outcome::Passed),
        (Action::Monitor, "exited 3: it does not run", Outcome::NotRunning),
        (Action::Start, "exited 0", Outcome::Passed),
        (Action::Start, "exited 0", Outcome::Passed),
        (Action::Monitor, "exited 0: it runs", Outcome::Passed),
        (Action::Exclusive, "exited 0: it runs", Outcome::Running),
        (Action::Restart, "exited 0", Outcome::Passed),
        (Action::Monitor, "exited 0: it runs", Outcome::Passed),
        (Action::Stop, "exited 0", Outcome::Passed),
        (Action::Stop, "exited 0", Outcome::Passed),
        (Action::Monitor, "exited 3: it does not run", Outcome::NotRunning),
    ] {
        let asked = folder.asked_with(MAIL, action, &file).await;
        assert_eq!((asked.answer.said.as_str(), asked.answer.outcome), (said, outcome), "{action:?}: {}", asked.tail);
    }
}

#[tokio::test]
async fn of_an_init_scripts_exit_and_its_status_the_status_decides() {
    for (start, stop, status, action, said) in [
        // Started already is what was wanted, whatever the script calls it.
        ("exit 1", "", "exit 0", Action::Start, "exited 0"),
        ("exit 1", "", "exit 3", Action::Start, "exited 1: it failed"),
        ("exit 5", "", "exit 3", Action::Start, "exited 5: its program is not installed"),
        ("exit 6", "", "exit 1", Action::Start, "exited 6: its program is not configured"),
        ("exit 0", "", "exit 3", Action::Start, "exited 121: it says that it has started"),
        ("", "exit 7", "exit 3", Action::Stop, "exited 0"),
        ("", "exit 0", "exit 1", Action::Stop, "exited 0"),
        ("", "exit 0", "exit 0", Action::Stop, "exited 122: it says that it has stopped"),
        ("", "exit 0", "exit 4", Action::Stop, "exited 123: it says that it has stopped"),
        ("", "exit 4", "exit 0", Action::Stop, "exited 4: it lacks rights"),
        ("exit 126", "", "exit 3", Action::Start, "exited 126: the command was found but is not executable"),
        ("kill -KILL $$", "", "exit 3", Action::Start, "exited 137: its command was ended by SIGKILL"),
    ] {
        let folder = Folder::new();
        folder.script("mail", &script(start, stop, status));
        let asked = folder.asked(MAIL, action).await;
        let said_now = &asked.answer.said;
        assert!(said_now.starts_with(said), "{start}/{stop}/{status}: {said_now}: {}", asked.tail);
        assert_eq!(asked.answer.passed(), said == "exited 0");
    }
}

#[tokio::test]
async fn a_stop_rests_on_an_init_scripts_status_only_where_that_says_not_running() {
    for (code, said) in [
        (3, ""),
        (0, "resource mail exited 0: it runs"),
        // It died, and what it had started may not have.
        (1, "resource mail does not run: cannot tell: exited 1: it is dead"),
        (2, "resource mail does not run: cannot tell: exited 2: it is dead"),
        (4, "resource mail does not run: cannot tell: exited 4"),
        (127, "resource mail does not run: cannot tell: exited 127"),
    ] {
        let folder = Folder::new();
        folder.script("mail", &script("", "", &format!("exit {code}")));
        let (missing, presence) = folder.stopped(MAIL, "mail", &[]).await;
        assert!(missing.starts_with(said) && missing.is_empty() == said.is_empty(), "{code}: {missing}");
        assert_eq!(presence == Presence::NothingRuns, (1..=3).contains(&code), "{code}: {presence:?}");
    }
}

#[tokio::test]
async fn what_takes_a_moment_to_come_and_to_go_is_waited_for() {
    let folder = Folder::new();
    let state = folder.path("state");
    let state = state.display();
    let later = |word: &str| format!("(sleep 0.5; {word} {state}) >/dev/null 2>&1 &");
    folder.script("mail", &script(&later("touch"), &later("rm"), &format!("[ -e {state} ] || exit 3")));
    assert_eq!(folder.asked(MAIL, Action::Start).await.answer.said, "exited 0");
    assert_eq!(folder.asked(MAIL, Action::Stop).await.answer.said, "exited 0");
}

#[tokio::test]
async fn each_status_of_an_init_script_is_told_with_its_meaning() {
    for (code, outcome, before, said) in [
        (0, Outcome::Passed, Outcome::Running, "exited 0: it runs"),
        (1, Outcome::Failed, Outcome::Passed, "exited 1: it is dead, and its pid file is still there"),
        (2, Outcome::Failed, Outcome::Passed, "exited 2: it is dead, and its lock file is still there"),
        (3, Outcome::NotRunning, Outcome::Passed, "exited 3: it does not run"),
        (4, Outcome::Failed, Outcome::Failed, "exited 4: the script cannot tell"),
        (99, Outcome::Failed, Outcome::Failed, "exited 99"),
        (127, Outcome::Failed, Outcome::Failed, "exited 127: the command was not found"),
    ] {
        let folder = Folder::new();
        folder.script("mail", &script("", "", &format!("exit {code}")));
        for (action, outcome) in [(Action::Monitor, outcome), (Action::Exclusive, before)] {
            let answer = folder.asked(MAIL, action).await.answer;
            assert!(answer.said.starts_with(said), "{}", answer.said);
            assert_eq!(answer.outcome, outcome, "{code}, {action:?}");
        }
    }
}

#[tokio::test]
async fn an_init_script_that_cannot_be_run_or_knows_no_status_is_told_before() {
    let folder = Folder::new();
    assert!(folder.missing(MAIL).contains("No such file"), "{}", folder.missing(MAIL));
    assert!(folder.asked(MAIL, Action::Start).await.answer.said.starts_with("exited 127"));
    folder.script("mail", "#!/bin/sh\ncase $1 in\nstart) exit 0;;\nstop) exit 0;;\n*) exit 3;;\nesac\n");
    assert!(folder.missing(MAIL).contains("knows no `status`"), "{}", folder.missing(MAIL));
    folder.script("mail", "#!/bin/sh\n. /lib/all-of-it\nall \"$@\"\n");
    assert_eq!(folder.missing(MAIL), "");
    folder.script("mail", EXAMPLE);
    assert_eq!(folder.missing(MAIL), "");
    folder.script("mail", "#!/nonexistent/sh\n");
    assert!(folder.missing(MAIL).contains("which is not on this host"), "{}", folder.missing(MAIL));
}
