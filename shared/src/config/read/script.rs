//! The scripts of a service: two lists, or resources and the order that they go by.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::duration::show;
use super::super::fields::Fields;
use super::super::leaf::{choice, name, span, text};
use super::super::model::OnStopFailure;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::{Kind, Node};
use super::order::{asked, by_class, by_needs, order};
use crate::script::kind::{Action, AnyKind, Place};
use crate::script::{Class, Lists, Script, Stage};

/// Most stages of a list.
const STAGES_MAX: usize = 1024;
/// Most steps that run at the same time.
const PARALLEL_MAX: usize = 32;
/// What a resource may be asked, and how its limits are called.
const ACTIONS: [(Action, &str); 6] = [
    (Action::Start, "start"),
    (Action::Stop, "stop"),
    (Action::Monitor, "monitor"),
    (Action::Restart, "restart"),
    (Action::Exclusive, "exclusive"),
    (Action::Validate, "validate"),
];

/// The classes of Cluster Manager, by their words.
const CLASSES: [(&str, Class); 6] = [
    ("Device", Class::Device),
    ("Filesystem", Class::Filesystem),
    ("Nfs", Class::Nfs),
    ("Ip", Class::Ip),
    ("Samba", Class::Samba),
    ("UserApplication", Class::UserApplication),
];

pub(super) struct Scripts {
    pub(super) lists: Lists,
    pub(super) resources: Vec<Script>,
}

impl Scripts {
    /// What follows a failed stop where nothing is written: a person, if one of the contracts says so.
    pub(super) fn on_stop_failure(&self) -> OnStopFailure {
        let mut usual = self.lists.tasks().map(|(_, task)| task.script.contract().on_stop_failure());
        usual.find(|usual| *usual == OnStopFailure::AskOperator).unwrap_or_default()
    }
}

/// `startup_scripts` and `shutdown_scripts`, or `resources` and `order`.
pub(super) fn scripts(reader: &mut Reader<'_>, service: &mut Fields<'_>, limit: Duration) -> Read<Scripts> {
    if !service.has("resources") && !service.has("order") {
        service.known("resources");
        service.known("order");
        let start = service.required(reader, "startup_scripts", "[\"./start_1.sh\"]", list(Action::Start, limit));
        let stop = service.required(reader, "shutdown_scripts", "[\"./shutdown_1.sh\"]", list(Action::Stop, limit));
        return Some(Scripts { lists: Lists::same(start?, stop?), resources: Vec::new() });
    }
    for key in ["startup_scripts", "shutdown_scripts"] {
        service.known(key);
        if service.has(key) {
            let problem = Problem::at(service.place(key), format!("`{key}` stands beside `resources`"));
            reader.problem(problem.help(
                "write either: a pair of lines becomes the resource `Step(name: \"…\", start: \"…\", stop: \"…\")`",
            ));
        }
    }
    let stages = service.required(
        reader,
        "resources",
        "[Step(start: \"./start.sh\", stop: \"./stop.sh\")]",
        |reader, node, path| {
            let stages =
                staged(reader, node, path, |reader, node, path| entry(reader, node, path, Place::Resource, limit))?;
            names_differ(reader, node, &stages)?;
            by_needs(reader, node, stages)
        },
    );
    service.known("order");
    // Where the resources are wrong, every name in the order would be wrong too.
    let known = stages?;
    let lists = if known.iter().flatten().any(|script| script.class.is_some()) {
        by_class(reader, service, &known)
    } else {
        service.or(reader, "order", "Order()", |reader, node, path| order(reader, node, path, &known))
    };
    Some(Scripts { lists: lists?, resources: known.into_iter().flatten().collect() })
}

fn list(action: Action, limit: Duration) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Read<Vec<Stage>> {
    move |reader, node, path| {
        let stages =
            staged(reader, node, path, |reader, node, path| entry(reader, node, path, Place::List(action), limit));
        Some(asked(&stages?, action))
    }
}

/// A list whose entries are single things, or lists of things for the same time.
pub(super) fn staged<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    read: impl Fn(&mut Reader<'_>, &Node, &str) -> Read<T>,
) -> Read<Vec<Vec<T>>> {
    reader.list(node, path, (1, STAGES_MAX), |reader, node, path| match node.kind {
        Kind::List(_) => reader.list(node, path, (1, PARALLEL_MAX), &read),
        _ => Some(vec![read(reader, node, path)?]),
    })
}

