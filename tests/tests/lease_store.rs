//! The lease store on a filer that hangs, fails and loses answers, asked through the daemon's own I/O child.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use failover_shared::arbiter::SharedStorage;
use failover_shared::arbiter::shared_storage::{Place, initialise};
use failover_shared::decision::{
    ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Epoch, Millis, Role, Stamp, Terms, View,
};
use failover_shared::process::{self, ProcessId};
use failover_tests::lab::hanging_store::{Fault, Filer, HangingStore};
use failover_tests::lab::not_run;
use failover_tests::program::program;
use tempfile::TempDir;

/// For what is to succeed, on a loaded machine.
const LONG: Duration = Duration::from_secs(30);
/// For what is to fail.
const SHORT: Duration = Duration::from_millis(300);
const TERMS: Terms = Terms { lease_ms: Millis(60_000), drift_permille: 10, digest: 7, version: 1 };
const CLAIM: ArbiterRequest = ArbiterRequest::Claim { epoch: Epoch(1), stamp: Stamp(0) };
const RENEW: ArbiterRequest = ArbiterRequest::Renew { epoch: Epoch(1), hold: false, terms: TERMS };

/// A filer, mounted by both hosts.
struct Stage {
    filer: Filer,
    master: HangingStore,
    slave: HangingStore,
    points: [PathBuf; 2],
    _folder: TempDir,
}

impl Stage {
    /// `None` where FUSE is not to be had, after saying so.
    fn new(test: &str) -> Result<Option<Stage>> {
        if let Err(why) = Filer::possible() {
            not_run(test, why)?;
            return Ok(None);
        }
        program("failover-master")?;
        let folder = tempfile::tempdir()?;
        let points = ["master", "slave"].map(|host| folder.path().join(host));
        for point in &points {
            std::fs::create_dir(point)?;
        }
        let filer = Filer::new();
        let (master, slave) = (filer.mount(&points[0])?, filer.mount(&points[1])?);
        initialise(&points[0], "mail")?;
        Ok(Some(Stage { filer, master, slave, points, _folder: folder }))
    }

    fn storage(&self, role: Role, limit: Duration) -> SharedStorage {
        let (point, boot) = match role {
            Role::Master => (&self.points[0], BootId(1)),
            Role::Slave => (&self.points[1], BootId(2)),
        };
        let place = Place { path: point.clone(), pair: "mail".into(), role, host: role.to_string(), boot };
        SharedStorage::with_program(place, limit, || {
            // That it is there was seen when the stage was set.
            let mut command = Command::new(program("failover-master").unwrap_or_default());
            command.arg("--arbiter-child");
            command
        })
    }
}

async fn view(storage: &mut SharedStorage) -> Result<View> {
    match storage.ask(ArbiterRequest::Observe).await {
        ArbiterReply::Seen(view) => Ok(view),
        other => bail!("it was not seen: {other:?}"),
    }
}

/// The processes that this one has started.
fn children() -> Result<Vec<ProcessId>> {
    let own = i32::try_from(std::process::id())?;
    Ok(process::list()?.into_iter().filter(|process| process.parent == own).map(|process| process.id).collect())
}

