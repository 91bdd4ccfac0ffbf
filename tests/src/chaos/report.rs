//! What is kept of a run: one line of JSON an iteration, and the summary over them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use failover_shared::decision::Role;
use serde::{Deserialize, Serialize};

use super::fault::{Fault, Keeper, Step};

/// A fault that was to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// As it was drawn.
    #[serde(flatten)]
    pub step: Step,
    /// To whom it happened.
    pub role: Role,
    /// Why it could not happen, if it could not.
    pub refused: Option<String>,
}

/// One iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its number in the run.
    pub iteration: u64,
    /// The run's seed; with the number it decides the faults.
    pub seed: u64,
    /// What kept the lease.
    pub keeper: Keeper,
    /// The faults.
    pub faults: Vec<Happened>,
    /// The fault lasted until the other host wrote.
    pub until_moved: bool,
    /// From the first moment to the pair that serves again.
    pub took_ms: u64,
    /// From the faults' end to the pair that serves again.
    pub settled_ms: u64,
    /// The longest time in which nobody wrote.
    pub outage_ms: u64,
    /// How often another epoch began to write.
    pub moves: u32,
    /// Records that were judged.
    pub records: u64,
    /// The highest epoch at its end.
    pub epoch: u64,
    /// What was wrong. Empty is what the product promises.
    pub violations: Vec<String>,
    /// What happened when, in words.
    pub timeline: String,
}

/// The file of a run.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
}

impl Results {
    /// A new file, which must not be there yet, or hold nothing.
    ///
    /// # Errors
    /// When it holds something, or cannot be written.
    pub fn create(path: &Path) -> Result<Results> {
        if path.metadata().is_ok_and(|file| file.len() > 0) {
            bail!("{} holds a run already: go on with --resume, or name another file", path.display());
        }
        Results::open(path)
    }

    /// Goes on with a file; also gives what it holds.
    ///
    /// # Errors
    /// When it cannot be read, or holds no iteration to go on from.
    pub fn resume(path: &Path) -> Result<(Results, Vec<Outcome>)> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut outcomes = Vec::new();
        let mut whole = 0;
        for line in text.split_inclusive('\n') {
            // A run that was killed may have left half a line: that iteration is done again.
            if !line.ends_with('\n') {
                break;
            }
            whole += line.len();
            let outcome = serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))?;
            outcomes.push(outcome);
        }
        if outcomes.is_empty() {
            bail!("{} holds no iteration to go on from", path.display());
        }
        let results = Results::open(path)?;
        results.file.set_len(u64::try_from(whole)?)?;
        Ok((results, outcomes))
    }

    /// Appends an iteration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, outcome: &Outcome) -> Result<()> {
        let line = format!("{}\n", serde_json::to_string(outcome)?);
        self.file.write_all(line.as_bytes()).with_context(|| self.path.display().to_string())
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(path: &Path) -> Result<Results> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().create(true).append(true).open(path);
        Ok(Results { path: path.to_owned(), file: file.with_context(|| path.display().to_string())? })
    }
}

/// A whole run in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of each fault: iterations in which it happened, those with a move, the longest outage in ms.
    pub faults: BTreeMap<Fault, (u64, u64, u64)>,
    /// Iterations.
    pub iterations: u64,
    /// Faults that could not happen: to a host that was off, mostly.
    pub refused: u64,
    /// Moves of the service.
    pub moves: u64,
    /// Records judged.
    pub records: u64,
    /// The longest time in which nobody wrote, and in which iteration.
    pub outage_ms: (u64, u64),
    /// The longest time from the faults' end to a pair that serves, and in which iteration.
    pub settled_ms: (u64, u64),
    /// All violations, with their iteration.
    pub violations: Vec<(u64, String)>,
}

impl Summary {
    /// Of these iterations.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Summary {
        let mut summary = Summary::default();
        for outcome in outcomes {
            summary.add(outcome);
        }
        summary
    }

    fn add(&mut self, outcome: &Outcome) {
        self.iterations += 1;
        for one in &outcome.faults {
            if one.refused.is_some() {
                self.refused += 1;
                continue;
            }
            let (count, moved, outage_ms) = self.faults.entry(one.step.fault).or_default();
            *count += 1;
            *moved += u64::from(outcome.moves > 0);
            *outage_ms = outcome.outage_ms.max(*outage_ms);
        }
        self.moves += u64::from(outcome.moves);
        self.records += outcome.records;
        self.outage_ms = self.outage_ms.max((outcome.outage_ms, outcome.iteration));
        self.settled_ms = self.settled_ms.max((outcome.settled_ms, outcome.iteration));
        self.violations.extend(outcome.violations.iter().map(|what| (outcome.iteration, what.clone())));
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:>10} {:>10} {:>16}", "fault", "iterations", "with move", "longest outage")?;
        for (fault, (count, moved, outage_ms)) in &self.faults {
            writeln!(f, "{:<20} {count:>10} {moved:>10} {outage_ms:>13} ms", fault.to_string())?;
        }
        let Summary { iterations, refused, moves, records, outage_ms, settled_ms, violations, .. } = self;
        writeln!(f, "iterations: {iterations}, moves: {moves}, records judged: {records}")?;
        writeln!(f, "faults that could not happen: {refused}")?;
        writeln!(f, "longest outage: {} ms (iteration {})", outage_ms.0, outage_ms.1)?;
        writeln!(f, "longest way back to service after the faults: {} ms (iteration {})", settled_ms.0, settled_ms.1)?;
        write!(f, "violations: {}", violations.len())?;
        violations.iter().try_for_each(|(iteration, what)| write!(f, "\n  iteration {iteration}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::Target;

    fn outcome(iteration: u64) -> Outcome {
        let step = Step { fault: Fault::KillDaemon, target: Target::Active, at_ms: 1, for_ms: 0 };
        Outcome {
            iteration,
            seed: 3,
            keeper: Keeper::SharedStorage,
            faults: vec![Happened { step, role: Role::Master, refused: None }],
            until_moved: false,
            took_ms: 10,
            settled_ms: 5,
            outage_ms: 100 + iteration,
            moves: 1,
            records: 7,
            epoch: 2,
            violations: Vec::new(),
            timeline: "1 ms: it began\n".into(),
        }
    }

    #[test]
    fn a_run_is_gone_on_with_behind_its_last_whole_line() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("results.jsonl");
        let mut results = Results::create(&path)?;
        results.append(&outcome(0))?;
        results.append(&outcome(1))?;
        File::options().append(true).open(&path)?.write_all(b"{\"iteration\":2,\"se")?;
        assert!(Results::create(&path).is_err(), "a run must not be written over");
        let (mut results, found) = Results::resume(&path)?;
        assert_eq!(found, [outcome(0), outcome(1)]);
        results.append(&outcome(2))?;
        assert_eq!(Results::resume(&path)?.1, [outcome(0), outcome(1), outcome(2)]);
        Ok(())
    }

    #[test]
    fn the_summary_adds_up() {
        let mut bad = outcome(2);
        bad.violations.push("two writers".into());
        bad.faults[0].refused = Some("it was off".into());
        let summary = Summary::of(&[outcome(0), outcome(1), bad]);
        assert_eq!(summary.faults[&Fault::KillDaemon], (2, 2, 101));
        assert_eq!((summary.iterations, summary.refused, summary.moves, summary.records), (3, 1, 3, 21));
        assert_eq!(summary.outage_ms, (102, 2));
        assert!(summary.to_string().contains("iteration 2: two writers"), "{summary}");
    }
}
