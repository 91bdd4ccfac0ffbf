//! What the stand-by copies.

use std::time::Duration;

use super::super::copies::{StandbyCopy, WhenOld, oldest_in_use};
use super::super::duration::show;
use super::super::leaf::{choice, name, span, text};
use super::super::model::Step;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::{Node, Span};

const COPIES_MAX: usize = 16;
const WORDS: [(&str, WhenOld); 3] =
    [("Allowed", WhenOld::Allowed), ("Blocked", WhenOld::Blocked), ("Asks", WhenOld::Asks)];

pub(super) fn copies(reader: &mut Reader<'_>, node: &Node, path: &str, limit: Duration) -> Read<Vec<StandbyCopy>> {
    let mut places: Vec<Span> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let copies = reader.list(node, path, (0, COPIES_MAX), |reader, node, path| {
        let copy = copy(reader, node, path, limit)?;
        if seen.contains(&copy.name) {
            let problem = Problem::at(node.span.clone(), format!("two copies have the name {:?}", copy.name));
            reader.problem(problem.help("status and journal tell copies apart by their names: give each its own"));
            return None;
        }
        seen.push(copy.name.clone());
        places.push(node.span.clone());
        Some(copy)
    })?;
    let mut whole = true;
    for (copy, place) in copies.iter().zip(places) {
        let oldest = oldest_in_use(&copies, copy);
        if oldest <= copy.max_age {
            continue;
        }
        whole = false;
        let message = format!(
            "the copy {:?} can be {} old while all is well, and `max_age` is {}",
            copy.name,
            show(oldest),
            show(copy.max_age)
        );
        reader.problem(Problem::at(place, message).help(format!(
            "that is `every` {} and the `timeout` of all copies, which run one after the other: write a longer \
             `max_age`, or shorten the others",
            show(copy.every)
        )));
    }
    whole.then_some(copies)
}

fn copy(reader: &mut Reader<'_>, node: &Node, path: &str, limit: Duration) -> Read<StandbyCopy> {
    let mut copy = reader.fields(node, path, "Copy")?;
    let name = copy.required(reader, "name", "\"users\"", name);
    let command = copy.required(reader, "command", "\"./copy_users.sh\"", text);
    let timeout = copy.or_value(reader, "timeout", Some(limit), &format!("{:?}", show(limit)), span);
    let every = copy.or(reader, "every", "\"10min\"", span);
    let max_age = copy.or(reader, "max_age", "\"1h\"", span);
    let when_old = copy.or(reader, "when_old", "Allowed", choice(&WORDS));
    copy.finish(reader);
    let command = Step { command: command?, timeout: timeout? };
    Some(StandbyCopy { name: name?, command, every: every?, max_age: max_age?, when_old: when_old? })
}
