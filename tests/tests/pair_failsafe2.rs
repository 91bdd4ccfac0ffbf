//! Action scripts of FailSafe 2 and user scripts of Cluster Manager, in a pair that moves.

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::lab::Host;
use failover_tests::lab::service::compat;
use failover_tests::pair::{Pair, Setup, own_service};
use nix::sys::signal::Signal;

/// Our own examples of both kinds, as `compat install` puts them there.
const TEMPLATE: &str = "/usr/lib/failsafe/resource_types/template";
const USER_SCRIPT: &str = "/usr/lib/clumanager/template";
/// What the example's resource is.
const COMMAND: &str = "/run/web 86400";

/// The pair, with its lists as resources: the lab's own service, a resource of each kind before it, and these checks.
fn pair(test: &str, web: &str, checks: &str, service: &str) -> Result<Option<Pair>> {
    let Some(pair) = Pair::install(test, &Setup::default())? else { return Ok(None) };
    for host in pair.lab.pair() {
        compat::install(host)?;
        host.run(&["cp", "/bin/sleep", "/run/web"])?;
    }
    let resources = format!(
        "FailSafe2(name: \"web\", resource_type: \"{TEMPLATE}\", attributes: {{\"command\": \"{COMMAND}\"}}{web}), \
         ClusterManager(name: \"userapp\", script: \"{USER_SCRIPT}\", function: \"myapp\"), {}",
        own_service()
    );
    pair.use_resources(&resources, service, checks)?;
    Ok(Some(pair))
}

fn active(test: &str, web: &str, checks: &str, service: &str) -> Result<Option<Pair>> {
    let Some(mut pair) = pair(test, web, checks, service)? else { return Ok(None) };
    start(&mut pair)?;
    pair.wait_active(Role::Master)?;
    Ok(Some(pair))
}

fn start(pair: &mut Pair) -> Result<()> {
    pair.start(Role::Master)?;
    pair.start(Role::Slave)
}

fn webs(host: &Host) -> Result<usize> {
    Ok(host.processes()?.iter().filter(|process| process.name == "web").count())
}

/// Whether the Cluster Manager example runs on the host.
fn userapp(host: &Host) -> bool {
    host.run(&["test", "-e", "/run/myapp.running"]).is_ok()
}

const MONITORED: &str = r#"
    Resource(name: "web-runs", resource: "web", every: "1s", fails: 2, restarts: 2),
    Resource(name: "userapp-runs", resource: "userapp", every: "1s"),
"#;

#[test]
fn resources_of_failsafe_2_and_cluster_manager_move_over_and_back() -> Result<()> {
    let test = "resources_of_failsafe_2_and_cluster_manager_move_over_and_back";
    let Some(pair) = active(test, "", MONITORED, "")? else { return Ok(()) };
    let (cfg1, cfg2) = (&pair.lab.cfg1, &pair.lab.cfg2);
    let here = |host: &Host| Ok::<_, anyhow::Error>((webs(host)?, userapp(host)));
    assert_eq!((here(cfg1)?, here(cfg2)?), ((1, true), (0, false)), "{}", pair.story());
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((here(cfg1)?, here(cfg2)?), ((0, false), (1, true)), "{}", pair.story());
    pair.order(Role::Master, &["takeback"])?;
    pair.wait_active(Role::Master)?;
    assert_eq!((here(cfg1)?, here(cfg2)?), ((1, true), (0, false)), "{}", pair.story());
    // What scripts print is in the file of the host, as FailSafe had it.
    let told = cfg1.run(&["cat", "/var/log/failover/script_cfg1.log"])?;
    ensure!(told.contains(&format!("{TEMPLATE}/start")) && told.contains("start of userapp"), "{told}");
    Ok(())
}

