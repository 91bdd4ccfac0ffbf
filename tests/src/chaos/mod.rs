//! Chaos: random faults on a pair of real daemons, judged by a store that knows nothing of them.
//!
//! Each iteration draws one or two faults from its seed and number, lets them happen to the pair, ends them, and waits
//! until the pair serves again. The service is a toy store that appends its epoch to one file on the shared folder every
//! few milliseconds; the judge reads that file and nothing else. What must hold:
//!
//! - *safety*: no record of an epoch after one of a higher epoch, no epoch written by two hosts, no two writers in turns;
//! - *liveness*: after the faults' end the pair serves within a bound, with no more help than `ack` and the start of what
//!   a service manager would start; a fault that silences the active host for good is followed by the other host's writing
//!   while it lasts.
//!
//! The lab's limits hold here too: one kernel and its clocks, a watchdog and a filer that are FUSE stand-ins.

mod arena;
pub mod configuration;
mod device;
mod etcd;
pub mod fault;
pub mod judge;
pub mod record;
pub mod report;
pub mod run;

pub use arena::Arena;

use failover_shared::decision::Role;

/// Both.
pub(crate) const ROLES: [Role; 2] = [Role::Master, Role::Slave];
