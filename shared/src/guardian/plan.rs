//! What the guardian needs to know of the configuration, in a small file that the daemon writes beside the page.
//!
//! The guardian starts before any configuration is read, and must be able to act when the configuration's disk is dead.
//! So the daemon, which has read and checked it, writes down the little that concerns the guardian, and names the plan's
//! digest in each of its records: the guardian never follows another plan than the one that the daemon means.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::config::{Postcondition, Service};
use crate::script::cgroup;

use super::page::checksum;

const FIRST_LINE: &str = "failover-guardian-plan 1";
const PLAN_BYTES_MAX: u64 = 64 * 1024;
const SYSRQ_TRIGGER: &str = "/proc/sysrq-trigger";

/// What guards a lease, whom it concerns, and how the host is reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who resets the host if the guardian cannot.
    pub guard: Guard,
    /// Folders of the service's control groups.
    pub cgroups: Vec<PathBuf>,
    /// Names of the service's processes, as the kernel shows them. The guardian's own descendants always count as well.
    pub processes: Vec<String>,
    /// Mount points that only the holder may have mounted, in the order in which they are mounted. By the names of the
    /// kernel's table: without symbolic links.
    pub mounts: Vec<PathBuf>,
    /// Conditions of a stop behind which something could run that the three above do not show. While there is one, the
    /// guardian calls no service ended, and resets the host.
    pub unseen: Vec<String>,
    /// What resets the host when the service cannot be ended in time.
    pub reset: Reset,
}

/// What stands behind the guardian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A watchdog device.
    Watchdog {
        /// Its path.
        path: PathBuf,
        /// Also the kernel's software watchdog, which does not end a kernel that stands still.
        accept_softdog: bool,
    },
    /// Nothing: a host that stands still as a whole may come back with its service running.
    GuardianOnly,
}

/// How the host is reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// By a `b` into this file, without a sync: to write out what is left after the lease's end is the very damage that
    /// is to be prevented. `/proc/sysrq-trigger` but for tests (kernel's admin-guide/sysrq).
    Trigger(PathBuf),
    /// By a command.
    Command(Vec<String>),
}

