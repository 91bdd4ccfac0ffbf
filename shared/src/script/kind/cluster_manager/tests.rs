//! The contract of user scripts, with the scripts that authors bring.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::config::{Loaded, parse};
use crate::decision::{Epoch, Role};
use crate::script::{Asked, Cancel, Environment, ask};

/// A folder of services.
struct Services(TempDir);

impl Services {
    fn new() -> Services {
        Services(tempfile::tempdir().unwrap())
    }

    fn add(&self, path: &str, text: &str) -> &Services {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn loaded(&self, entry: &str) -> Loaded {
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (resources: [{entry}]),
    checks: [Resource(name: "web", resource: "userapp", every: "40s")],
)
"#
        );
        parse(&text, Path::new("failover.ron"), self.0.path()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    async fn asked(&self, keys: &str, action: Action) -> Asked {
        let loaded = self.loaded(&format!("ClusterManager(name: \"userapp\", {keys})"));
        let environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(3), "test");
        let script = &loaded.config.service.resources[0];
        ask(&script.to(action), &environment, self.0.path(), &mut Cancel::never()).await
    }
}

/// A function that writes down how it was called.
fn function(name: &str, rest: &str) -> String {
    format!("{name}()\n{{\n    echo {name} \"$1\" >>calls\n{rest}\n    return $SUCCESS\n}}\n")
}

const SCRIPT: &str = r#"script: "apache_webserver""#;

#[tokio::test]
async fn the_function_named_like_the_application_is_called_with_the_action_and_the_service_id() {
    let services = Services::new();
    let body = r#"    [ $# -eq 2 ] || return $FAIL
    typeset name=$(getSvcName $DB $2)
    logAndPrint $LOG_INFO "$1 of $name, $2""#;
    services.add("apache_webserver", &function("apache", body));
    for (action, word) in [(Action::Start, "start"), (Action::Stop, "stop"), (Action::Monitor, "status")] {
        let asked = services.asked(SCRIPT, action).await;
        assert_eq!(asked.answer.said, "exited 0: SUCCESS", "{}", asked.tail);
        assert_eq!(asked.tail.trim(), format!("{word} of userapp, {}", service_id("userapp")));
    }
}

