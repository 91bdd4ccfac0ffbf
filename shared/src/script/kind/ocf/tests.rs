//! The contract of resource agents, with agents written from it; and with Debian's, where they are installed.

use std::fs;
use std::io::Write as _;

use super::super::AnyKind;
use super::super::harness::Folder;
use super::*;
use crate::decision::Presence;

/// Our own example, as an agent of the provider `example`.
const EXAMPLE: &str = include_str!("../../../../../scripts/examples/ocf.sh");
const PATH: &str = "resource.d/example/web";
const WEB: &str = r#"Ocf(name: "web1", agent: "HERE/resource.d/example/web", parameters: {"state": "HERE/state"})"#;

fn example() -> Folder {
    let folder = Folder::new();
    folder.script(PATH, EXAMPLE);
    folder
}

/// An agent with this meta-data, and this for everything else.
fn agent(meta_data: &str, body: &str) -> Folder {
    let folder = Folder::new();
    folder.script(
        PATH,
        &format!("#!/bin/sh\nif [ \"$1\" = meta-data ]; then\ncat <<'END'\n{meta_data}\nEND\nexit\nfi\n{body}\n"),
    );
    folder
}

const META_DATA: &str = r#"<?xml version="1.0"?><resource-agent name="web"><parameters>
<parameter name="state" required="1"><content type="string"/></parameter><parameter name="config_file"/>
</parameters><actions><action name="start" timeout="30s"/><action name="stop" timeout="20s"/>
<action name="monitor" timeout="10s"/></actions></resource-agent>"#;

fn warnings(folder: &Folder, entry: &str) -> String {
    folder.loaded(entry).warnings.to_string()
}

#[tokio::test]
async fn an_agent_starts_is_asked_restarted_and_stopped_each_twice() {
    let folder = example();
    for (action, said, outcome) in [
        (Action::Exclusive, "exited 7: OCF_NOT_RUNNING, it does not run here", Outcome::Passed),
        (Action::Stop, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Start, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Start, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Monitor, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Exclusive, "exited 0: OCF_SUCCESS", Outcome::Running),
        (Action::Restart, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Stop, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Stop, "exited 0: OCF_SUCCESS", Outcome::Passed),
        (Action::Monitor, "exited 7: OCF_NOT_RUNNING, it does not run here", Outcome::NotRunning),
    ] {
        let asked = folder.asked(WEB, action).await;
        assert_eq!((asked.answer.said.as_str(), asked.answer.outcome), (said, outcome), "{action:?}: {}", asked.tail);
    }
}

#[tokio::test]
async fn an_agent_gets_its_parameters_and_what_the_standard_names_in_its_environment() {
    let folder = agent(META_DATA, "env | grep -E '^(OCF|HA)_' | sort; echo \"action $1\"");
    let entry = WEB.replace("})", "}, check_level: 10, timeout: \"7s\")");
    let told = folder.asked(&entry, Action::Monitor).await.tail;
    let here = folder.path("").display().to_string();
    for line in [
        format!("OCF_ROOT={}", here.trim_end_matches('/')),
        format!("OCF_RESKEY_state={here}state"),
        "OCF_RESOURCE_INSTANCE=web1".into(),
        "OCF_RESOURCE_TYPE=web".into(),
        "OCF_RESOURCE_PROVIDER=example".into(),
        "OCF_RA_VERSION_MAJOR=1".into(),
        "OCF_RA_VERSION_MINOR=1".into(),
        "OCF_CHECK_LEVEL=10".into(),
        "OCF_RESKEY_CRM_meta_timeout=7000".into(),
        "OCF_RESKEY_CRM_meta_interval=10000".into(),
        "HA_RSCTMP=/run/resource-agents".into(),
        "action monitor".into(),
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is missing in: {told}");
    }
    let probe = folder.asked(&entry, Action::Exclusive).await.tail;
    for line in ["OCF_CHECK_LEVEL=0", "OCF_RESKEY_CRM_meta_interval=0", "action monitor"] {
        assert!(probe.lines().any(|told| told == line), "{line} is missing in: {probe}");
    }
}

