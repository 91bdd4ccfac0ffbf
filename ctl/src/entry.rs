//! Journal entries, of one host or of both.

use failover_shared::control::Request;
use failover_shared::decision::{Millis, Rule};
use failover_shared::status::Status;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::daemon::{Daemon, DaemonError, LOOK_LIMIT};
use crate::out::harmless;

/// One entry, as the daemon gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Whose it is. The daemon leaves it out; it is filled in when two journals are merged.
    #[serde(default)]
    pub(crate) host: String,
    /// Counts the entries of its host, from 1.
    pub(crate) sequence: u64,
    /// When, by the host's wall clock.
    pub(crate) utc: Timestamp,
    /// When, by the host's clock since its kernel started. This one never jumps.
    pub(crate) uptime_ms: u64,
    /// `state`, `decision`, `step`, `page`, `command`, `balancer`, `check`, `daemon`.
    pub(crate) kind: String,
    /// In words.
    pub(crate) text: String,
    /// What belongs to the kind.
    #[serde(default)]
    pub(crate) fields: Map<String, Value>,
}

impl Entry {
    /// A text among its fields.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    /// A number among its fields.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    /// The rule of a decision, where this version of the command knows it.
    pub(crate) fn rule(&self) -> Option<Rule> {
        self.fields.get("rule").and_then(|name| Rule::deserialize(name).ok())
    }

    /// The evidence of a decision.
    pub(crate) fn evidence(&self) -> Vec<&str> {
        let list = self.fields.get("evidence").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// It in one line, without time and host.
    pub(crate) fn line(&self) -> String {
        match self.kind.as_str() {
            "step" => self.step(),
            _ => harmless(&self.text),
        }
    }

    fn step(&self) -> String {
        let (Some(list), Some(index), Some(of)) = (self.field("list"), self.number("index"), self.number("of")) else {
            return harmless(&self.text);
        };
        let command = self.field("command").unwrap_or_default();
        let ended = match (self.field("result"), self.number("duration_ms")) {
            (None, _) => "begins".to_string(),
            (Some(result), None) => result.to_string(),
            (Some(result), Some(spent)) => format!("{result} after {}", Millis(spent)),
        };
        harmless(&format!("{list} {index}/{of} {command} {ended}"))
    }

    /// The last output of a step that did not go well. Of one that did, nobody needs it.
    pub(crate) fn complaint(&self) -> Option<Vec<String>> {
        let failed = self.kind == "step" && self.field("result").is_some_and(|result| !went_well(result));
        let tail = self.field("tail").filter(|tail| failed && !tail.trim().is_empty())?;
        Some(tail.lines().map(harmless).collect())
    }
}

fn went_well(result: &str) -> bool {
    result == "ok" || result == "exit 0" || result == "passed" || result == "done"
}

/// The newest entries of this host.
pub(crate) async fn own(daemon: &Daemon, host: &str, after: u64, count: u32) -> Result<Vec<Entry>, DaemonError> {
    let entries: Vec<Entry> = daemon.ask(&Request::History { after, count }, LOOK_LIMIT).await?;
    Ok(of_host(entries, host))
}

/// The newest entries of the other host.
pub(crate) async fn of_peer(
    daemon: &Daemon,
    host: &str,
    count: u32,
    limit: std::time::Duration,
) -> Result<Vec<Entry>, DaemonError> {
    let entries: Vec<Entry> = daemon.ask(&Request::PeerHistory { count }, limit).await?;
    Ok(of_host(entries, host))
}

/// The newest entries of both hosts in the order of their wall clocks, and why the other host's are missing.
pub(crate) async fn of_both(
    daemon: &Daemon,
    status: &Status,
    count: u32,
) -> Result<(Vec<Entry>, Option<String>), DaemonError> {
    let ours = own(daemon, &status.host, 0, count).await?;
    let (theirs, missing) = match of_peer(daemon, &status.peer.host, count, LOOK_LIMIT).await {
        Ok(theirs) => (theirs, None),
        Err(error) => (Vec::new(), Some(error.to_string().lines().next().unwrap_or_default().to_string())),
    };
    let mut entries = merge(ours, theirs);
    let surplus = entries.len().saturating_sub(count as usize);
    entries.drain(..surplus);
    Ok((entries, missing))
}

/// Two journals as one, by wall clock. What one host wrote keeps its order even if its clock was set back in between,
/// which is why this is a merge and no sort.
pub(crate) fn merge(ours: Vec<Entry>, theirs: Vec<Entry>) -> Vec<Entry> {
    let mut merged = Vec::with_capacity(ours.len() + theirs.len());
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    loop {
        let next = match (ours.peek(), theirs.peek()) {
            (Some(our), Some(their)) if our.utc <= their.utc => ours.next(),
            (_, Some(_)) => theirs.next(),
            (_, None) => ours.next(),
        };
        match next {
            Some(entry) => merged.push(entry),
            None => return merged,
        }
    }
}

fn of_host(mut entries: Vec<Entry>, host: &str) -> Vec<Entry> {
    for entry in &mut entries {
        entry.host = host.to_string();
    }
    entries
}
