//! The documents say what is so: links lead somewhere, commands, rules and states exist by the names that are told.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use failover_shared::decision::{Rule, StateName, Timer};
use failover_tests::program::program;

/// Lines are read in terminals. A row of a table cannot be broken, so rows are let off.
const COLUMNS_MAX: usize = 140;

struct Document {
    path: PathBuf,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file of the project, beside the manifest and in `docs`.
fn documents() -> Result<Vec<Document>> {
    let mut found = Vec::new();
    for folder in [root(), root().join("docs")] {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(Document { text: fs::read_to_string(&path)?, path });
            }
        }
    }
    ensure!(found.len() > 5, "only {} documents were found below {}", found.len(), root().display());
    Ok(found)
}

fn document(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| name.to_string())
}

/// The text without fenced blocks: what they show is output, not prose.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands between the delimiters, each time.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inside, _)| inside).collect()
}

/// What stands in backticks. Code spans do not go over a line's end in these documents.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// `TakeoverBlocked`, but not `Ack` nor `failover.ron`.
fn is_compound(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphabetic())
        && word.chars().filter(char::is_ascii_uppercase).count() > 1
        && word.chars().any(|letter| letter.is_ascii_lowercase())
}

fn names() -> BTreeSet<String> {
    let rules = Rule::ALL.iter().map(|rule| format!("{rule:?}"));
    rules.chain(StateName::ALL.iter().map(|state| format!("{state:?}"))).collect()
}

#[test]
fn every_relative_link_leads_to_a_file() -> Result<()> {
    let mut looked_at = 0;
    for Document { path, text } in documents()? {
        let folder = path.parent().context("a document lies in no folder")?;
        for line in prose(&text) {
            for target in between(line, "](", ')') {
                let file = target.split('#').next().unwrap_or_default();
                if file.is_empty() || file.contains("://") {
                    continue;
                }
                looked_at += 1;
                ensure!(folder.join(file).exists(), "{}: the link to {target:?} leads nowhere", path.display());
            }
        }
    }
    ensure!(looked_at > 20, "only {looked_at} links were found, so the search itself is broken");
    Ok(())
}

#[test]
fn the_readme_names_the_two_commands_and_stays_short() -> Result<()> {
    let readme = document("README.md")?;
    for command in ["scripts/demo.sh", "scripts/test.sh"] {
        ensure!(readme.contains(command), "README.md does not name {command}");
        ensure!(root().join(command).is_file(), "README.md names {command}, which is not there");
    }
    ensure!(readme.lines().count() < 150, "README.md has {} lines", readme.lines().count());
    Ok(())
}

#[test]
fn lines_fit_a_terminal() -> Result<()> {
    for Document { path, text } in documents()? {
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            let long = columns > COLUMNS_MAX && !line.starts_with('|');
            ensure!(!long, "{}:{number}: {columns} columns", path.display());
        }
    }
    Ok(())
}

#[test]
fn rules_states_and_timers_that_the_architecture_names_exist() -> Result<()> {
    let text = document("docs/architecture.md")?;
    let mut rules = 0;
    for span in spans(&text) {
        let Some((kind, name)) = span.split_once("::") else { continue };
        let value = serde_json::Value::from(name);
        let exists = match kind {
            "Rule" => {
                rules += 1;
                serde_json::from_value::<Rule>(value).is_ok()
            }
            "State" => serde_json::from_value::<StateName>(value).is_ok(),
            "Timer" => serde_json::from_value::<Timer>(value).is_ok(),
            _ => true,
        };
        ensure!(exists, "docs/architecture.md names `{span}`, which does not exist");
    }
    let has_row = |state: &StateName| text.contains(&format!("\n| `State::{state:?}` |"));
    let missing: Vec<_> = StateName::ALL.iter().filter(|state| !has_row(state)).collect();
    ensure!(missing.is_empty(), "the table in docs/architecture.md does not tell of the states {missing:?}");
    ensure!(rules > 10, "only {rules} rules were found, so the search itself is broken");
    Ok(())
}

#[test]
fn names_in_the_operators_documents_are_states_rules_or_words_of_the_configuration() -> Result<()> {
    let (names, configuration) = (names(), document("docs/config.md")?);
    let mut seen = BTreeSet::new();
    for file in ["README.md", "CHANGELOG.md", "docs/operator.md", "docs/failback-sheet.md"] {
        let text = document(file)?;
        for word in spans(&text).filter(|word| is_compound(word)) {
            let known = names.contains(word) || configuration.contains(word);
            ensure!(known, "{file} names `{word}`: no state, no rule, no word of the configuration");
            seen.insert(word.to_string());
        }
    }
    for state in ["TakeoverBlocked", "FailedStart", "FailedStop", "ExclusivityError"] {
        ensure!(seen.contains(state), "no operator's document tells what to do in `{state}`");
    }
    Ok(())
}

#[test]
fn every_command_that_is_told_is_one_that_failoverctl_has() -> Result<()> {
    let help = Command::new(program("failoverctl")?).arg("--help").output().context("failoverctl --help")?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let commands: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    ensure!(commands.contains("status"), "the commands were not found in: {help}");
    let mut told = BTreeSet::new();
    for Document { path, text } in documents()? {
        // In a span of code, or at the beginning of a line of a block: elsewhere it is a word of a sentence.
        for line in spans(&text).chain(text.lines().map(str::trim_start)) {
            let Some(word) = line.strip_prefix("failoverctl ").and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            let is_command = word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
            if is_command && !word.starts_with('-') {
                ensure!(commands.contains(word), "{} tells `failoverctl {word}`", path.display());
                told.insert(word.to_string());
            }
        }
    }
    ensure!(told.len() > 10, "only {told:?} were found, so the search itself is broken");
    Ok(())
}

/// Every `.rs` file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn every_item_of_a_script_contract_names_a_test_that_exists() -> Result<()> {
    let mut files = Vec::new();
    for package in ["shared", "master", "slave", "ctl", "tests"] {
        sources(&root().join(package), &mut files)?;
    }
    let mut functions = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        functions.extend(between(&text, "fn ", '(').into_iter().map(str::to_owned));
    }
    let text = document("docs/scripts.md")?;
    let (mut rows, mut in_table) = (0, false);
    for line in prose(&text) {
        if line == "| item | where | test |" {
            in_table = true;
        } else if !line.starts_with('|') {
            in_table = false;
        } else if in_table && !line.starts_with("|---") {
            rows += 1;
            let cell = line.trim_end_matches(" |").rsplit("| ").next().unwrap_or_default();
            let name = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            ensure!(name.is_some_and(|name| functions.contains(name)), "no test of this name exists: {line}");
        }
    }
    ensure!(rows > 20, "only {rows} items were found");
    Ok(())
}
