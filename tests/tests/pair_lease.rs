//! Silence is safe to act on: the lease on the shared store. The store is a local folder that both hosts have bound, a
//! stand-in for the filer's export; the guard is the guardian alone.

use anyhow::{Result, ensure};
use failover_shared::arbiter::shared_storage;
use failover_shared::decision::{Duty, Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::pair::{Pair, Proofs, Setup};
use nix::sys::signal::Signal;

/// L 9 s, W 9.2 s: the times of a test, not of a shop.
const ARBITER: &str = r#"arbiter: SharedStorage(path: "/store/lease", guard: GuardianOnly(host_freeze_can_make_two_actives: true),
        profile: Hard(renew: "400ms", attempt: "300ms", stop_after: "2s", scripts: "0s", kill: "3s", watchdog: "1s",
            margin: "3s")),"#;

fn never_two(watch: Watch) -> Result<()> {
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "two hosts ran the service at once: {verdict}");
    Ok(())
}

fn begin(test: &str) -> Result<Option<Pair>> {
    let setup = Setup { proofs: Proofs::AckLeaseOperator, more: ARBITER, ..Setup::default() };
    let Some(mut pair) = Pair::install(test, &setup)? else { return Ok(None) };
    let folder = pair.lab.store().join("lease");
    std::fs::create_dir(&folder)?;
    shared_storage::initialise(&folder, "lab")?;
    pair.come_up()?;
    Ok(Some(pair))
}

#[test]
fn a_master_that_loses_its_power_is_taken_over_when_its_lease_has_run_out() -> Result<()> {
    let test = "a_master_that_loses_its_power_is_taken_over_when_its_lease_has_run_out";
    let Some(mut pair) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.lab.cfg1.power_cut()?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    ensure!(pair.history(Role::Slave)?.contains("ProofLease"), "{}", pair.history(Role::Slave)?);
    pair.lab.cfg1.boot()?;
    pair.start(Role::Master)?;
    let status = pair.wait_state(Role::Master, StateName::Standby)?;
    assert_eq!(status.peer.duty, Some(Duty::Active));
    never_two(watch)
}

#[test]
fn a_master_that_is_cut_off_from_everybody_stops_before_the_slave_starts() -> Result<()> {
    let test = "a_master_that_is_cut_off_from_everybody_stops_before_the_slave_starts";
    let Some(pair) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.lab.cfg1.silence()?;
    // The store is not reached over the lab's network: taking the folder away stands in for losing the filer.
    pair.lab.cfg1.run(&["mount", "-t", "tmpfs", "none", "/store"])?;
    pair.wait_active(Role::Slave)?;
    never_two(watch)
}

#[test]
fn with_only_the_link_cut_the_lease_is_renewed_and_nothing_moves() -> Result<()> {
    let Some(pair) = begin("with_only_the_link_cut_the_lease_is_renewed_and_nothing_moves")? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.lab.cfg1.silence()?;
    pair.wait_for(Role::Slave, "the slave to see that the lease is renewed", |status| {
        status.withheld.as_ref().is_some_and(|why| why.contains("renewing its lease"))
    })?;
    std::thread::sleep(std::time::Duration::from_secs(12));
    ensure!(pair.status(Role::Master)?.state == StateName::Active);
    ensure!(pair.scripts(Role::Slave)?.is_empty(), "the slave started although the master renews");
    never_two(watch)
}

#[test]
fn a_frozen_daemons_service_is_ended_by_the_guardian_and_taken_over() -> Result<()> {
    let test = "a_frozen_daemons_service_is_ended_by_the_guardian_and_taken_over";
    let Some(pair) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.signal_daemon(Role::Master, Signal::SIGSTOP)?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    never_two(watch)
}

#[test]
fn a_commanded_move_claims_and_releases() -> Result<()> {
    let Some(pair) = begin("a_commanded_move_claims_and_releases")? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    for role in [Role::Slave, Role::Master, Role::Slave] {
        let word = if role == Role::Slave { "takeover" } else { "takeback" };
        pair.wait_for(role, "readiness", |status| status.not_ready.is_empty() && status.state == StateName::Standby)?;
        pair.order(role, &[word, "--reason", "a test"])?;
        pair.wait_active(role)?;
    }
    pair.wait_readable()?;
    never_two(watch)
}

#[test]
fn a_daemon_killed_with_its_guardian_comes_back_and_goes_on_with_its_lease() -> Result<()> {
    let test = "a_daemon_killed_with_its_guardian_comes_back_and_goes_on_with_its_lease";
    let Some(pair) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    for _ in 0..3 {
        let before = pair.daemon(Role::Master)?;
        pair.signal_daemon(Role::Master, Signal::SIGKILL)?;
        failover_tests::wait::wait_until("another daemon", failover_tests::pair::LIMIT, || {
            Ok(pair.daemon(Role::Master).is_ok_and(|daemon| daemon != before))
        })?;
        pair.wait_active(Role::Master)?;
    }
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was neither stopped nor started again");
    never_two(watch)
}
