//! Stop and start scripts that fail, hang or lie.

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::lab::service::scripts::{self, START, STOP, bad};
use failover_tests::pair::{Pair, Setup};
use nix::sys::signal::Signal;

/// The pair with one bad stop script on the master, after its Dovecot was made to fail for the checks.
fn stop_with(test: &str, name: &str, body: &str) -> Result<Option<Pair>> {
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(None) };
    scripts::write(&pair.lab.cfg1, name, body)?;
    pair.order(Role::Slave, &["takeover", "--reason", "the test", "--wait", "25s"])?;
    Ok(Some(pair))
}

#[test]
fn a_failing_stop_script_is_forced_and_named() -> Result<()> {
    let test = "a_failing_stop_script_is_forced_and_named";
    let Some(pair) = stop_with(test, STOP[1], bad::FAILS)? else { return Ok(()) };
    pair.wait_active(Role::Slave)?;
    let history = pair.history(Role::Slave)?;
    ensure!(history.contains("step 2: "), "{history}");
    Ok(())
}

#[test]
fn a_hanging_stop_script_is_ended_at_its_limit_and_forced() -> Result<()> {
    let test = "a_hanging_stop_script_is_ended_at_its_limit_and_forced";
    let Some(pair) = stop_with(test, STOP[1], bad::HANGS)? else { return Ok(()) };
    pair.wait_active(Role::Slave)?;
    let history = pair.history(Role::Slave)?;
    ensure!(history.contains("still running after its limit"), "{history}");
    Ok(())
}

#[test]
fn a_stop_script_that_lies_is_found_out_before_anything_is_acknowledged() -> Result<()> {
    let test = "a_stop_script_that_lies_is_found_out_before_anything_is_acknowledged";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    for name in STOP {
        scripts::write(&pair.lab.cfg1, name, bad::LIES)?;
    }
    let watch = Watch::begin(&pair.lab)?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}");
    ensure!(pair.history(Role::Slave)?.contains("every step ended, and yet"));
    Ok(())
}

