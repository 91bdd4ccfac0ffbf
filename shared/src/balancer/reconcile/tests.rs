//! Against a device in memory, on a clock that stands still unless everyone waits.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::balancer::{Admin, Seen};

/// A device in memory: takes what it is told unless it is made to fail.
#[derive(Default)]
struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    master: Option<Wanted>,
    slave: Option<Wanted>,
    unreachable: bool,
    deaf: bool,
    hangs: bool,
    calls: Vec<String>,
}

impl Memory {
    async fn answer(&self, call: String) -> Result<(), BalancerError> {
        let hangs = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call);
            if state.unreachable {
                let source = io::Error::from(io::ErrorKind::ConnectionRefused);
                return Err(BalancerError::Unreachable { at: "memory".to_owned(), source });
            }
            state.hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl Device for Arc<Memory> {
    async fn set(&self, host: Role, wanted: Wanted, epoch: Epoch) -> Result<(), BalancerError> {
        self.answer(format!("{host} {wanted} {epoch}")).await?;
        let mut state = self.state.lock().unwrap();
        if !state.deaf {
            match host {
                Role::Master => state.master = Some(wanted),
                Role::Slave => state.slave = Some(wanted),
            }
        }
        Ok(())
    }

    async fn observe(&self) -> Result<View, BalancerError> {
        self.answer("look".to_owned()).await?;
        let seen = |wanted: Option<Wanted>| {
            let admin = match wanted {
                Some(Wanted::Up) => Admin::Up,
                Some(Wanted::Drain) => Admin::Drain,
                Some(Wanted::Down) => Admin::Down,
                None => Admin::Unknown,
            };
            Seen { admin, ..Seen::NOTHING }
        };
        let state = self.state.lock().unwrap();
        Ok(View { master: seen(state.master), slave: seen(state.slave) })
    }
}

struct Bench {
    device: Arc<Memory>,
    wishes: watch::Sender<Option<Wish>>,
    reports: mpsc::Receiver<Report>,
    reconciler: Reconciler<Arc<Memory>>,
}

const EVERY: Duration = Duration::from_secs(10);

fn bench() -> Bench {
    let device = Arc::new(Memory::default());
    let (wishes, wishes_seen) = watch::channel(None);
    let (reports_sent, reports) = mpsc::channel(16);
    let reconciler = Reconciler::start(Arc::clone(&device), EVERY, wishes_seen, reports_sent);
    Bench { device, wishes, reports, reconciler }
}

impl Bench {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.device.state.lock().unwrap())
    }

    fn wish(&self, master: Wanted, slave: Wanted, epoch: u64) {
        self.wishes.send(Some(Wish { master, slave, epoch: Epoch(epoch) })).unwrap();
    }

    /// The next report that is no look.
    async fn news(&mut self) -> Report {
        let wait = async {
            loop {
                match self.reports.recv().await.expect("the task goes on") {
                    Report::View { .. } => {}
                    report => return report,
                }
            }
        };
        // On the paused clock this is no wait: it bounds a test that would hang.
        tokio::time::timeout(Duration::from_secs(3600), wait).await.expect("a report within an hour of test time")
    }

    async fn applied(&mut self) -> Wish {
        match self.news().await {
            Report::Applied { wish, .. } => wish,
            other => panic!("expected Applied, got {other:?}; calls: {:?}", self.with(|state| state.calls.clone())),
        }
    }

    async fn diverged(&mut self) -> String {
        match self.news().await {
            Report::Diverged { reason, .. } => reason,
            other => panic!("expected Diverged, got {other:?}; calls: {:?}", self.with(|state| state.calls.clone())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_old_host_goes_down_before_the_new_one_comes_up_and_both_are_read_back() {
    let mut bench = bench();
    bench.wish(Wanted::Up, Wanted::Down, 3);
    assert_eq!(bench.applied().await.epoch, Epoch(3));
    assert_eq!(bench.with(|state| state.calls.split_off(0)), ["slave down 3", "master up 3", "look"]);
    bench.wish(Wanted::Drain, Wanted::Up, 4);
    bench.applied().await;
    assert_eq!(bench.with(|state| state.calls.split_off(0)), ["master drain 4", "slave up 4", "look"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_up_while_the_old_host_cannot_be_taken_down() {
    let mut bench = bench();
    bench.with(|state| state.unreachable = true);
    bench.wish(Wanted::Down, Wanted::Up, 2);
    let reason = bench.diverged().await;
    assert!(reason.contains("memory") && reason.contains("refused"), "{reason}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let calls = bench.with(|state| {
        state.unreachable = false;
        state.calls.split_off(0)
    });
    assert!(calls.iter().all(|call| call == "master down 2"), "{calls:?}");
    // Tried again and again, but not more often than the longest pause allows.
    assert!((10..=20).contains(&calls.len()), "{} tries in a minute", calls.len());
    bench.applied().await;
    assert_eq!(bench.with(|state| (state.master, state.slave)), (Some(Wanted::Down), Some(Wanted::Up)));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_says_yes_and_does_nothing_is_diverged_once() {
    let mut bench = bench();
    bench.with(|state| state.deaf = true);
    bench.wish(Wanted::Up, Wanted::Down, 1);
    let reason = bench.diverged().await;
    assert!(reason.contains("master unknown where up is wanted"), "{reason}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.with(|state| state.deaf = false);
    // The reason did not change: the next news is the repair.
    bench.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_device_that_forgets_is_repaired_at_the_next_look() {
    let mut bench = bench();
    bench.wish(Wanted::Up, Wanted::Down, 1);
    bench.applied().await;
    bench.with(|state| (state.master, state.slave) = (Some(Wanted::Up), Some(Wanted::Up)));
    let reason = bench.diverged().await;
    assert!(reason.contains("slave up where down is wanted"), "{reason}");
    bench.applied().await;
    assert_eq!(bench.with(|state| state.slave), Some(Wanted::Down));
}

#[tokio::test(start_paused = true)]
async fn without_a_wish_the_device_is_looked_at_and_never_told() {
    let mut bench = bench();
    tokio::time::timeout(EVERY * 10, async {
        for _ in 0..5 {
            assert!(matches!(bench.reports.recv().await, Some(Report::View { .. })));
        }
    })
    .await
    .expect("five looks");
    assert_eq!(bench.with(|state| state.calls.clone()), ["look"; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_wish_leaves_the_device_as_it_is() {
    let mut bench = bench();
    bench.wish(Wanted::Up, Wanted::Down, 1);
    bench.applied().await;
    bench.wishes.send(None).unwrap();
    tokio::time::sleep(EVERY).await;
    bench.with(|state| {
        state.slave = Some(Wanted::Up);
        state.calls.clear();
    });
    for _ in 0..3 {
        bench.reports.recv().await.unwrap();
    }
    tokio::time::sleep(EVERY).await;
    assert!(bench.with(|state| state.calls.iter().all(|call| call == "look")));
    assert_eq!(bench.with(|state| state.slave), Some(Wanted::Up));
}

#[tokio::test(start_paused = true)]
async fn the_newest_wish_wins_over_one_that_cannot_be_had() {
    let mut bench = bench();
    bench.with(|state| state.unreachable = true);
    bench.wish(Wanted::Down, Wanted::Up, 2);
    bench.diverged().await;
    bench.wish(Wanted::Down, Wanted::Drain, 3);
    bench.wish(Wanted::Up, Wanted::Down, 4);
    bench.with(|state| state.unreachable = false);
    assert_eq!(bench.applied().await.epoch, Epoch(4));
    assert_eq!(bench.with(|state| (state.master, state.slave)), (Some(Wanted::Up), Some(Wanted::Down)));
}

#[tokio::test(start_paused = true)]
async fn the_witness_answers_within_its_limit_even_when_the_device_hangs() {
    let bench = bench();
    let view = bench.reconciler.look_now(Duration::from_millis(50)).await.unwrap();
    assert_eq!(view.master.admin, Admin::Unknown);
    bench.with(|state| state.hangs = true);
    let error = bench.reconciler.look_now(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, BalancerError::TimedOut { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reconciler_stops_asking() {
    let bench = bench();
    tokio::time::sleep(EVERY * 3).await;
    let Bench { device, wishes, reports, reconciler } = bench;
    drop(reconciler);
    tokio::time::sleep(EVERY).await;
    let before = device.state.lock().unwrap().calls.len();
    tokio::time::sleep(EVERY * 10).await;
    assert_eq!(device.state.lock().unwrap().calls.len(), before);
    drop((wishes, reports));
}