#[test]
fn a_failed_resource_is_restarted_here_twice_and_then_given_away() -> Result<()> {
    let test = "a_failed_resource_is_restarted_here_twice_and_then_given_away";
    let Some(pair) = active(test, "", MONITORED, "")? else { return Ok(()) };
    for time in ["1 of 2", "2 of 2"] {
        pair.lab.cfg1.signal("web", Signal::SIGKILL)?;
        pair.wait_noted(Role::Master, &format!("the resource is restarted here first, {time}"))?;
        pair.wait_for(Role::Master, "the restart", |status| {
            status.state == StateName::Active && webs(&pair.lab.cfg1).is_ok_and(|running| running == 1)
        })?;
        pair.wait_active(Role::Master)?;
    }
    pair.wait_for(Role::Slave, "the slave to be ready", |status| {
        status.not_ready.is_empty() && status.readiness_age_ms.is_some()
    })?;
    pair.lab.cfg1.signal("web", Signal::SIGKILL)?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((webs(&pair.lab.cfg1)?, webs(&pair.lab.cfg2)?), (0, 1), "{}", pair.story());
    let history = pair.history(Role::Master)?;
    ensure!(history.matches("restart step 1/1 begins").count() == 2, "{history}");
    Ok(())
}

#[test]
fn a_resource_group_that_runs_on_both_hosts_is_an_exclusivity_error_on_both() -> Result<()> {
    let test = "a_resource_group_that_runs_on_both_hosts_is_an_exclusivity_error_on_both";
    let Some(mut pair) = pair(test, "", MONITORED, "")? else { return Ok(()) };
    for host in [&pair.lab.cfg1, &pair.lab.cfg2] {
        host.run(&["sh", "-c", &format!("setsid -f {COMMAND} </dev/null >/dev/null 2>&1")])?;
    }
    start(&mut pair)?;
    for role in [Role::Master, Role::Slave] {
        let status = pair.wait_state(role, StateName::ExclusivityError)?;
        ensure!(
            status.way_out.contains("exclusivity error: the resource group is running here: web"),
            "{}",
            status.way_out
        );
        assert_eq!(pair.scripts(role)?, [""; 0], "something was started all the same");
    }
    // A person stops both; then the pair decides as after any boot.
    for role in [Role::Master, Role::Slave] {
        pair.host(role).signal("web", Signal::SIGTERM)?;
        pair.order(role, &["ack"])?;
    }
    pair.wait_active(Role::Master)?;
    pair.wait_noted(Role::Master, "resource group: not running")?;
    Ok(())
}

#[test]
fn a_failed_stop_waits_in_srmd_executable_error_until_a_person_forces_it_offline() -> Result<()> {
    let test = "a_failed_stop_waits_in_srmd_executable_error_until_a_person_forces_it_offline";
    let Some(pair) = active(test, "", MONITORED, "")? else { return Ok(()) };
    let broken = format!("printf '#!/bin/sh\\nexit 2\\n' >{TEMPLATE}/stop");
    pair.lab.cfg1.run(&["sh", "-c", &broken])?;
    let output = pair.ctl(Role::Slave, &["takeover", "--wait", "25s"])?;
    ensure!(!output.status.success(), "the move is called done: {output}");
    let status = pair.wait_state(Role::Master, StateName::FailedStop)?;
    ensure!(status.way_out.contains("srmd executable error"), "{}", status.way_out);
    ensure!(status.way_out.contains("force-offline cfg1"), "{}", status.way_out);
    assert_eq!((webs(&pair.lab.cfg1)?, webs(&pair.lab.cfg2)?), (1, 0), "something was forced, or started beside it");
    pair.lab.cfg1.signal("web", Signal::SIGTERM)?;
    pair.order(Role::Master, &["force-offline", "cfg1", "--reason", "I stopped it"])?;
    pair.wait_active(Role::Slave)?;
    assert_eq!(webs(&pair.lab.cfg2)?, 1, "{}", pair.story());
    Ok(())
}

