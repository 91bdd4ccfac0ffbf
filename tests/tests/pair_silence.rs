//! A host falls silent, or only the link is cut.

use anyhow::{Result, ensure};
use failover_shared::decision::{Duty, Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::lab::fault;
use failover_tests::pair::{Pair, Proofs, Setup};
use nix::sys::signal::Signal;

#[test]
fn a_silent_master_blocks_until_a_person_confirms_and_the_returning_master_stays_standby() -> Result<()> {
    let test = "a_silent_master_blocks_until_a_person_confirms_and_the_returning_master_stays_standby";
    let setup = Setup { more: r#"notify: Command("cat >> /var/log/pages"),"#, ..Setup::default() };
    let Some(mut pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    pair.lab.cfg1.power_cut()?;
    let status = pair.wait_state(Role::Slave, StateName::TakeoverBlocked)?;
    ensure!(status.way_out.contains("confirm-stopped cfg1"), "the way out is not printed: {}", status.way_out);
    let pages = pair.lab.cfg2.on_disk("/var/log/pages");
    failover_tests::wait::wait_until("the page", failover_tests::pair::LIMIT, || {
        Ok(std::fs::read_to_string(&pages).unwrap_or_default().contains("confirm-stopped"))
    })?;
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the slave started without a proof");
    pair.order(Role::Slave, &["confirm-stopped", "cfg1", "--reason", "its power is out"])?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    pair.lab.cfg1.boot()?;
    pair.start(Role::Master)?;
    let status = pair.wait_state(Role::Master, StateName::Standby)?;
    assert_eq!(status.peer.duty, Some(Duty::Active));
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the returning master ran scripts");
    pair.wait_active(Role::Slave)?;
    Ok(())
}

#[test]
fn a_word_is_refused_while_the_other_host_is_heard_or_answers() -> Result<()> {
    let Some(pair) = Pair::begin("a_word_is_refused_while_the_other_host_is_heard_or_answers", &Setup::default())?
    else {
        return Ok(());
    };
    let output = pair.ctl(Role::Slave, &["confirm-stopped", "cfg1", "--reason", "I think so"])?;
    ensure!(!output.status.success(), "a word was taken although the master is heard: {output}");
    // The daemon is gone, its guardian too, but Dovecot still answers on the managed port.
    pair.lab.cfg1.signal("failover-master", Signal::SIGKILL)?;
    pair.wait_state(Role::Slave, StateName::TakeoverBlocked)?;
    // For a while after the master's own start the refusal rests on that; then on the port that answers.
    failover_tests::wait::wait_until("a refusal that names the way past it", failover_tests::pair::LIMIT, || {
        let output = pair.ctl(Role::Slave, &["confirm-stopped", "cfg1", "--reason", "I think so"])?;
        ensure!(!output.status.success(), "a word was taken although the master's port answers: {output}");
        Ok(output.to_string().contains("--epoch"))
    })?;
    Ok(())
}

#[test]
fn with_timeout_allowed_the_slave_starts_after_it_and_every_status_names_the_risk() -> Result<()> {
    let test = "with_timeout_allowed_the_slave_starts_after_it_and_every_status_names_the_risk";
    let setup = Setup { proofs: Proofs::AckOperatorTimeout, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    ensure!(pair.status(Role::Master)?.risks.len() == 1 && pair.status(Role::Slave)?.risks.len() == 1);
    pair.lab.cfg1.power_cut()?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    ensure!(pair.history(Role::Slave)?.contains("ProofTimeout"));
    let screen = pair.ctl(Role::Slave, &["status"])?.stdout;
    ensure!(screen.contains("both hosts may run the service"), "the risk is not on the screen:\n{screen}");
    Ok(())
}

/// The judges must be able to fail: with Timeout allowed, a master that is only cut off from everybody keeps running, and
/// two Dovecots are up. That is what the configuration says in so many words, and what the judge must see.
#[test]
fn a_pair_whose_proof_is_skipped_is_caught_by_the_judge() -> Result<()> {
    let test = "a_pair_whose_proof_is_skipped_is_caught_by_the_judge";
    let setup = Setup { proofs: Proofs::AckOperatorTimeout, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.lab.cfg1.silence()?;
    pair.wait_active(Role::Slave)?;
    let verdict = watch.end()?;
    ensure!(!verdict.overlaps.is_empty(), "the judge did not see two actives: {verdict}");
    Ok(())
}

#[test]
fn with_only_the_link_cut_nothing_is_moved_and_the_alarm_clears_when_it_heals() -> Result<()> {
    let test = "with_only_the_link_cut_nothing_is_moved_and_the_alarm_clears_when_it_heals";
    let setup = Setup { proofs: Proofs::AckOperatorTimeout, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    fault::cut(&pair.lab.cfg1, &pair.lab.cfg2)?;
    let status = pair.wait_for(Role::Slave, "the link's alarm", |status| {
        status.withheld.as_deref().is_some_and(|text| text.contains("link is cut"))
    })?;
    assert_eq!(status.state, StateName::Suspect);
    // Longer than shutdown_timeout: were a demand on its way, it would have timed out by now.
    std::thread::sleep(std::time::Duration::from_secs(10));
    assert_eq!(pair.status(Role::Slave)?.state, StateName::Suspect);
    pair.wait_readable()?;
    fault::heal(&pair.lab.cfg1, &pair.lab.cfg2)?;
    pair.wait_for(Role::Slave, "calm", |status| status.state == StateName::Standby && status.withheld.is_none())?;
    assert_eq!(pair.scripts(Role::Slave)?, [""; 0], "the slave ran scripts");
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the master was stopped");
    Ok(())
}

#[test]
fn the_death_of_the_standby_leaves_the_service_alone_and_shows_red_readiness() -> Result<()> {
    let test = "the_death_of_the_standby_leaves_the_service_alone_and_shows_red_readiness";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    pair.lab.cfg2.power_cut()?;
    let status = pair.wait_for(Role::Master, "the standby's silence", |status| status.peer.silent)?;
    assert_eq!(status.state, StateName::Active);
    let code = pair.ctl(Role::Master, &["status"])?.status.code();
    assert_eq!(code, Some(1), "the status is not degraded");
    pair.wait_readable()?;
    assert_eq!(pair.scripts(Role::Master)?.len(), 3, "the service was touched");
    Ok(())
}

#[test]
fn without_reverse_protection_the_master_leaves_the_slaves_service_down() -> Result<()> {
    let test = "without_reverse_protection_the_master_leaves_the_slaves_service_down";
    let setup = Setup { proofs: Proofs::AckOperatorTimeout, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    pair.order(Role::Slave, &["takeover"])?;
    pair.lab.cfg2.power_cut()?;
    let status = pair.wait_for(Role::Master, "what withholds the master", |status| status.withheld.is_some())?;
    ensure!(status.withheld.as_deref().is_some_and(|text| text.contains("reverse_protection")), "{status:?}");
    assert_eq!(pair.scripts(Role::Master)?.len(), 6, "the master started again");
    Ok(())
}

#[test]
fn with_reverse_protection_the_master_takes_the_dead_slaves_service_over() -> Result<()> {
    let test = "with_reverse_protection_the_master_takes_the_dead_slaves_service_over";
    let setup = Setup { proofs: Proofs::AckOperatorTimeout, reverse_protection: true, ..Setup::default() };
    let Some(pair) = Pair::begin(test, &setup)? else { return Ok(()) };
    pair.order(Role::Slave, &["takeover"])?;
    pair.lab.cfg2.power_cut()?;
    pair.wait_active(Role::Master)?;
    pair.wait_readable()?;
    Ok(())
}
