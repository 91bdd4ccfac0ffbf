//! Who starts after a boot: the boot rules, one by one.

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::pair::{Pair, Setup};

#[test]
fn after_both_were_power_cycled_the_owner_of_the_highest_epoch_starts() -> Result<()> {
    let test = "after_both_were_power_cycled_the_owner_of_the_highest_epoch_starts";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.order(Role::Slave, &["takeover"])?;
    pair.lab.cfg1.power_cut()?;
    pair.lab.cfg2.power_cut()?;
    let watch = Watch::begin(&pair.lab)?;
    for role in [Role::Master, Role::Slave] {
        pair.host(role).boot()?;
        pair.start(role)?;
    }
    pair.wait_active(Role::Slave)?;
    pair.wait_state(Role::Master, StateName::Standby)?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}");
    Ok(())
}

#[test]
fn a_master_that_reboots_before_the_time_out_acknowledges_that_it_has() -> Result<()> {
    let test = "a_master_that_reboots_before_the_time_out_acknowledges_that_it_has";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.lab.cfg1.power_cut()?;
    pair.wait_state(Role::Slave, StateName::Requesting)?;
    pair.lab.cfg1.boot()?;
    pair.start(Role::Master)?;
    pair.wait_active(Role::Slave)?;
    pair.wait_state(Role::Master, StateName::Standby)?;
    ensure!(pair.history(Role::Slave)?.contains("booted anew"), "the acknowledgement does not name the reboot");
    Ok(())
}

#[test]
fn a_master_back_before_the_confirmation_ends_the_block_by_its_acknowledgement() -> Result<()> {
    let test = "a_master_back_before_the_confirmation_ends_the_block_by_its_acknowledgement";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.lab.cfg1.power_cut()?;
    pair.wait_state(Role::Slave, StateName::TakeoverBlocked)?;
    pair.lab.cfg1.boot()?;
    pair.start(Role::Master)?;
    pair.wait_active(Role::Slave)?;
    pair.wait_state(Role::Master, StateName::Standby)?;
    Ok(())
}

#[test]
fn a_master_that_boots_alone_waits_says_so_and_starts_on_a_persons_word() -> Result<()> {
    let test = "a_master_that_boots_alone_waits_says_so_and_starts_on_a_persons_word";
    let Some(mut pair) = Pair::install(test, &Setup::default())? else { return Ok(()) };
    pair.start(Role::Master)?;
    pair.wait_noted(Role::Master, "start-alone")?;
    assert_eq!(pair.status(Role::Master)?.state, StateName::Passive);
    assert_eq!(pair.scripts(Role::Master)?, [""; 0], "the master started without having heard anybody");
    pair.order(Role::Master, &["start-alone", "--reason", "the slave is at the workshop"])?;
    pair.wait_active(Role::Master)?;
    pair.wait_readable()?;
    Ok(())
}

#[test]
fn a_service_found_running_on_a_passive_host_is_an_exclusivity_error() -> Result<()> {
    let test = "a_service_found_running_on_a_passive_host_is_an_exclusivity_error";
    let Some(mut pair) = Pair::install(test, &Setup::default())? else { return Ok(()) };
    failover_tests::lab::service::dovecot::start(&pair.lab.cfg1)?;
    pair.start(Role::Master)?;
    pair.start(Role::Slave)?;
    let status = pair.wait_state(Role::Master, StateName::ExclusivityError)?;
    ensure!(status.way_out.contains("dovecot"), "what runs is not named: {}", status.way_out);
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the slave started beside it");
    pair.lab.cfg1.run(&["doveadm", "-c", failover_tests::lab::service::dovecot::CONFIG, "stop"])?;
    pair.lab.cfg1.run(&["umount", "/mail"])?;
    pair.order(Role::Master, &["ack"])?;
    pair.wait_active(Role::Master)?;
    Ok(())
}
