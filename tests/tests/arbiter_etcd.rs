//! The arbiter in a real etcd. Each test has its own, on loopback; without etcd installed it says "not run".
#![cfg(feature = "etcd")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use failover_shared::arbiter::etcd::{Etcd, EtcdSettings};
use failover_shared::decision::{ArbiterFailure, ArbiterReply, ArbiterRequest, Claim, Epoch, Role, Slot, Stamp, View};
use failover_tests::etcd::ask::{
    TERMS, boot, claim, claim_now, host, host_with, observe, release, renew, renew_now, renew_within, settings,
};
use failover_tests::etcd::{Cluster, Relay};
use failover_tests::lab::not_run;

/// Where a time-out is what the test is about.
const SHORT_LIMIT: Duration = Duration::from_millis(1_500);

fn claimed(epoch: u64, owner: Role) -> Claim {
    Claim { epoch: Epoch(epoch), owner, boot: boot(owner) }
}

fn sequence(slot: Option<Slot>) -> Result<u64> {
    Ok(slot.context("there is no slot")?.sequence)
}

#[tokio::test]
async fn of_two_contenders_exactly_one_gets_each_epoch() -> Result<()> {
    let Some(cluster) = Cluster::start("of_two_contenders_exactly_one_gets_each_epoch", 1)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    let mut won = [0, 0];
    for epoch in 1..=40 {
        let views = (observe(&mut master).await?, observe(&mut slave).await?);
        // Who is asked first must not decide who wins.
        let replies = if epoch % 2 == 0 {
            tokio::join!(claim(&mut master, epoch, views.0.stamp), claim(&mut slave, epoch, views.1.stamp))
        } else {
            let (slaves, masters) =
                tokio::join!(claim(&mut slave, epoch, views.1.stamp), claim(&mut master, epoch, views.0.stamp));
            (masters, slaves)
        };
        let winner = match replies {
            (ArbiterReply::Claimed, ArbiterReply::NotClaimed) => Role::Master,
            (ArbiterReply::NotClaimed, ArbiterReply::Claimed) => Role::Slave,
            other => bail!("epoch {epoch}: {other:?}"),
        };
        won[usize::from(winner == Role::Slave)] += 1;
        let view = observe(&mut master).await?;
        assert_eq!(view.claim, Some(claimed(epoch, winner)));
        assert_eq!(view.before, views.0.claim);
    }
    ensure!(won[0] > 0 && won[1] > 0, "one of them always wins, so nothing was raced for: {won:?}");
    Ok(())
}

