//! The guardian's own program over a shell script in place of a daemon, with a watchdog of the lab's.
//!
//! The script does what a daemon does but for the page: that the test writes, with the daemon's own code, from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use failover_shared::decision::{Epoch, Millis};
use failover_shared::guardian::{
    Guard, Guarding, Holding, Lease, LeasePage, Moment, Plan, Reset, Spans, Watchdog, WatchdogError,
};
use failover_shared::host;
use failover_tests::lab::not_run;
use failover_tests::lab::watchdog::{LabWatchdog, WatchdogKind};
use failover_tests::program::program;
use failover_tests::wait::wait_until;
use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(30);
/// Short, but whole seconds for the watchdog, and a G in which the guardian can see that the daemon stands still: it looks
/// once a second here, where no daemon wakes it, and waits for two.
const SPANS: Spans = Spans {
    stop_after_ms: Millis(1_500),
    scripts_ms: Millis(3_000),
    kill_ms: Millis(1_000),
    watchdog_ms: Millis(1_000),
};
/// Starts a service once, says with which flags it runs, and stays.
const DAEMON: &str = "echo \"$FAILOVER_RESTARTS $*\" >>starts; echo $$ >>daemon
    test -e service || { sh -c 'trap \"\" TERM; echo $$ >service; while :; do sleep 0.05; done' & }
    while :; do sleep 0.05; done";

/// A guardian over a script, its page and its watchdog.
struct Ground {
    folder: tempfile::TempDir,
    page: LeasePage,
    guardian: Option<Child>,
    watchdog: Option<LabWatchdog>,
    expired: Arc<AtomicBool>,
}

