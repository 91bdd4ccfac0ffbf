//! The guardian: the small parent process that starts a dead daemon again, and ends the service when its lease runs out
//! whatever the daemon says.
//!
//! It is a program of its own, `failover-guardian`, beside the daemons: one thread of work, no runtime, no TLS. Daemon and
//! guardian meet in the *page*, a small file in the run folder ([`page`]): the daemon writes what it holds, the guardian
//! what it has seen of it. Nothing in the page is a command; a daemon that stands still is not needed for anything below.
//!
//! One actor per span, all counted from t0, the moment before the last validated renewal was sent:
//!
//! | span | who acts |
//! |---|---|
//! | until t0 + T | the daemon renews; the guardian pets the watchdog |
//! | T … T + G | the daemon runs the stop scripts. Is it dead, or has its page not moved for 2 s, the guardian kills it, once, and starts it anew: a daemon that finds its lease over stops the service |
//! | T + G … P | the guardian kills the daemon, then TERM, KILL, `cgroup.kill` to the service, unmounts, and verifies |
//! | P … | not verified: no pet, and the reset action. What comes in time ends the host before t0 + L |
//!
//! A verified stop ends it early: by the daemon (`Holding::Released`), or by the guardian (`Guarding::Ended`, after which
//! a started daemon must still look for itself).
//!
//! **A dead guardian** is seen by the daemon at once: its standard input is one end of a socket whose other end only the
//! guardian has. A guardian that stands still is seen by its report, and killed. The daemon then turns into the next
//! guardian: it replaces its own program by the start of a fresh one, which keeps the process number and with it every
//! child (execve(2)), finds the page, opens the watchdog again and starts a daemon. There is never a second guardian, and
//! the daemon's way back is the one of every crash. Under systemd the dead guardian was the unit's main process and the
//! unit is started again anyway; there the daemon only ends.
//!
//! What a daemon's steps started becomes the guardian's child when the daemon dies (`PR_SET_CHILD_SUBREAPER`, prctl(2)),
//! so it is not lost sight of and leaves no zombie. Until the lease asks for its end it is left running: the daemon that
//! comes next finds it and goes on. Orphans of a guardian that died belong to process 1: only a control group, a process
//! name or a mount finds those.

mod ending;
mod guarded;
mod keeper;
mod lease;
mod lease_page;
mod lease_watch;
mod line;
mod log;
mod moment;
mod page;
mod plan;
mod program;
mod record;
mod reset;
mod signals;
mod watchdog;

pub use guarded::{Guarded, GuardedError, GuardianIs, News};
pub use keeper::{ENVIRONMENT_GUARDIAN, ENVIRONMENT_RESTARTS, EXIT_CONFIG, EXIT_SYSTEM, Pace, run};
pub use lease::{Holding, Lease, Span, Spans};
pub use lease_page::{Arming, LeasePage, LeasePageError};
pub use moment::Moment;
pub use page::PageError;
pub use plan::{Guard, Plan, PlanError, Reset};
pub use program::{main, start_under};
pub use record::{Guarding, Report};
pub use watchdog::{Watchdog, WatchdogError};
