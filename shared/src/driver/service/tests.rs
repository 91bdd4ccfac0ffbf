//! What a start leaves in memory and journal for the stop that follows it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use super::super::disk::files;
use super::super::left::{JOURNAL_ENTRIES, left_by_steps};
use super::*;
use crate::config::parse;
use crate::decision::{Record as State, StopOutcome};
use crate::journal::{self, Journal, JournalSize};
use crate::store::Store;

const LIMIT: Duration = Duration::from_secs(20);
const BOOT: BootId = BootId(7);

/// A control group that goes with the test.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = cgroup::kill(&self.0);
        let limit = std::time::Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.0).is_err() && self.0.exists() && std::time::Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

async fn done(told: &mut mpsc::Receiver<Input>) -> Event {
    let wait = async {
        loop {
            match told.recv().await {
                Some(Input::Core(event)) => return event,
                Some(_) => {}
                None => panic!("nothing more is told"),
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the list never ended")
}

/// As with a unit of systemd: the steps themselves are in no group, and `cgroup` is not written.
#[tokio::test]
async fn after_a_start_each_group_of_the_conditions_that_holds_the_service_is_remembered() {
    let name = format!("failover-test-{}-unit-of-start", std::process::id());
    let made = cgroup::folder(Path::new(&name)).and_then(|folder| {
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        Ok(Group(folder))
    });
    let group = match made {
        Ok(group) => group,
        Err(why) => {
            println!("not run: no control group can be made here: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "127.0.0.1"),
    slave: Host(name: "cfg2", address: "127.0.0.2"),
    proof_of_stop: [Operator],
    service: (
        startup_scripts: ["sleep 60 >/dev/null 2>&1 & echo $! >pid; cat pid >{group}/cgroup.procs"],
        shutdown_scripts: ["kill $(cat pid)"],
        stopped_when: [CgroupEmpty("{name}")],
    ),
    checks: [Port(name: "answers", port: {port})],
)
"#,
        group = group.0.display(),
        port = port.local_addr().unwrap().port(),
    );
    let loaded = parse(&text, &folder.path().join("failover.ron"), folder.path());
    let loaded = Arc::new(loaded.unwrap_or_else(|wrong| panic!("{wrong}")));
    let settings = Settings {
        role: Role::Master,
        config: folder.path().join("failover.ron"),
        state_dir: folder.path().into(),
        run_dir: folder.path().into(),
        log_dir: folder.path().into(),
        host: None,
    };
    let (inputs, mut told) = mpsc::channel(64);
    let (state, path) = files(folder.path(), Role::Master);
    let (store, _) = Store::open::<State>(&state, "cfg1", "mail").unwrap();
    let (journal, _) = Journal::open(&path, JournalSize::default()).unwrap();
    let disk = Disk::start(store, journal, inputs.clone(), Vec::new).unwrap();
    let left = Arc::new(Mutex::new(Left::default()));
    let mut service = ServiceWork::new(&settings, BOOT, loaded, disk.clone(), inputs, Vec::new(), left.clone());

    service.start(OperationId(1), Epoch(1), false, "a test");
    let started = done(&mut told).await;
    assert!(matches!(started, Event::StartDone { outcome: StartOutcome::Started, .. }), "{started:?}");
    assert!(left.lock().unwrap().populated.contains(Path::new(&name)), "{left:?}");
    assert!(disk.note_written(Entry::now("daemon", "behind it")).await);
    let journal = journal::tail(&path, JOURNAL_ENTRIES).unwrap();
    assert!(left_by_steps(&journal, BOOT).populated.contains(Path::new(&name)), "{journal:?}");

    // It died before the stop: then only what was seen at the start can tell.
    cgroup::kill(&group.0).unwrap();
    service.stop(OperationId(2), Epoch(1), false, false, "a test");
    let stopped = done(&mut told).await;
    assert!(matches!(stopped, Event::StopDone { outcome: StopOutcome::Stopped { .. }, .. }), "{stopped:?}");
}
