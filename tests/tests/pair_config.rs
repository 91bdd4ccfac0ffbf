//! Configurations that differ or break, and state that is torn, missing, of another host, or on a full disk.

use std::fs;

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::pair::{CONFIG, Pair, Setup};
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;

fn edit(pair: &Pair, role: Role, from: &str, to: &str) -> Result<()> {
    let path = pair.host(role).on_disk(CONFIG);
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains(from), "{from:?} is not in the configuration");
    fs::write(path, text.replace(from, to))?;
    Ok(())
}

#[test]
fn configurations_that_differ_block_automatic_moves_and_the_keys_are_named() -> Result<()> {
    let test = "configurations_that_differ_block_automatic_moves_and_the_keys_are_named";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    edit(&pair, Role::Slave, "start_verify: \"8s\"", "start_verify: \"9s\"")?;
    pair.signal_daemon(Role::Slave, Signal::SIGHUP)?;
    pair.wait_for(Role::Slave, "the differing key", |status| {
        status.config.differing.iter().any(|key| key == "timing.start_verify")
    })?;
    pair.lab.cfg1.signal("dovecot", Signal::SIGKILL)?;
    let status = pair.wait_for(Role::Slave, "what withholds the move", |status| status.withheld.is_some())?;
    ensure!(status.withheld.as_deref().is_some_and(|text| text.contains("configurations differ")), "{status:?}");
    let refused = pair.ctl(Role::Slave, &["takeover"])?;
    ensure!(!refused.status.success() && format!("{refused}").contains("--despite-config-difference"), "{refused}");
    let tried = pair.ctl(Role::Slave, &["takeover", "--dry-run"])?;
    ensure!(!tried.status.success(), "the dry run accepts what the move refuses: {tried}");
    pair.order(Role::Slave, &["takeover", "--dry-run", "--despite-config-difference"])?;
    ensure!(pair.status(Role::Slave)?.state == StateName::Standby, "the dry run moved the service");
    pair.order(Role::Slave, &["takeover", "--despite-config-difference"])?;
    pair.wait_active(Role::Slave)?;
    Ok(())
}

#[test]
fn a_broken_new_file_leaves_the_old_configuration_in_force_and_says_so() -> Result<()> {
    let test = "a_broken_new_file_leaves_the_old_configuration_in_force_and_says_so";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let before = pair.status(Role::Slave)?.config.digest;
    edit(&pair, Role::Slave, "shutdown_scripts", "shutdown_skripts")?;
    pair.signal_daemon(Role::Slave, Signal::SIGHUP)?;
    let status = pair.wait_for(Role::Slave, "the refusal", |status| status.config.refused.is_some())?;
    assert_eq!(status.config.digest, before);
    ensure!(pair.log(Role::Slave).contains("did you mean"), "the log does not help:\n{}", pair.story());
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    Ok(())
}

#[test]
fn a_torn_a_missing_and_a_foreign_state_make_the_host_passive_and_tell_why() -> Result<()> {
    let test = "a_torn_a_missing_and_a_foreign_state_make_the_host_passive_and_tell_why";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let own = pair.lab.cfg2.on_disk("/var/lib/failover/slave.state");
    let other = pair.lab.cfg1.on_disk("/var/lib/failover/master.state");
    type Spoil<'a> = Box<dyn Fn() -> Result<()> + 'a>;
    let cases: [(&str, Spoil<'_>); 3] = [
        ("damaged", Box::new(|| Ok(fs::write(&own, vec![9; 8192])?))),
        ("belongs to host cfg1", Box::new(|| Ok(fs::copy(&other, &own).map(drop)?))),
        ("", Box::new(|| Ok(fs::remove_file(&own)?))),
    ];
    for (told, spoil) in &cases {
        pair.guardian(Role::Slave)?.signal(Signal::SIGTERM)?;
        failover_tests::wait::wait_until("the slave's daemon to end", failover_tests::pair::LIMIT, || {
            Ok(!pair.guardian(Role::Slave)?.is_running()?)
        })?;
        spoil()?;
        pair.start(Role::Slave)?;
        // Nothing runs here and the peer is heard, so it goes on to stand by; but it began passive and says why.
        let status = pair.wait_state(Role::Slave, StateName::Standby)?;
        let troubles = status.troubles.join("; ");
        ensure!(told.is_empty() == troubles.is_empty() && troubles.contains(told), "{told:?}: {troubles:?}");
    }
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the master was touched");
    Ok(())
}

#[test]
fn with_a_full_disk_the_service_can_still_be_stopped() -> Result<()> {
    let test = "with_a_full_disk_the_service_can_still_be_stopped";
    let Some(mut pair) = Pair::install(test, &Setup::default())? else { return Ok(()) };
    // The state's own small disk, which can be filled without touching the machine's.
    pair.lab.cfg1.run(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/var/lib/failover"])?;
    pair.start(Role::Master)?;
    pair.start(Role::Slave)?;
    pair.wait_active(Role::Master)?;
    let filled =
        pair.lab.cfg1.output(&["sh", "-c", "cat /dev/zero > /var/lib/failover/filler"], failover_tests::pair::LIMIT)?;
    let filled = filled.to_string();
    ensure!(filled.contains("No space left"), "the disk was not filled: {filled}");
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    let expected = failover_tests::lab::service::scripts::STOP;
    assert_eq!(pair.scripts(Role::Master)?[3..], expected, "the service was not stopped in order");
    pair.wait_readable()?;
    wait_until("the full disk as a reason against a start", failover_tests::pair::LIMIT, || {
        Ok(pair.status(Role::Master)?.not_ready.iter().any(|reason| reason.contains("is full")))
    })
}