#[test]
fn a_failed_start_script_releases_the_group_here_and_the_other_host_has_it() -> Result<()> {
    let test = "a_failed_start_script_releases_the_group_here_and_the_other_host_has_it";
    let Some(pair) = active(test, "", MONITORED, "")? else { return Ok(()) };
    let broken = format!("printf '#!/bin/sh\\nexit 2\\n' >{TEMPLATE}/start");
    pair.lab.cfg2.run(&["sh", "-c", &broken])?;
    let output = pair.ctl(Role::Slave, &["takeover", "--wait", "25s"])?;
    ensure!(!output.status.success(), "a failed move is called done: {output}");
    let status = pair.wait_state(Role::Slave, StateName::FailedStart)?;
    ensure!(status.way_out.contains("exited 2: HA_CMD_FAILED"), "{}", status.way_out);
    pair.wait_active(Role::Master)?;
    assert_eq!((webs(&pair.lab.cfg1)?, webs(&pair.lab.cfg2)?), (1, 0), "{}", pair.story());
    Ok(())
}

#[test]
fn a_failover_policy_makes_the_slave_start_first_and_can_leave_a_host_out() -> Result<()> {
    let test = "a_failover_policy_makes_the_slave_start_first_and_can_leave_a_host_out";
    let service = "failover_policy: FailoverPolicy(script: \"/etc/failover/policy\"),";
    let Some(mut pair) = pair(test, "", MONITORED, service)? else { return Ok(()) };
    for host in [&pair.lab.cfg1, &pair.lab.cfg2] {
        host.write("/etc/failover/policy", "#!/bin/sh\n[ -e /run/alone ] && echo cfg2 || echo cfg2 cfg1\n", 0o755)?;
    }
    start(&mut pair)?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((webs(&pair.lab.cfg1)?, webs(&pair.lab.cfg2)?), (0, 1), "{}", pair.story());
    pair.lab.cfg1.run(&["touch", "/run/alone"])?;
    pair.wait_for(Role::Master, "the policy to leave the master out", |status| {
        status.not_ready.iter().any(|reason| reason.contains("does not name this host"))
    })?;
    let refused = pair.ctl(Role::Master, &["takeback"])?;
    ensure!(!refused.status.success() && format!("{refused}").contains("does not name this host"), "{refused}");
    Ok(())
}

#[test]
fn a_process_is_matched_by_name_and_arguments_and_stopped_twice_without_ps() -> Result<()> {
    let test = "a_process_is_matched_by_name_and_arguments_and_stopped_twice_without_ps";
    let Some(pair) = pair(test, "", MONITORED, "")? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    let call = |line: &str| {
        let line = format!(". /usr/lib/failsafe/common_scripts/scriptlib; ha_set_global_defs; {line}; echo exit $?");
        host.run(&["sh", "-c", &line]).map(|said| said.trim_end().to_owned())
    };
    host.run(&["sh", "-c", &format!("setsid -f {COMMAND} </dev/null >/dev/null 2>&1")])?;
    for (line, ends) in [
        ("ha_is_running web", "exit 0"),
        ("ha_is_running web 86400", "exit 0"),
        ("ha_is_running /run/web 86400", "exit 0"),
        ("ha_is_running web 99", "exit 1"),
        ("/usr/lib/failsafe/bin/ha_exec2 -s 0 -t 'web 86400'", "exit 0"),
        ("/usr/lib/failsafe/bin/ha_exec2 -s 0 -t webs", "exit 1"),
        ("ha_stop 1 web 99", "exit 0"),
        ("ha_is_running web", "exit 0"),
        ("ha_stop 5 web 86400", "exit 0"),
        ("ha_is_running web", "exit 1"),
        ("ha_stop 5 web 86400", "exit 0"),
        ("ha_check_args /nonexistent /dev/null 2>/dev/null", "exit 1"),
    ] {
        let said = call(line)?;
        ensure!(said.ends_with(ends), "{line}: {said}");
    }
    Ok(())
}
