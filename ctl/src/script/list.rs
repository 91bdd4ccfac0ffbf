//! `script list`: what is run for each operation, in order.

use failover_shared::config::{Loaded, show_duration};
use failover_shared::script::kind::Action;
use failover_shared::script::{Operation, Script, Stage, Task};

use crate::exit::Exit;
use crate::out::{Out, Tone};

pub(super) fn run(loaded: &Loaded, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let service = &loaded.config.service;
    let mut lacks = 0;
    let mut shown: Vec<(&[Stage], Vec<Operation>)> = Vec::new();
    for operation in Operation::ALL {
        let stages = service.lists.of(operation);
        match shown
            .iter_mut()
            .find(|(known, operations)| *known == stages && starts(operations[0]) == starts(operation))
        {
            Some((_, operations)) => operations.push(operation),
            None => shown.push((stages, vec![operation])),
        }
    }
    for (stages, operations) in shown {
        let names: Vec<String> = operations.iter().map(ToString::to_string).collect();
        let what = if starts(operations[0]) { "start" } else { "stop" };
        out.line(out.paint(Tone::Strong, &format!("{}: {what}", names.join(", "))))?;
        let mut number = 0;
        for stage in stages {
            for task in stage {
                number += 1;
                let beside = if stage.len() > 1 { "=" } else { " " };
                lacks += step(&format!("{beside}{number:>3} "), task, operations[0], loaded, out)?;
            }
        }
    }
    let asked = service.resources.iter().filter(|script| !questions(script).is_empty());
    for script in asked {
        out.line(format!("{}: can also be asked {}", script.name, questions(script).join(", ")))?;
    }
    out.line("steps with `=` run at the same time as their neighbours; try one: failoverctl script test NAME OPERATION --dry-run")?;
    Ok(if lacks == 0 { Exit::Ok } else { Exit::Warning })
}

/// One step, and what it lacks: so many things.
fn step(head: &str, task: &Task, operation: Operation, loaded: &Loaded, out: &mut Out<'_>) -> anyhow::Result<usize> {
    let script = &task.script;
    let title = task.title(operation);
    let name = if script.name == title { String::new() } else { format!("{}: ", script.name) };
    let user = script.run_as.as_ref().map_or(String::new(), |user| format!(", as {user}"));
    let limit = show_duration(task.limit());
    let text = format!("{} {name}{title} (at most {limit}{user})", script.kind.word());
    let missing = script.missing(&loaded.config.service.directory);
    let mark = if missing.is_empty() { " " } else { "!" };
    out.folded(&format!(" {mark}{head}"), 7, &text)?;
    for lack in &missing {
        out.folded("", 12, lack)?;
    }
    Ok(missing.len())
}

fn starts(operation: Operation) -> bool {
    matches!(operation, Operation::Takeback | Operation::Takeover)
}

/// What a resource can be asked besides start and stop.
fn questions(script: &Script) -> Vec<&'static str> {
    let words = [
        (Action::Monitor, "status"),
        (Action::Restart, "restart"),
        (Action::Exclusive, "exclusive"),
        (Action::Validate, "validate"),
    ];
    words.into_iter().filter(|(action, _)| script.can(*action)).map(|(_, word)| word).collect()
}
