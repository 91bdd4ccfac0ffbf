//! Failover scripts of FailSafe 1, in a pair that moves.

use std::fs;

use anyhow::{Result, ensure};
use failover_shared::decision::Role;
use failover_tests::lab::Host;
use failover_tests::lab::service::compat;
use failover_tests::pair::{Pair, Setup};

const CONFIG: &str = "/etc/failover/failover.ron";
/// Our own example of the kind, as `compat install` puts it there.
const SCRIPT: &str = "/var/ha/resources/appclass";

/// The pair, with the example script in front of its lists, and a second script if one is given.
fn pair(test: &str, second: Option<&str>) -> Result<Option<Pair>> {
    let Some(mut pair) = Pair::install(test, &Setup::default())? else { return Ok(None) };
    for host in [&pair.lab.cfg1, &pair.lab.cfg2] {
        compat::install(host)?;
        let mut entries = format!("FailSafe1(script: \"{SCRIPT}\", testing: true), ");
        if let Some(body) = second {
            write(host, "/var/ha/resources/second", body)?;
            host.write("/etc/failover/second.options", "600", 0o644)?;
            entries.push_str("FailSafe1(script: \"/var/ha/resources/second\"), ");
        }
        let path = host.on_disk(CONFIG);
        let text = fs::read_to_string(&path)?;
        let text = text.replace("startup_scripts: [", &format!("startup_scripts: [{entries}"));
        fs::write(path, text.replace("shutdown_scripts: [", &format!("shutdown_scripts: [{entries}")))?;
    }
    pair.start(Role::Master)?;
    pair.start(Role::Slave)?;
    pair.wait_active(Role::Master)?;
    Ok(Some(pair))
}

fn write(host: &Host, path: &str, body: &str) -> Result<()> {
    let line = format!("cat >{path} <<'END'\n#!/sbin/sh\n{body}END\nchmod +x {path}");
    host.run(&["sh", "-c", &line]).map(drop)
}

/// Whether the example's one instance runs on the host.
fn runs(host: &Host) -> bool {
    host.run(&["test", "-e", "/run/appclass.1"]).is_ok()
}

/// Calls a script as a person does, and gives its exit and all that it said.
fn call(host: &Host, line: &str) -> Result<String> {
    host.run(&["sh", "-c", &format!("{line} 2>&1; echo exit $?")])
}

#[test]
fn failover_scripts_start_and_stop_their_instances_on_both_hosts() -> Result<()> {
    let test = "failover_scripts_start_and_stop_their_instances_on_both_hosts";
    let Some(pair) = pair(test, None)? else { return Ok(()) };
    let (cfg1, cfg2) = (&pair.lab.cfg1, &pair.lab.cfg2);
    ensure!(runs(cfg1) && !runs(cfg2), "after the takeback:\n{}", pair.story());
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    ensure!(!runs(cfg1) && runs(cfg2), "after giveaway and takeover:\n{}", pair.story());
    pair.order(Role::Master, &["takeback"])?;
    pair.wait_active(Role::Master)?;
    ensure!(runs(cfg1) && !runs(cfg2), "after giveback and takeback:\n{}", pair.story());
    let log = cfg1.run(&["cat", "/var/ha/logs/appclass.log"])?;
    assert_eq!(log.matches("Started logging at").count(), 1, "not truncated: {log}");
    assert!(log.contains("starting 1\n") && !log.contains("stopping 1\n"), "{log}");
    // ${LOGGER} reaches the script's output, and so the script log.
    let told = cfg1.run(&["cat", "/var/log/failover/script_cfg1.log"])?;
    ensure!(told.contains("executing /var/ha/resources/appclass takeback"), "{told}");
    Ok(())
}

