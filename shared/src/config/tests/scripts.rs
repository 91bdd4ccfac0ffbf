//! The scripts of a service: lists, stages, resources, orders.

use super::*;
use crate::script::kind::Action;
use crate::script::limit;

/// A service of resources, with every key of theirs.
const RESOURCES: &str = r#"
    resources: [
        Step(name: "store", start: "./mount.sh", stop: "./unmount.sh", status: "./mounted.sh", run_as: None),
        [
            Step(name: "a", start: "./a.sh", stop: "./a.sh stop", timeout: Timeout(start: "9s", stop: "8s")),
            Plain(name: "b", start: ["./b", "up"], stop: ["./b", "down"], status: ["./b"], timeout: (monitor: "1s")),
        ],
        Plain(start: ["/opt/c/run"], stop: ["/opt/c/run", "stop"], timeout: "7s", run_as: "mail"),
    ],
    order: Order(
        takeback: ["store", "a", "b", "run"], takeover: ["store", "run", ["a", "b"]],
        giveaway: [["run", "a", "b"], "store"], giveback: ["run", "a", "b", "store"],
    ),
"#;
const LISTS: &str = r#"shutdown_scripts: ["./shutdown_1.sh >/var/log/foo.log 2>&1", "./shutdown_2.sh"],
        startup_scripts:  ["./mount_store.sh", "./start_dovecot.sh"],
"#;

/// The sketch with this in place of its two lists, and time for every stop.
pub(super) fn with(scripts: &str) -> String {
    changed(LISTS, scripts).replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"1h\"")
}

pub(super) fn with_resources() -> String {
    with(RESOURCES)
        .replace("checks: [", "checks: [\n        Resource(name: \"b-runs\", resource: \"b\", every: \"2s\"),")
}

fn titles(config: &Config, operation: Operation) -> Vec<Vec<String>> {
    let stages = config.service.lists.of(operation).iter();
    stages.map(|stage| stage.iter().map(|task| task.title(operation)).collect()).collect()
}

#[test]
fn resources_start_in_the_order_of_the_file_and_stop_in_the_reverse_order() {
    let text = with(RESOURCES.split("order:").next().unwrap());
    let config = good(&text).config;
    for operation in [Operation::Takeback, Operation::Takeover] {
        let expected = [vec!["./mount.sh"], vec!["./a.sh", "./b up"], vec!["/opt/c/run"]];
        assert_eq!(titles(&config, operation), expected, "{operation}");
    }
    for operation in [Operation::Giveaway, Operation::Giveback] {
        let expected = [vec!["/opt/c/run stop"], vec!["./a.sh stop", "./b down"], vec!["./unmount.sh"]];
        assert_eq!(titles(&config, operation), expected, "{operation}");
    }
}

#[test]
fn each_operation_can_have_an_order_of_its_own() {
    let config = good(&with_resources()).config;
    assert_eq!(
        titles(&config, Operation::Takeover),
        [vec!["./mount.sh"], vec!["/opt/c/run"], vec!["./a.sh", "./b up"]]
    );
    assert_eq!(
        titles(&config, Operation::Giveaway),
        [vec!["/opt/c/run stop", "./a.sh stop", "./b down"], vec!["./unmount.sh"]]
    );
    let text = with(&RESOURCES.replace("giveback: [\"run\", \"a\", \"b\", \"store\"],", ""));
    let reversed = [vec!["./a.sh stop", "./b down"], vec!["/opt/c/run stop"], vec!["./unmount.sh"]];
    assert_eq!(titles(&good(&text).config, Operation::Giveback), reversed, "not the reverse of takeover");
}