#[tokio::test]
async fn each_exit_of_an_agent_is_told_with_its_meaning() {
    use Outcome::{Failed, NotRunning, Passed, Running};
    for (code, monitor, probe, start, said) in [
        (0, Passed, Running, Passed, "OCF_SUCCESS"),
        (1, Failed, Failed, Failed, "OCF_ERR_GENERIC"),
        (2, Failed, Failed, Failed, "OCF_ERR_ARGS"),
        (3, Failed, Failed, Failed, "OCF_ERR_UNIMPLEMENTED"),
        (4, Failed, Failed, Failed, "OCF_ERR_PERM"),
        (5, Failed, Passed, Failed, "OCF_ERR_INSTALLED"),
        (6, Failed, Failed, Failed, "OCF_ERR_CONFIGURED"),
        (7, NotRunning, Passed, Failed, "OCF_NOT_RUNNING"),
        (8, Passed, Running, Failed, "OCF_RUNNING_PROMOTED"),
        (9, Failed, Running, Failed, "OCF_FAILED_PROMOTED"),
        (190, Passed, Running, Failed, "OCF_DEGRADED, "),
        (191, Passed, Running, Failed, "OCF_DEGRADED_PROMOTED"),
        (10, Failed, Failed, Failed, "exited 10"),
        (127, Failed, Failed, Failed, "the command was not found"),
        (137, Failed, Failed, Failed, "its command was ended by SIGKILL"),
    ] {
        let folder = agent(META_DATA, &format!("exit {code}"));
        for (action, outcome) in [(Action::Monitor, monitor), (Action::Exclusive, probe), (Action::Start, start)] {
            let answer = folder.asked(WEB, action).await.answer;
            assert_eq!(answer.outcome, outcome, "{action:?} {code}: {}", answer.said);
            assert!(answer.said.starts_with(&format!("exited {code}")), "{}", answer.said);
            assert!(answer.said.contains(said), "{}", answer.said);
        }
    }
}

#[tokio::test]
async fn a_stop_rests_on_an_agents_monitor_only_where_that_says_not_running() {
    for (code, said, before) in [
        (7, "", "nothing runs"),
        (0, "resource web1 exited 0: OCF_SUCCESS", "runs"),
        (8, "resource web1 exited 8: OCF_RUNNING_PROMOTED", "runs"),
        (9, "resource web1 does not run: cannot tell: exited 9", "runs"),
        (1, "resource web1 does not run: cannot tell: exited 1", "cannot tell"),
        // Not installed here: it cannot have been started since the boot, but behind a stop that is no answer.
        (5, "resource web1 does not run: cannot tell: exited 5: OCF_ERR_INSTALLED", "nothing runs"),
        (127, "resource web1 does not run: cannot tell: exited 127", "cannot tell"),
    ] {
        let (missing, presence) = agent(META_DATA, &format!("exit {code}")).stopped(WEB, "web1", &[]).await;
        assert!(missing.starts_with(said) && missing.is_empty() == said.is_empty(), "{code}: {missing}");
        let found = match presence {
            Presence::NothingRuns => "nothing runs",
            Presence::Runs(_) => "runs",
            Presence::CannotTell(_) => "cannot tell",
        };
        assert_eq!(found, before, "{code}");
    }
    // What an agent says to a probe because it lacks what it would look with is no evidence of a stop.
    let lost = agent(META_DATA, "[ $OCF_RESKEY_CRM_meta_interval = 0 ] && exit 7; exit 5");
    let (missing, presence) = lost.stopped(WEB, "web1", &[]).await;
    assert!(missing.contains("OCF_ERR_INSTALLED") && presence == Presence::NothingRuns, "{missing}, {presence:?}");
}

#[tokio::test]
async fn a_start_counts_if_the_monitor_says_so_and_a_stop_if_it_does_not() {
    let by = |monitor: i32| agent(META_DATA, &format!("case $1 in monitor) exit {monitor};; esac"));
    for (monitor, start, stop) in [
        (0, "exited 0: OCF_SUCCESS", "exited 122: it says that it has stopped"),
        (7, "exited 121: it says that it has started", "exited 0: OCF_SUCCESS"),
        (1, "exited 121: it says that it has started", "exited 0: OCF_SUCCESS"),
        (8, "exited 0: OCF_SUCCESS", "exited 122: it says that it has stopped"),
        (9, "exited 121: it says that it has started", "exited 122: it says that it has stopped"),
    ] {
        let folder = by(monitor);
        for (action, said) in [(Action::Start, start), (Action::Stop, stop)] {
            let answer = folder.asked(WEB, action).await.answer;
            assert!(answer.said.starts_with(said), "{action:?}, monitor {monitor}: {}", answer.said);
            assert_eq!(answer.passed(), said.starts_with("exited 0"));
        }
    }
    // Old agents answer so where nothing was to be stopped.
    let stopped = agent(META_DATA, "exit 7");
    assert!(stopped.asked(WEB, Action::Stop).await.answer.passed());
}