/// The service runs where no post-condition's rung can reach it (a double of what `systemctl start` does), and the stop
/// script says that all is well.
#[test]
fn a_service_that_cannot_be_ended_is_no_proof_and_the_slave_does_not_start() -> Result<()> {
    let test = "a_service_that_cannot_be_ended_is_no_proof_and_the_slave_does_not_start";
    let setup = Setup { stopped_when: r#", Command("test ! -e /run/still-in-use")"#, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    pair.lab.cfg1.run(&["touch", "/run/still-in-use"])?;
    for name in STOP {
        scripts::write(&pair.lab.cfg1, name, bad::LIES)?;
    }
    let output = pair.ctl(Role::Slave, &["takeover", "--wait", "25s"])?;
    ensure!(!output.status.success(), "the move is called done: {output}");
    pair.wait_state(Role::Slave, StateName::TakeoverBlocked)?;
    let status = pair.wait_state(Role::Master, StateName::FailedStop)?;
    ensure!(status.way_out.contains("force-offline cfg1"), "{}", status.way_out);
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the slave started on a stop that nobody could verify");
    // A person mends it and says so; what still runs is not overruled by a word.
    let refused = pair.ctl(Role::Master, &["force-offline", "cfg1", "--reason", "I looked"])?;
    ensure!(!refused.status.success(), "a word was taken although the condition does not hold: {refused}");
    pair.lab.cfg1.run(&["rm", "/run/still-in-use"])?;
    pair.order(Role::Master, &["force-offline", "cfg1", "--reason", "I looked"])?;
    pair.wait_active(Role::Slave)?;
    Ok(())
}

#[test]
fn a_daemonised_child_that_the_stop_list_leaves_is_found_by_name_and_ended_by_the_ladder() -> Result<()> {
    let test = "a_daemonised_child_that_the_stop_list_leaves_is_found_by_name_and_ended_by_the_ladder";
    let setup = Setup { stopped_when: r#", NoProcess("sleep")"#, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    scripts::write(&pair.lab.cfg1, STOP[1], bad::LEAVES_CHILD)?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    ensure!(pair.history(Role::Slave)?.contains("sleep"), "the acknowledgement does not name what was left");
    let left = pair.lab.cfg1.processes()?.into_iter().filter(|process| process.name == "sleep").count();
    assert_eq!(left, 0, "the child is still there");
    Ok(())
}

/// A double of what `systemctl start` does: the service lives in a control group that is not ours. Ours was never
/// populated, so its emptiness proves nothing, whatever the stop scripts say.
#[test]
fn a_service_outside_the_control_group_is_not_acknowledged_as_stopped() -> Result<()> {
    let test = "a_service_outside_the_control_group_is_not_acknowledged_as_stopped";
    let setup = Setup { only_cgroup: true, ..Setup::default() };
    let Some(mut pair) = Pair::install(test, &setup)? else { return Ok(()) };
    scripts::write(&pair.lab.cfg1, START[1], bad::STARTS_ELSEWHERE)?;
    for name in STOP {
        scripts::write(&pair.lab.cfg1, name, bad::LIES)?;
    }
    pair.start(Role::Master)?;
    pair.start(Role::Slave)?;
    pair.wait_active(Role::Master)?;
    pair.wait_for(Role::Slave, "readiness", |status| status.not_ready.is_empty() && status.readiness_age_ms.is_some())?;
    let watch = Watch::begin(&pair.lab)?;
    let output = pair.ctl(Role::Slave, &["takeover", "--wait", "25s"])?;
    ensure!(!output.status.success(), "the move is called done: {output}");
    pair.wait_state(Role::Slave, StateName::TakeoverBlocked)?;
    let status = pair.wait_state(Role::Master, StateName::FailedStop)?;
    ensure!(status.way_out.contains("mail"), "the group is not named: {}", status.way_out);
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the slave started beside it");
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}");
    Ok(())
}

/// The counterpart: in our own group it is evidence, and the ladder empties it.
#[test]
fn a_service_in_the_control_group_is_ended_by_it_and_acknowledged() -> Result<()> {
    let test = "a_service_in_the_control_group_is_ended_by_it_and_acknowledged";
    let setup = Setup { only_cgroup: true, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    for name in STOP {
        scripts::write(&pair.lab.cfg1, name, bad::LIES)?;
    }
    let watch = Watch::begin(&pair.lab)?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}");
    ensure!(pair.history(Role::Slave)?.contains("forced, step"));
    Ok(())
}

#[test]
fn an_automatic_start_that_fails_is_taken_back_and_pages() -> Result<()> {
    let test = "an_automatic_start_that_fails_is_taken_back_and_pages";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    scripts::write(&pair.lab.cfg2, START[1], bad::FAILS)?;
    pair.lab.cfg1.signal("dovecot", Signal::SIGKILL)?;
    let status = pair.wait_state(Role::Slave, StateName::FailedStart)?;
    ensure!(status.way_out.contains("start step 2: "), "{}", status.way_out);
    let expected = [&START[..2], &STOP[..]].concat();
    assert_eq!(pair.scripts(Role::Slave)?, expected, "what was started is not stopped again");
    pair.wait_for(Role::Master, "the master at rest", |status| {
        matches!(status.state, StateName::Stopped | StateName::Standby)
    })?;
    Ok(())
}

#[test]
fn a_commanded_start_that_fails_returns_the_service_to_the_healthy_host() -> Result<()> {
    let test = "a_commanded_start_that_fails_returns_the_service_to_the_healthy_host";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    scripts::write(&pair.lab.cfg2, START[1], bad::FAILS)?;
    let watch = Watch::begin(&pair.lab)?;
    let output = pair.ctl(Role::Slave, &["takeover", "--wait", "25s"])?;
    ensure!(!output.status.success(), "a failed move is called done: {output}");
    let status = pair.wait_active(Role::Master)?;
    ensure!(status.epoch.0 >= 3, "the service came back without a new epoch: {status:?}");
    pair.wait_readable()?;
    pair.wait_state(Role::Slave, StateName::FailedStart)?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}");
    Ok(())
}