#[test]
fn each_thing_that_a_resource_is_asked_has_its_own_limit_and_a_stage_takes_as_long_as_its_slowest_step() {
    let config = good(&with_resources()).config;
    let limits =
        |index: usize| config.service.resources[index].limits.values().map(Duration::as_secs).collect::<Vec<_>>();
    assert_eq!(
        (limits(0), limits(1), limits(2), limits(3)),
        (vec![60, 60, 60], vec![9, 8], vec![60, 60, 1], vec![7, 7])
    );
    assert!(config.service.resources[1].limits.contains_key(&Action::Start));
    assert_eq!(limit(config.service.lists.of(Operation::Takeover)), Duration::from_secs(60 + 7 + 60));
    assert_eq!(limit(config.service.lists.of(Operation::Takeback)), Duration::from_secs(60 + 9 + 60 + 7));
    assert_eq!(stop_limit(&config.timing, &config.service), Duration::from_secs(7 + 8 + 60 + 60 + 2 + 2));
}

#[test]
fn a_wrong_script_is_refused_with_what_to_write() {
    let text = with_resources();
    for (from, to, wanted) in [
        ("Plain(start", "Plian(start", "did you mean `Plain`?"),
        ("start: [\"/opt/c/run\"], ", "", "`Plain` needs the key `start`"),
        ("[\"/opt/c/run\"]", "\"/opt/c/run\"", "a list is expected here"),
        ("status: [\"./b\"]", "statos: [\"./b\"]", "did you mean `status`?"),
        ("run_as: \"mail\"", "run_as: \"../mail\"", "cannot be used as a name"),
        ("name: \"b\"", "name: \"a\"", "two resources have the name \"a\""),
        ("(monitor: \"1s\")", "(restart: \"1s\")", "`Timeout` knows no key `restart`"),
        ("[\"store\", \"run\"", "[\"stores\", \"run\"", "did you mean \"store\"?"),
        ("[\"store\", \"run\"", "[\"run\"", "the resource \"store\" stands here not at all"),
        ("[\"store\", \"run\"", "[\"store\", \"store\", \"run\"", "stands here 2 times"),
        ("resource: \"b\"", "resource: \"c\"", "no resource has the name \"c\""),
        ("resource: \"b\"", "resource: \"a\"", "cannot be asked whether it runs"),
        ("stop: \"./unmount.sh\"", "stop: \"./unmount.sh\", needs: [\"bb\"]", "did you mean \"b\"?"),
        ("stop: \"./unmount.sh\"", "stop: \"./unmount.sh\", needs: [\"store\"]", "wait for each other: store"),
        ("stop: \"./unmount.sh\"", "stop: \"./unmount.sh\", needs: [\"run\"]", "starts \"store\" before \"run\""),
        ("resource: \"b\"", "resource: \"b\", restarts: 1", "cannot be restarted"),
        ("run_as: None", "class: Filesystem", "other resources have a class, and \"a\" has none"),
        ("order: Order(", "startup_scripts: [\"./a\"], order: Order(", "`startup_scripts` stands beside `resources`"),
        ("order: Order(", "order: Order(takeovers: [], ", "`Order` knows no key `takeovers`"),
    ] {
        assert!(text.contains(from), "{from}");
        let problems = refused(&text.replacen(from, to, 1)).to_string();
        assert!(problems.contains(wanted), "{from} -> {to}: {wanted:?} is not said:\n{problems}");
    }
}

#[test]
fn only_a_resource_that_can_say_so_is_evidence_that_it_does_not_run() {
    let service = |condition: &str| {
        with(r#"resources: [FailSafe2(name: "web", resource_type: "/t"), Step(name: "a", start: "a", stop: "b")],"#)
            .replace("stopped_when: [", &format!("stopped_when: [{condition}, "))
    };
    let config = good(&service("NotRunning(\"web\")")).config;
    assert!(matches!(&config.service.stopped_when[0], Postcondition::NotRunning(script) if script.name == "web"));
    for (condition, said) in [
        ("NotRunning(\"a\")", "the resource \"a\" cannot say that it does not run"),
        ("NotRunning(\"wep\")", "did you mean \"web\"?"),
    ] {
        let problems = refused(&service(condition)).to_string();
        assert!(problems.contains(said), "{condition}: {problems}");
    }
}
