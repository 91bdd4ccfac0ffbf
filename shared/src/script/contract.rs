//! What kind of script a step is: how it is called, and which exits mean success.

use std::ffi::OsString;

use crate::config::Step;

use super::exit::StepExit;

/// The contract of a script list. Everything else (order, limits, groups, output, journal, resuming) is the same for
/// all of them, so a further kind adds a variant here and nothing elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contract {
    /// A line of `SHUTDOWN_SCRIPTS` or `STARTUP_SCRIPTS` as CPMS had it: given to a shell, redirections and all; good
    /// if it exits 0. (CPMS itself ran the lines with Perl's `system` and never looked at the result.)
    #[default]
    ShellLine,
}

impl Contract {
    /// The program and its arguments.
    #[must_use]
    pub fn invocation(self, step: &Step) -> Vec<OsString> {
        match self {
            Contract::ShellLine => vec!["/bin/sh".into(), "-c".into(), (&step.command).into()],
        }
    }

    /// Whether the step did what it was asked to.
    #[must_use]
    pub fn passed(self, exit: &StepExit) -> bool {
        match self {
            Contract::ShellLine => *exit == StepExit::Code(0),
        }
    }
}
