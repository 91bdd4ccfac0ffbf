//! The service on the active host dies, hangs or is restarted.

use std::time::Duration;

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::lab::service::{dovecot, scripts};
use failover_tests::pair::{Pair, Setup};
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;

#[test]
fn a_killed_dovecot_is_taken_over_with_an_acknowledgement_and_never_two_are_up() -> Result<()> {
    let test = "a_killed_dovecot_is_taken_over_with_an_acknowledgement_and_never_two_are_up";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.lab.cfg1.signal("dovecot", Signal::SIGKILL)?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    pair.wait_state(Role::Master, StateName::Standby)?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}\n{}", pair.story());
    ensure!(verdict.looks[1].1 > 0, "the judge never saw the slave serve: {verdict}");
    let expected = [scripts::START, scripts::STOP].concat();
    assert_eq!(pair.scripts(Role::Master)?, expected, "each script once, in order, on the master");
    assert_eq!(pair.scripts(Role::Slave)?, scripts::START, "each script once, in order, on the slave");
    ensure!(pair.history(Role::Slave)?.contains("ProofAck"), "the start does not rest on an acknowledgement");
    Ok(())
}

#[test]
fn a_restart_within_the_grace_moves_nothing_and_is_noted() -> Result<()> {
    let setup = Setup::default().with_timing("restart_grace", "8s");
    let Some(pair) = Pair::begin("a_restart_within_the_grace_moves_nothing_and_is_noted", &setup)? else {
        return Ok(());
    };
    let epoch = pair.status(Role::Master)?.epoch;
    pair.lab.cfg1.run(&["doveadm", "-c", dovecot::CONFIG, "stop"])?;
    // A Dovecot that is told to end within a second of its start hangs now and then; a restart that is one kills it.
    let is_gone = || Ok(pair.lab.cfg1.processes()?.iter().all(|process| process.name != "dovecot"));
    if wait_until("Dovecot to end", Duration::from_secs(1), is_gone).is_err() {
        pair.lab.cfg1.signal("dovecot", Signal::SIGKILL)?;
    }
    pair.wait_noted(Role::Master, "process dovecot died")?;
    pair.lab.cfg1.run(&["dovecot", "-c", dovecot::CONFIG])?;
    pair.wait_noted(Role::Master, "came back within restart_grace")?;
    pair.wait_readable()?;
    let status = pair.wait_active(Role::Master)?;
    assert_eq!(status.epoch, epoch, "the service was moved");
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the slave ran scripts");
    Ok(())
}

#[test]
fn a_dovecot_that_hangs_is_seen_by_the_dialogue_and_taken_over_after_the_ladder() -> Result<()> {
    let test = "a_dovecot_that_hangs_is_seen_by_the_dialogue_and_taken_over_after_the_ladder";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    for name in
        ["dovecot", "pop3-login", "pop3", "imap-login", "imap", "auth", "anvil", "log", "config", "lmtp", "stats"]
    {
        pair.lab.cfg1.signal(name, Signal::SIGSTOP)?;
    }
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}\n{}", pair.story());
    let history = pair.history(Role::Slave)?;
    ensure!(history.contains("forced, step"), "the acknowledgement does not say that it was forced: {history}");
    Ok(())
}
