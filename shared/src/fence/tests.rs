//! Devices that obey, lie, hang and babble. The double is a shell script that keeps the state of each host in a file, and
//! notes how it was called; `fence_dummy` of the fence-agents package is a real agent with a file for its device.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::{Finding, Severity, parse};

/// A double of a fence agent. `state.PLUG` holds `on` or `off`; a file `fault` makes it misbehave.
const DOUBLE: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
tr '\0' ' ' </proc/$$/cmdline >>calls
while IFS= read -r line; do echo "$line" >>calls; eval "told_${line%%=*}='${line#*=}'"; done
echo -- >>calls
fault=$(cat fault 2>/dev/null)
if [ "$told_password" != "s3cret word" ]; then echo "login failed: $told_password" >&2; exit 1; fi
case $told_action in
  off|on)
    case $fault in
      hang) sleep 600 & echo $! >child; wait ;;
      fail) echo "cannot reach it with $told_password" >&2; exit 1 ;;
      lie) echo "Success: Powered OFF"; exit 0 ;;
      slow) (sleep 1; echo "$told_action" >"state.$told_plug") >/dev/null 2>&1 & exit 0 ;;
    esac
    echo "$told_action" >"state.$told_plug"; echo "Success: Powered $told_action" ;;
  status)
    if [ "$fault" = unsure ]; then echo "no idea" >&2; exit 1; fi
    state=$(cat "state.$told_plug"); echo "Status: $state ($told_password)"
    if [ "$state" = off ]; then exit 2; fi ;;
esac
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("agent", DOUBLE, 0o755);
        place.write("fence.options", "password=s3cret word\n", 0o600);
        place.write("state.1", "on\n", 0o600);
        place.write("state.2", "on\n", 0o600);
        place
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The double, as a device of the configuration.
    fn agent(&self, timeout: &str) -> String {
        format!(
            "Agent(agent: {:?}, options: {{\"lanplus\": \"1\", \"plug\": \"9\"}}, options_file: \"fence.options\", timeout: \
             {timeout:?}, master: {{\"plug\": \"1\"}}, slave: {{\"plug\": \"2\"}})",
            self.path("agent").display().to_string()
        )
    }

    fn config(&self, devices: &[&str]) -> Config {
        let text = include_str!("../../../config/minimal.ron")
            .replace("[Ack, Operator]", &format!("[Ack, Fence], fence: [{}]", devices.join(", ")));
        parse(&text, Path::new("failover.ron"), self.0.path()).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    fn fence(&self, devices: &[&str]) -> Fence {
        Fence::of(&self.config(devices))
    }
}

#[tokio::test]
async fn a_host_that_reads_off_is_fenced_and_the_other_is_left_alone() {
    let place = Place::new();
    let fence = place.fence(&[&place.agent("20s")]);
    let fenced = fence.off(Role::Slave).await.unwrap();
    assert_eq!((fenced.device.as_str(), fenced.read_back.as_str()), ("fence[1] agent", "Status: off (****)"));
    assert_eq!((place.read("state.1").trim(), place.read("state.2").trim()), ("on", "off"));
    let powers: Vec<_> = fence.status(Role::Slave).await.into_iter().map(|answer| answer.power.unwrap()).collect();
    assert_eq!(powers, [Power::Off]);
    assert_eq!(fence.on(Role::Slave).await.unwrap(), ["fence[1] agent"]);
    assert_eq!(place.read("state.2").trim(), "on");
    assert!(fence.on(Role::Slave).await.unwrap().is_empty(), "a host that is on was told again");
}

#[tokio::test]
async fn options_go_over_standard_input_and_the_ones_of_the_target_win() {
    let place = Place::new();
    place.fence(&[&place.agent("20s")]).status(Role::Master).await.remove(0).power.unwrap();
    let calls = place.read("calls");
    let (arguments, told) = calls.split_once('\n').map(|_| calls.split_at(calls.find("action=").unwrap())).unwrap();
    assert_eq!(told, "action=status\nlanplus=1\npassword=s3cret word\nplug=1\n--\n");
    assert!(!arguments.contains("s3cret") && !arguments.contains("plug"), "{arguments}");
}

