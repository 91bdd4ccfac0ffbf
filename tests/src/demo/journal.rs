//! Follows what the pair itself says of its doing: both hosts' journals, and the reader's lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::stage::{SLAVE, Stage};
use super::timeline::Timeline;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The journal's kinds that an audience wants to see.
const SHOWN: [&str; 5] = ["state", "decision", "step", "page", "command"];

/// What was followed so far. Ends its thread when dropped.
pub struct Followed {
    entries: Arc<Mutex<Vec<Value>>>,
    lines: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Followed {
    /// Follows the journals through the slave's daemon, which lives through both acts.
    pub fn begin(stage: Arc<dyn Stage>, timeline: &Timeline) -> Followed {
        let (entries, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (into, flag, timeline) = (Arc::clone(&entries), Arc::clone(&stop), timeline.clone());
        let thread = std::thread::spawn(move || {
            let mut known = BTreeSet::new();
            while !flag.load(Ordering::Relaxed) {
                for entry in new_entries(stage.as_ref(), &mut known) {
                    show(&entry, &timeline);
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Followed { entries, lines: Arc::default(), stop, threads: vec![thread] }
    }

    /// Follows the reader's lines too.
    pub fn reader(&mut self, file: PathBuf, timeline: &Timeline) {
        let (into, flag, timeline) = (Arc::clone(&self.lines), Arc::clone(&self.stop), timeline.clone());
        self.threads.push(std::thread::spawn(move || {
            let mut known = 0;
            while !flag.load(Ordering::Relaxed) {
                for line in whole_lines(&file).into_iter().skip(known) {
                    known += 1;
                    if let Some((time, text)) = line.split_once(' ')
                        && let Ok(time_ms) = time.parse()
                    {
                        timeline.at(time_ms, "reader", text);
                    }
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }));
    }

    /// How many lines the reader has written.
    #[must_use]
    pub fn reader_lines(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The reader's lines from this one on.
    #[must_use]
    pub fn reader_since(&self, first: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(first).cloned().collect()
    }

    /// How many journal entries there are.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether an entry from this one on names the rule.
    #[must_use]
    pub fn rule_since(&self, first: usize, rule: &str) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().skip(first).any(|entry| entry["fields"]["rule"] == rule)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The entries that were not known, oldest first. A daemon that does not answer now is asked again later.
fn new_entries(stage: &dyn Stage, known: &mut BTreeSet<(String, u64)>) -> Vec<Value> {
    let Ok(answer) = stage.operator(SLAVE, &["history", "--json", "--count", "200"], Duration::from_secs(10)) else {
        return Vec::new();
    };
    let entries = answer.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries
        .filter(|entry| {
            let host = entry["host"].as_str().unwrap_or_default().to_owned();
            known.insert((host, entry["sequence"].as_u64().unwrap_or_default()))
        })
        .collect()
}

fn show(entry: &Value, timeline: &Timeline) {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let time = text("utc").parse::<jiff::Timestamp>().ok();
    let time_ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    if let Some(time_ms) = time_ms
        && SHOWN.contains(&text("kind"))
    {
        timeline.at(time_ms, text("host"), text("text"));
    }
}

fn whole_lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    text[..end].lines().map(str::to_owned).collect()
}
