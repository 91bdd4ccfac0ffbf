//! The configuration: one RON text, the same on both hosts.
//!
//! A text is read twice: by the `ron` crate, which judges the syntax, and by an own scanner, whose tree knows where each
//! value stands. From that tree the checked [`Config`] is made, and every problem is told with its place.

mod arbiter;
mod copies;
mod digest;
mod duration;
mod fence;
mod fields;
mod files;
mod guarantee;
mod import;
pub(crate) mod leaf;
mod load;
mod machine;
mod model;
mod outage;
mod problem;
mod read;
mod reader;
mod scan;
mod suggest;
mod tree;

pub(crate) use fields::{Fields, names_a_secret};
pub(crate) use reader::{Read, Reader};
pub(crate) use tree::{Kind as RonKind, Node};

pub use arbiter::{Arbiter, ArbiterPlace, Etcd, Guard, HostReset};
pub use copies::{StandbyCopy, WhenOld, oldest_in_use};
pub use digest::differing_keys;
pub use duration::show as show_duration;
pub use fence::{FenceAgent, FenceDelay, FenceDevice};
pub(crate) use files::named_scripts;
pub use files::{Finding, check_files};
pub use import::{ImportAnswers, Imported, import_cpms};
pub use load::{Loaded, load, parse};
pub use machine::{check_machine, watchdog_fault};
pub use model::{
    Balancer, Check, Config, Host, MailNotify, MailProbe, MailTls, Notify, OnStopFailure, Postcondition, Probe, Proof,
    Rcmd, Reference, ResourceProbe, Security, Service, Step, Timing,
};
pub use outage::{FaultOutage, stop_limit, worst_case};
pub use problem::{Problem, Problems, Severity};
pub use reader::{Origin, Resolved};
pub(crate) use suggest::nearest;

#[cfg(test)]
mod tests;
