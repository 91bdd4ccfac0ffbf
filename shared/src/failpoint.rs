//! Places at which a test can end the process as a power cut would: with `SIGKILL`, in the middle of the work.
//!
//! `FAILOVER_FAILPOINT` names a file. While that file says `script-before:2`, the daemon ends when it reaches
//! `script-before` for the second time, and the file is gone: a daemon that is started again must not die at the same
//! place for ever, and the test sees that it came there. Only builds with the feature `failpoints` look at the variable;
//! in all others [`failpoint`] is an empty function.

/// Every place there is. A test runs once for each, so a place that is not named here would never be tried; reaching
/// an unnamed one ends a test build.
pub const POINTS: &[&str] = &[
    // The step is next; its entry is not yet in the journal.
    "entry-before",
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
    // The peer is to hear of a takeover, of a withdrawal, or that it should start; nothing is sent yet.
    "tell-before",
    // It was told, or could not be.
    "tell-after",
    // A person's command is for the peer, and not yet passed on.
    "order-before",
    // The peer has answered it; the person was not told.
    "order-after",
    // The balancer is about to be told.
    "balancer-before",
    // It was told; what it says now was not read back.
    "balancer-after",
];

/// Ends the process here if the file says so.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub fn failpoint(_point: &str) {}

/// Ends the process here if the file says so.
#[cfg(any(test, feature = "failpoints"))]
pub fn failpoint(point: &str) {
    use std::sync::{Mutex, PoisonError};

    /// Two threads must not count the same hit.
    static COUNTING: Mutex<()> = Mutex::new(());

    assert!(POINTS.contains(&point), "the kill point {point:?} is missing in failpoint::POINTS");
    let Some(file) = std::env::var_os("FAILOVER_FAILPOINT") else { return };
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    let Some((name, hits)) = wanted.trim().split_once(':') else { return };
    if name != point {
        return;
    }
    if let Some(left) = hits.parse::<u32>().ok().filter(|hits| *hits > 1) {
        let _ = std::fs::write(&file, format!("{name}:{}", left - 1));
        return;
    }
    let _ = std::fs::remove_file(&file);
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    loop {
        std::thread::park();
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
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("armed");
        let run = |wanted: &str| {
            std::fs::write(&file, wanted).unwrap();
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "failpoint::tests::reaches_one_point_three_times", "--nocapture"])
                .env("FAILOVER_FAILPOINT", &file)
                .output()
                .unwrap();
            let passed = String::from_utf8_lossy(&output.stdout).matches("passed ").count();
            (output.status.signal(), passed, file.exists())
        };
        assert_eq!(run("script-before:2"), (Some(9), 1, false));
        assert_eq!(run("script-before:4"), (None, 3, true));
        assert_eq!(run("script-after:1"), (None, 3, true));
    }
}
