//! The contract of action scripts, with scripts of every kind of author.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::config::{Loaded, parse};
use crate::decision::{Epoch, Presence, Role};
use crate::script::{Asked, Cancel, Environment, Group, GroupState, Script, ask, look_at_group};
use crate::stop::{StopContext, verify};

/// Resource types below a folder of their own.
struct Types(TempDir);

impl Types {
    fn new() -> Types {
        Types(tempfile::tempdir().unwrap())
    }

    /// A type whose five scripts have this body each, unless another is given.
    fn add(&self, name: &str, others: &[(&str, &str)]) -> &Types {
        let folder = self.0.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        for script in ["exclusive", "start", "stop", "restart", "monitor"] {
            let body = others.iter().find(|(other, _)| *other == script).map_or("exit 0", |(_, body)| body);
            self.write(&format!("{name}/{script}"), &format!("#!/bin/sh\n{body}\n"), 0o755);
        }
        self
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.0.path().join(path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn config(&self, resources: &str) -> Loaded {
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (resources: [{resources}]),
    checks: [Port(name: "web", port: 80)],
)
"#
        );
        parse(&text, Path::new("failover.ron"), self.0.path()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Asks one resource of the type `web` one thing.
    async fn asked(&self, entry: &str, action: Action) -> Asked {
        let loaded = self.config(entry);
        let script: &Script = &loaded.config.service.resources[0];
        let environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(3), "test");
        ask(&script.to(action), &environment, self.0.path(), &mut Cancel::never()).await
    }

    async fn group(&self, resources: &str) -> Option<Group> {
        let loaded = self.config(resources);
        let environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(0), "test");
        look_at_group(&loaded.config.service.resources, &environment, self.0.path()).await
    }
}

const WEB: &str = r#"FailSafe2(name: "web1", resource_type: "web")"#;

#[tokio::test]
async fn an_action_script_gets_its_resource_in_one_file_and_writes_its_status_into_another() {
    let types = Types::new();
    let body = r#"test "$(cat "$1")" = web1 && test $# = 2 && test ! -s "$2" || exit 1
echo other 1 >>"$2"; echo web1 $WANTED >>"$2""#;
    types.add("web", &[("start", &body.replace("$WANTED", "0")), ("stop", &body.replace("$WANTED", "2"))]);
    assert_eq!(types.asked(WEB, Action::Start).await.answer.said, "exited 0");
    let stop = types.asked(WEB, Action::Stop).await.answer;
    assert_eq!(stop.outcome, Outcome::Failed);
    assert!(stop.said.starts_with("exited 2: HA_CMD_FAILED"), "{}", stop.said);
}

#[tokio::test]
async fn a_status_line_counts_without_its_line_end() {
    let types = Types::new();
    types.add("web", &[("exclusive", "printf 'web1 2' >$2"), ("monitor", "printf 'other 1\nweb1 3' >$2")]);
    assert_eq!(types.asked(WEB, Action::Exclusive).await.answer.outcome, Outcome::Running);
    let monitor = types.asked(WEB, Action::Monitor).await.answer.said;
    assert!(monitor.starts_with("exited 3: HA_NOTSUPPORTED"), "{monitor}");
}

#[tokio::test]
async fn an_action_script_that_writes_no_status_is_taken_by_its_exit() {
    let types = Types::new();
    types.add("web", &[("start", "exit 0"), ("stop", "echo web1 0 >>$2; exit 4")]);
    assert!(types.asked(WEB, Action::Start).await.answer.passed());
    let stop = types.asked(WEB, Action::Stop).await.answer;
    assert!(stop.said.starts_with("exited 4: HA_NOCFGINFO"), "a good status outdoes a bad exit: {}", stop.said);
}

#[tokio::test]
async fn each_exit_of_an_action_script_is_told_with_its_meaning() {
    for (body, said) in [
        ("exit 1", "exited 1: HA_INVAL_ARGS"),
        ("exit 2", "exited 2: HA_CMD_FAILED"),
        ("exit 3", "exited 3: HA_NOTSUPPORTED"),
        ("exit 4", "exited 4: HA_NOCFGINFO"),
        ("exit 9", "exited 9"),
        ("kill -KILL $$", "exited 137: its command was ended by SIGKILL"),
        ("exit 126", "exited 126: the command was found but is not executable"),
        ("exit 127", "exited 127: the command was not found"),
        ("echo web1 well >>$2", "exited 120: the script could not be asked, or cannot tell"),
        ("echo web1 256 >>$2", "exited 120: the script could not be asked, or cannot tell"),
        ("printf 'web1 \\377\\n' >>$2", "exited 120: the script could not be asked, or cannot tell"),
    ] {
        let types = Types::new();
        types.add("web", &[("monitor", body)]);
        let answer = types.asked(WEB, Action::Monitor).await.answer;
        assert_eq!(answer.outcome, Outcome::Failed, "{body}");
        assert!(answer.said.starts_with(said), "{body}: {}", answer.said);
    }
}

