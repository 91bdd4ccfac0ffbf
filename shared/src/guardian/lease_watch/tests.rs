//! The guardian's judgement on a page of the test's own, with times of the test's own. Whoever is killed here is a child
//! of the test.

use std::fs;
use std::process::{Child, Command};
use std::time::Instant;

use super::super::lease::Spans;
use super::super::plan::Reset;
use super::*;

const BOOT: BootId = BootId(77);
/// Larger than any process number can be (proc_sys_kernel(5), pid_max).
const NOBODY: i32 = 1 << 30;
const LIMIT: Duration = Duration::from_secs(20);
const SPANS: Spans = Spans {
    stop_after_ms: Millis(10_000),
    scripts_ms: Millis(10_000),
    kill_ms: Millis(400),
    watchdog_ms: Millis(3_000),
};

/// A daemon's page with the guardian that reads it. Nothing is to be ended unless a test says so.
struct Ground {
    folder: tempfile::TempDir,
    daemon: Page,
    sequence: u64,
    plan: u64,
    watch: LeaseWatch,
}

impl Ground {
    fn new(adapt: impl FnOnce(&mut Plan)) -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let reset = Reset::Trigger(folder.path().join("reset"));
        let mut plan = Plan {
            guard: Guard::GuardianOnly,
            cgroups: vec![],
            processes: vec![],
            mounts: vec![],
            unseen: vec![],
            reset,
        };
        adapt(&mut plan);
        let plan = plan.write(&folder.path().join("page.guard")).unwrap();
        fs::write(folder.path().join("reset"), "").unwrap();
        let daemon = Page::open(&path).unwrap();
        let mut watch = LeaseWatch::open(&path, BOOT, Moment::now()).unwrap();
        // Other tests of this program have children too.
        watch.family = NOBODY;
        Ground { folder, daemon, sequence: 0, plan, watch }
    }

    fn publish(&mut self, holding: Holding, epoch: u64, since: Moment) {
        self.publish_of(BOOT, Lease { holding, epoch: Epoch(epoch), since, spans: SPANS });
    }

    fn publish_of(&mut self, boot: BootId, lease: Lease) {
        self.sequence += 1;
        let record = Record { sequence: self.sequence, boot, lease, plan: self.plan };
        self.daemon.write(Side::Daemon, self.sequence, &record.to_string()).unwrap();
    }

    /// What a new guardian on the same page would be.
    fn guardian_begins_anew(&mut self) {
        self.watch.tell(&self.watch.told()).unwrap();
        self.watch = LeaseWatch::open(&self.folder.path().join("page"), BOOT, Moment::now()).unwrap();
        self.watch.family = NOBODY;
    }

    fn guarding(&self) -> Guarding {
        self.watch.report.guarding
    }

    fn held(&self) -> Option<(Epoch, Moment)> {
        self.watch.record.map(|record| (record.lease.epoch, record.lease.since))
    }
}

/// So long ago that `elapsed_ms` have passed now, and a bit more with each look.
fn ago(elapsed_ms: u64) -> Moment {
    let now = Moment::now();
    let ns = elapsed_ms * 1_000_000;
    Moment { boottime_ns: now.boottime_ns - ns, raw_ns: now.raw_ns - ns }
}

fn later(moment: Moment, ms: u64) -> Moment {
    Moment { boottime_ns: moment.boottime_ns + ms * 1_000_000, raw_ns: moment.raw_ns + ms * 1_000_000 }
}

struct Killed(Child);

