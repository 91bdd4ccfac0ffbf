//! The order of the resources: by the file, by what they need, by their classes, or as it is written.

use super::super::fields::Fields;
use super::super::leaf::text;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::suggest::nearest;
use super::super::tree::{Node, Span};
use super::script::staged;
use crate::script::kind::Action;
use crate::script::{Class, Lists, Script, Stage};

/// The stages with each resource behind what it needs, and else as they were written.
pub(super) fn by_needs(reader: &mut Reader<'_>, node: &Node, written: Vec<Vec<Script>>) -> Read<Vec<Vec<Script>>> {
    let names: Vec<String> = written.iter().flatten().map(|script| script.name.clone()).collect();
    for script in written.iter().flatten() {
        if let Some(need) = script.needs.iter().find(|need| !names.contains(need)) {
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
pub(super) fn order(reader: &mut Reader<'_>, node: &Node, path: &str, known: &[Vec<Script>]) -> Read<Lists> {
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

/// The fixed order of Cluster Manager: by class, and within one as they were written.
pub(super) fn by_class(reader: &mut Reader<'_>, service: &Fields<'_>, known: &[Vec<Script>]) -> Read<Lists> {
    let place = service.place("resources");
    let class = |script: &Script| script.class.or(script.contract().class());
    if let Some(script) = known.iter().flatten().find(|script| class(script).is_none()) {
        let problem = Problem::at(place, format!("other resources have a class, and {:?} has none", script.name));
        reader.problem(problem.help("give it one, as in `class: Filesystem`, or take all of them out"));
        return None;
    }
    if service.has("order") {
        let problem = Problem::at(service.place("order"), "the order of classes cannot be changed");
        reader.problem(problem.help("take `order` out, or every `class`"));
        return None;
    }
    let of = |wanted: Class, stages: &mut dyn Iterator<Item = &Vec<Script>>| -> Vec<Vec<Script>> {
        let stages = stages.map(|stage| stage.iter().filter(|script| class(script) == Some(wanted)).cloned().collect());
        stages.filter(|stage: &Vec<Script>| !stage.is_empty()).collect()
    };
    let start: Vec<Vec<Script>> = Class::START.into_iter().flat_map(|class| of(class, &mut known.iter())).collect();
    let stop: Vec<Vec<Script>> = Class::STOP.into_iter().flat_map(|class| of(class, &mut known.iter().rev())).collect();
    needs_kept(reader, "class", place.clone(), &start, false)?;
    needs_kept(reader, "class", place, &stop, true)?;
    Some(Lists::same(asked(&start, Action::Start), asked(&stop, Action::Stop)))
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

pub(super) fn asked(stages: &[Vec<Script>], action: Action) -> Vec<Stage> {
    stages.iter().map(|stage| stage.iter().map(|script| script.to(action)).collect()).collect()
}