impl Ground {
    /// `None`, and said so: the test cannot run here.
    fn new(test: &str, kind: Option<WatchdogKind>) -> Result<Option<Ground>> {
        if kind.is_some() && !nix::unistd::geteuid().is_root() {
            not_run(test, "needs root, to mount a FUSE stand-in for a watchdog")?;
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let expired = Arc::new(AtomicBool::new(false));
        let watchdog = match kind {
            Some(kind) => {
                let place = folder.path().join("dev");
                fs::create_dir(&place)?;
                let flag = Arc::clone(&expired);
                Some(LabWatchdog::start(&place, kind, move || flag.store(true, Ordering::SeqCst))?)
            }
            None => None,
        };
        let guard = match &watchdog {
            Some(watchdog) => Guard::Watchdog { path: watchdog.path().to_owned(), accept_softdog: false },
            None => Guard::GuardianOnly,
        };
        let reset = folder.path().join("reset");
        fs::write(&reset, "")?;
        let plan = Plan {
            guard,
            cgroups: vec![],
            processes: vec![],
            mounts: vec![],
            unseen: vec![],
            reset: Reset::Trigger(reset),
        };
        let page = LeasePage::open(&folder.path().join("master.lease"), host::boot_id()?, &plan)?;
        let mut ground = Ground { folder, page, guardian: None, watchdog, expired };
        ground.start()?;
        Ok(Some(ground))
    }

    fn start(&mut self) -> Result<()> {
        let mut command = Command::new(program("failover-guardian")?);
        command.args(["failover-master", "master.lease", "text", "/bin/sh", "-c", DAEMON, "daemon"]);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.stderr(fs::File::options().create(true).append(true).open(self.path("log"))?);
        self.guardian = Some(command.spawn().context("start the guardian")?);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn hold(&mut self, holding: Holding, epoch: u64) -> Result<()> {
        self.page.publish(Lease { holding, epoch: Epoch(epoch), since: Moment::now(), spans: SPANS })?;
        Ok(())
    }

    /// Waits until the guardian does this, and keeps the lease's page still meanwhile.
    fn wait_guarding(&mut self, wanted: Guarding) -> Result<()> {
        let page = &mut self.page;
        let mut seen = None;
        wait_until(&format!("{wanted:?}"), LIMIT, || {
            seen = page.report()?.map(|report| (report.guarding, report.why));
            Ok(seen.as_ref().is_some_and(|(guarding, _)| *guarding == wanted))
        })
        .with_context(|| format!("the guardian: {seen:?}; its log:\n{}", self.lines("log").join("\n")))
    }

    fn wait_service(&self) -> Result<Pid> {
        wait_until("the service", LIMIT, || Ok(!self.lines("service").is_empty()))?;
        Ok(Pid::from_raw(self.lines("service")[0].parse()?))
    }

    fn lab_watchdog(&self) -> Result<&LabWatchdog> {
        self.watchdog.as_ref().context("this ground has no watchdog")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let guardian = self.guardian.as_ref().context("no guardian")?;
        Ok(kill(Pid::from_raw(guardian.id().cast_signed()), signal)?)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            let _ = guardian.kill();
            let _ = guardian.wait();
        }
        for name in ["daemon", "service"] {
            for pid in self.lines(name).iter().filter_map(|line| line.parse::<i32>().ok()) {
                // Known by the folder that they work in: the number alone could be someone else's by now.
                if fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == self.folder.path()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }
}

/// A mount with an open file.
struct Busy {
    place: PathBuf,
    open: Option<fs::File>,
}

impl Busy {
    fn mount(place: &Path) -> Result<Busy> {
        fs::create_dir(place)?;
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        let open = fs::File::create(place.join("open"))?;
        Ok(Busy { place: place.to_owned(), open: Some(open) })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.open.take());
        let _ = umount(&self.place);
    }
}

fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn the_watchdog_is_opened_with_its_time_out_read_back_petted_and_closed_again() -> Result<()> {
    let name = "the_watchdog_is_opened_with_its_time_out_read_back_petted_and_closed_again";
    let Some(mut ground) = Ground::new(name, Some(WatchdogKind::default()))? else { return Ok(()) };
    ground.wait_guarding(Guarding::Idle)?;
    ensure!(ground.lab_watchdog()?.view().opens == 0, "opened without a lease");
    ground.hold(Holding::Held, 3)?;
    ground.wait_guarding(Guarding::Armed)?;
    let view = ground.lab_watchdog()?.view();
    ensure!(view.open && view.armed && view.timeout_s == 1, "{view:?}");
    // Past T + G + K, as a daemon does: renewed.
    for _ in 0..25 {
        let pets = ground.lab_watchdog()?.view().pets;
        wait_until("a pet", LIMIT, || Ok(ground.lab_watchdog()?.view().pets > pets))?;
        ground.hold(Holding::Held, 3)?;
    }
    ground.hold(Holding::Released, 3)?;
    ground.wait_guarding(Guarding::Idle)?;
    let view = ground.lab_watchdog()?.view();
    ensure!(!view.open && !view.armed && view.stops == 1 && !view.expired, "{view:?}");
    ensure!(ground.lines("starts").len() == 1, "the daemon was left alone");
    Ok(())
}

#[test]
fn a_frozen_daemon_is_replaced_at_the_stop_time_and_the_service_is_ended_by_the_guardian() -> Result<()> {
    let name = "a_frozen_daemon_is_replaced_at_the_stop_time_and_the_service_is_ended_by_the_guardian";
    let Some(mut ground) = Ground::new(name, Some(WatchdogKind::default()))? else { return Ok(()) };
    let service = ground.wait_service()?;
    ground.hold(Holding::Held, 3)?;
    ground.wait_guarding(Guarding::Armed)?;
    // The page does not move any more: the daemon is as good as frozen.
    ground.wait_guarding(Guarding::Ended)?;
    ensure!(!lives(service), "the service outlived its lease");
    wait_until("the daemon that looks for itself", LIMIT, || Ok(ground.lines("starts").len() >= 3))
        .with_context(|| format!("starts: {:?}; log:\n{}", ground.lines("starts"), ground.lines("log").join("\n")))?;
    let starts = ground.lines("starts");
    ensure!(starts.iter().take(3).map(|start| start.trim()).eq(["0", "1", "2"]), "{starts:?}");
    wait_until("the watchdog's stop", LIMIT, || Ok(ground.lab_watchdog()?.view().stops == 1))?;
    ensure!(!ground.expired.load(Ordering::SeqCst), "the host was reset although all was verified");
    ensure!(ground.lines("reset").is_empty(), "and the reset was asked for");
    Ok(())
}

#[test]
fn a_mount_that_cannot_go_in_time_ends_the_pets_and_resets_the_host() -> Result<()> {
    let name = "a_mount_that_cannot_go_in_time_ends_the_pets_and_resets_the_host";
    let Some(mut ground) = Ground::new(name, Some(WatchdogKind::default()))? else { return Ok(()) };
    // Kept busy by this test, which is none of the guardian's descendants.
    let busy = Busy::mount(&ground.path("mail"))?;
    let plan = Plan {
        guard: Guard::Watchdog { path: ground.lab_watchdog()?.path().to_owned(), accept_softdog: false },
        cgroups: vec![],
        processes: vec![],
        mounts: vec![fs::canonicalize(&busy.place)?],
        unseen: vec![],
        reset: Reset::Trigger(ground.path("reset")),
    };
    ground.page.follow_plan(&plan)?;
    ground.hold(Holding::Held, 3)?;
    ground.wait_guarding(Guarding::Armed)?;
    ground.wait_guarding(Guarding::Resetting)?;
    wait_until("the watchdog's expiry", LIMIT, || Ok(ground.expired.load(Ordering::SeqCst)))?;
    wait_until("the reset", LIMIT, || Ok(fs::read_to_string(ground.path("reset"))?.starts_with('b')))?;
    ensure!(ground.lab_watchdog()?.view().stops == 0, "the watchdog was closed");
    Ok(())
}

#[test]
fn a_dead_guardian_lets_the_watchdog_expire_and_the_next_one_takes_it_up() -> Result<()> {
    let name = "a_dead_guardian_lets_the_watchdog_expire_and_the_next_one_takes_it_up";
    let Some(mut ground) = Ground::new(name, Some(WatchdogKind::default()))? else { return Ok(()) };
    ground.hold(Holding::Held, 3)?;
    ground.wait_guarding(Guarding::Armed)?;
    ground.signal(Signal::SIGKILL)?;
    wait_until("the device's close", LIMIT, || Ok(!ground.lab_watchdog()?.view().open))?;
    ensure!(ground.lab_watchdog()?.view().armed, "it went on counting");
    ground.start()?;
    wait_until("the second open", LIMIT, || Ok(ground.lab_watchdog()?.view().opens == 2))?;
    ground.signal(Signal::SIGKILL)?;
    wait_until("the expiry", LIMIT, || Ok(ground.expired.load(Ordering::SeqCst)))?;
    Ok(())
}

#[test]
fn a_guardian_that_is_told_to_end_stays_for_as_long_as_a_lease_binds_it() -> Result<()> {
    let name = "a_guardian_that_is_told_to_end_stays_for_as_long_as_a_lease_binds_it";
    let Some(mut ground) = Ground::new(name, None)? else { return Ok(()) };
    let service = ground.wait_service()?;
    ground.hold(Holding::Held, 3)?;
    ground.wait_guarding(Guarding::ArmedAlone)?;
    ground.signal(Signal::SIGTERM)?;
    ground.wait_guarding(Guarding::Ended)?;
    ensure!(!lives(service), "the service outlived its lease");
    let guardian = ground.guardian.as_mut().context("no guardian")?;
    wait_until("the guardian's end", LIMIT, || Ok(guardian.try_wait()?.is_some()))
}

#[test]
fn a_watchdog_that_would_not_keep_to_the_lease_is_refused_and_left_stopped() -> Result<()> {
    let name = "a_watchdog_that_would_not_keep_to_the_lease_is_refused_and_left_stopped";
    if !nix::unistd::geteuid().is_root() {
        return not_run(name, "needs root, to mount a FUSE stand-in for a watchdog");
    }
    let open = |kind: WatchdogKind, accept: bool| -> Result<_> {
        let folder = tempfile::tempdir()?;
        let device = LabWatchdog::start(folder.path(), kind, || ())?;
        let opened = Watchdog::open(device.path(), Millis(10_000), accept);
        if opened.is_err() {
            // close(2) does not wait for a FUSE server.
            wait_until("the close", LIMIT, || Ok(!device.view().open))?;
        }
        let view = device.view();
        Ok((opened.map(|watchdog| watchdog.stays()), view))
    };
    let long = WatchdogKind { timeout_min_s: 11, ..WatchdogKind::default() };
    let (refused, view) = open(long, false)?;
    ensure!(matches!(refused, Err(WatchdogError::TooLong { found_s: 11, .. })), "{refused:?}");
    ensure!(!view.armed && view.stops == 1, "{view:?}");
    let soft = WatchdogKind { identity: "Software Watchdog".to_owned(), ..WatchdogKind::default() };
    let (refused, view) = open(soft.clone(), false)?;
    ensure!(matches!(refused, Err(WatchdogError::Softdog { .. })) && !view.armed, "{refused:?} {view:?}");
    ensure!(matches!(open(soft, true)?.0, Ok(None)), "accepted when it is written out");
    let stays = WatchdogKind { magic_close: false, ..WatchdogKind::default() };
    ensure!(matches!(open(stays, false)?.0, Ok(Some(_))), "one that cannot be stopped is known as that");
    Ok(())
}

#[test]
fn two_programs_never_have_the_device_at_once() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return not_run("two_programs_never_have_the_device_at_once", "needs root, to mount a FUSE stand-in");
    }
    let folder = tempfile::tempdir()?;
    let device = LabWatchdog::start(folder.path(), WatchdogKind::default(), || ())?;
    let open = |path: &Path| Watchdog::open(path, Millis(10_000), false);
    let first = open(device.path())?;
    ensure!(matches!(open(device.path()), Err(WatchdogError::Open { .. })), "opened twice");
    first.close()?;
    wait_until("the close", LIMIT, || Ok(!device.view().open))?;
    open(device.path())?.close()?;
    Ok(())
}

