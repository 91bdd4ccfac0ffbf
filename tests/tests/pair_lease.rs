//! Silence is safe to act on: the lease on the shared store. The store is a local folder that both hosts have bound, a
//! stand-in for the filer's export; the guard is the guardian alone.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use failover_shared::arbiter::shared_storage;
use failover_shared::decision::{Duty, Role, StateName};
use failover_shared::status::SlotSays;
use failover_tests::judge::actives::Watch;
use failover_tests::pair::{LIMIT, Pair, Proofs, Setup};
use failover_tests::still::stand_still;
use failover_tests::wait::wait_until;
use nix::sys::signal::{Signal, kill};

/// L 9 s, W 9.2 s: the times of a test, not of a shop.
const ARBITER: &str = r#"arbiter: SharedStorage(path: "/store/lease", guard: GuardianOnly(host_freeze_can_make_two_actives: true),
        profile: Hard(renew: "400ms", attempt: "300ms", stop_after: "2s", scripts: "0s", kill: "3s", watchdog: "1s",
            margin: "3s")),"#;

/// The same for a host that has to come up again within the lease, however busy the machine is.
const PATIENT: &str = r#"arbiter: SharedStorage(path: "/store/lease", guard: GuardianOnly(host_freeze_can_make_two_actives: true),
        profile: Hard(renew: "400ms", attempt: "300ms", stop_after: "40s", scripts: "0s", kill: "3s", watchdog: "1s",
            margin: "3s")),"#;

/// The epochs that are claimed in the store.
fn claims(pair: &Pair) -> Result<BTreeSet<u64>> {
    let names = names(pair)?;
    Ok(names.iter().filter_map(|name| name.strip_prefix("claim.")?.parse().ok()).collect())
}

/// Whether the newest record of a host's slot gives its epoch back.
fn released(pair: &Pair, role: Role) -> Result<bool> {
    let start = format!("slot.{role}.");
    let mut records = Vec::new();
    for name in names(pair)?.iter().filter(|name| name.starts_with(&start)) {
        let text = std::fs::read_to_string(pair.lab.store().join("lease").join(name))?;
        // A record is a line of JSON behind a head line, and blanks.
        records.extend(text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line.trim()).ok()));
    }
    let order = |record: &serde_json::Value| (record["slot"]["epoch"].as_u64(), record["slot"]["sequence"].as_u64());
    let newest = records.into_iter().max_by_key(order);
    Ok(newest.with_context(|| format!("no record in {start}*"))?["slot"]["released"] == true)
}

fn names(pair: &Pair) -> Result<Vec<String>> {
    let folder = std::fs::read_dir(pair.lab.store().join("lease"))?;
    folder.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn never_two(watch: Watch) -> Result<()> {
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "two hosts ran the service at once: {verdict}");
    Ok(())
}

fn begin(test: &str) -> Result<Option<Pair>> {
    begin_with(test, ARBITER)
}

fn begin_with(test: &str, arbiter: &'static str) -> Result<Option<Pair>> {
    let setup = Setup { proofs: Proofs::AckLeaseOperator, more: arbiter, ..Setup::default() };
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
    // The master's daemon is started anew by its guardian, and would sometimes be the first to start the service again.
    pair.lab.cfg1.run(&["mv", "/etc/failover/start_2_dovecot.sh", "/etc/failover/away"])?;
    stand_still(pair.daemon(Role::Master)?)?;
    pair.wait_active(Role::Slave)?;
    let log = pair.log(Role::Master);
    ensure!(log.contains("the guardian ends the service"), "not by the guardian: {log}");
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
        let before = claims(&pair)?;
        pair.order(role, &[word, "--reason", "a test"])?;
        let status = pair.wait_active(role)?;
        let after = claims(&pair)?;
        ensure!(after.difference(&before).eq([&status.epoch.0]), "claims {before:?}, then {after:?}; {status:#?}");
        wait_until("the release of the epoch before", LIMIT, || released(&pair, role.peer()))?;
        ensure!(!released(&pair, role)?, "the {role} holds the lease");
    }
    pair.wait_readable()?;
    never_two(watch)
}

