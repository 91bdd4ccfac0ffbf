//! Steps in the journal: written before and after each, read back after a crash.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::disk::Disk;
use super::left::Left;
use super::{Input, entries};
use crate::decision::{BootId, Epoch, Forced};
use crate::journal::Entry;
use crate::script::{Direction, Position, StepEvent};

/// A step at work, for status and progress.
#[derive(Clone, Debug)]
pub(crate) struct StepAt {
    pub(crate) direction: Direction,
    pub(crate) index: u32,
    pub(crate) of: u32,
    pub(crate) command: String,
}

/// A step began or ended.
pub(crate) enum StepProgress {
    /// It runs.
    Begins(StepAt),
    /// The step of this number ended.
    Ended(u32),
}

/// `start` or `stop`.
pub(crate) const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Start => "start",
        Direction::Restart => "restart",
        Direction::Stop => "stop",
    }
}

/// Starts the task that writes a list's events down. It ends with the list; a step waits for it, not the loop.
pub(super) fn record(
    direction: Direction,
    epoch: Epoch,
    boot: BootId,
    disk: Disk,
    inputs: mpsc::Sender<Input>,
    left_behind: Arc<Mutex<Left>>,
) -> mpsc::Sender<StepEvent> {
    let (events, mut told) = mpsc::channel(16);
    let list = word(direction);
    tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            match event {
                StepEvent::Before { index, of, command, gate } => {
                    let at = StepAt { direction, index, of, command };
                    let text = format!("{list} step {index}/{of} begins");
                    let entry = entries::entry("step", &text, &fields(epoch, boot, &at));
                    // Told first: the operator's view must not wait for the disk.
                    let _ = inputs.send(Input::Step(StepProgress::Begins(at))).await;
                    if disk.note_durably(entry).await {
                        gate.open();
                    }
                }
                StepEvent::After { index, of, command, exit, passed, said, duration, tail, left, gate } => {
                    let at = StepAt { direction, index, of, command };
                    // Written, not synced: a list is gone on with in the same start of the kernel only, and what the
                    // kernel has is not lost with the daemon.
                    let mut entry =
                        entries::entry("step", &format!("{list} step {index}/{of}: {said}"), &fields(epoch, boot, &at))
                            .with("result", exit.to_string())
                            .with("passed", passed)
                            .with("duration_ms", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
                            .with("tail", tail);
                    if let Some(group) = left {
                        entry = entry.with("left", json!(group));
                        left_behind.lock().unwrap_or_else(PoisonError::into_inner).groups.insert(group);
                    }
                    let written = disk.note_written(entry).await;
                    if written {
                        gate.open();
                    }
                    let _ = inputs.send(Input::Step(StepProgress::Ended(index))).await;
                }
                StepEvent::Note { text } => {
                    tracing::info!(list, "{text}");
                    disk.note(entries::entry("step", &text, &[("list", json!(list)), ("epoch", json!(epoch))]));
                }
            }
        }
    });
    events
}

fn fields(epoch: Epoch, boot: BootId, at: &StepAt) -> Vec<(&'static str, Value)> {
    vec![
        ("list", json!(word(at.direction))),
        ("index", json!(at.index)),
        ("of", json!(at.of)),
        ("epoch", json!(epoch)),
        ("boot", json!(boot.to_string())),
        ("command", json!(at.command)),
    ]
}

/// Where an interrupted list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interrupted {
    /// At this step.
    pub(super) position: Position,
    /// The step before it had failed, and what follows a failed step of a stop had not ended.
    pub(super) failed: Option<Forced>,
}

impl Interrupted {
    /// It was not: it begins.
    pub(super) fn nowhere() -> Interrupted {
        Interrupted { position: Position::first(), failed: None }
    }
}