#[test]
fn a_failover_script_is_called_right_refuses_wrong_calls_and_succeeds_twice() -> Result<()> {
    let test = "a_failover_script_is_called_right_refuses_wrong_calls_and_succeeds_twice";
    let Some(pair) = pair(test, None)? else { return Ok(()) };
    let cfg1 = &pair.lab.cfg1;
    for (arguments, expected) in [
        ("", "exit 1"),
        ("$(/usr/lib/failsafe/ha_cfgsum)", "exit 1"),
        ("$(/usr/lib/failsafe/ha_cfgsum) give", "exit 1"),
        ("0123456789abcdef giveaway", "exit 2"),
        ("$(/usr/lib/failsafe/ha_cfgsum) takeback", "exit 0"),
        ("$(/usr/lib/failsafe/ha_cfgsum) takeback", "exit 0"),
        ("$(/usr/lib/failsafe/ha_cfgsum) giveaway", "exit 0"),
        ("$(/usr/lib/failsafe/ha_cfgsum) giveaway", "exit 0"),
        ("$(/usr/lib/failsafe/ha_cfgsum) giveback", "exit 0"),
    ] {
        let said = call(cfg1, &format!("{SCRIPT} {arguments}"))?;
        ensure!(said.ends_with(&format!("{expected}\n")) || said.ends_with(expected), "{arguments}: {said}");
    }
    ensure!(!runs(cfg1), "stopped twice, and still there");
    // takeover is for the instances whose backup is this host: there are none on the master.
    call(cfg1, &format!("{SCRIPT} $(/usr/lib/failsafe/ha_cfgsum) takeover"))?;
    ensure!(!runs(cfg1), "the master started what belongs to the slave");
    let unknown = call(cfg1, "/usr/lib/failsafe/ha_cfginfo appclass#9#server-node")?;
    ensure!(unknown.contains("is not configured") && unknown.trim_end().ends_with("exit 1"), "{unknown}");
    let node = call(cfg1, "/usr/lib/failsafe/ha_cfginfo appclass#1#backup-node")?;
    assert_eq!(node.trim_end(), "cfg2\nexit 0");
    Ok(())
}

#[test]
fn a_configuration_that_was_changed_under_the_daemon_is_found_out_by_the_script_and_told() -> Result<()> {
    let test = "a_configuration_that_was_changed_under_the_daemon_is_found_out_by_the_script_and_told";
    let Some(pair) = pair(test, None)? else { return Ok(()) };
    let path = pair.lab.cfg1.on_disk(CONFIG);
    let text = fs::read_to_string(&path)?;
    // Not reloaded: the daemon goes on by the old one.
    fs::write(&path, text.replace("start_verify: \"8s\"", "start_verify: \"9s\""))?;
    pair.order(Role::Slave, &["takeover", "--reason", "the test"])?;
    pair.wait_active(Role::Slave)?;
    let history = pair.history(Role::Master)?;
    ensure!(history.contains("exited 2: INCORRECT_CONF_FILE"), "{history}");
    Ok(())
}

#[test]
fn a_stop_by_killall_with_a_script_of_the_same_name_spares_the_script() -> Result<()> {
    let test = "a_stop_by_killall_with_a_script_of_the_same_name_spares_the_script";
    // Named like what it starts: the kernel knows the script itself by that name, too. Its options lie on local disks, the
    // same on both.
    let body = r#"
cp -n /bin/sleep /run/second
case $2 in
take*) setsid -f /run/second `cat /etc/failover/second.options 2> /dev/null` </dev/null >/dev/null 2>&1 ;;
give*) /sbin/killall -k1 -TERM second || exit 3 ;;
esac
exit 0
"#;
    let Some(pair) = pair(test, Some(body))? else { return Ok(()) };
    let running = |host: &Host| {
        host.processes().map(|all| all.iter().filter(|process| process.name == "second").count()).unwrap_or_default()
    };
    assert_eq!((running(&pair.lab.cfg1), running(&pair.lab.cfg2)), (1, 0));
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((running(&pair.lab.cfg1), running(&pair.lab.cfg2)), (0, 1), "{}", pair.story());
    let again = call(&pair.lab.cfg1, "/var/ha/resources/second x giveaway")?;
    ensure!(again.trim_end().ends_with("exit 0"), "with nothing to stop: {again}");
    Ok(())
}