impl Killed {
    fn start(script: &str) -> Killed {
        Killed(Command::new("/bin/sh").args(["-c", script]).spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < until, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_guardian_takes_only_what_goes_forward() {
    let mut ground = Ground::new(|_| ());
    let (t0, now) = (ago(1_000), Moment::now());
    ground.publish(Holding::Held, 5, t0);
    ground.watch.turn(now, true);
    assert_eq!(ground.held(), Some((Epoch(5), t0)));

    let mut refused = |what: &str, boot, lease| {
        ground.publish_of(boot, lease);
        ground.watch.turn(Moment::now(), true);
        assert_eq!(ground.watch.record.unwrap().lease.since, t0, "{what}");
        assert_eq!(ground.watch.report.seen, 1, "{what}");
    };
    let lease = Lease { holding: Holding::Held, epoch: Epoch(5), since: ago(500), spans: SPANS };
    refused("another kernel start", BootId(78), lease);
    refused("a lower epoch", BOOT, Lease { epoch: Epoch(4), ..lease });
    refused("an older t0", BOOT, Lease { since: ago(2_000), ..lease });
    refused("a t0 ahead", BOOT, Lease { since: later(Moment::now(), 60_000), ..lease });
    let one_back = Moment { raw_ns: t0.raw_ns - 1, ..lease.since };
    refused("a t0 that goes back on one clock", BOOT, Lease { since: one_back, ..lease });
    let longer = Spans { scripts_ms: Millis(99_000), ..SPANS };
    refused("longer spans", BOOT, Lease { spans: longer, ..lease });

    ground.publish_of(BOOT, lease);
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.held(), Some((Epoch(5), lease.since)), "a renewal is taken");
    assert_eq!(ground.watch.report.seen, ground.sequence);
    ground.publish(Holding::Released, 5, lease.since);
    ground.watch.turn(Moment::now(), true);
    ground.publish(Holding::Held, 5, ago(0));
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.watch.record.unwrap().lease.holding, Holding::Released, "what was released stays so");
    ground.publish(Holding::Held, 6, ago(0));
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.guarding(), Guarding::ArmedAlone, "but a higher epoch is taken");
}

#[test]
fn a_silent_or_dead_daemon_is_relieved_once_when_the_stop_is_due_and_not_before() {
    let mut ground = Ground::new(|_| ());
    let t0 = ago(5_000);
    let (serving, stopping) = (later(t0, 9_999), later(t0, 10_000));
    ground.publish(Holding::Held, 1, t0);
    assert_eq!(ground.watch.turn(Moment::now(), true), Orders::default());
    assert_eq!(ground.watch.turn(serving, true), Orders::default(), "silent, but its lease is good");
    assert_eq!(ground.watch.turn(serving, false), Orders::default(), "dead: the ordinary restart does");
    let relieved = Orders { kill: true, start_now: true, start_none: false };
    assert_eq!(ground.watch.turn(stopping, true), relieved);
    assert_eq!(ground.watch.turn(later(stopping, 5_000), true), Orders::default(), "the next has G to stop it");

    ground.publish(Holding::Held, 1, later(t0, 1));
    ground.watch.turn(later(t0, 9_000), true);
    let again = later(t0, 10_001);
    assert_eq!(ground.watch.turn(again, true), Orders::default(), "its page moved a second ago");
    assert_eq!(ground.watch.turn(later(again, 2_000), false), Orders { kill: false, ..relieved }, "dead");
}

#[test]
fn without_a_limit_nothing_is_done_however_late_it_is() {
    for holding in [Holding::Idle, Holding::Hold, Holding::Released] {
        let mut ground = Ground::new(|_| ());
        ground.publish(holding, 3, ago(1_000_000));
        assert_eq!(ground.watch.turn(Moment::now(), true), Orders::default(), "{holding:?}");
        assert!(!ground.watch.is_bound(Moment::now()), "{holding:?}");
        assert_eq!(ground.guarding(), Guarding::Idle);
    }
}

#[test]
fn after_the_scripts_time_the_daemon_and_the_service_end_and_that_is_verified_and_remembered() {
    let mut ground = Ground::new(|_| ());
    // The family's head is not of the service; what it started is.
    let ready = ground.folder.path().join("ready");
    let service = format!("trap '' TERM; echo >{}; while :; do sleep 0.02; done", ready.display());
    let mut head = Killed::start(&format!("sh -c \"{service}\"; exit 7"));
    wait_for("the service", || ready.exists());
    ground.watch.family = head.0.id().cast_signed();
    ground.publish(Holding::Held, 4, ago(20_000));
    let first = ground.watch.turn(Moment::now(), true);
    assert_eq!(first, Orders { kill: true, start_now: false, start_none: true });
    assert_eq!(ground.guarding(), Guarding::Ending);
    wait_for("the service's end", || {
        ground.watch.turn(Moment::now(), false);
        ground.guarding() == Guarding::Ended
    });
    assert_eq!(head.0.wait().unwrap().code(), Some(7), "killed, since it did not obey TERM");
    assert_eq!(ground.watch.report.epoch, Epoch(4));
    assert!(!ground.watch.is_bound(Moment::now()));

    ground.publish(Holding::Held, 4, ago(0));
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.guarding(), Guarding::Ended, "that epoch is over for good");
    ground.guardian_begins_anew();
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.guarding(), Guarding::Ended, "for the next guardian too");
    ground.publish(Holding::Released, 4, ago(0));
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.guarding(), Guarding::Idle);
    assert_eq!(fs::read_to_string(ground.folder.path().join("reset")).unwrap(), "");
}