#[tokio::test]
async fn a_failed_stop_is_called_srmd_executable_error_and_waits_for_a_person() {
    let types = Types::new();
    types.add("web", &[("stop", "exit 2")]);
    let said = types.asked(WEB, Action::Stop).await.answer.said;
    assert!(said.ends_with("(srmd executable error)"), "{said}");
    assert_eq!(types.config(WEB).config.service.on_stop_failure, OnStopFailure::AskOperator);
    let lines = r#"Step(name: "a", start: "true", stop: "true")"#;
    assert_eq!(types.config(lines).config.service.on_stop_failure, OnStopFailure::Force);
}

#[tokio::test]
async fn an_action_script_that_cannot_be_run_is_a_clear_result_and_told_before() {
    let types = Types::new();
    types.add("web", &[]);
    let missing = |types: &Types| types.config(WEB).config.service.resources[0].missing(types.0.path()).join("\n");
    assert_eq!(missing(&types), "");
    types.write("web/start", "#!/bin/sh\n", 0o644);
    assert!(missing(&types).contains("chmod +x"), "{}", missing(&types));
    assert!(types.asked(WEB, Action::Start).await.answer.said.starts_with("exited 126"));
    types.write("web/start", "#!/nonexistent/ksh\n", 0o755);
    assert!(missing(&types).contains("which is not on this host"), "{}", missing(&types));
    assert!(types.asked(WEB, Action::Start).await.answer.said.starts_with("exited 12"));
    fs::remove_file(types.0.path().join("web/start")).unwrap();
    assert!(missing(&types).contains("No such file"), "{}", missing(&types));
    assert!(types.asked(WEB, Action::Start).await.answer.said.starts_with("exited 127"));
    // A monitor is required even where it only says that all is well; a restart is not.
    types.add("web", &[]);
    fs::remove_file(types.0.path().join("web/restart")).unwrap();
    assert_eq!(missing(&types), "");
    fs::remove_file(types.0.path().join("web/monitor")).unwrap();
    assert!(missing(&types).contains("web/monitor"), "{}", missing(&types));
    fs::remove_dir_all(types.0.path().join("web")).unwrap();
    assert!(missing(&types).contains("the folder of the resource type"), "{}", missing(&types));
}

#[test]
fn a_file_system_without_room_for_the_files_of_a_call_is_told_before() {
    assert_eq!(no_room(Path::new(FILES), 1), None);
    let told = no_room(Path::new(FILES), u64::MAX).unwrap();
    assert!(told.starts_with("/tmp has ") && told.ends_with("make room"), "{told}");
    let told = no_room(Path::new("/nonexistent"), 1).unwrap();
    assert!(told.contains("cannot be looked at"), "{told}");
}

