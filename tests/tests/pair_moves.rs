//! Moves by command, under clients that read and deliver; and a daemon that dies or freezes.

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::judge::mail::exactly_once;
use failover_tests::judge::traffic::User;
use failover_tests::lab::service::{dovecot, ssh};
use failover_tests::pair::{LIMIT, Pair, Setup};
use failover_tests::still::stand_still;
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;

/// How many moves: 10, or 50 for `scripts/test.sh --long`.
fn moves() -> usize {
    if std::env::var_os("FAILOVER_LONG").is_some() { 50 } else { 10 }
}

#[test]
fn moves_there_and_back_under_readers_and_deliverers_lose_no_mail() -> Result<()> {
    let test = "moves_there_and_back_under_readers_and_deliverers_lose_no_mail";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let (watch, deliverer, reader) = (Watch::begin(&pair.lab)?, User::deliverer(&pair.lab)?, User::reader(&pair.lab)?);
    let more = |user: &User| {
        let before = user.worked();
        wait_until("dialogues that work", LIMIT, || Ok(user.worked() >= before + 5))
    };
    for number in 0..moves() {
        more(&deliverer)?;
        more(&reader)?;
        let (command, role) = if number % 2 == 0 { ("takeover", Role::Slave) } else { ("takeback", Role::Master) };
        let said = pair.order(Role::Slave, &[command])?;
        pair.wait_active(role)?;
        println!("move {number}: {}", said.lines().last().unwrap_or_default());
    }
    more(&deliverer)?;
    more(&reader)?;
    let (verdict, delivered, read) = (watch.end()?, deliverer.end()?, reader.end()?);
    ensure!(verdict.overlaps.is_empty(), "{verdict}\n{}", pair.story());
    ensure!(read.wrong.is_empty(), "read and not whole: {:?}", read.wrong);
    let count = exactly_once(&delivered.accepted, &pair.lab.store().join(dovecot::USER))?;
    ensure!(count.is_right(), "{count}");
    println!("{verdict}\n{count}");
    println!(
        "longest gap: delivering {} ms, reading {} ms",
        delivered.longest_gap_us().1 / 1_000,
        read.longest_gap_us().1 / 1_000
    );
    Ok(())
}

#[test]
fn a_daemon_that_dies_is_started_again_and_the_service_is_neither_stopped_nor_moved() -> Result<()> {
    let test = "a_daemon_that_dies_is_started_again_and_the_service_is_neither_stopped_nor_moved";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let epoch = pair.status(Role::Master)?.epoch;
    for _ in 0..3 {
        pair.signal_daemon(Role::Master, Signal::SIGKILL)?;
        pair.wait_for(Role::Master, "the daemon's return", |status| status.state_age_ms < 2_000)?;
        let status = pair.wait_active(Role::Master)?;
        assert_eq!(status.epoch, epoch);
    }
    pair.wait_readable()?;
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was touched");
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the service was moved");
    Ok(())
}

#[test]
fn the_end_of_a_daemon_by_sigterm_leaves_the_service_running() -> Result<()> {
    let test = "the_end_of_a_daemon_by_sigterm_leaves_the_service_running";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.guardian(Role::Master)?.signal(Signal::SIGTERM)?;
    wait_until("the daemon's end", LIMIT, || Ok(!pair.guardian(Role::Master)?.is_running()?))?;
    pair.wait_readable()?;
    pair.start(Role::Master)?;
    pair.wait_active(Role::Master)?;
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was touched");
    Ok(())
}

#[test]
fn a_frozen_daemons_service_is_stopped_by_the_second_way_and_the_thawed_daemon_stands_by() -> Result<()> {
    let test = "a_frozen_daemons_service_is_stopped_by_the_second_way_and_the_thawed_daemon_stands_by";
    let setup = Setup { rcmd: true, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    let _sshd = ssh::start(&pair.lab.cfg1)?;
    let watch = Watch::begin(&pair.lab)?;
    stand_still(pair.daemon(Role::Master)?)?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    ensure!(pair.history(Role::Slave)?.contains("ProofRcmd"), "the start does not rest on the signed statement");
    pair.signal_daemon(Role::Master, Signal::SIGCONT)?;
    pair.wait_state(Role::Master, StateName::Standby)?;
    pair.wait_active(Role::Slave)?;
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}\n{}", pair.story());
    Ok(())
}