impl Default for Reset {
    fn default() -> Reset {
        Reset::Trigger(PathBuf::from(SYSRQ_TRIGGER))
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read.
    #[error("the guardian's plan {} cannot be read", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("the guardian's plan {} cannot be written", path.display())]
    Write {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line of it has no meaning.
    #[error("the guardian's plan has a line that is not understood: {line:?}")]
    Line {
        /// The line.
        line: String,
    },
    /// A name cannot be written as a line of text.
    #[error("{name:?} cannot stand in the guardian's plan: it is no single line of UTF-8")]
    Name {
        /// The name.
        name: String,
    },
    /// It is not the one that is asked for.
    #[error("the guardian's plan is not the one that the daemon means (digest {found:016x}, expected {expected:016x})")]
    Other {
        /// What is there.
        found: u64,
        /// What the daemon named.
        expected: u64,
    },
}

impl Plan {
    /// The plan for a service. Follows symbolic links to its mount points, and hangs where one leads to a dead file
    /// server: to be called where that is allowed.
    #[must_use]
    pub fn of(service: &Service, guard: Guard, reset: Reset) -> Plan {
        let (cgroups, processes, mounts) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = Plan { guard, cgroups, processes, mounts, unseen: service.unseen_by_guardian(), reset };
        let mut cgroups: Vec<&Path> = service.cgroup.iter().map(PathBuf::as_path).collect();
        for condition in &service.stopped_when {
            match condition {
                Postcondition::CgroupEmpty(path) => cgroups.push(path),
                Postcondition::NoProcess(name) => plan.processes.push(name.clone()),
                Postcondition::NotMounted(path) => {
                    plan.mounts.push(fs::canonicalize(path).unwrap_or_else(|_| path.components().collect()));
                }
                Postcondition::PortsClosed(_)
                | Postcondition::PidFileGone(_)
                | Postcondition::Command(_)
                | Postcondition::NotRunning(_) => {}
            }
        }
        plan.cgroups.extend(cgroups.into_iter().filter_map(|path| cgroup::folder(path).ok()));
        plan.cgroups.sort();
        plan.cgroups.dedup();
        plan
    }

    /// Puts the plan in its file's place at once as a whole, and returns its digest.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub(super) fn write(&self, path: &Path) -> Result<u64, PlanError> {
        let text = self.text()?;
        let failed = |source| PlanError::Write { path: path.to_owned(), source };
        let fresh = path.with_extension("guard.new");
        fs::write(&fresh, &text).map_err(failed)?;
        fs::rename(&fresh, path).map_err(failed)?;
        Ok(checksum(text.as_bytes()))
    }

    /// Reads the plan with this digest.
    ///
    /// # Errors
    /// See [`PlanError`]. Another plan is an error.
    pub(super) fn read(path: &Path, digest: u64) -> Result<Plan, PlanError> {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(PLAN_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        let found = checksum(text.as_bytes());
        if found != digest {
            return Err(PlanError::Other { found, expected: digest });
        }
        Plan::parse(&text)
    }

    fn text(&self) -> Result<String, PlanError> {
        let mut lines = Lines(format!("{FIRST_LINE}\n"));
        match &self.guard {
            Guard::GuardianOnly => {}
            Guard::Watchdog { path, accept_softdog: false } => lines.path("watchdog", path)?,
            Guard::Watchdog { path, accept_softdog: true } => lines.path("watchdog-even-softdog", path)?,
        }
        for path in &self.cgroups {
            lines.path("cgroup", path)?;
        }
        for name in &self.processes {
            lines.add("process", name)?;
        }
        for path in &self.mounts {
            lines.path("mount", path)?;
        }
        for condition in &self.unseen {
            lines.add("unseen", condition)?;
        }
        match &self.reset {
            Reset::Trigger(path) => lines.path("reset-trigger", path)?,
            Reset::Command(words) => {
                for word in words {
                    lines.add("reset-word", word)?;
                }
            }
        }
        Ok(lines.0)
    }

    fn parse(text: &str) -> Result<Plan, PlanError> {
        let mut plan = Plan {
            guard: Guard::GuardianOnly,
            cgroups: Vec::new(),
            processes: Vec::new(),
            mounts: Vec::new(),
            unseen: Vec::new(),
            reset: Reset::Command(Vec::new()),
        };
        let mut lines = text.lines();
        let unknown = |line: &str| PlanError::Line { line: line.to_owned() };
        lines.next().filter(|line| *line == FIRST_LINE).ok_or_else(|| unknown("the first one"))?;
        for line in lines {
            let (kind, value) = line.split_once(' ').ok_or_else(|| unknown(line))?;
            match (kind, &mut plan.reset) {
                ("watchdog", _) => plan.guard = Guard::Watchdog { path: value.into(), accept_softdog: false },
                ("watchdog-even-softdog", _) => {
                    plan.guard = Guard::Watchdog { path: value.into(), accept_softdog: true };
                }
                ("cgroup", _) => plan.cgroups.push(value.into()),
                ("process", _) => plan.processes.push(value.to_owned()),
                ("mount", _) => plan.mounts.push(value.into()),
                ("unseen", _) => plan.unseen.push(value.to_owned()),
                ("reset-trigger", reset) => *reset = Reset::Trigger(value.into()),
                ("reset-word", Reset::Command(words)) => words.push(value.to_owned()),
                _ => return Err(unknown(line)),
            }
        }
        Ok(plan)
    }
}

struct Lines(String);

impl Lines {
    fn path(&mut self, kind: &str, path: &Path) -> Result<(), PlanError> {
        self.add(kind, path.to_str().ok_or_else(|| PlanError::Name { name: path.display().to_string() })?)
    }

    fn add(&mut self, kind: &str, value: &str) -> Result<(), PlanError> {
        if value.chars().any(char::is_control) {
            return Err(PlanError::Name { name: value.to_owned() });
        }
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "{kind} {value}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> Vec<Plan> {
        let full = Plan {
            guard: Guard::Watchdog { path: "/dev/watchdog".into(), accept_softdog: false },
            cgroups: vec!["/sys/fs/cgroup/unified/mail".into()],
            processes: vec!["dovecot".into(), "a b".into()],
            mounts: vec!["/mail".into(), "/mail/in dex".into()],
            unseen: vec!["NotRunning(\"web\")".into()],
            reset: Reset::default(),
        };
        let soft = Guard::Watchdog { path: "/dev/w".into(), accept_softdog: true };
        let command = Reset::Command(vec!["/bin/reset".into(), "-a b".into(), String::new()]);
        let alone = Plan { guard: Guard::GuardianOnly, reset: command, ..full.clone() };
        vec![Plan { guard: soft, ..full.clone() }, full, alone]
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_only_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.guard");
        for plan in plans() {
            let digest = plan.write(&path).unwrap();
            assert_eq!(Plan::read(&path, digest).unwrap(), plan);
            assert!(matches!(Plan::read(&path, digest ^ 1), Err(PlanError::Other { .. })));
        }
    }

    #[test]
    fn a_name_that_would_make_a_line_of_its_own_is_refused() {
        let mut plan = plans().remove(0);
        plan.mounts.push("/a\nprocess init".into());
        assert!(matches!(plan.text(), Err(PlanError::Name { .. })));
    }

    #[test]
    fn a_line_without_a_meaning_is_refused() {
        for line in ["mount", "umount /mail", ""] {
            assert!(matches!(Plan::parse(&format!("{FIRST_LINE}\n{line}\n")), Err(PlanError::Line { .. })), "{line:?}");
        }
        assert!(Plan::parse("").is_err());
    }
}