/// A daemon of the double's under its guardian. Both are children of this program, or of one another.
struct Double {
    folder: tempfile::TempDir,
    guardian: Child,
}

impl Double {
    fn start() -> Result<Double> {
        let folder = tempfile::tempdir()?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(program("guarded-double")?);
        // The unit's rule is for a unit's main process only.
        let command = command.arg(folder.path()).env_remove("SYSTEMD_EXEC_PID").stdin(Stdio::null()).stderr(log);
        let guardian = command.spawn().context("start the double")?;
        Ok(Double { folder, guardian })
    }

    fn numbers(&self, name: &str) -> Vec<i32> {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn wait_daemon(&self, count: usize) -> Result<Pid> {
        wait_until(&format!("daemon {count}"), LIMIT, || Ok(self.numbers("daemons").len() >= count))
            .with_context(|| fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())?;
        Ok(Pid::from_raw(self.numbers("daemons")[count - 1]))
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.guardian.kill();
        let _ = self.guardian.wait();
        for pid in self.numbers("daemons") {
            // A daemon that turned into a guardian has another program; each of them has the folder in its arguments.
            let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if arguments.contains(&*self.folder.path().to_string_lossy()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

fn parent(pid: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn a_guardian_lost_by(signal: Signal) -> Result<()> {
    let double = Double::start()?;
    let first = double.wait_daemon(1)?;
    let guardian = Pid::from_raw(double.guardian.id().cast_signed());
    ensure!(parent(first) == Some(guardian.as_raw()), "the double is not under its guardian");
    kill(guardian, signal)?;
    let second = double.wait_daemon(2)?;
    ensure!(parent(second) == Some(first.as_raw()), "the first daemon is the next guardian");
    ensure!(double.numbers("remembered") == [0, 1], "the lease went on: {:?}", double.numbers("remembered"));
    ensure!(!lives(guardian), "two guardians at once");
    Ok(())
}

#[test]
fn a_daemon_whose_guardian_dies_becomes_the_next_guardian_and_the_lease_goes_on() -> Result<()> {
    a_guardian_lost_by(Signal::SIGKILL)
}

#[test]
fn a_guardian_that_stands_still_is_killed_and_replaced() -> Result<()> {
    a_guardian_lost_by(Signal::SIGSTOP)
}
