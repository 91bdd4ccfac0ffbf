//! What the stand-by copies, and a take-over with an old copy.

use anyhow::{Result, ensure};
use failover_shared::decision::Role;
use failover_shared::status::{CopyStatus, Status};
use failover_tests::lab::Host;
use failover_tests::pair::{Pair, Setup};
use nix::sys::signal::Signal;

const SCRIPT: &str = "/etc/failover/copy_users.sh";
/// Leaves the name of the host that it copied from, and fails as long as this file is there.
const BROKEN: &str = "/run/broken";
const BODY: &str = "#!/bin/sh\ntest ! -e /run/broken || exit 7\necho \"$FAILOVER_PEER\" >/run/users.copied\n";

macro_rules! copies {
    ($when_old:literal) => {
        concat!(
            "copies: [Copy(name: \"users\", command: \"./copy_users.sh\", every: \"500ms\", timeout: \"1s\", ",
            "max_age: \"2s\", when_old: ",
            $when_old,
            ")],"
        )
    };
}

/// A pair whose slave has copied from the master.
fn copying(test: &str, more: &'static str) -> Result<Option<Pair>> {
    let Some(mut pair) = Pair::install(test, &Setup { more, ..Setup::default() })? else { return Ok(None) };
    for host in [&pair.lab.cfg1, &pair.lab.cfg2] {
        host.write(SCRIPT, BODY, 0o755)?;
    }
    pair.come_up()?;
    pair.wait_for(Role::Slave, "a fresh copy", |status| is(status, |copy| !copy.is_old))?;
    ensure!(copied(&pair.lab.cfg2)? == "cfg1\n");
    let status = pair.wait_for(Role::Master, "the original", |status| is(status, |copy| copy.is_original))?;
    ensure!(!status.copies[0].is_old, "{status:?}");
    ensure!(pair.lab.cfg1.run(&["test", "-e", "/run/users.copied"]).is_err(), "the active host copied");
    Ok(Some(pair))
}

fn is(status: &Status, wanted: impl Fn(&CopyStatus) -> bool) -> bool {
    status.copies.first().is_some_and(wanted)
}

fn copied(host: &Host) -> Result<String> {
    host.run(&["cat", "/run/users.copied"])
}

fn becomes_old(pair: &Pair) -> Result<Status> {
    pair.lab.cfg2.run(&["touch", BROKEN])?;
    pair.wait_for(Role::Slave, "an old copy", |status| is(status, |copy| copy.is_old && copy.failed))
}

#[test]
fn a_take_over_with_an_old_copy_asks_for_a_person_where_that_is_wanted() -> Result<()> {
    let test = "a_take_over_with_an_old_copy_asks_for_a_person_where_that_is_wanted";
    let Some(pair) = copying(test, copies!("Asks"))? else { return Ok(()) };
    let status = becomes_old(&pair)?;
    ensure!(status.not_ready.is_empty(), "{:?}", status.not_ready);
    ensure!(status.troubles.iter().any(|trouble| trouble.contains("\"users\"")), "{:?}", status.troubles);
    let refused = pair.ctl(Role::Slave, &["takeover"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("--despite-old-copy"), "{refused}");
    // The service fails for good, and nothing moves by itself.
    pair.lab.cfg1.signal("dovecot", Signal::SIGKILL)?;
    let status = pair.wait_for(Role::Slave, "the withheld move", |status| status.withheld.is_some())?;
    ensure!(status.withheld.as_ref().is_some_and(|why| why.contains("max_age")), "{:?}", status.withheld);
    pair.order(Role::Slave, &["takeover", "--despite-old-copy"])?;
    pair.wait_active(Role::Slave)?;
    let history = pair.history(Role::Slave)?;
    ensure!(history.contains("the service starts with these copies: users is"), "{history}");
    // The other way round now; what the master had until its stop is no old copy.
    let status =
        pair.wait_for(Role::Master, "a copy of the slave's", |status| is(status, |copy| copy.last.is_some()))?;
    ensure!(!status.copies[0].is_old && !status.copies[0].is_original, "{status:?}");
    ensure!(copied(&pair.lab.cfg1)? == "cfg2\n");
    Ok(())
}

#[test]
fn a_host_with_an_old_copy_is_not_ready_where_that_is_wanted_until_it_is_made_again() -> Result<()> {
    let test = "a_host_with_an_old_copy_is_not_ready_where_that_is_wanted_until_it_is_made_again";
    let Some(pair) = copying(test, copies!("Blocked"))? else { return Ok(()) };
    becomes_old(&pair)?;
    let status = pair.wait_for(Role::Slave, "no readiness", |status| !status.not_ready.is_empty())?;
    ensure!(status.not_ready[0].contains("its max_age is 2.0 s"), "{:?}", status.not_ready);
    pair.wait_for(Role::Master, "the beat that says so", |status| status.peer.ready == Some(false))?;
    let refused = pair.ctl(Role::Slave, &["takeover", "--despite-old-copy"])?;
    ensure!(!refused.status.success(), "{refused}");
    pair.lab.cfg2.run(&["rm", BROKEN])?;
    pair.wait_for(Role::Slave, "readiness", |status| status.not_ready.is_empty())?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    Ok(())
}

#[test]
fn a_take_over_with_an_old_copy_goes_on_and_says_so_where_that_is_allowed() -> Result<()> {
    let test = "a_take_over_with_an_old_copy_goes_on_and_says_so_where_that_is_allowed";
    let Some(pair) = copying(test, copies!("Allowed"))? else { return Ok(()) };
    let status = becomes_old(&pair)?;
    ensure!(status.not_ready.is_empty() && !status.troubles.is_empty(), "{status:?}");
    pair.wait_noted(Role::Slave, "old and its max_age is 2.0 s")?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    Ok(())
}