/// A list goes on behind the last step that ended, or with the one that was running; of steps that ran at the same time,
/// with those that had not ended. A start never goes past a step that failed. So only the steps that are gone on with
/// may run twice.
pub(super) fn interrupted_at(journal: &[Entry], direction: Direction, epoch: Epoch) -> Interrupted {
    let of_list = |entry: &&Entry| {
        entry.kind == "step"
            && entry.fields.get("list") == Some(&json!(word(direction)))
            && entry.fields.get("epoch") == Some(&json!(epoch))
    };
    let Interrupted { mut position, mut failed } = Interrupted::nowhere();
    let mut open = BTreeSet::new();
    for entry in journal.iter().filter(of_list) {
        let index = entry.fields.get("index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok());
        let Some(index) = index else { continue };
        if !entry.fields.contains_key("result") {
            if position.ended.contains(&index) {
                // It begins again after it had ended: the list was run again from here.
                position.ended.clear();
            }
            if open.is_empty() {
                failed = None;
            }
            open.insert(index);
            position.step = index;
            continue;
        }
        open.remove(&index);
        position.step = position.step.max(index);
        let passed = entry.fields.get("passed") != Some(&Value::Bool(false));
        if passed || direction == Direction::Stop {
            position.ended.insert(index);
        }
        if !passed && direction == Direction::Stop && failed.is_none() {
            let text = |name| entry.fields.get(name).and_then(Value::as_str).unwrap_or_default();
            let reason = format!("step {index} ({}) {}", text("command"), text("result"));
            failed = Some(Forced { step: index, reason });
        }
    }
    Interrupted { position, failed: failed.filter(|_| open.is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId(7 << 96);

    fn step(direction: Direction, index: u32, epoch: u64, ended: bool) -> Entry {
        let at = StepAt { direction, index, of: 3, command: "x".into() };
        let entry = entries::entry("step", "", &fields(Epoch(epoch), BOOT, &at));
        if ended { entry.with("result", "exited 0").with("passed", true) } else { entry }
    }

    fn at(journal: &[Entry], direction: Direction) -> (u32, Vec<u32>) {
        let position = interrupted_at(journal, direction, Epoch(4)).position;
        (position.step, position.ended.into_iter().collect())
    }

    #[test]
    fn an_interrupted_list_goes_on_at_the_step_that_was_running() {
        let start = Direction::Start;
        let journal = [step(start, 1, 4, false), step(start, 1, 4, true), step(start, 2, 4, false)];
        assert_eq!(at(&journal, start), (2, vec![1]));
        assert_eq!(at(&journal[..2], start), (1, vec![1]));
        assert_eq!(at(&journal[..1], start), (1, vec![]));
    }

    #[test]
    fn of_steps_that_ran_at_the_same_time_those_go_on_that_had_not_ended() {
        let stop = Direction::Stop;
        let failed = step(stop, 3, 4, false).with("result", "exited 3").with("passed", false);
        let journal = [step(stop, 2, 4, false), step(stop, 3, 4, false), failed, step(stop, 2, 4, true)];
        assert_eq!(at(&journal[..3], stop), (3, vec![3]));
        assert_eq!(interrupted_at(&journal[..3], stop, Epoch(4)).failed, None, "the stage had not ended");
        assert_eq!(interrupted_at(&journal, stop, Epoch(4)).failed.map(|forced| forced.step), Some(3));
    }

    #[test]
    fn a_list_that_was_begun_again_does_not_skip_what_had_ended_the_time_before() {
        let start = Direction::Start;
        let journal = [step(start, 1, 4, false), step(start, 1, 4, true), step(start, 1, 4, false)];
        assert_eq!(interrupted_at(&journal, start, Epoch(4)), Interrupted::nowhere());
    }

    #[test]
    fn a_stop_goes_on_behind_a_failed_step_and_a_start_never_goes_past_it() {
        let failed = |direction| step(direction, 2, 4, false).with("result", "exited 3").with("passed", false);
        let forced = Forced { step: 2, reason: "step 2 (x) exited 3".into() };
        let behind = interrupted_at(&[failed(Direction::Stop)], Direction::Stop, Epoch(4));
        assert_eq!((behind.position.step, behind.position.ended, behind.failed), (2, [2].into(), Some(forced)));
        assert_eq!(at(&[failed(Direction::Start)], Direction::Start), (2, vec![]));
    }

    #[test]
    fn steps_of_another_list_or_epoch_are_history() {
        let journal = [step(Direction::Stop, 3, 4, true), step(Direction::Start, 2, 2, true)];
        assert_eq!(interrupted_at(&journal, Direction::Start, Epoch(4)), Interrupted::nowhere());
        assert_eq!(interrupted_at(&[], Direction::Start, Epoch(4)), Interrupted::nowhere());
    }
}