/// The answer to the first question that is asked: none is, as long as the process of the last one hangs.
async fn asked_when_let_go(storage: &mut SharedStorage, request: ArbiterRequest) -> Result<ArbiterReply> {
    let limit = Instant::now() + LONG;
    loop {
        let reply = storage.ask(request.clone()).await;
        if reply != TIMED_OUT {
            return Ok(reply);
        }
        ensure!(Instant::now() < limit, "the process is not let go within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn expect(reply: ArbiterReply, expected: ArbiterReply) -> Result<()> {
    ensure!(reply == expected, "expected {expected:?}, and it is {reply:?}");
    Ok(())
}

const TIMED_OUT: ArbiterReply = ArbiterReply::Failed(ArbiterFailure::TimedOut);

#[tokio::test]
async fn a_store_that_hangs_costs_one_process_and_the_lease_goes_on_when_it_answers_again() -> Result<()> {
    let Some(stage) = Stage::new("a_store_that_hangs")? else { return Ok(()) };
    let mut storage = stage.storage(Role::Master, LONG);
    expect(storage.ask(CLAIM).await, ArbiterReply::Claimed)?;
    expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    let mut slave = stage.storage(Role::Slave, LONG);
    let before = view(&mut slave).await?;

    let mut storage = stage.storage(Role::Master, SHORT);
    stage.master.fault(Fault::Hang);
    expect(storage.ask(RENEW).await, TIMED_OUT)?;
    ensure!(stage.master.holds_a_request(), "nothing hangs");
    let hanging = children()?;
    for _ in 0..3 {
        // Not even SIGKILL ends a process that waits in the kernel; and no second one is started.
        expect(storage.ask(RENEW).await, TIMED_OUT)?;
        ensure!(children()? == hanging, "{:?} instead of {hanging:?}", children()?);
    }
    ensure!(view(&mut slave).await? == before, "the other host sees the lease run out");

    stage.master.heal();
    expect(asked_when_let_go(&mut storage, RENEW).await?, ArbiterReply::Renewed)?;
    ensure!(view(&mut slave).await?.master != before.master, "the renewal is seen");
    Ok(())
}

/// The same process goes on: what it sent before the fault may have been carried out, or not, or be late.
#[tokio::test]
async fn a_holder_whose_answers_are_lost_renews_again_and_is_no_copy_of_itself() -> Result<()> {
    let Some(stage) = Stage::new("a_holder_whose_answers_are_lost")? else { return Ok(()) };
    let mut slave = stage.storage(Role::Slave, LONG);
    let mut storage = stage.storage(Role::Master, Duration::from_secs(2));
    expect(storage.ask(CLAIM).await, ArbiterReply::Claimed)?;
    expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    for fault in [Fault::LoseAnswers, Fault::Hang] {
        let before = view(&mut slave).await?.master;
        stage.master.fault(fault);
        expect(storage.ask(RENEW).await, TIMED_OUT)?;
        stage.master.heal();
        expect(asked_when_let_go(&mut storage, RENEW).await?, ArbiterReply::Renewed)?;
        ensure!(view(&mut slave).await?.master != before, "after {fault:?}");
    }
    Ok(())
}

/// Whichever request of a claim is the last one that is carried out: one host has the epoch, and knows it when it asks
/// again.
#[tokio::test]
async fn a_claim_whose_answers_are_lost_is_found_again_or_was_never_made() -> Result<()> {
    let Some(stage) = Stage::new("a_claim_whose_answers_are_lost")? else { return Ok(()) };
    let mut master = stage.storage(Role::Master, Duration::from_secs(2));
    stage.master.fault(Fault::LoseAnswers);
    expect(master.ask(CLAIM).await, TIMED_OUT)?;
    stage.master.heal();
    let own = asked_when_let_go(&mut master, CLAIM).await?;
    let mut slave = stage.storage(Role::Slave, LONG);
    let other = slave.ask(CLAIM).await;
    expect(own, ArbiterReply::Claimed)?;
    expect(other, ArbiterReply::NotClaimed)?;
    ensure!(!stage.filer.names().iter().any(|name| name.starts_with("unfinished")), "{:?}", stage.filer.names());
    Ok(())
}

#[tokio::test]
async fn each_failure_of_the_store_has_its_words_and_ends_with_its_cause() -> Result<()> {
    let Some(stage) = Stage::new("each_failure_of_the_store_has_its_words")? else { return Ok(()) };
    let mut storage = stage.storage(Role::Master, LONG);
    expect(storage.ask(CLAIM).await, ArbiterReply::Claimed)?;
    expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    let faults = [
        (Fault::Fail(nix::libc::EIO), "input/output error"),
        (Fault::Fail(nix::libc::ESTALE), "replaced there"),
        (Fault::Fail(nix::libc::EACCES), "may not be used"),
        (Fault::ReadOnly, "read-only"),
    ];
    for (fault, words) in faults {
        stage.master.fault(fault);
        match storage.ask(RENEW).await {
            ArbiterReply::Failed(ArbiterFailure::Unreachable(text)) => {
                ensure!(text.contains(words) && text.contains("next: "), "{fault:?}: {text}");
            }
            other => bail!("{fault:?}: {other:?}"),
        }
        stage.master.heal();
        expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lease_is_renewed_and_released_on_a_full_store_and_nothing_new_is_claimed_there() -> Result<()> {
    let Some(stage) = Stage::new("a_lease_is_renewed_on_a_full_store")? else { return Ok(()) };
    let mut storage = stage.storage(Role::Master, LONG);
    expect(storage.ask(CLAIM).await, ArbiterReply::Claimed)?;
    expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    stage.master.fault(Fault::Full);
    stage.slave.fault(Fault::Full);
    for _ in 0..20 {
        expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    }
    let mut slave = stage.storage(Role::Slave, LONG);
    let next = ArbiterRequest::Claim { epoch: Epoch(2), stamp: Stamp(0) };
    match slave.ask(next).await {
        ArbiterReply::Failed(ArbiterFailure::Unreachable(text)) => ensure!(text.contains("is full"), "{text}"),
        other => bail!("{other:?}"),
    }
    ensure!(!stage.filer.holds("claim.2"), "{:?}", stage.filer.names());
    let release = ArbiterRequest::Release { epoch: Epoch(1), terms: TERMS };
    expect(storage.ask(release).await, ArbiterReply::Released)?;
    ensure!(view(&mut slave).await?.master.is_some_and(|slot| slot.released), "the other host sees the release");
    Ok(())
}

/// A file of its own is what a new daemon begins with, and so does one whose write failed. Release is tried for ever.
#[tokio::test]
async fn a_daemon_that_is_restarted_on_a_full_store_leaves_no_files_there_and_goes_on_when_there_is_room() -> Result<()>
{
    let Some(stage) = Stage::new("a_daemon_that_is_restarted_on_a_full_store")? else { return Ok(()) };
    let mut storage = stage.storage(Role::Master, LONG);
    expect(storage.ask(CLAIM).await, ArbiterReply::Claimed)?;
    expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    let mut slave = stage.storage(Role::Slave, LONG);
    let (names, seen) = (stage.filer.names(), view(&mut slave).await?);
    let mut storage = stage.storage(Role::Master, LONG);
    let release = ArbiterRequest::Release { epoch: Epoch(1), terms: TERMS };
    stage.master.fault(Fault::Full);
    for request in [RENEW, RENEW, release.clone(), release] {
        match storage.ask(request).await {
            ArbiterReply::Failed(ArbiterFailure::Unreachable(text)) => ensure!(text.contains("is full"), "{text}"),
            other => bail!("{other:?}"),
        }
        ensure!(stage.filer.names() == names, "{:?}", stage.filer.names());
    }
    ensure!(view(&mut slave).await? == seen, "the other host sees the last renewal, and no store that went back");
    stage.master.heal();
    expect(storage.ask(RENEW).await, ArbiterReply::Renewed)?;
    ensure!(view(&mut slave).await? != seen, "the renewal is seen");
    Ok(())
}
