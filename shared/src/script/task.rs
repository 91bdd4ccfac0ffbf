//! What a list is made of: scripts of any kind, and what they are asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::class::Class;
use super::environment::Operation;
use super::kind::{Action, AnyKind, Kind, ShellLine};
use super::user;
use crate::config::Step;

/// A script, and what its contract leaves open: how long it may take, and as whom it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// What messages and `order` call it.
    pub name: String,
    /// What it is, by its contract.
    pub kind: AnyKind,
    /// How long each thing that it can be asked may take.
    pub limits: BTreeMap<Action, Duration>,
    /// The user that it runs as, if not the daemon's.
    pub run_as: Option<String>,
    /// Names of resources that must run before it, and must stop after it.
    pub needs: Vec<String>,
    /// Its place in the fixed order of Cluster Manager, where that order is used.
    pub class: Option<Class>,
}

/// One step: a script and what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// The script.
    pub script: Script,
    /// What it is asked.
    pub action: Action,
}

/// Steps that run at the same time. Never empty; mostly one.
pub type Stage = Vec<Task>;

/// What is run for each operation. The two hosts hold the same lists, each uses its own two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lists {
    /// The master starts.
    pub takeback: Vec<Stage>,
    /// The slave starts.
    pub takeover: Vec<Stage>,
    /// The master stops.
    pub giveaway: Vec<Stage>,
    /// The slave stops.
    pub giveback: Vec<Stage>,
}

impl Script {
    /// What it is asked, as a step.
    #[must_use]
    pub fn to(&self, action: Action) -> Task {
        Task { script: self.clone(), action }
    }

    /// What is missing on this host for it to work, each with what to do. May ask the user database.
    #[must_use]
    pub fn missing(&self, directory: &Path) -> Vec<String> {
        match self.run_as.as_ref().map(|name| user::find(name)).transpose() {
            Ok(user) => self.contract().missing(directory, user.as_ref()),
            Err(why) => self.contract().missing(directory, None).into_iter().chain([why]).collect(),
        }
    }

    /// Whether its contract knows this.
    #[must_use]
    pub fn can(&self, action: Action) -> bool {
        self.contract().can(action)
    }

    /// Its contract.
    pub(crate) fn contract(&self) -> &dyn Kind {
        self.kind.contract()
    }
}

impl Task {
    /// A shell's line.
    #[must_use]
    pub fn line(action: Action, step: &Step) -> Task {
        let kind = AnyKind::Step(ShellLine::of(action, &step.command));
        let script = Script {
            name: step.command.clone(),
            kind,
            limits: [(action, step.timeout)].into(),
            run_as: None,
            needs: Vec::new(),
            class: None,
        };
        Task { script, action }
    }

    /// How long it may run.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.script.limits.get(&self.action).copied().unwrap_or_default()
    }

    /// It in one line, as journal and status show it.
    #[must_use]
    pub fn title(&self, operation: Operation) -> String {
        self.script.contract().title(self.action, operation)
    }
}

impl Lists {
    /// The list of this operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> &[Stage] {
        match operation {
            Operation::Takeback => &self.takeback,
            Operation::Takeover => &self.takeover,
            Operation::Giveaway => &self.giveaway,
            Operation::Giveback => &self.giveback,
        }
    }

    /// The same list for both hosts.
    #[must_use]
    pub fn same(start: Vec<Stage>, stop: Vec<Stage>) -> Lists {
        Lists { takeback: start.clone(), takeover: start, giveaway: stop.clone(), giveback: stop }
    }

    /// Every step of every list.
    pub fn tasks(&self) -> impl Iterator<Item = (Operation, &Task)> {
        Operation::ALL
            .into_iter()
            .flat_map(|operation| self.of(operation).iter().flatten().map(move |task| (operation, task)))
    }
}

/// The longest time that these stages may take: in each, its slowest step to its limit.
#[must_use]
pub fn limit(stages: &[Stage]) -> Duration {
    let slowest = stages.iter().map(|stage| stage.iter().map(Task::limit).max().unwrap_or_default());
    slowest.fold(Duration::ZERO, Duration::saturating_add)
}
