//! Journal entries: one shape for each kind, so that readers of the journal can rely on it.

use serde_json::{Value, json};

use crate::decision::{Note, Page, StateName};
use crate::journal::Entry;

/// A decision's reason.
pub(super) fn decision(note: &Note) -> Entry {
    let rule = note.rule;
    entry("decision", rule.sentence(), &[("rule", json!(rule)), ("evidence", json!(note.evidence))])
}

/// A transition.
pub(super) fn transition(from: StateName, to: StateName, epoch: u64) -> Entry {
    entry("state", &format!("{from:?} -> {to:?}"), &[("from", json!(from)), ("to", json!(to)), ("epoch", json!(epoch))])
}

/// A call for a person.
pub(super) fn page(page: &Page) -> Entry {
    entry(
        "page",
        &page.cause,
        &[("kind", json!(page.kind)), ("effect", json!(page.effect)), ("next", json!(page.next))],
    )
}

/// An operator's command and its answer.
pub(super) fn command(text: &str, by: &str, answer: &Result<String, String>) -> Entry {
    let (accepted, said) = match answer {
        Ok(said) => (true, said),
        Err(said) => (false, said),
    };
    entry("command", text, &[("by", json!(by)), ("accepted", json!(accepted)), ("answer", json!(said))])
}

/// Anything else, by kind: `daemon`, `balancer`, `check`, `config`, `copy`, `service`, `step`.
pub(super) fn entry(kind: &str, text: &str, fields: &[(&str, Value)]) -> Entry {
    fields.iter().fold(Entry::now(kind, text), |entry, (name, value)| entry.with(name, value.clone()))
}
