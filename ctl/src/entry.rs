//! Journal entries, of one host or of both.

use failover_shared::control::Request;
use failover_shared::decision::{Millis, Rule};
use failover_shared::journal;
use failover_shared::status::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::daemon::{Daemon, DaemonError, HISTORY_LIMIT};
use crate::out::harmless;

/// One entry, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Entry {
    pub(crate) host: String,
    #[serde(flatten)]
    pub(crate) written: journal::Entry,
}

impl Entry {
    /// A text among its fields.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.written.fields.get(name).and_then(Value::as_str)
    }

    /// A number among its fields.
    fn number(&self, name: &str) -> Option<u64> {
        self.written.fields.get(name).and_then(Value::as_u64)
    }

    /// The rule of a decision, where this version of the command knows it.
    pub(crate) fn rule(&self) -> Option<Rule> {
        self.written.fields.get("rule").and_then(|name| Rule::deserialize(name).ok())
    }

    /// The evidence of a decision.
    pub(crate) fn evidence(&self) -> Vec<&str> {
        let list = self.written.fields.get("evidence").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).filter(|text| !text.is_empty()).collect()
    }

    /// What is particular to this decision. The views of both hosts stand behind every one; `why` prints them.
    pub(crate) fn detail(&self) -> String {
        let views = ["master: ", "slave: ", "checks of the peer: "];
        let particular = |text: &&str| !views.iter().any(|view| text.starts_with(view));
        self.evidence().into_iter().filter(particular).collect::<Vec<_>>().join("; ")
    }

    /// It in one line, without time and host.
    pub(crate) fn line(&self) -> String {
        let text = &self.written.text;
        let line = match self.written.kind.as_str() {
            "step" => self.step(),
            "decision" if !self.detail().is_empty() => format!("{text} ({})", self.detail()),
            "page" => {
                let stop = if text.ends_with('.') { "" } else { "." };
                format!("{text}{stop} {}", self.field("effect").unwrap_or_default())
            }
            "command" => {
                let by = self.field("by").map(|by| format!(", by {by}")).unwrap_or_default();
                let answer = self.field("answer").map(|answer| format!(" - {answer}")).unwrap_or_default();
                format!("{text}{by}{answer}")
            }
            _ => text.clone(),
        };
        harmless(&line)
    }

    fn step(&self) -> String {
        let (Some(list), Some(index), Some(of)) = (self.field("list"), self.number("index"), self.number("of")) else {
            return self.written.text.clone();
        };
        let command = self.field("command").unwrap_or_default();
        let ended = match (self.field("result"), self.number("duration_ms")) {
            (None, _) => "begins".to_string(),
            (Some(result), None) => result.to_string(),
            (Some(result), Some(spent)) => format!("{result} after {}", Millis(spent)),
        };
        format!("{list} {index}/{of} {command} {ended}")
    }

    /// The last output of a step that did not go well. Of one that did, nobody needs it.
    pub(crate) fn complaint(&self) -> Option<Vec<String>> {
        let failed = self.written.kind == "step" && self.field("result").is_some_and(|result| result != "exit 0");
        let tail = self.field("tail").filter(|tail| failed && !tail.trim().is_empty())?;
        Some(tail.lines().map(harmless).collect())
    }
}

/// The newest entries of this host.
pub(crate) async fn own(daemon: &Daemon, host: &str, after: u64, count: u32) -> Result<Vec<Entry>, DaemonError> {
    let entries: Vec<journal::Entry> = daemon.ask(&Request::History { after, count }, HISTORY_LIMIT).await?;
    Ok(of_host(entries, host))
}

/// The newest entries of the other host.
pub(crate) async fn of_peer(
    daemon: &Daemon,
    host: &str,
    count: u32,
    limit: std::time::Duration,
) -> Result<Vec<Entry>, DaemonError> {
    let entries: Vec<journal::Entry> = daemon.ask(&Request::PeerHistory { count }, limit).await?;
    Ok(of_host(entries, host))
}

/// The newest entries of both hosts in the order of their wall clocks, and why the other host's are missing.
pub(crate) async fn of_both(
    daemon: &Daemon,
    status: &Status,
    count: u32,
) -> Result<(Vec<Entry>, Option<String>), DaemonError> {
    let ours = own(daemon, &status.host, 0, count).await?;
    let (theirs, missing) = match of_peer(daemon, &status.peer.host, count, HISTORY_LIMIT).await {
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
            (Some(our), Some(their)) if our.written.utc <= their.written.utc => ours.next(),
            (_, Some(_)) => theirs.next(),
            (_, None) => ours.next(),
        };
        match next {
            Some(entry) => merged.push(entry),
            None => return merged,
        }
    }
}

fn of_host(entries: Vec<journal::Entry>, host: &str) -> Vec<Entry> {
    entries.into_iter().map(|written| Entry { host: host.to_string(), written }).collect()
}