#[tokio::test]
async fn a_device_that_says_done_and_reads_on_is_none_and_the_next_is_tried() {
    let place = Place::new();
    place.write("fault", "lie", 0o600);
    let second = "Command(status: \"exit $(cat second)\", off: \"echo $FAILOVER_TARGET $FAILOVER_TARGET_ROLE >who; echo 2 \
                  >second\", on: \"echo 0 >second\")";
    place.write("second", "0\n", 0o600);
    let fence = place.fence(&[&place.agent("1s"), second]);
    let fenced = fence.off(Role::Master).await.unwrap();
    assert_eq!(fenced.device, "fence[2] command");
    assert_eq!(place.read("who"), "cfg1 master\n");
    let [failed] = fenced.failed.as_slice() else { panic!("{fenced:?}") };
    assert!(matches!(failed.source, CallError::NotSo { wanted: Power::Off, .. }), "{failed}");
    // Alone, the liar fences nobody.
    let error = place.fence(&[&place.agent("1s")]).off(Role::Master).await.unwrap_err();
    assert!(error.to_string().contains("its status is not off"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_device_that_is_slow_to_switch_is_asked_again() {
    let place = Place::new();
    place.write("fault", "slow", 0o600);
    place.fence(&[&place.agent("20s")]).off(Role::Slave).await.unwrap();
}

#[tokio::test]
async fn a_device_that_cannot_tell_its_state_fences_nobody() {
    let place = Place::new();
    place.write("fault", "unsure", 0o600);
    let error = place.fence(&[&place.agent("1s")]).off(Role::Slave).await.unwrap_err();
    assert_eq!(place.read("state.2").trim(), "off", "it was told");
    assert!(error.to_string().contains("no idea"), "{error}");
}

#[tokio::test]
async fn a_failure_is_told_without_the_secret_that_the_device_printed() {
    let place = Place::new();
    place.write("fault", "fail", 0o600);
    let error = place.fence(&[&place.agent("20s")]).off(Role::Slave).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("cannot reach it with ****") && !shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_device_that_hangs_is_killed_with_its_children_at_its_limit() {
    let place = Place::new();
    place.write("fault", "hang", 0o600);
    let error = place.fence(&[&place.agent("1s")]).off(Role::Slave).await.unwrap_err();
    let FenceError::NotOff { failed, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(failed[0].source, CallError::Run { action: "off", .. }), "{error}");
    let child = place.read("child").trim().to_owned();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while alive(&child) {
        assert!(std::time::Instant::now() < until, "the child {child} of a killed agent still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn secrets_that_others_can_read_are_not_used() {
    let place = Place::new();
    place.write("fence.options", "password=s3cret word\n", 0o644);
    let error = place.fence(&[&place.agent("20s")]).off(Role::Slave).await.unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    assert_eq!(place.read("calls"), "", "the agent was run");
    for broken in ["password\n", "action=on\n", "pass word=x\n", "=x\n"] {
        place.write("fence.options", broken, 0o600);
        let error = place.fence(&[&place.agent("20s")]).off(Role::Slave).await.unwrap_err().to_string();
        assert!(error.contains("line 1 of") && !error.contains("pass word"), "{error}");
    }
}

#[tokio::test]
async fn without_a_device_nobody_is_fenced() {
    let fence = Fence { devices: Vec::new() };
    assert!(fence.is_empty());
    assert!(matches!(fence.off(Role::Slave).await, Err(FenceError::NoDevice)));
    assert!(matches!(fence.on(Role::Slave).await, Err(FenceError::NoDevice)));
}

#[tokio::test]
async fn a_device_without_on_leaves_that_to_a_person() {
    let place = Place::new();
    let fence = place.fence(&["Command(status: \"exit 2\", off: \"exit 0\")"]);
    fence.off(Role::Slave).await.unwrap();
    let error = fence.on(Role::Slave).await.unwrap_err();
    assert!(error.to_string().contains("a person lets the host back"), "{error}");
}

/// Whether the fence-agents package is there; told when it is not.
fn has_agents() -> bool {
    let there = Path::new("/usr/sbin/fence_dummy").exists() && Path::new("/usr/sbin/fence_ipmilan").exists();
    if !there && let Some(list) = std::env::var_os("FAILOVER_NOT_RUN") {
        use std::io::Write as _;
        let mut file = std::fs::File::options().append(true).create(true).open(list).unwrap();
        writeln!(file, "fence::tests: the package fence-agents is not installed").unwrap();
    }
    there
}

#[tokio::test]
async fn a_real_agent_with_a_file_for_its_device_is_driven_to_the_end() {
    if !has_agents() {
        return;
    }
    let place = Place::new();
    let device = |role: &str| format!("{role}: {{\"status_file\": {:?}}}", place.path(role).display().to_string());
    let dummy = format!(
        "Agent(agent: \"fence_dummy\", options: {{\"type\": \"file\"}}, {}, {})",
        device("master"),
        device("slave")
    );
    place.write("master", "on", 0o600);
    place.write("slave", "on", 0o600);
    let config = place.config(&[&dummy]);
    let findings = check_agents(&config).await;
    assert_eq!(findings, []);
    let fence = Fence::of(&config);
    let fenced = fence.off(Role::Master).await.unwrap();
    assert_eq!((fenced.device.as_str(), fenced.read_back.as_str()), ("fence[1] fence_dummy", "Status: OFF"));
    let power =
        |answers: Vec<DeviceStatus>| answers.into_iter().map(|answer| answer.power.unwrap()).collect::<Vec<_>>();
    assert_eq!(power(fence.status(Role::Master).await), [Power::Off]);
    assert_eq!(power(fence.status(Role::Slave).await), [Power::On]);
    fence.on(Role::Master).await.unwrap();
    assert_eq!(power(fence.status(Role::Master).await), [Power::On]);
}

#[tokio::test]
async fn a_real_agent_without_its_device_tells_its_options_and_fails_cleanly() {
    if !has_agents() {
        return;
    }
    let place = Place::new();
    let ipmi = "Agent(agent: \"fence_ipmilan\", options: {\"lanplus\": \"1\", \"usrname\": \"x\", \"login_timeout\": \"1\"}, \
                options_file: \"fence.options\", master: {\"ip\": \"127.0.0.1\"}, slave: {\"ip\": \"127.0.0.2\"}, timeout: \
                \"20s\")";
    let config = place.config(&[ipmi]);
    let findings = check_agents(&config).await;
    let [Finding { severity: Severity::Warning, key, message }] = findings.as_slice() else { panic!("{findings:#?}") };
    assert!(key == "fence[1].options" && message.contains("did you mean `username`?"), "{findings:?}");
    let error = Fence::of(&config).off(Role::Slave).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("fence[1] fence_ipmilan") && !shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_a_problem_with_a_next_command() {
    let place = Place::new();
    let config = place.config(&["Agent(agent: \"fence_of_nobody\", master: {}, slave: {\"plug\": \"2\"})"]);
    let findings = check_agents(&config).await;
    assert!(findings[0].message.contains("apt-get install fence-agents"), "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Error);
}
