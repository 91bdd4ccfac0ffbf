//! The scripts of a service: two lists, or resources and the order that they go by.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::duration::show;
use super::super::fields::Fields;
use super::super::leaf::{name, span, text};
use super::super::model::OnStopFailure;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::suggest::nearest;
use super::super::tree::{Kind, Node, Span};
use crate::script::kind::{Action, AnyKind, Place};
use crate::script::{Lists, Script, Stage};

/// Most stages of a list.
const STAGES_MAX: usize = 1024;
/// Most steps that run at the same time.
const PARALLEL_MAX: usize = 32;
/// What a resource may be asked, and how its limits are called.
const ACTIONS: [(Action, &str); 5] = [
    (Action::Start, "start"),
    (Action::Stop, "stop"),
    (Action::Monitor, "monitor"),
    (Action::Restart, "restart"),
    (Action::Exclusive, "exclusive"),
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
    let order = service.or(reader, "order", "Order()", |reader, node, path| order(reader, node, path, &known));
    Some(Scripts { lists: order?, resources: known.into_iter().flatten().collect() })
}

fn list(action: Action, limit: Duration) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Read<Vec<Stage>> {
    move |reader, node, path| {
        let stages =
            staged(reader, node, path, |reader, node, path| entry(reader, node, path, Place::List(action), limit));
        Some(asked(&stages?, action))
    }
}

/// A list whose entries are single things, or lists of things for the same time.
fn staged<T>(
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
    fields.finish(reader);
    Some(Script { name: name?, kind: kind?, limits: limits?, run_as: run_as?, needs: needs? })
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

/// The stages with each resource behind what it needs, and else as they were written.
fn by_needs(reader: &mut Reader<'_>, node: &Node, written: Vec<Vec<Script>>) -> Read<Vec<Vec<Script>>> {
    let names: Vec<String> = written.iter().flatten().map(|script| script.name.clone()).collect();
    for script in written.iter().flatten() {
        for need in script.needs.iter().filter(|need| !names.contains(need)) {
            let message = format!("the resource {:?} needs {need:?}, and no resource has that name", script.name);
            let problem = Problem::at(node.span.clone(), message);
            reader.problem(match nearest(need, names.iter().map(String::as_str)) {
                Some(near) => problem.help(format!("did you mean {near:?}?")),
                None => problem.help("write the names of other resources into `needs`"),
            });
            return None;
        }
    }
    let mut sorted: Vec<Vec<Script>> = Vec::new();
    let mut waiting = written;
    while !waiting.is_empty() {
        let placed = |name: &String| sorted.iter().flatten().any(|script: &Script| script.name == *name);
        let ready = |script: &Script| script.needs.iter().all(placed);
        let Some(at) = waiting.iter().position(|stage| stage.iter().any(ready)) else {
            let names: Vec<&str> = waiting.iter().flatten().map(|script| script.name.as_str()).collect();
            let problem =
                Problem::at(node.span.clone(), format!("these resources wait for each other: {}", names.join(", ")));
            reader.problem(problem.help("take one name out of a `needs`, so that one of them can be the first"));
            return None;
        };
        let (stage, later): (Vec<Script>, Vec<Script>) = waiting.remove(at).into_iter().partition(ready);
        sorted.push(stage);
        if !later.is_empty() {
            waiting.insert(at, later);
        }
    }
    Some(sorted)
}

/// The order of the resources for each of the four operations. A start goes by the file, a stop by the reverse of the
/// start on the same host.
fn order(reader: &mut Reader<'_>, node: &Node, path: &str, known: &[Vec<Script>]) -> Read<Lists> {
    let mut order = reader.fields(node, path, "Order")?;
    let read = |reader: &mut Reader<'_>, node: &Node, path: &str| named(reader, node, path, known);
    let written = known.to_vec();
    let takeback = order.or_value(reader, "takeback", Some(written.clone()), "the order of `resources`", read)?;
    let takeover = order.or_value(reader, "takeover", Some(written), "the order of `resources`", read)?;
    let reverse = |stages: &[Vec<Script>]| Some(stages.iter().rev().cloned().collect::<Vec<_>>());
    let giveaway = order.or_value(reader, "giveaway", reverse(&takeback), "the reverse of `takeback`", read)?;
    let giveback = order.or_value(reader, "giveback", reverse(&takeover), "the reverse of `takeover`", read)?;
    let places = ["takeback", "takeover", "giveaway", "giveback"].map(|key| (key, order.place(key)));
    order.finish(reader);
    for ((key, place), (stages, stops)) in
        places.into_iter().zip([(&takeback, false), (&takeover, false), (&giveaway, true), (&giveback, true)])
    {
        needs_kept(reader, key, place, stages, stops)?;
    }
    Some(Lists {
        takeback: asked(&takeback, Action::Start),
        takeover: asked(&takeover, Action::Start),
        giveaway: asked(&giveaway, Action::Stop),
        giveback: asked(&giveback, Action::Stop),
    })
}

/// A written order starts nothing before what it needs, and stops nothing that is still needed.
fn needs_kept(reader: &mut Reader<'_>, key: &str, place: Span, stages: &[Vec<Script>], stops: bool) -> Read<()> {
    let stage_of = |name: &str| stages.iter().position(|stage| stage.iter().any(|script| script.name == name));
    for script in stages.iter().flatten() {
        for need in &script.needs {
            let (own, needed) = (stage_of(&script.name), stage_of(need));
            let kept = if stops { own < needed } else { needed < own };
            if !kept {
                let (what, first) = if stops { ("stops", need) } else { ("starts", &script.name) };
                let second = if stops { &script.name } else { need };
                let message =
                    format!("`{key}` {what} {first:?} before {second:?}, and {:?} needs {need:?}", script.name);
                reader.problem(Problem::at(place, message).help("change the order, or take the name out of `needs`"));
                return None;
            }
        }
    }
    Some(())
}

/// Every resource by its name, once.
fn named(reader: &mut Reader<'_>, node: &Node, path: &str, known: &[Vec<Script>]) -> Read<Vec<Vec<Script>>> {
    let find = |reader: &mut Reader<'_>, node: &Node, path: &str| {
        let wanted = text(reader, node, path)?;
        let found = known.iter().flatten().find(|script| script.name == wanted);
        if found.is_none() {
            let problem = Problem::at(node.span.clone(), format!("no resource has the name {wanted:?}"));
            let near = nearest(&wanted, known.iter().flatten().map(|script| script.name.as_str()));
            reader.problem(match near {
                Some(near) => problem.help(format!("did you mean {near:?}?")),
                None => problem.help("write the names of the resources"),
            });
        }
        found.cloned()
    };
    let stages = staged(reader, node, path, find)?;
    for script in known.iter().flatten() {
        let times = stages.iter().flatten().filter(|one| one.name == script.name).count();
        if times != 1 {
            let times = if times == 0 { "not at all".to_owned() } else { format!("{times} times") };
            let problem = Problem::at(node.span.clone(), format!("the resource {:?} stands here {times}", script.name));
            reader.problem(problem.help("an order names every resource once"));
            return None;
        }
    }
    Some(stages)
}

fn asked(stages: &[Vec<Script>], action: Action) -> Vec<Stage> {
    stages.iter().map(|stage| stage.iter().map(|script| script.to(action)).collect()).collect()
}
