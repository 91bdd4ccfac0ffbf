//! `script new`: writes a template, and says what to put into the configuration.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};

use super::template::{Files, TEMPLATES, Template};
use crate::exit::Exit;
use crate::out::Out;

const NAME_CHARACTERS_MAX: usize = 63;

pub(super) fn run(kind: &str, name: &str, directory: &Path, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let template = TEMPLATES.iter().find(|template| template.kind == kind).context("there is no such kind")?;
    check(name, template)?;
    let directory = fs::canonicalize(directory).with_context(|| directory.display().to_string())?;
    let place = directory.join(if matches!(template.files, Files::Unit(..)) { unit(name) } else { name.to_owned() });
    let Some(shown) = place.to_str() else { bail!("{} cannot stand in a configuration", place.display()) };
    let failed = |path: &Path| format!("{} could not be made; nothing is overwritten", path.display());
    match &template.files {
        Files::Program(text) => write_new(&place, text, 0o755).with_context(|| failed(&place))?,
        Files::Named(text, example) => {
            write_new(&place, &renamed(text, example, name), 0o755).with_context(|| failed(&place))?;
        }
        Files::Function(text, example) | Files::Unit(text, example) => {
            write_new(&place, &renamed(text, example, name), 0o644).with_context(|| failed(&place))?;
        }
        Files::Folder(files) => {
            fs::create_dir(&place).with_context(|| failed(&place))?;
            for (file, text) in *files {
                let file = place.join(file);
                write_new(&file, text, 0o755).with_context(|| failed(&file))?;
            }
        }
    }
    out.line(format!("made {shown}"))?;
    if !template.needs.is_empty() {
        out.line(format!("note: {}", template.needs.replace("NAME", name)))?;
    }
    out.line("next: fill in what it does, and put this into `resources` of `service` in failover.ron:")?;
    out.line(format!("      {}", entry(template, name, shown)))?;
    out.line(format!("then: failoverctl script test {name} start --dry-run"))?;
    Ok(Exit::Ok)
}

/// The entry of the configuration.
pub(super) fn entry(template: &Template, name: &str, path: &str) -> String {
    let path = path.replace('\\', r"\\").replace('"', "\\\"");
    template.entry.replace("NAME", name).replace("PATH", &path)
}

/// The file of a unit.
fn unit(name: &str) -> String {
    format!("{name}.service")
}

/// The name is a file's, an entry's, and perhaps a function's.
fn check(name: &str, template: &Template) -> anyhow::Result<()> {
    let plain = |also: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || !plain(".-_") || name.len() > NAME_CHARACTERS_MAX {
        bail!("{name:?} cannot be a name: write letters, digits, `.`, `-`, `_`, at most {NAME_CHARACTERS_MAX}");
    }
    if matches!(template.files, Files::Function(..)) && (!plain("_") || name.starts_with(|c: char| c.is_ascii_digit()))
    {
        bail!("{name:?} cannot be the name of a function: write letters, digits and `_`, a letter first");
    }
    Ok(())
}

/// The example with this name, in each of the ways in which it is written there.
fn renamed(text: &str, example: &str, name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    text.replace(&example.to_uppercase(), &name.to_uppercase())
        .replace(&capital(example), &capital(name))
        .replace(example, name)
}

fn write_new(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}
