//! Points at which a test can end the process with SIGKILL, to see that a restart goes on well.
//!
//! Compiled only with the feature `failpoints`, which no package switches on. `FAILOVER_FAILPOINT="name:n"` ends the
//! process when the point `name` is passed for the n-th time.

/// Every point in the code, by name. A test that enumerates them fails when one is never reached.
pub const POINTS: &[&str] = &[
    "persist-before",
    "persist-after",
    "demand-before",
    "demand-after",
    "demand-answered",
    "answer-before",
    "answer-after",
    "step-before",
    "step-started",
    "step-after",
];

/// Passes the point `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn failpoint(_name: &'static str) {}

/// Passes the point `name`; ends the process here if the environment says so.
#[cfg(feature = "failpoints")]
pub fn failpoint(name: &'static str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);

    debug_assert!(POINTS.contains(&name), "{name} is not in POINTS");
    let Ok(wanted) = std::env::var("FAILOVER_FAILPOINT") else { return };
    let Some((point, count)) = wanted.split_once(':') else { return };
    if point != name {
        return;
    }
    let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if count.parse() == Ok(passed) {
        // A restarted daemon must not die at the same point again, so the test sees a mark on the disk.
        if let Ok(mark) = std::env::var("FAILOVER_FAILPOINT_MARK") {
            if std::path::Path::new(&mark).exists() {
                return;
            }
            let _ = std::fs::write(&mark, name);
        }
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}
