//! The judges find what they are there to find, and nothing when there is nothing.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use failover_tests::judge::actives::Watch;
use failover_tests::judge::mail::exactly_once;
use failover_tests::judge::traffic::User;
use failover_tests::lab::service::{dovecot, haproxy, scripts};
use failover_tests::lab::{Host, Lab};
use failover_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(20);

fn lab_with_mail(test: &str) -> Result<Option<Lab>> {
    let Some(lab) = Lab::new(test)? else { return Ok(None) };
    dovecot::install(&lab)?;
    lab.pair().into_iter().try_for_each(scripts::install)?;
    Ok(Some(lab))
}

fn run_all(host: &Host, names: &[&str]) -> Result<()> {
    names.iter().try_for_each(|name| host.run(&[format!("/etc/failover/{name}")]).map(drop))
}

fn wait_for_more(user: &User, count: usize) -> Result<()> {
    let before = user.worked();
    wait_until("dialogues that work", LIMIT, || Ok(user.worked() >= before + count))
}

#[test]
fn two_dovecots_up_at_once_are_found_by_greeting_and_by_process() -> Result<()> {
    let Some(lab) = lab_with_mail("two_dovecots_up_at_once_are_found_by_greeting_and_by_process")? else {
        return Ok(());
    };
    let watch = Watch::begin(&lab)?;
    dovecot::start(&lab.cfg1)?;
    dovecot::start(&lab.cfg2)?;
    // Not a wait for anything: the span, of some forty looks, that there is to be found.
    std::thread::sleep(Duration::from_millis(200));
    let verdict = watch.end()?;
    let seen = |text: &str| verdict.to_string().contains(text);
    ensure!(seen("cfg1 by Greeting, cfg2 by Greeting") && seen("cfg1 by Process, cfg2 by Process"), "{verdict}");
    Ok(())
}

#[test]
fn a_dovecot_that_is_only_cut_off_is_still_found_by_its_process() -> Result<()> {
    let Some(lab) = lab_with_mail("a_dovecot_that_is_only_cut_off_is_still_found_by_its_process")? else {
        return Ok(());
    };
    dovecot::start(&lab.cfg1)?;
    lab.cfg1.silence()?;
    let watch = Watch::begin(&lab)?;
    dovecot::start(&lab.cfg2)?;
    // Not a wait for anything: the span, of some forty looks, that there is to be found.
    std::thread::sleep(Duration::from_millis(200));
    let verdict = watch.end()?;
    ensure!(!verdict.overlaps.is_empty(), "{verdict}");
    Ok(())
}

/// A move by hand, done right: what the judges must say of a pair that does its work.
#[test]
fn a_clean_move_by_hand_shows_one_active_and_every_message_once() -> Result<()> {
    let Some(lab) = lab_with_mail("a_clean_move_by_hand_shows_one_active_and_every_message_once")? else {
        return Ok(());
    };
    let _balancer = haproxy::start(&lab)?;
    run_all(&lab.cfg1, &scripts::START)?;
    let (watch, deliverer, reader) = (Watch::begin(&lab)?, User::deliverer(&lab)?, User::reader(&lab)?);
    wait_for_more(&deliverer, 20)?;
    wait_for_more(&reader, 20)?;
    haproxy::set_state(&lab, "cfg1", "maint")?;
    run_all(&lab.cfg1, &scripts::STOP)?;
    run_all(&lab.cfg2, &scripts::START)?;
    haproxy::set_state(&lab, "cfg2", "ready")?;
    wait_for_more(&deliverer, 20)?;
    wait_for_more(&reader, 20)?;
    let (verdict, delivered, read) = (watch.end()?, deliverer.end()?, reader.end()?);
    ensure!(verdict.overlaps.is_empty(), "{verdict}");
    ensure!(verdict.looks.iter().all(|(_, up)| *up > 20), "the judge saw too little: {verdict}");
    ensure!(read.wrong.is_empty(), "read and not whole: {:?}", read.wrong);
    let count = exactly_once(&delivered.accepted, &lab.store().join(dovecot::USER))?;
    ensure!(count.is_right() && count.right >= 40, "{count}");
    println!("{verdict}\n{count}");
    println!(
        "longest gap: delivering {} ms, reading {} ms",
        delivered.longest_gap_us().1 / 1_000,
        read.longest_gap_us().1 / 1_000
    );
    // And the same mailbox, spoilt: a lost and a doubled message are found.
    let folder = lab.store().join(dovecot::USER).join("cur");
    let mut files = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
    let (Some(lost), Some(doubled)) = (files.next(), files.next()) else { anyhow::bail!("no mail in {folder:?}") };
    fs::remove_file(lost)?;
    fs::copy(&doubled, doubled.with_extension("again"))?;
    let count = exactly_once(&delivered.accepted, &lab.store().join(dovecot::USER))?;
    ensure!(count.lost.len() == 1 && count.doubled.len() == 1, "{count}");
    Ok(())
}