/// Both at once, so that neither starts the other again: the daemon stands still and cannot see its guardian's death.
#[test]
fn a_daemon_killed_with_its_guardian_comes_back_and_goes_on_with_its_lease() -> Result<()> {
    let test = "a_daemon_killed_with_its_guardian_comes_back_and_goes_on_with_its_lease";
    let Some(mut pair) = begin_with(test, PATIENT)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    for _ in 0..2 {
        let daemon = pair.daemon(Role::Master)?;
        stand_still(daemon)?;
        pair.guardian(Role::Master)?.signal(Signal::SIGKILL)?;
        wait_until("the guardian's end", LIMIT, || Ok(!pair.guardian(Role::Master)?.is_running()?))?;
        kill(daemon, Signal::SIGKILL)?;
        // What starts a host's services.
        pair.start(Role::Master)?;
        pair.wait_active(Role::Master)?;
        pair.wait_for(Role::Master, "its lease to go on", |status| {
            let own = status.arbiter.as_ref().and_then(|arbiter| arbiter.own);
            own.is_some_and(|own| own.stops_in_ms.is_some())
        })?;
    }
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was neither stopped nor started again");
    assert_eq!(claims(&pair)?.len(), 1, "the same epoch");
    never_two(watch)
}

#[test]
fn a_daemon_that_is_killed_is_started_by_its_guardian_and_goes_on_with_its_lease() -> Result<()> {
    let test = "a_daemon_that_is_killed_is_started_by_its_guardian_and_goes_on_with_its_lease";
    let Some(pair) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    for _ in 0..3 {
        let before = pair.daemon(Role::Master)?;
        pair.signal_daemon(Role::Master, Signal::SIGKILL)?;
        wait_until("another daemon", LIMIT, || Ok(pair.daemon(Role::Master).is_ok_and(|daemon| daemon != before)))?;
        pair.wait_active(Role::Master)?;
    }
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was neither stopped nor started again");
    let log = pair.log(Role::Master);
    ensure!(!log.contains("what the daemon says of its lease is not taken"), "the guardian refused it:\n{log}");
    never_two(watch)
}

#[test]
fn a_host_that_goes_down_hands_the_service_over_first() -> Result<()> {
    let Some(mut pair) = begin("a_host_that_goes_down_hands_the_service_over_first")? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    let idle = pair.order(Role::Slave, &["hand-over"])?;
    ensure!(idle.contains("nothing to hand over"), "{idle}");
    // What systemd does when the host is shut down: the hand-over's unit ends first, then the daemon's.
    let moved = pair.order(Role::Master, &["hand-over"])?;
    ensure!(moved.contains("done: the service runs on cfg2"), "{moved}");
    pair.guardian(Role::Master)?.signal(Signal::SIGTERM)?;
    wait_until("the guardian's end", LIMIT, || Ok(!pair.guardian(Role::Master)?.is_running()?))?;
    pair.lab.cfg1.power_cut()?;
    pair.wait_readable()?;
    let status = pair.status(Role::Slave)?;
    ensure!(status.state == StateName::Active, "{:?}", status.state);
    // Nobody is left to take it: it says so, and changes nothing.
    let alone = pair.ctl(Role::Slave, &["hand-over"])?;
    ensure!(!alone.status.success(), "{alone}");
    ensure!(pair.status(Role::Slave)?.state == StateName::Active, "stopped for nobody");
    never_two(watch)
}

#[test]
fn a_daemon_that_is_ended_leaves_the_service_running_and_its_lease_without_an_end() -> Result<()> {
    let test = "a_daemon_that_is_ended_leaves_the_service_running_and_its_lease_without_an_end";
    let Some(mut pair) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.guardian(Role::Master)?.signal(Signal::SIGTERM)?;
    wait_until("the guardian's end", LIMIT, || Ok(!pair.guardian(Role::Master)?.is_running()?))?;
    let seen = pair.wait_for(Role::Slave, "a lease without an end", |status| {
        let seen = status.arbiter.as_ref().and_then(|arbiter| arbiter.seen.as_ref());
        seen.is_some_and(|seen| seen.slot == SlotSays::HeldWithoutLimit)
    })?;
    ensure!(seen.arbiter.is_some_and(|arbiter| arbiter.failing.is_none()));
    // Longer than the lease was, and than anybody waits for it.
    std::thread::sleep(std::time::Duration::from_secs(12));
    pair.wait_readable()?;
    ensure!(pair.scripts(Role::Slave)?.is_empty(), "the slave started");
    pair.start(Role::Master)?;
    pair.wait_active(Role::Master)?;
    pair.wait_for(Role::Master, "the limit to count again", |status| {
        let own = status.arbiter.as_ref().and_then(|arbiter| arbiter.own);
        own.is_some_and(|own| !own.hold && own.stops_in_ms.is_some())
    })?;
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was touched");
    // And it does: the next silence is followed.
    pair.lab.cfg1.power_cut()?;
    pair.wait_active(Role::Slave)?;
    never_two(watch)
}