#[test]
fn what_cannot_be_ended_in_time_resets_the_host_and_is_never_called_ended() {
    // A control group that is there and does not say whether it is empty.
    let group = tempfile::tempdir().unwrap();
    fs::write(group.path().join("cgroup.events"), "nonsense\n").unwrap();
    let mut ground = Ground::new(|plan| plan.cgroups.push(group.path().to_owned()));
    let reset = ground.folder.path().join("reset");
    let t0 = ago(0);
    ground.publish(Holding::Held, 4, t0);
    let mut guarding_at = |ms| {
        ground.watch.turn(later(t0, ms), false);
        (ground.guarding(), ground.watch.report.why.clone())
    };
    assert_eq!(guarding_at(10_000).0, Guarding::ArmedAlone);
    let (guarding, why) = guarding_at(20_000);
    assert_eq!(guarding, Guarding::Ending);
    assert!(why.contains("what is left cannot be seen"), "{why}");
    assert_eq!(guarding_at(20_399).0, Guarding::Ending);
    assert_eq!(fs::read_to_string(&reset).unwrap(), "", "not before its time");
    assert_eq!(guarding_at(20_400).0, Guarding::Resetting);
    wait_for("the reset", || fs::read_to_string(&reset).unwrap() == "b");
    assert!(ground.watch.is_bound(later(t0, 60_000)));
}

#[test]
fn what_nobody_here_can_see_is_never_called_ended() {
    let mut ground = Ground::new(|plan| plan.unseen.push("NotRunning(\"web\")".into()));
    let t0 = ago(0);
    ground.publish(Holding::Held, 4, t0);
    for (ms, expected) in [(20_000, Guarding::Ending), (20_400, Guarding::Resetting)] {
        ground.watch.turn(later(t0, ms), false);
        assert_eq!(ground.guarding(), expected);
    }
    assert!(ground.watch.report.why.contains("not whether NotRunning(\"web\") holds"), "{}", ground.watch.report.why);
}

#[test]
fn a_watchdog_that_cannot_be_had_is_refused_with_the_reason() {
    let missing = PathBuf::from("/nonexistent/watchdog");
    let guard = Guard::Watchdog { path: missing, accept_softdog: false };
    let mut ground = Ground::new(|plan| plan.guard = guard);
    ground.publish(Holding::Held, 1, ago(0));
    assert_eq!(ground.watch.turn(Moment::now(), true), Orders::default());
    assert_eq!(ground.guarding(), Guarding::Refused);
    assert!(ground.watch.report.why.contains("/nonexistent/watchdog"), "{}", ground.watch.report.why);

    let mut other = Ground::new(|_| ());
    other.plan ^= 1;
    other.publish(Holding::Held, 1, ago(0));
    other.watch.turn(Moment::now(), true);
    assert_eq!(other.guarding(), Guarding::Refused, "another plan than the daemon's is not followed");
}

#[test]
fn the_guardian_wakes_when_a_span_ends() {
    let mut ground = Ground::new(|_| ());
    let t0 = ago(0);
    ground.publish(Holding::Held, 1, t0);
    ground.watch.turn(Moment::now(), true);
    assert_eq!(ground.watch.pause(later(t0, 9_970)), Duration::from_millis(30));
    assert_eq!(ground.watch.pause(later(t0, 12_000)), TICK);
}