#[tokio::test]
async fn a_slot_says_what_the_holder_keeps_to_and_counts_its_writes() -> Result<()> {
    let test = "a_slot_says_what_the_holder_keeps_to_and_counts_its_writes";
    let Some(cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    assert_eq!(observe(&mut slave).await?, View::default());
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    let hold = ArbiterRequest::Renew { epoch: Epoch(1), hold: true, terms: TERMS };
    assert_eq!(master.ask(hold).await, ArbiterReply::Renewed);
    let held =
        Slot { epoch: Epoch(1), sequence: 2, boot: boot(Role::Master), released: false, hold: true, terms: TERMS };
    assert_eq!(observe(&mut slave).await?.master, Some(held));
    assert_eq!(release(&mut master, 1).await, ArbiterReply::Released);
    let view = observe(&mut slave).await?;
    assert_eq!(view.master, Some(Slot { sequence: 3, released: true, hold: false, ..held }));
    assert_eq!((view.claim, view.slave), (Some(claimed(1, Role::Master)), None));
    Ok(())
}

#[tokio::test]
async fn a_claim_fails_if_the_other_host_renewed_since_the_view() -> Result<()> {
    let test = "a_claim_fails_if_the_other_host_renewed_since_the_view";
    let Some(cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    let stamp = observe(&mut slave).await?.stamp;
    renew_now(&mut master, 1).await?;
    assert_eq!(claim(&mut slave, 2, stamp).await, ArbiterReply::NotClaimed);
    // Having looked again does not make the old view a new one.
    observe(&mut slave).await?;
    assert_eq!(claim(&mut slave, 2, stamp).await, ArbiterReply::NotClaimed);
    // What happens to other pairs, and to the own slot, is no reason.
    let stamp = observe(&mut slave).await?.stamp;
    let mut other = Etcd::new(&settings(cluster.endpoints()), "web", Role::Master, boot(Role::Master))?;
    claim_now(&mut other, 7).await?;
    assert_eq!(release(&mut slave, 0).await, ArbiterReply::Released);
    assert_eq!(claim(&mut slave, 2, stamp).await, ArbiterReply::Claimed);
    // Nor can an epoch be claimed that was claimed, or one below it.
    let stamp = observe(&mut master).await?.stamp;
    assert_eq!(claim(&mut master, 2, stamp).await, ArbiterReply::NotClaimed);
    assert_eq!(claim(&mut master, 1, stamp).await, ArbiterReply::NotClaimed);
    assert_eq!(claim(&mut master, 3, stamp).await, ArbiterReply::Claimed);
    Ok(())
}

#[tokio::test]
async fn a_holder_that_was_claimed_over_is_deposed_and_does_not_touch_its_slot() -> Result<()> {
    let test = "a_holder_that_was_claimed_over_is_deposed_and_does_not_touch_its_slot";
    let Some(cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    claim_now(&mut slave, 2).await?;
    // The master still has the reading in which its claim was the latest: only the comparison in etcd can stop it.
    assert_eq!(renew(&mut master, 1).await, ArbiterReply::Deposed(claimed(2, Role::Slave)));
    assert_eq!(sequence(observe(&mut slave).await?.master)?, 1);
    renew_now(&mut slave, 2).await?;
    // That it has stopped can be said all the same.
    assert_eq!(release(&mut master, 1).await, ArbiterReply::Released);
    assert!(observe(&mut slave).await?.master.is_some_and(|slot| slot.released && slot.epoch == Epoch(1)));
    Ok(())
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_found_as_the_own() -> Result<()> {
    let Some(cluster) = Cluster::start("a_claim_whose_answer_was_lost_is_found_as_the_own", 1)? else { return Ok(()) };
    let relay = Relay::to(cluster.port(0))?;
    let settings = EtcdSettings { attempt_limit: SHORT_LIMIT, ..settings(vec![relay.endpoint()]) };
    let (mut slave, mut judge) = (host_with(&settings, Role::Slave)?, host(&cluster, Role::Master)?);
    let stamp = observe(&mut slave).await?.stamp;
    relay.lose_answers(true);
    let reply = claim(&mut slave, 1, stamp).await;
    assert_eq!(reply, ArbiterReply::Failed(ArbiterFailure::TimedOut));
    assert_eq!(observe(&mut judge).await?.claim, Some(claimed(1, Role::Slave)), "it was the answer that was lost");
    relay.lose_answers(false);
    assert_eq!(claim(&mut slave, 1, stamp).await, ArbiterReply::Claimed);
    renew_now(&mut slave, 1).await
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_known_as_the_own_and_is_made_again() -> Result<()> {
    let test = "a_renewal_whose_answer_was_lost_is_known_as_the_own_and_is_made_again";
    let Some(cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let relay = Relay::to(cluster.port(0))?;
    let settings = EtcdSettings { attempt_limit: SHORT_LIMIT, ..settings(vec![relay.endpoint()]) };
    let (mut master, mut judge) = (host_with(&settings, Role::Master)?, host(&cluster, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    for lost in 0..3 {
        relay.lose_answers(true);
        assert_eq!(renew(&mut master, 1).await, ArbiterReply::Failed(ArbiterFailure::TimedOut));
        relay.lose_answers(false);
        let after_loss = sequence(observe(&mut judge).await?.master)?;
        assert_eq!(after_loss, 2 + 2 * lost, "exactly one of the writes took effect");
        renew_now(&mut master, 1).await?;
        assert_eq!(sequence(observe(&mut judge).await?.master)?, after_loss + 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_clone_of_the_machine_is_found_by_the_first_to_write_again() -> Result<()> {
    let test = "a_clone_of_the_machine_is_found_by_the_first_to_write_again";
    let Some(cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let (mut one, mut other) = (host(&cluster, Role::Master)?, host(&cluster, Role::Master)?);
    claim_now(&mut one, 1).await?;
    renew_now(&mut one, 1).await?;
    // The same role, kernel start, epoch: a daemon that was restarted may go on ...
    renew_now(&mut other, 1).await?;
    renew_now(&mut other, 1).await?;
    // ... but then the first one must be gone.
    for _ in 0..2 {
        let reply = renew(&mut one, 1).await;
        ensure!(
            matches!(&reply, ArbiterReply::Failed(ArbiterFailure::Cloned(why)) if why.contains("sequence 3")),
            "{reply:?}"
        );
    }
    renew_now(&mut other, 1).await?;
    assert_eq!(sequence(observe(&mut other).await?.master)?, 4);
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_put_back_is_found_by_holder_and_contender() -> Result<()> {
    let test = "a_store_that_is_put_back_is_found_by_holder_and_contender";
    let Some(mut cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    let copy = keep_copy(&mut cluster)?;
    // A restart that loses nothing is no reason.
    renew_within(&mut master, 1).await?;
    claim_now(&mut slave, 2).await?;
    renew_now(&mut slave, 2).await?;

    put_back(&mut cluster, &copy)?;
    // A daemon that was started since sees nothing odd in it. The others must not go on as if nothing had been.
    let mut fresh = host(&cluster, Role::Slave)?;
    assert_eq!(observe(&mut fresh).await?.claim, Some(claimed(1, Role::Master)));
    for (etcd, epoch) in [(&mut slave, 2), (&mut master, 1)] {
        let reply = renew(etcd, epoch).await;
        ensure!(matches!(reply, ArbiterReply::Failed(ArbiterFailure::RolledBack(_))), "epoch {epoch}: {reply:?}");
        let reply = etcd.ask(ArbiterRequest::Observe).await;
        ensure!(matches!(reply, ArbiterReply::Failed(ArbiterFailure::RolledBack(_))), "epoch {epoch}: {reply:?}");
    }
    assert_eq!(observe(&mut fresh).await?.slave, None, "nothing was written");

    // The master claims the lost number anew; a daemon of the slave's that remembers nothing of the store but its own epoch
    // is deposed by that.
    claim_now(&mut host(&cluster, Role::Master)?, 2).await?;
    let reply = renew(&mut host(&cluster, Role::Slave)?, 2).await;
    ensure!(matches!(reply, ArbiterReply::Deposed(claim) if claim == claimed(2, Role::Master)), "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn a_store_that_lost_only_what_this_host_never_saw_is_found_by_its_revision() -> Result<()> {
    let test = "a_store_that_lost_only_what_this_host_never_saw_is_found_by_its_revision";
    let Some(mut cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    let copy = keep_copy(&mut cluster)?;
    let mut other = Etcd::new(&settings(cluster.endpoints()), "web", Role::Master, boot(Role::Master))?;
    claim_now(&mut other, 7).await?;
    let seen = observe(&mut slave).await?;
    put_back(&mut cluster, &copy)?;
    // For all that the slave can see of its own keys nothing changed. But the master may have renewed in between, and
    // the slave would go on with a wait that began before that.
    assert_eq!(observe(&mut host(&cluster, Role::Slave)?).await?, seen);
    let reply = slave.ask(ArbiterRequest::Observe).await;
    ensure!(
        matches!(&reply, ArbiterReply::Failed(ArbiterFailure::RolledBack(why)) if why.contains("at revision")),
        "{reply:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_epoch_whose_claim_is_gone_is_not_renewed() -> Result<()> {
    let Some(cluster) = Cluster::start("an_epoch_whose_claim_is_gone_is_not_renewed", 1)? else { return Ok(()) };
    let mut master = host(&cluster, Role::Master)?;
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    cluster.control(&["del", "/failover/mail/claim"], "")?;
    let reply = renew(&mut master, 1).await;
    ensure!(
        matches!(&reply, ArbiterReply::Failed(ArbiterFailure::RolledBack(why)) if why.contains("claim is gone")),
        "{reply:?}"
    );
    // A daemon without memory that was told that it holds the epoch.
    let mut again = host(&cluster, Role::Master)?;
    let reply = renew(&mut again, 1).await;
    ensure!(
        matches!(&reply, ArbiterReply::Failed(ArbiterFailure::RolledBack(why)) if why.contains("no claim")),
        "{reply:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_record_is_called_damaged() -> Result<()> {
    let Some(cluster) = Cluster::start("what_is_no_record_is_called_damaged", 1)? else { return Ok(()) };
    let mut slave = host(&cluster, Role::Slave)?;
    claim_now(&mut slave, 1).await?;
    let good = cluster.control(&["get", "--print-value-only", "/failover/mail/claim"], "")?;
    let newer = good.trim().replace("\"version\":1", "\"version\":9");
    for bad in ["no record", newer.as_str(), "{}", "{\"version\":1}", &"x".repeat(100_000)] {
        cluster.control(&["put", "/failover/mail/claim"], bad)?;
        let mut fresh = host(&cluster, Role::Slave)?;
        for request in [
            ArbiterRequest::Observe,
            ArbiterRequest::Claim { epoch: Epoch(2), stamp: Stamp(0) },
            ArbiterRequest::Renew { epoch: Epoch(1), hold: false, terms: TERMS },
        ] {
            let reply = fresh.ask(request).await;
            let shown: String = bad.chars().take(40).collect();
            // A value that is too long for the client is never read, so nobody can say what it is.
            let as_expected = match &reply {
                ArbiterReply::Failed(ArbiterFailure::Damaged(why)) => why.contains("/failover/mail/claim"),
                ArbiterReply::Failed(ArbiterFailure::Unreachable(_)) => bad.len() == 100_000,
                _ => false,
            };
            ensure!(as_expected, "{shown}: {reply:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn etcd_that_is_down_or_silent_is_answered_for_within_the_limit() -> Result<()> {
    let test = "etcd_that_is_down_or_silent_is_answered_for_within_the_limit";
    let Some(mut cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    let short = EtcdSettings { attempt_limit: SHORT_LIMIT, ..settings(cluster.endpoints()) };
    let (mut master, mut fresh) = (host_with(&short, Role::Master)?, host_with(&short, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    cluster.freeze(0)?;
    for etcd in [&mut master, &mut fresh] {
        let begin = Instant::now();
        let reply = etcd.ask(ArbiterRequest::Observe).await;
        // The limit is the contract; the rest is what a busy machine may add.
        ensure!(begin.elapsed() < SHORT_LIMIT + Duration::from_secs(3), "{:?}", begin.elapsed());
        assert_eq!(reply, ArbiterReply::Failed(ArbiterFailure::TimedOut));
    }
    cluster.thaw(0)?;
    cluster.wait_until_ready()?;
    renew_within(&mut master, 1).await?;
    cluster.kill(0)?;
    for etcd in [&mut master, &mut fresh] {
        let reply = etcd.ask(ArbiterRequest::Observe).await;
        let ArbiterReply::Failed(ArbiterFailure::Unreachable(why)) = &reply else { bail!("{reply:?}") };
        ensure!(why.contains(&cluster.endpoints()[0]) && why.contains("refused"), "{why}");
    }
    cluster.start_again(0)?;
    cluster.wait_until_ready()?;
    renew_within(&mut master, 1).await
}

#[tokio::test]
async fn three_members_bear_the_loss_of_one_and_say_so_when_two_are_gone() -> Result<()> {
    let test = "three_members_bear_the_loss_of_one_and_say_so_when_two_are_gone";
    if std::env::var_os("FAILOVER_LONG").is_none() {
        return not_run(test, "three members of etcd only with --long");
    }
    let Some(mut cluster) = Cluster::start(test, 3)? else { return Ok(()) };
    let (mut master, mut slave) = (host(&cluster, Role::Master)?, host(&cluster, Role::Slave)?);
    claim_now(&mut master, 1).await?;
    for gone in 0..3 {
        renew_now(&mut master, 1).await?;
        cluster.kill(gone)?;
        renew_within(&mut master, 1).await?;
        let sequence_seen = sequence(observe(&mut slave).await?.master)?;
        cluster.start_again(gone)?;
        cluster.wait_until_ready()?;
        // A silent member is worse than one that is gone: only time tells.
        cluster.freeze(gone)?;
        renew_within(&mut master, 1).await?;
        ensure!(
            sequence(observe(&mut slave).await?.master)? > sequence_seen,
            "the frozen member's view is not asked for"
        );
        cluster.thaw(gone)?;
        cluster.wait_until_ready()?;
    }
    cluster.kill(0)?;
    cluster.kill(1)?;
    let short = EtcdSettings { attempt_limit: SHORT_LIMIT, ..settings(cluster.endpoints()) };
    let reply = host_with(&short, Role::Slave)?.ask(ArbiterRequest::Observe).await;
    let ArbiterReply::Failed(ArbiterFailure::Unreachable(why)) = &reply else {
        bail!("a minority answered: {reply:?}")
    };
    ensure!(cluster.endpoints().iter().all(|endpoint| why.contains(endpoint)), "{why}");
    cluster.start_again(0)?;
    cluster.wait_until_ready()?;
    renew_within(&mut master, 1).await?;
    claim_now(&mut slave, 2).await?;
    assert_eq!(renew(&mut master, 1).await, ArbiterReply::Deposed(claimed(2, Role::Slave)));
    Ok(())
}

/// Copies the first member's data while it does not run.
fn keep_copy(cluster: &mut Cluster) -> Result<PathBuf> {
    cluster.kill(0)?;
    let copy = cluster.data(0).with_extension("copy");
    copy_folder(cluster.data(0), &copy)?;
    cluster.start_again(0)?;
    cluster.wait_until_ready()?;
    Ok(copy)
}

fn put_back(cluster: &mut Cluster, copy: &Path) -> Result<()> {
    cluster.kill(0)?;
    fs::remove_dir_all(cluster.data(0))?;
    fs::rename(copy, cluster.data(0))?;
    cluster.start_again(0)?;
    cluster.wait_until_ready()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