/// A line, or `KIND(…)`.
fn entry(reader: &mut Reader<'_>, node: &Node, path: &str, place: Place, limit: Duration) -> Read<Script> {
    if let (Kind::Text(line), Place::List(action)) = (&node.kind, place) {
        let command = super::super::model::Step { command: line.clone(), timeout: limit };
        text(reader, node, path)?;
        reader.note_default(&format!("{path}.timeout"), format!("{:?}", show(limit)));
        return Some(crate::script::Task::line(action, &command).script);
    }
    let (word, mut fields) = match &node.kind {
        Kind::Group { name: None, fields } => ("Step", Fields::collect(reader, fields, &node.span, path, "Step")),
        _ => {
            let variant = reader.variant(node, AnyKind::WORDS)?;
            (variant.word, reader.variant_fields(&variant, path))
        }
    };
    let kind = AnyKind::read(word, reader, &mut fields, place);
    let default = kind.as_ref().map(|kind| kind.contract().name());
    let shown = format!("{:?}", default.as_deref().unwrap_or_default());
    let name = fields.or_value(reader, "name", default, &shown, name);
    let limits = limits(reader, &mut fields, kind.as_ref(), place, limit);
    let run_as = fields.optional(reader, "run_as", super::super::leaf::name);
    let needs = match place {
        Place::Resource => fields.or(reader, "needs", "[]", |reader, node, path| {
            reader.list(node, path, (0, STAGES_MAX), super::super::leaf::name)
        }),
        Place::List(_) => Some(Vec::new()),
    };
    let class = match place {
        Place::Resource => fields.optional(reader, "class", choice(&CLASSES)),
        Place::List(_) => Some(None),
    };
    fields.finish(reader);
    Some(Script { name: name?, kind: kind?, limits: limits?, run_as: run_as?, needs: needs?, class: class? })
}

/// `timeout: "60s"` for everything that it is asked, or `timeout: (start: "60s", monitor: "10s")`. What is not written is
/// the contract's own limit, and else `script_timeout`.
fn limits(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    kind: Option<&AnyKind>,
    place: Place,
    limit: Duration,
) -> Read<BTreeMap<Action, Duration>> {
    let asked = |action: Action| match place {
        Place::List(only) => action == only,
        Place::Resource => kind.is_some_and(|kind| kind.contract().can(action)),
    };
    let of_contract = |action: Action| kind.and_then(|kind| kind.contract().limit(action)).unwrap_or(limit);
    let defaults: BTreeMap<Action, Duration> = ACTIONS
        .into_iter()
        .filter(|(action, _)| asked(*action))
        .map(|(action, _)| (action, of_contract(action)))
        .collect();
    let shown =
        match defaults.values().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().as_slice() {
            [one] => format!("{:?}", show(**one)),
            _ => {
                let named = ACTIONS.iter().filter_map(|(action, word)| Some((word, defaults.get(action)?)));
                format!(
                    "({})",
                    named.map(|(word, span)| format!("{word}: {:?}", show(*span))).collect::<Vec<_>>().join(", ")
                )
            }
        };
    let read = |reader: &mut Reader<'_>, node: &Node, path: &str| {
        if !matches!(node.kind, Kind::Group { .. }) {
            let one = span(reader, node, path)?;
            return Some(defaults.keys().map(|action| (*action, one)).collect());
        }
        let mut group = reader.fields(node, path, "Timeout")?;
        let mut limits = BTreeMap::new();
        for (action, word) in ACTIONS {
            if let Some(default) = defaults.get(&action) {
                let written = group.or_value(reader, word, Some(*default), &format!("{:?}", show(*default)), span);
                limits.extend(written.map(|limit| (action, limit)));
            }
        }
        group.finish(reader);
        (limits.len() == defaults.len()).then_some(limits)
    };
    fields.or_value(reader, "timeout", Some(defaults.clone()), &shown, read)
}

fn names_differ(reader: &mut Reader<'_>, node: &Node, stages: &[Vec<Script>]) -> Read<()> {
    let mut seen: Vec<&str> = Vec::new();
    for script in stages.iter().flatten() {
        if seen.contains(&script.name.as_str()) {
            let problem = Problem::at(node.span.clone(), format!("two resources have the name {:?}", script.name));
            reader.problem(problem.help("give one of them another, as in `name: \"second\"`"));
            return None;
        }
        seen.push(&script.name);
    }
    Some(())
}
