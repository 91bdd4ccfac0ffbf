//! Fence devices: what is read, and what is refused.

use super::*;
use crate::decision::Role;

fn with(fence: &str) -> String {
    changed("[Ack, Operator]", "[Ack, Fence, Operator]")
        .replace("objective_outage", &format!("{fence}, objective_outage"))
}

const TARGETS: &str = "master: {\"plug\": \"1\"}, slave: {\"plug\": \"2\"}";

#[test]
fn devices_are_kept_in_their_order_with_limits_of_their_own() {
    let config = good(&with(&format!(
        "fence: [Command(status: \"./s\", off: \"./o\", timeout: \"7s\"), Agent(agent: \"fence_apc\", options: {{\"ip\": \
         \"192.0.2.30\"}}, options_file: \"fence.options\", {TARGETS})]"
    )))
    .config;
    let [FenceDevice::Command { status, off, on: None }, FenceDevice::Agent(agent)] = config.fence.as_slice() else {
        panic!("{:?}", config.fence)
    };
    assert_eq!((status.timeout, off.command.as_str()), (Duration::from_secs(7), "./o"));
    assert_eq!(agent.options_file, Some(PathBuf::from("/etc/failover/fence.options")));
    assert_eq!(agent.slave["plug"], "2");
    // Off and its reading back, 7 s each and 30 s each, and a second for each device.
    assert_eq!(config.fence_limit(), Duration::from_secs(7 + 7 + 1 + 30 + 30 + 1));
    assert_eq!(
        (config.fence_delay(Role::Master), config.fence_delay(Role::Slave)),
        (Duration::ZERO, Duration::from_secs(5))
    );
}

/// Each: the fence keys, and what the only problem must say.
const REFUSED: &[(&str, &str)] = &[
    ("fence: [Agent(master: {\"ip\": \"1\"}, slave: {\"ip\": \"2\"})]", "`Agent` needs the key `agent`"),
    ("fence: [Agent(agent: \"fence_x\", master: {\"ip\": \"1\"})]", "`Agent` needs the key `slave`"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {})]", "is told the same for the master and the slave"),
    ("fence: [Agent(agent: \"fence_x -v\", master: {}, slave: {\"a\": \"1\"})]", "is no fence agent"),
    ("fence: [Agent(agent: \"./fence_x\", master: {}, slave: {\"a\": \"1\"})]", "is no fence agent"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"a\": 1})]", "a text in quotes is expected here"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {a: \"1\"})]", "the name of an option in quotes"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: (a: \"1\"))]", "a map of options is expected here"),
    (
        "fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"a\": \"1\", \"a\": \"2\"})]",
        "the option `a` stands here twice",
    ),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"a b\": \"1\"})]", "is no name of an option"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"a\": \"1\\naction=on\"})]", "an option is one line"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"action\": \"on\"})]", "said by this program itself"),
    ("fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"passwd\": \"s3cret\"})]", "into a file of mode 0600"),
    (
        "fence: [Agent(agent: \"fence_x\", master: {}, slave: {\"snmp_community\": \"s3cret\"})]",
        "into a file of mode 0600",
    ),
    (
        "fence: [Agent(agent: \"fence_x\", options: {\"missing_as_off\": \"1\"}, master: {}, slave: {\"a\": \"1\"})]",
        "a misspelt name would then be a proof of stop",
    ),
    ("fence: [Agnt(agent: \"fence_x\")]", "did you mean `Agent`?"),
    ("fence: [Command(off: \"./o\")]", "`Command` needs the key `status`"),
    ("fence: [Command(status: \"./s\", off: \"./o\", timout: \"5s\")]", "did you mean `timeout`?"),
    ("fence: [Command(status: \"./s\", off: \"./o\")], fence_delay: (slave: \"0s\")", "both would shoot at once"),
    ("fence: [Command(status: \"./s\", off: \"./o\")], fence_delay: (slaves: \"9s\")", "did you mean `slave`?"),
];

#[test]
fn each_mistake_of_a_fence_is_one_problem_that_says_what_to_write() {
    for (fence, wanted) in REFUSED {
        let problems = refused(&with(fence));
        let shown = problems.to_string();
        assert!(shown.contains(wanted), "for {fence:?} {wanted:?} is missing in:\n{shown}");
        assert_eq!(problems.list().len(), 1, "for {fence:?}:\n{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_secret_option_is_not_shown_even_when_the_text_cannot_be_read() {
    let shown = refused(&with("fence: [Agent(slave: {\"passwd\": \"s3cret\",)]")).to_string();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_script_that_prints_a_secret_may_be_named() {
    good(&with(
        "fence: [Agent(agent: \"fence_x\", options: {\"passwd_script\": \"/x\"}, master: {}, slave: {\"a\": \"1\"})]",
    ));
}

#[test]
fn devices_that_are_no_proof_are_warned_of() {
    let text =
        with("fence: [Command(status: \"./s\", off: \"./o\")]").replace("[Ack, Fence, Operator]", "[Ack, Operator]");
    let shown = good(&text).warnings.to_string();
    assert!(shown.contains("only `failoverctl fence` uses them"), "{shown}");
}

#[test]
fn the_order_of_an_agents_options_leaves_the_fingerprint_alone_and_their_values_do_not() {
    let digest = |options: &str| {
        good(&with(&format!("fence: [Agent(agent: \"fence_x\", options: {options}, {TARGETS})]"))).digest
    };
    assert_eq!(digest("{\"a\": \"1\", \"b\": \"2\"}"), digest("{\"b\": \"2\", \"a\": \"1\"}"));
    assert_ne!(digest("{\"a\": \"1\", \"b\": \"2\"}"), digest("{\"a\": \"2\", \"b\": \"1\"}"));
}