#[test]
fn the_status_shows_arbiter_lease_and_guardian_and_the_accepted_risk() -> Result<()> {
    let Some(pair) = begin("the_status_shows_arbiter_lease_and_guardian_and_the_accepted_risk")? else {
        return Ok(());
    };
    let master = pair.wait_for(Role::Master, "its guardian's word", |status| {
        status.guardian.state.as_ref().is_some_and(|state| state.contains("guards the lease alone"))
    })?;
    ensure!(master.guardian.required && !master.guardian.is_missing(), "{:?}", master.guardian);
    let arbiter = master.arbiter.as_ref().expect("an arbiter");
    ensure!(arbiter.kind == "shared storage" && arbiter.place == "/store/lease", "{arbiter:?}");
    ensure!(arbiter.own.is_some_and(|own| own.epoch == master.epoch), "{arbiter:?}");
    let slave = pair.wait_for(Role::Slave, "a look at the holder", |status| {
        let seen = status.arbiter.as_ref().and_then(|arbiter| arbiter.seen.as_ref());
        seen.is_some_and(|seen| seen.claim == Some((master.epoch, Role::Master)) && seen.slot == SlotSays::Held)
    })?;
    for status in [&master, &slave] {
        ensure!(matches!(status.risks.as_slice(), [risk] if risk.starts_with("GuardianOnly")), "{:?}", status.risks);
        ensure!(status.guarantee.starts_with("never two actives, as long as"), "{}", status.guarantee);
    }
    let screen = pair.ctl(Role::Slave, &["status"])?.to_string();
    for wanted in
        [" ! risk        GuardianOnly", "   arbiter     shared storage /store/lease: answered", "cfg1 held epoch"]
    {
        ensure!(screen.contains(wanted), "{wanted:?} is not in\n{screen}");
    }
    Ok(())
}

#[test]
fn maintenance_outlives_the_kernel_holds_the_lease_and_ends_by_itself() -> Result<()> {
    let Some(mut pair) = begin("maintenance_outlives_the_kernel_holds_the_lease_and_ends_by_itself")? else {
        return Ok(());
    };
    pair.order(Role::Slave, &["maintenance", "on", "--for", "90m", "--reason", "new disks"])?;
    pair.lab.cfg2.power_cut()?;
    pair.lab.cfg2.boot()?;
    pair.start(Role::Slave)?;
    let status = pair.wait_state(Role::Slave, StateName::Standby)?;
    let order = status.maintenance.expect("the order is remembered");
    ensure!(order.reason == "new disks" && (1..=90 * 60_000).contains(&order.left_ms), "{order:?}");
    pair.wait_for(Role::Master, "the word of its peer", |status| status.peer.maintenance == Some(true))?;
    pair.order(Role::Slave, &["maintenance", "off"])?;
    pair.wait_for(Role::Slave, "the end", |status| status.maintenance.is_none())?;

    pair.order(Role::Master, &["maintenance", "on", "--for", "4s", "--reason", "a look"])?;
    pair.wait_for(Role::Master, "a lease without an end", |status| {
        status.arbiter.as_ref().and_then(|arbiter| arbiter.own).is_some_and(|own| own.hold)
    })?;
    pair.wait_for(Role::Master, "the end by itself", |status| {
        let own = status.arbiter.as_ref().and_then(|arbiter| arbiter.own);
        status.maintenance.is_none() && own.is_some_and(|own| !own.hold)
    })?;
    ensure!(pair.history(Role::Master)?.contains("MaintenanceOver"), "{}", pair.history(Role::Master)?);
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was touched");
    Ok(())
}