#[tokio::test]
async fn after_a_failed_start_the_agent_is_asked_what_is_wrong() {
    let body = "case $1 in start) exit 1;; validate-all) echo 'the file x lacks a line' >&2; exit 5;; esac";
    let asked = agent(META_DATA, body).asked(WEB, Action::Start).await;
    assert!(asked.answer.said.starts_with("exited 1: OCF_ERR_GENERIC"), "{}", asked.answer.said);
    assert!(asked.tail.contains("the file x lacks a line"), "{}", asked.tail);
    assert!(asked.tail.contains("its validate-all then exits 5"), "{}", asked.tail);
}

#[tokio::test]
async fn what_asks_an_agent_what_is_wrong_ends_with_the_step() {
    let body =
        "case $1 in start) exit 1;; validate-all) trap '' TERM; echo $$ >\"${0%/*}/pid\"; sleep 60; sleep 60;; esac";
    let folder = agent(META_DATA, body);
    let asked = folder.asked(&WEB.replace("})", "}, timeout: (start: \"3s\"))"), Action::Start).await;
    assert!(asked.answer.said.starts_with("still running after its limit"), "{}", asked.answer.said);
    let pid: i32 = folder.text("resource.d/example/pid").trim().parse().expect("validate-all was not asked in time");
    let left = crate::process::look(pid).unwrap();
    assert!(left.as_ref().is_none_or(|process| process.zombie), "it goes on by itself: {left:?}");
}

#[test]
fn the_time_that_an_agent_asks_for_is_the_default_limit_of_each_call() {
    let folder = agent(META_DATA, "");
    let seconds = |entry: &str| {
        let limits = folder.resource(entry).limits;
        limits.into_iter().map(|(action, limit)| (action, limit.as_secs())).collect::<Vec<_>>()
    };
    // The monitor is part of a start and of a stop.
    let advised = [
        (Action::Start, 40),
        (Action::Stop, 30),
        (Action::Monitor, 10),
        (Action::Restart, 70),
        (Action::Exclusive, 10),
        (Action::Validate, 20),
    ];
    assert_eq!(seconds(WEB), advised);
    let written = seconds(&WEB.replace("})", "}, timeout: Timeout(start: \"9s\"))"));
    assert_eq!((written[0], written[1]), ((Action::Start, 9), (Action::Stop, 30)));
    let silent = agent("<resource-agent name=\"web\"/>", "");
    let limits = silent.resource(WEB).limits;
    assert!(limits.values().all(|limit| limit.as_secs() == 20), "not script_timeout: {limits:?}");
}

#[test]
fn parameters_that_an_agent_requires_or_does_not_know_are_named() {
    let folder = agent(META_DATA, "");
    assert_eq!(warnings(&folder, WEB), "");
    assert_eq!(folder.missing(WEB), "");
    let lacking = r#"Ocf(agent: "HERE/resource.d/example/web", parameters: {"confg_file": "/x", "port": 80})"#;
    let shown = warnings(&folder, lacking);
    for said in [
        "the agent web requires more parameters: state",
        "the agent tells of no parameter \"confg_file\"",
        "did you mean `config_file`?",
        "the agent tells of no parameter \"port\"",
        "it knows: config_file, state",
    ] {
        assert!(shown.contains(said), "{said:?} is missing in:\n{shown}");
    }
    assert!(folder.missing(lacking).contains("requires more parameters in failover.ron: state"));
}