#[tokio::test]
async fn a_function_may_be_called_like_a_command_of_the_shell_and_its_name_may_be_written() {
    let services = Services::new();
    services.add("service_test", &function("test", "")).add("start.sh", &function("other", ""));
    assert!(services.asked(r#"script: "service_test""#, Action::Monitor).await.answer.passed());
    assert!(services.asked(r#"script: "start.sh", function: "other""#, Action::Monitor).await.answer.passed());
    let said = services.asked(r#"script: "start.sh", function: "another""#, Action::Start).await;
    assert!(said.answer.said.starts_with("exited 120: there is no script, or no function"), "{}", said.answer.said);
    assert!(said.tail.contains("start.sh holds no function named another"), "{}", said.tail);
}

#[tokio::test]
async fn success_and_fail_are_what_a_user_script_returns() {
    for (body, said) in [
        ("    return $FAIL", "exited 1: FAIL"),
        ("    logAndPrint $LOG_ERR x; exit $FAIL", "exited 1: FAIL"),
        ("    return 126", "exited 126: the command was found but is not executable"),
        ("    no-such-command; return $?", "exited 127: the command was not found"),
        ("    kill -KILL $BASHPID", "exited 137: its command was ended by SIGKILL"),
        ("    getSvcName $DB 1234567", "exited 1: FAIL"),
    ] {
        let services = Services::new();
        services.add("apache_webserver", &format!("apache()\n{{\n{body}\n}}\n"));
        let answer = services.asked(SCRIPT, Action::Monitor).await.answer;
        assert_eq!(answer.outcome, Outcome::Failed, "{body}");
        assert!(answer.said.starts_with(said), "{body}: {}", answer.said);
    }
}

#[tokio::test]
async fn a_folder_holds_one_script_for_each_application_and_links_count() {
    let services = Services::new();
    services.add("shared/mysql", &function("mySQL", "")).add("service1/apache_webserver", &function("apache", ""));
    symlink(services.0.path().join("shared/mysql"), services.0.path().join("service1/mySQL")).unwrap();
    services.add("service1/.hidden", "exit 1\n");
    let folder = r#"script: "service1""#;
    let calls = || {
        let text = fs::read_to_string(services.0.path().join("calls")).unwrap();
        fs::remove_file(services.0.path().join("calls")).unwrap();
        text
    };
    assert!(services.asked(folder, Action::Start).await.answer.passed());
    assert_eq!(calls(), "apache start\nmySQL start\n");
    assert!(services.asked(folder, Action::Stop).await.answer.passed());
    assert_eq!(calls(), "mySQL stop\napache stop\n");
}

#[tokio::test]
async fn a_status_stops_at_the_first_failure_and_a_stop_goes_through_all_of_them() {
    let services = Services::new();
    let failing = "    return $FAIL";
    services.add("s/a", &function("a", "")).add("s/b", &function("b", failing)).add("s/c", &function("c", ""));
    for (action, said) in [
        (Action::Monitor, "a status\nb status\n"),
        (Action::Start, "a start\nb start\n"),
        (Action::Stop, "c stop\nb stop\na stop\n"),
    ] {
        let calls = services.0.path().join("calls");
        let answer = services.asked(r#"script: "s""#, action).await.answer;
        assert_eq!((answer.outcome, fs::read_to_string(&calls).unwrap().as_str()), (Outcome::Failed, said));
        fs::remove_file(calls).unwrap();
    }
}

#[tokio::test]
async fn a_user_script_that_cannot_be_read_is_a_clear_result_and_told_before() {
    let services = Services::new();
    let missing = |keys: &str| {
        let loaded = services.loaded(&format!("ClusterManager(name: \"userapp\", {keys})"));
        loaded.config.service.resources[0].missing(services.0.path()).join("\n")
    };
    assert!(missing(SCRIPT).contains("No such file"), "{}", missing(SCRIPT));
    assert!(services.asked(SCRIPT, Action::Start).await.answer.said.starts_with("exited 120"));
    // Read, not executed: neither mode nor first line matter.
    services.add("apache_webserver", &format!("#!/nonexistent/bash\n{}", function("apache", "")));
    assert_eq!(missing(SCRIPT), "");
    assert!(services.asked(SCRIPT, Action::Start).await.answer.passed());
    services.add("apache_webserver", "apache()\n{\n    if\n}\n");
    let asked = services.asked(SCRIPT, Action::Start).await;
    assert!(asked.answer.said.starts_with("exited 120") && asked.tail.contains("syntax error"), "{}", asked.tail);
    let folder = r#"script: "empty""#;
    fs::create_dir(services.0.path().join("empty")).unwrap();
    assert!(missing(folder).contains("holds no script"), "{}", missing(folder));
    assert!(services.asked(folder, Action::Monitor).await.tail.contains("holds no script"));
    symlink("/nonexistent", services.0.path().join("empty/x")).unwrap();
    assert!(missing(folder).contains("empty/x: No such file"), "{}", missing(folder));
}

#[test]
fn check_interval_and_service_timeout_are_the_checks_every_and_the_resources_timeout() {
    let services = Services::new();
    let config = services.loaded(&format!("ClusterManager(name: \"userapp\", {SCRIPT}, timeout: \"60s\")")).config;
    assert_eq!(config.checks[0].every.as_secs(), 40);
    assert!(config.service.resources[0].limits.values().all(|limit| limit.as_secs() == 60));
}

#[test]
fn classes_start_and_stop_in_the_fixed_order() {
    let services = Services::new();
    let step =
        |name: &str, class: &str| format!("Step(name: \"{name}\", start: \"true\", stop: \"true\", class: {class}), ");
    let others =
        [("smb", "Samba"), ("ip1", "Ip"), ("mount", "Filesystem"), ("nfs", "Nfs"), ("xvm", "Device"), ("ip2", "Ip")];
    let others: String = others.iter().map(|(name, class)| step(name, class)).collect();
    let entries = format!("ClusterManager(name: \"userapp\", {SCRIPT}), {others}");
    let lists = services.loaded(&entries).config.service.lists;
    let order =
        |operation| lists.of(operation).iter().flatten().map(|task| task.script.name.clone()).collect::<Vec<_>>();
    for operation in [Operation::Takeback, Operation::Takeover] {
        assert_eq!(order(operation), ["xvm", "mount", "nfs", "ip1", "ip2", "smb", "userapp"]);
    }
    for operation in [Operation::Giveaway, Operation::Giveback] {
        assert_eq!(order(operation), ["userapp", "ip2", "ip1", "nfs", "smb", "mount", "xvm"]);
    }
}
