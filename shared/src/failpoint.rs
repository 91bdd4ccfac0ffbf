//! Places at which a test can end the process as a power cut would: with `SIGKILL`, in the middle of the work.
//!
//! `FAILOVER_FAILPOINT=script-before:2` ends the process when it reaches `script-before` for the second time. Only
//! builds with the feature `failpoints` look at the variable; in all others [`failpoint`] is an empty function. With
//! `FAILOVER_FAILPOINT_MARK=file` it happens only while that file does not exist, and leaves it.

/// Every place there is. A test runs once for each, so a place that is not named here would never be tried; reaching
/// an unnamed one ends a test build.
pub const POINTS: &[&str] = &[
    // The step's entry is durable; the step does not run yet.
    "script-before",
    // The step runs.
    "script-running",
    // The step has ended; nobody was told.
    "script-after",
    // The state is decided, and not yet in its slot.
    "store-before",
    // The slot is written, and not yet known to be on the disk.
    "store-written",
    // The state is on the disk; nobody was told.
    "store-after",
    // The ladder is about to end the service's processes.
    "stop-ladder",
    // The ladder is about to unmount.
    "stop-unmount",
    // The stop is verified; nobody was told.
    "stop-verified",
    // The demand is durable, and not yet sent.
    "demand-before",
    // The demand is on its way.
    "demand-after",
    // The answer to the demand has come; the core was not told.
    "demand-answered",
    // The answer is durable, and not yet sent.
    "answer-before",
    // The answer is sent.
    "answer-after",
];

/// Ends the process here if `FAILOVER_FAILPOINT` says so.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub fn failpoint(_point: &str) {}

/// Ends the process here if `FAILOVER_FAILPOINT` says so.
#[cfg(any(test, feature = "failpoints"))]
pub fn failpoint(point: &str) {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    static HITS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

    assert!(POINTS.contains(&point), "the kill point {point:?} is missing in failpoint::POINTS");
    let Ok(wanted) = std::env::var("FAILOVER_FAILPOINT") else { return };
    let Some((name, number)) = wanted.split_once(':') else { return };
    if name != point {
        return;
    }
    let hit = {
        let mut hits = HITS.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = hits.entry(point.to_owned()).or_insert(0);
        *hit += 1;
        *hit
    };
    if number.parse() == Ok(hit) {
        // A daemon that is started again must not die at the same place for ever.
        if let Some(mark) = std::env::var_os("FAILOVER_FAILPOINT_MARK") {
            if std::path::Path::new(&mark).exists() {
                return;
            }
            let _ = std::fs::write(&mark, point);
        }
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// The part of the next test that runs in a process of its own.
    #[test]
    fn reaches_one_point_three_times() {
        if std::env::var_os("FAILOVER_FAILPOINT").is_some() {
            for round in 1..=3 {
                super::failpoint("script-before");
                println!("passed {round}");
            }
        }
    }

    #[test]
    fn a_process_dies_at_the_named_hit_of_the_named_point_and_nowhere_else() {
        let run = |wanted: &str| {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "failpoint::tests::reaches_one_point_three_times", "--nocapture"])
                .env("FAILOVER_FAILPOINT", wanted)
                .output()
                .unwrap();
            let passed = String::from_utf8_lossy(&output.stdout).matches("passed ").count();
            (output.status.signal(), passed)
        };
        assert_eq!(run("script-before:2"), (Some(9), 1));
        assert_eq!(run("script-before:4"), (None, 3));
        assert_eq!(run("script-after:1"), (None, 3));
    }
}
