//! Traces of own steps: where a stop looks besides its conditions. Kept in the journal, of which a daemon that starts, and
//! `stop-here`, read the end only: so what is known is written again before it gets too far from the end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::entries;
use crate::decision::BootId;
use crate::journal::Entry;
use crate::process::{self, ProcessGroup};

/// How far the journal is read back.
pub const JOURNAL_ENTRIES: usize = 256;
/// What is known is written again behind so many entries: half of [`JOURNAL_ENTRIES`], so that it is always among them.
pub(super) const AGAIN_AFTER: usize = JOURNAL_ENTRIES / 2;
/// So many groups go into one entry: a line of the journal is bounded.
const GROUPS_AN_ENTRY: usize = 128;

/// Traces of own steps in one kernel start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Process groups in which steps have left something running.
    pub groups: BTreeSet<ProcessGroup>,
    /// Control groups in which the service was seen.
    pub populated: BTreeSet<PathBuf>,
}

/// What is known, once more. Process groups in which nothing runs any more are forgotten: a number that is given away
/// again is another group.
pub(super) fn again(left: &Mutex<Left>, boot: BootId) -> Vec<Entry> {
    let lock = || left.lock().unwrap_or_else(PoisonError::into_inner);
    // Not looked at under the lock, which the loop takes as well.
    let mut known = lock().clone();
    let has_ended = |group: &ProcessGroup| process::in_group(*group).is_ok_and(|inside| inside.is_empty());
    let ended: BTreeSet<ProcessGroup> = known.groups.iter().copied().filter(has_ended).collect();
    known.groups.retain(|group| !ended.contains(group));
    lock().groups.retain(|group| !ended.contains(group));
    let groups: Vec<&ProcessGroup> = known.groups.iter().collect();
    let groups = groups.chunks(GROUPS_AN_ENTRY).map(|groups| {
        let boot = json!(boot.to_string());
        entries::entry("step", "what steps have left still runs", &[("left", json!(groups)), ("boot", boot)])
    });
    groups.chain(known.populated.iter().map(|group| populated_entry(group, boot))).collect()
}

/// The service was seen in this control group.
pub(super) fn populated_entry(group: &Path, boot: BootId) -> Entry {
    let text = format!("control group {} holds the service", group.display());
    entries::entry("step", &text, &[("populated", json!(group)), ("boot", json!(boot.to_string()))])
}

/// What steps of this kernel start have left running, as the journal remembers it.
#[must_use]
pub fn left_by_steps(journal: &[Entry], boot: BootId) -> Left {
    let mut left = Left::default();
    let boot = json!(boot.to_string());
    for entry in journal.iter().filter(|entry| entry.fields.get("boot") == Some(&boot)) {
        let groups = match entry.fields.get("left") {
            Some(Value::Array(groups)) => groups.as_slice(),
            Some(group) => std::slice::from_ref(group),
            None => &[],
        };
        left.groups
            .extend(groups.iter().filter_map(|group| serde_json::from_value::<ProcessGroup>(group.clone()).ok()));
        if let Some(group) = entry.fields.get("populated").and_then(Value::as_str) {
            left.populated.insert(group.into());
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;
    use crate::process::ProcessId;

    const BOOT: BootId = BootId(7 << 96);

    #[test]
    fn what_steps_left_is_remembered_within_one_kernel_start_only() {
        let journal = [populated_entry(Path::new("mail"), BOOT)];
        assert!(left_by_steps(&journal, BOOT).populated.contains(Path::new("mail")));
        assert!(left_by_steps(&journal, BootId(8 << 96)).populated.is_empty());
    }

    #[test]
    fn what_is_written_again_is_all_that_is_known_but_for_groups_that_have_ended() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let leader = process::look(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        let living = ProcessGroup { leader: leader.id, session: leader.session };
        let gone = |pid| ProcessGroup { leader: ProcessId { pid, started_ticks: 1 }, session: pid };
        let left = Left {
            groups: (i32::MAX - 3..i32::MAX).map(gone).chain([living]).collect(),
            populated: ["mail".into(), "system.slice/dovecot.service".into()].into(),
        };
        let left = Mutex::new(left);
        let entries = again(&left, BOOT);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = left.into_inner().unwrap();
        assert_eq!(left.groups, [living].into());
        assert_eq!(left_by_steps(&entries, BOOT), left);
        assert_eq!(again(&Mutex::default(), BOOT), []);
    }
}