#[test]
fn an_agent_that_is_missing_not_executable_or_tells_nonsense_is_told_before() {
    let folder = Folder::new();
    assert_eq!(warnings(&folder, WEB), "", "an agent that is not there is no fault of the configuration");
    assert!(folder.missing(WEB).contains("No such file"), "{}", folder.missing(WEB));
    for (meta_data, said) in [
        ("<resource-agent><parameters></resource-agent>", "no good XML"),
        ("usage: web start", "no good XML"),
        ("<html/>", "its XML is of \"html\""),
    ] {
        let folder = agent(meta_data, "");
        let shown = warnings(&folder, WEB);
        assert!(shown.contains("does not tell its meta-data: ") && shown.contains(said), "{shown}");
        assert!(shown.contains("resource.d/example/web meta-data`"), "no command to see it: {shown}");
        assert_eq!(folder.missing(WEB), "");
    }
    let folder = example();
    fs::set_permissions(folder.path(PATH), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(folder.missing(WEB).contains("chmod +x"), "{}", folder.missing(WEB));
    let endless = agent(META_DATA, "");
    endless.script(PATH, "#!/bin/sh\nexec yes\n");
    assert!(warnings(&endless, WEB).contains("it prints more than"), "{}", warnings(&endless, WEB));
}

#[test]
fn an_agent_is_named_by_provider_and_type_as_pacemaker_does_or_by_its_path() {
    let folder = Folder::new();
    let agent = |text: &str| {
        let AnyKind::Ocf(ocf) = folder.resource(&format!("Ocf(agent: \"{text}\")")).kind else { panic!("no agent") };
        (ocf.agent.path.display().to_string(), ocf.agent.root.display().to_string(), ocf.agent.provider, ocf.agent.name)
    };
    let nobody = ("/usr/lib/ocf/resource.d/nobody/X", "/usr/lib/ocf", "nobody", "X");
    for (text, expected) in [
        ("nobody/X", nobody),
        ("ocf:nobody:X", nobody),
        ("nobody:X", nobody),
        ("/usr/lib/ocf/resource.d/nobody/X", nobody),
        ("/opt/ocf/resource.d/own/X", ("/opt/ocf/resource.d/own/X", "/opt/ocf", "own", "X")),
        ("/opt/agents/X", ("/opt/agents/X", "/usr/lib/ocf", "agents", "X")),
    ] {
        let (path, root, provider, name) = agent(text);
        assert_eq!((path.as_str(), root.as_str(), provider.as_str(), name.as_str()), expected, "{text}");
    }
    let of =
        |text: &str| format!("Pair(service: (resources: [Ocf(agent: \"{text}\", parameters: {{\"a b\": \"1\"}})]))");
    for text in ["X", "", "a/b/c", "/X", "nobody/", "./X"] {
        let problems = crate::config::parse(&of(text), Path::new("x.ron"), Path::new("/")).unwrap_err().to_string();
        assert!(problems.contains("names no resource agent") || problems.contains("is empty"), "{text}: {problems}");
    }
    let problems = crate::config::parse(&of("a/B").replace("a b", "a-b"), Path::new("x.ron"), Path::new("/"));
    assert!(problems.unwrap_err().to_string().contains("cannot be the name of a variable"));
}

#[tokio::test]
async fn debians_agents_tell_their_meta_data_and_dummy_runs() {
    if !Path::new("/usr/lib/ocf/resource.d/heartbeat/Dummy").exists() {
        println!("not run: resource-agents is not installed");
        if let Some(file) = std::env::var_os("FAILOVER_NOT_RUN") {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
            writeln!(file, "script::kind::ocf: the package resource-agents is not installed").unwrap();
        }
        return;
    }
    let folder = Folder::new();
    for (agent, lacking) in [
        ("Dummy", ""),
        ("IPaddr2", "requires more parameters: ip"),
        ("Filesystem", "requires more parameters: device, directory, fstype"),
        ("anything", "requires more parameters: binfile"),
        ("dovecot", ""),
        ("postfix", ""),
    ] {
        let entry = format!("Ocf(agent: \"heartbeat/{agent}\", parameters: {{\"none\": \"1\"}})");
        let shown = warnings(&folder, &entry);
        assert!(shown.contains("the agent tells of no parameter \"none\"") && shown.contains(lacking), "{shown}");
        assert!(
            folder.resource(&entry).limits[&Action::Start].as_secs() > 20,
            "{agent}: {:?}",
            folder.resource(&entry)
        );
    }
    let dummy = r#"Ocf(agent: "heartbeat/Dummy", parameters: {"state": "HERE/state"})"#;
    for (action, outcome) in [
        (Action::Exclusive, Outcome::Passed),
        (Action::Start, Outcome::Passed),
        (Action::Monitor, Outcome::Passed),
        (Action::Exclusive, Outcome::Running),
        (Action::Stop, Outcome::Passed),
        (Action::Stop, Outcome::Passed),
        (Action::Monitor, Outcome::NotRunning),
    ] {
        let asked = folder.asked(dummy, action).await;
        assert_eq!(asked.answer.outcome, outcome, "{action:?}: {}: {}", asked.answer.said, asked.tail);
    }
}

/// An agent with a secret parameter in a file of this mode, and the agent's answer to a monitor.
async fn secret(mode: u32, body: &str) -> (Folder, crate::script::Asked) {
    let folder = agent(META_DATA, body);
    fs::write(folder.path("web.pass"), "hunter2 \u{e9}\n").unwrap();
    fs::set_permissions(folder.path("web.pass"), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let asked = folder.asked(SECRET, Action::Monitor).await;
    (folder, asked)
}

const SECRET: &str = r#"Ocf(name: "web1", agent: "HERE/resource.d/example/web", parameters: {"state": "HERE/state"},
    secret_parameters: {"config_file": "web.pass"})"#;

#[tokio::test]
async fn a_secret_parameter_comes_from_its_file_and_is_in_no_output_and_no_argument() {
    let body = r#"[ "$OCF_RESKEY_config_file" = "hunter2 é" ] || exit 1
        grep -aq hunter2 /proc/$$/cmdline && exit 2
        echo "the value is $OCF_RESKEY_config_file"; printf 'in two pieces: hunt'; sleep 0.1; printf 'er2 é'"#;
    let (folder, asked) = secret(0o600, body).await;
    assert!(asked.answer.passed(), "{}: {}", asked.answer.said, asked.tail);
    assert_eq!(asked.tail, "the value is [secret]\nin two pieces: [secret]");
    let loaded = folder.loaded(SECRET);
    let shown = format!("{:?} {:?} {:?}", loaded.config, loaded.resolved(), asked);
    assert!(!shown.contains("hunter2") && shown.contains("web.pass"), "{shown}");
    assert_eq!(folder.missing(SECRET), "");
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_refused_with_what_to_do_at_the_call_and_before() {
    let (folder, _) = secret(0o640, "[ $1 != start ] || touch ran").await;
    let asked = folder.asked(SECRET, Action::Start).await;
    let said = "web.pass can be read by others (mode 0640): run `chmod 600 ";
    assert!(asked.answer.said.contains(said), "{}", asked.answer.said);
    assert!(folder.missing(SECRET).contains(said) && !folder.path("ran").exists(), "{}", folder.missing(SECRET));
    fs::remove_file(folder.path("web.pass")).unwrap();
    assert!(folder.missing(SECRET).contains("web.pass cannot be read"), "{}", folder.missing(SECRET));
    fs::write(folder.path("web.pass"), "a\0b").unwrap();
    fs::set_permissions(folder.path("web.pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(folder.asked(SECRET, Action::Start).await.answer.said.contains("holds a NUL byte"));
}

#[test]
fn secret_parameters_are_parameters_and_a_secret_in_the_configuration_is_refused() {
    let folder = agent(META_DATA, "");
    // What the agent requires may come from a file.
    let entry = WEB.replace("parameters: {\"state\"", "secret_parameters: {\"state\"");
    assert_eq!(warnings(&folder, &entry), "");
    let unknown = warnings(&folder, &SECRET.replace("config_file", "confg_file"));
    assert!(unknown.contains("did you mean `config_file`?"), "{unknown}");
    for (from, to, said) in [
        ("{\"config_file\": \"web.pass\"}", "{\"state\": \"web.pass\"}", "the parameter \"state\" stands here twice"),
        ("{\"config_file\": \"web.pass\"}", "\"web.pass\"", "a map in braces"),
        ("config_file", "config-file", "cannot be the name of a variable"),
        ("\"state\": \"HERE/state\"", "\"password\": \"hunter2\"", "of an `Ocf`, in `secret_parameters`"),
    ] {
        let text = format!("Pair(service: (resources: [{}]))", SECRET.replace(from, to));
        let problems = crate::config::parse(&text, Path::new("x.ron"), Path::new("/")).unwrap_err().to_string();
        assert!(problems.contains(said) && !problems.contains("hunter2"), "{said:?} is not in {problems}");
    }
}
