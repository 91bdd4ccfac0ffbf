//! The kinds of script, each by its own contract: how it is called, and what its exits mean.
//!
//! Everything else (order, stages, limits, users, groups, output, journal, resuming) is the same for all of them. A
//! further kind is one file here with a type that implements [`Kind`], its `mod` and `pub use` lines below, and its
//! line in `kinds!`. What the tests then ask for: the kind once in `EVERYTHING` of `config/tests.rs`, its keys in
//! `docs/config.md`, its items with their tests in `docs/scripts.md`.

pub mod cluster_manager;
pub mod failsafe1;
mod failsafe2;

impl AnyKind {
    /// The unit of systemd that it is.
    pub(crate) fn unit(&self) -> Option<&str> {
        match self {
            AnyKind::Systemd(systemd) => Some(systemd.unit()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod harness;
mod lsb;
mod ocf;
mod plain;
mod program;
mod shell_line;
mod systemd;
mod verified;

pub use cluster_manager::ClusterManager;
pub use failsafe1::FailSafe1;
pub use failsafe2::FailSafe2;
pub use lsb::Lsb;
pub(crate) use ocf::Agents;
pub use ocf::Ocf;
pub use plain::Plain;
pub use program::Program;
pub(crate) use program::not_runnable;
pub use shell_line::ShellLine;
pub use systemd::Systemd;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::class::Class;
use super::environment::{Environment, Operation};
use super::exit::StepExit;
use super::user::RunAs;
use crate::config::{Fields, OnStopFailure, Read, Reader, Severity};

/// What a script is asked to do. Which word of its contract that is, its kind knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Action {
    /// Start it on this host.
    Start,
    /// Stop it on this host.
    Stop,
    /// Say whether it runs and answers.
    Monitor,
    /// Start it again on this host, after it failed here.
    Restart,
    /// Say that it does not run here, before it is started anywhere.
    Exclusive,
    /// Say what would speak against a start on this host, and change nothing.
    Validate,
}

/// Where an entry stands in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a list: it is only ever asked this.
    List(Action),
    /// Among the resources: it starts and stops, and whatever else its kind can.
    Resource,
}

/// One call of a script.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What is asked.
    pub action: Action,
    /// The entry's name.
    pub name: &'a str,
    /// Where it runs; relative paths start here.
    pub directory: &'a Path,
    /// What it is part of. Outside of a move, the operation is the one that starts the service on this host.
    pub environment: &'a Environment,
    /// How long it may take.
    pub limit: Duration,
}

/// What the end of a call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// In one word.
    pub outcome: Outcome,
    /// As a sentence without a subject: "exited 2: the configuration file is wrong".
    pub said: String,
}

/// What the end of a call says, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked; a monitor: it runs and answers.
    Passed,
    /// A monitor's answer: it does not run here, and nothing is wrong with that.
    NotRunning,
    /// The answer to [`Action::Exclusive`]: it runs here already.
    Running,
    /// Anything else.
    Failed,
}

impl Answer {
    /// What most contracts say: good if it exited 0.
    #[must_use]
    pub fn zero_is_good(exit: &StepExit) -> Answer {
        let outcome = if *exit == StepExit::Code(0) { Outcome::Passed } else { Outcome::Failed };
        Answer { outcome, said: exit.to_string() }
    }

    /// Whether it did what it was asked.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}

/// How a resource says for certain that it does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaysStopped {
    /// What it is asked.
    pub(crate) asked: Action,
    /// The exits that say so.
    pub(crate) exits: &'static [i32],
}

/// The contract of one kind.
pub(crate) trait Kind {
    /// Reads the keys of its own. `name`, `timeout` and `run_as` belong to every entry and are read for it.
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, place: Place) -> Read<Self>
    where
        Self: Sized;

    /// What an entry is called that has no `name`.
    fn name(&self) -> String;

    /// The call as journal and status show it: as a person would type it, as far as that can be said in one line.
    fn title(&self, action: Action, operation: Operation) -> String;

    /// Whether its contract knows this.
    fn can(&self, action: Action) -> bool;

    /// What is to be run.
    ///
    /// # Errors
    /// Why it cannot be called, as a sentence.
    fn program(&self, call: &Call<'_>) -> Result<Program, String>;

    /// What the end of a call says.
    fn answer(&self, action: Action, exit: &StepExit) -> Answer {
        let _ = action;
        Answer::zero_is_good(exit)
    }

    /// How much an end of [`Action::Validate`] weighs; `None`: nothing speaks against a start.
    fn weight(&self, exit: &StepExit) -> Option<Severity> {
        (!self.answer(Action::Validate, exit).passed()).then_some(Severity::Warning)
    }

    /// Its contract's own limit, where it has one. What the entry says goes before it, `script_timeout` behind it.
    fn limit(&self, action: Action) -> Option<Duration> {
        let _ = action;
        None
    }

    /// What its contract does after a failed stop, where `on_stop_failure` is not written.
    fn on_stop_failure(&self) -> OnStopFailure {
        OnStopFailure::Force
    }

    /// Its class, where `class` is not written.
    fn class(&self) -> Option<Class> {
        None
    }

    /// How it says for certain that it does not run, where its contract has words for that: a stop may then rest on
    /// them. Narrower than a good answer to [`Action::Exclusive`], which a program gives too that is not installed here:
    /// before a start that is enough, behind a stop it may be the store that is no longer mounted.
    fn tells_not_running(&self) -> Option<SaysStopped> {
        None
    }

    /// What is missing on this host for a call to work, each with what to do. Asked by `failoverctl check` and, all the
    /// time, by readiness: looks at files, runs nothing. `user`: as whom it runs, if not as the daemon's user.
    fn missing(&self, directory: &Path, user: Option<&RunAs>) -> Vec<String>;
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $word:ident($contract:ident),)+) => {
        /// A script of any kind, by its word in the configuration.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub enum AnyKind {
            $($(#[$doc])+ $word($contract),)+
        }

        impl AnyKind {
            pub(crate) const WORDS: &'static [&'static str] = &[$(stringify!($word)),+];

            pub(crate) fn read(
                word: &str,
                reader: &mut Reader<'_>,
                fields: &mut Fields<'_>,
                place: Place,
            ) -> Read<AnyKind> {
                match word {
                    $(stringify!($word) => $contract::read(reader, fields, place).map(AnyKind::$word),)+
                    _ => None,
                }
            }

            /// Its word in the configuration.
            #[must_use]
            pub fn word(&self) -> &'static str {
                match self {
                    $(AnyKind::$word(_) => stringify!($word),)+
                }
            }

            /// Its contract.
            pub(crate) fn contract(&self) -> &dyn Kind {
                match self {
                    $(AnyKind::$word(contract) => contract,)+
                }
            }
        }
    };
}

kinds! {
    /// A line for the shell, as CPMS had it.
    Step(ShellLine),
    /// A program and its arguments.
    Plain(Plain),
    /// A failover script of IRIS FailSafe 1.
    FailSafe1(FailSafe1),
    /// A resource with the action scripts of IRIS FailSafe 2 or Linux FailSafe.
    FailSafe2(FailSafe2),
    /// A user script of SGI Cluster Manager.
    ClusterManager(ClusterManager),
    /// An OCF resource agent, as Pacemaker has them.
    Ocf(Ocf),
    /// An init script by the Linux Standard Base.
    Lsb(Lsb),
    /// A unit of systemd.
    Systemd(Systemd),
}
