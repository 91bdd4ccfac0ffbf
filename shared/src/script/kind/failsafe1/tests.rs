//! The contract of FailSafe 1, as far as it is ours and not the script's.

use std::path::Path;

use super::*;
use crate::config::parse;
use crate::script::Environment;

const CONFIG: &str = r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (
        resources: [
            FailSafe1(script: "/var/ha/resources/named"),
            FailSafe1(
                name: "web", script: "/var/ha/resources/web.sh", testing: true,
                instances: {"web1": {"port": 80, "mount-info": {"fs-type": "xfs"}}, "web2": {"user": "www"}},
            ),
        ],
        order: (giveaway: ["named", "web"]),
    ),
    checks: [Port(name: "dns", port: 53)],
)
"#;

fn loaded(text: &str) -> Result<crate::config::Loaded, String> {
    parse(text, Path::new("failover.ron"), Path::new("/etc/failover")).map_err(|problems| problems.to_string())
}

fn refused(from: &str, to: &str) -> String {
    assert!(CONFIG.contains(from), "{from}");
    loaded(&CONFIG.replacen(from, to, 1)).map(|loaded| loaded.config).unwrap_err()
}

fn asked(path: &str, own: &str) -> Option<Found> {
    look_up(&loaded(CONFIG).unwrap().config, own, path)
}

fn names(names: &[&str]) -> Option<Found> {
    Some(Found::Names(names.iter().map(|name| (*name).to_owned()).collect()))
}

fn value(value: &str) -> Option<Found> {
    Some(Found::Value(value.to_owned()))
}

#[test]
fn a_failover_script_is_called_with_the_checksum_and_the_operation() {
    let loaded = loaded(CONFIG).unwrap();
    for (role, operation) in [
        (crate::decision::Role::Master, Operation::Takeback),
        (crate::decision::Role::Slave, Operation::Takeover),
        (crate::decision::Role::Master, Operation::Giveaway),
        (crate::decision::Role::Slave, Operation::Giveback),
    ] {
        let environment = Environment::of(&loaded, role, operation, crate::decision::Epoch(3), "test");
        for (task, testing) in
            loaded.config.service.lists.of(operation).iter().flatten().map(|task| (task, task.script.name == "web"))
        {
            let directory = Path::new("/");
            let call = Call {
                action: task.action,
                name: &task.script.name,
                directory,
                environment: &environment,
                limit: task.limit(),
            };
            let program = task.script.contract().program(&call).unwrap();
            assert_eq!(program.arguments.len(), 3);
            assert_eq!(program.arguments[1].to_str(), Some(checksum(loaded.digest).as_str()));
            assert_eq!(program.arguments[2].to_str(), Some(operation.to_string().as_str()));
            assert_eq!(program.variables.contains_key("TESTING"), testing);
        }
    }
}

#[test]
fn the_order_of_failover_scripts_is_configured_for_each_operation() {
    let lists = loaded(CONFIG).unwrap().config.service.lists;
    let order = |operation| lists.of(operation).iter().map(|stage| stage[0].script.name.clone()).collect::<Vec<_>>();
    assert_eq!(order(Operation::Takeback), ["named", "web"]);
    assert_eq!(order(Operation::Takeover), ["named", "web"]);
    assert_eq!(order(Operation::Giveaway), ["named", "web"]);
    assert_eq!(order(Operation::Giveback), ["web", "named"]);
}

#[test]
fn a_failover_script_has_sixty_seconds_unless_its_entry_says_otherwise() {
    let lists = loaded(CONFIG).unwrap().config.service.lists;
    assert_eq!(lists.takeover[0][0].limit().as_secs(), 60);
    assert_eq!(asked("internal#long-timeout", "cfg1"), value("60"));
    let text = CONFIG.replace("/named\")", "/named\", timeout: \"2min\")");
    assert_eq!(loaded(&text).unwrap().config.service.lists.takeover[0][0].limit().as_secs(), 120);
}

#[test]
fn each_exit_of_a_failover_script_is_told_with_its_meaning() {
    let script = loaded(CONFIG).unwrap().config.service.resources[0].clone();
    for (exit, outcome, said) in [
        (StepExit::Code(0), Outcome::Passed, "exited 0"),
        (StepExit::Code(1), Outcome::Failed, "exited 1: ILLEGAL_CALL"),
        (StepExit::Code(2), Outcome::Failed, "exited 2: INCORRECT_CONF_FILE"),
        (StepExit::Code(3), Outcome::Failed, "exited 3: FAILED"),
        (StepExit::Code(4), Outcome::Failed, "exited 4: a code that FailSafe does not know"),
        (StepExit::Code(127), Outcome::Failed, "exited 127: the command was not found"),
        (StepExit::Signal(9), Outcome::Failed, "ended by SIGKILL"),
    ] {
        let answer = script.contract().answer(Action::Start, &exit);
        assert_eq!(answer.outcome, outcome, "{exit}");
        assert!(answer.said.starts_with(said), "{}", answer.said);
    }
}

#[test]
fn cfginfo_lists_blocks_and_tells_parameters_by_path() {
    assert_eq!(asked("named", "cfg1"), names(&["1"]));
    assert_eq!(asked("web", "cfg1"), names(&["web1", "web2"]));
    assert_eq!(asked("named#1#server-node", "cfg1"), value("cfg1"));
    assert_eq!(asked("named#1#backup-node", "cfg1"), value("cfg2"));
    assert_eq!(asked("web#web1#port", "cfg1"), value("80"));
    assert_eq!(asked("web#web1#mount-info", "cfg1"), names(&["fs-type"]));
    assert_eq!(asked("web#web1#mount-info#fs-type", "cfg1"), value("xfs"));
    assert_eq!(asked("node", "cfg1"), names(&["cfg1", "cfg2"]));
    for missing in ["web#web3", "web#web2#port", "nothing", "web#web1#port#more"] {
        assert_eq!(asked(missing, "cfg1"), None, "{missing}");
    }
}

#[test]
fn cfginfo_names_this_host_as_hostname_does() {
    assert_eq!(asked("named#1#server-node", "cfg1.example.org"), value("cfg1.example.org"));
    assert_eq!(asked("named#1#backup-node", "cfg1.example.org"), value("cfg2"));
    assert_eq!(asked("named#1#backup-node", "cfg2.example.org"), value("cfg2.example.org"));
}

#[test]
fn a_block_that_scripts_could_not_ask_for_is_refused() {
    for (from, to, wanted) in [
        ("\"user\"", "\"the user\"", "neither spaces nor `#`"),
        ("\"user\"", "\"a#b\"", "neither spaces nor `#`"),
        ("\"user\"", "\"server-node\"", "server-node is the master"),
        ("\"user\"", "\"db-password\"", "a secret never stands in this file"),
        ("\"web2\": {", "\"web1\": {", "stands here twice"),
        ("\"www\"", "true", "a text in quotes is expected here"),
        ("\"web2\": {\"user\": \"www\"}", "\"web2\": \"www\"", "the instance \"web2\" is no block"),
        ("script: \"/var/ha/resources/named\"", "scirpt: \"/x\"", "did you mean `script`?"),
    ] {
        let problems = refused(from, to);
        assert!(problems.contains(wanted), "{from} -> {to}: {wanted:?} is not said:\n{problems}");
    }
}