#[tokio::test]
async fn a_monitor_that_hangs_is_ended_at_its_limit_and_its_files_go_with_it() {
    let types = Types::new();
    types.add("web", &[("monitor", r#"echo "$1"; dirname "$1" >folder; sleep 600"#)]);
    let entry = WEB.replace(")", ", timeout: (monitor: \"300ms\"))");
    let asked = types.asked(&entry, Action::Monitor).await;
    assert!(asked.answer.said.starts_with("still running after its limit"), "{}", asked.answer.said);
    let folder = fs::read_to_string(types.0.path().join("folder")).unwrap();
    assert!(!Path::new(folder.trim()).exists(), "{folder} is left");
}

#[tokio::test]
async fn an_exclusive_that_could_not_be_asked_says_neither_that_it_runs_nor_that_it_does_not() {
    let types = Types::new();
    types.add("web", &[]).add("odd", &[("exclusive", "echo odd runs >>$2")]);
    let full = types.0.path().join("full");
    for (entry, folder, said) in [
        (WEB, full.as_path(), "the input and output files of"),
        ("FailSafe2(resource_type: \"odd\")", Path::new(FILES), "wrote a status that is no number below 200"),
    ] {
        let loaded = types.config(entry);
        let mut environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(3), "test");
        // Where the files of a call would lie.
        environment.extra.insert("TMPDIR".to_owned(), folder.display().to_string());
        let script = &loaded.config.service.resources[0];
        let asked = ask(&script.to(Action::Exclusive), &environment, types.0.path(), &mut Cancel::never()).await;
        assert_eq!(asked.answer.outcome, Outcome::Failed, "{}: {}", asked.answer.said, asked.tail);
        assert!(asked.answer.said.starts_with("exited 120: the script could not be asked"), "{}", asked.answer.said);
        assert!(asked.tail.contains(said), "{}", asked.tail);
        let group = look_at_group(&loaded.config.service.resources, &environment, types.0.path()).await.unwrap();
        assert!(matches!(group.presence(), Presence::CannotTell(_)), "{:?}", group.presence());
    }
}

#[tokio::test]
async fn an_attribute_chooses_the_level_of_monitoring() {
    let types = Types::new();
    types.add("web", &[("monitor", "echo \"$FAILOVER_RESOURCE_TYPE: $FAILOVER_ATTRIBUTES\"")]);
    let entry = WEB.replace(")", ", attributes: {\"monitor-level\": 2, \"home page\": \"/index.html\"})");
    // A name of two words could not be told from its value.
    let refused = std::panic::AssertUnwindSafe(|| types.config(&entry));
    assert!(std::panic::catch_unwind(refused).is_err());
    let asked = types.asked(&entry.replace("home page", "home-page"), Action::Monitor).await;
    assert_eq!(asked.tail.trim(), "web: monitor-level 2\nhome-page /index.html");
}

#[tokio::test]
async fn the_state_of_a_resource_group_is_worked_out_from_its_exclusive_scripts() {
    let types = Types::new();
    types
        .add("quiet", &[])
        .add("runs", &[("exclusive", "echo $(cat $1) 2 >>$2")])
        .add("lost", &[("exclusive", "exit 4")]);
    let resource = |kind: &str| format!("FailSafe2(resource_type: \"{kind}\"), ");
    let [quiet, runs, lost] = ["quiet", "runs", "lost"].map(resource);
    for (resources, state, said) in [
        (quiet.clone(), Some(GroupState::NotRunning), ""),
        (runs.clone(), Some(GroupState::Running), "the resource group is running here: runs exited 2: HA_RUNNING"),
        (format!("{quiet}{runs}"), Some(GroupState::PartiallyRunning), "the resource group is partially running here"),
        (format!("{lost}{runs}"), Some(GroupState::PartiallyRunning), "lost exited 4: HA_NOCFGINFO"),
        (format!("{quiet}{lost}"), None, "whether the resource group runs here: lost exited 4"),
    ] {
        let group = types.group(&resources).await.unwrap();
        assert_eq!(group.state, state, "{resources}");
        match group.presence() {
            Presence::NothingRuns => assert_eq!(said, ""),
            Presence::Runs(what) => assert!(what.starts_with("exclusivity error: ") && what.contains(said), "{what}"),
            Presence::CannotTell(what) => assert!(what.contains(said), "{what}"),
        }
    }
    assert_eq!(types.group("Step(name: \"a\", start: \"true\", stop: \"true\")").await, None);
}

#[test]
fn resources_start_behind_what_they_need_and_stop_before_it() {
    let types = Types::new();
    let entries = r#"
        FailSafe2(name: "web", resource_type: "t", needs: ["ip", "store"]),
        [FailSafe2(name: "ip", resource_type: "t"), FailSafe2(name: "db", resource_type: "t", needs: ["store"])],
        FailSafe2(name: "store", resource_type: "t"),
    "#;
    let lists = types.config(entries).config.service.lists;
    let order = |operation| {
        let stages = lists.of(operation).iter();
        stages.map(|stage| stage.iter().map(|task| task.script.name.clone()).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(order(Operation::Takeover), [vec!["ip"], vec!["store"], vec!["web"], vec!["db"]]);
    assert_eq!(order(Operation::Giveback), [vec!["db"], vec!["web"], vec!["store"], vec!["ip"]]);
}

#[tokio::test]
async fn a_resource_that_says_it_does_not_run_is_evidence_and_one_that_cannot_tell_is_none() {
    for (body, holds, said) in [
        ("exit 0", true, ""),
        ("echo web1 2 >>$2", false, "resource web1 exited 2: HA_RUNNING, the resource runs here"),
        (
            "exit 4",
            false,
            "resource web1 does not run: cannot tell: exited 4: HA_NOCFGINFO, the resource's `attributes` in failover.ron lack something",
        ),
    ] {
        let types = Types::new();
        types.add("web", &[("exclusive", body)]);
        let entry = format!("{WEB}], stopped_when: [NotRunning(\"web1\")");
        let loaded = types.config(&entry);
        let environment = Environment::of(&loaded, Role::Slave, Operation::Giveback, Epoch(3), "test");
        let verification = verify(&loaded.config.service, &StopContext::new(environment)).await;
        assert_eq!((verification.holds, verification.missing().as_str()), (holds, said), "{body}");
    }
}
