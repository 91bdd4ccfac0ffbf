//! `failoverctl init`: the first configuration of a pair, with keys and certificates, by asking or by flags.

#[cfg(test)]
mod tests;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use failover_shared::provision::init::{Answers, QUESTIONS, Question, write_pair};

use crate::exit::Exit;
use crate::out::{Out, Tone};

/// The longest answer that is read from the terminal.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Flags of `init`: the folder, and one for each question.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    directory: Option<PathBuf>,
    given: Vec<(&'static str, String)>,
}

// The list of questions is the one place that knows them, so the flags are made from it.
impl Args for Arguments {
    fn augment_args(command: Command) -> Command {
        let directory = Arg::new("directory")
            .long("directory")
            .value_name("DIR")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Where the files go; default: the folder of --config");
        QUESTIONS.iter().fold(command.arg(directory), |command, question| {
            let choices: Vec<&str> = question.choices.iter().map(|choice| choice.key).collect();
            let help = match choices.as_slice() {
                [] => question.text.to_string(),
                choices => format!("{} ({})", question.text, choices.join(" or ")),
            };
            command.arg(Arg::new(question.key).long(question.key).value_name("ANSWER").help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Arguments::augment_args(command)
    }
}

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Arguments, clap::Error> {
        let answer = |question: &Question| Some((question.key, matches.get_one::<String>(question.key)?.clone()));
        Ok(Arguments {
            directory: matches.get_one::<PathBuf>("directory").cloned(),
            given: QUESTIONS.iter().filter_map(answer).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Arguments::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `person` is the terminal to ask on; without one, what no flag answers takes its default.
pub(crate) fn run(
    config: &Path,
    arguments: &Arguments,
    person: Option<&mut dyn BufRead>,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let directory = arguments.directory.as_deref().or(config.parent()).unwrap_or(Path::new("."));
    anyhow::ensure!(
        directory.is_dir(),
        "{0} is no folder; make it first: mkdir -p {0}, or name another: --directory DIR",
        directory.display()
    );
    let mut answers = Answers::default();
    for (key, answer) in &arguments.given {
        answers.set(key, answer).map_err(|why| anyhow::anyhow!("--{key}: {why}"))?;
    }
    match person {
        Some(person) => ask_all(&mut answers, person, out)?,
        None => complete(&answers)?,
    }
    let written = write_pair(directory, &answers)?;
    for file in &written.files {
        out.line(format!("written: {}", file.display()))?;
    }
    out.line("")?;
    out.line(out.paint(Tone::Strong, "next:"))?;
    for (number, step) in (1..).zip(&written.next) {
        out.folded(&format!("  {number}."), 5, step)?;
    }
    Ok(Exit::Ok)
}

/// Nobody can be asked: everything without a default has to be there.
fn complete(answers: &Answers) -> anyhow::Result<()> {
    let missing: Vec<String> = QUESTIONS
        .iter()
        .filter(|question| question.default.is_none() && answers.wants(question))
        .map(|question| format!("  --{:<16} {}", question.key, question.text))
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "nobody can be asked (the input is no terminal) and these answers are missing:\n{}",
        missing.join("\n")
    );
    Ok(())
}

fn ask_all(answers: &mut Answers, person: &mut dyn BufRead, out: &mut Out<'_>) -> anyhow::Result<()> {
    for question in QUESTIONS {
        while answers.wants(question) {
            let answer = ask(question, person, out)?;
            if let Err(why) = answers.set(question.key, &answer) {
                out.line(why)?;
            }
        }
    }
    Ok(())
}

fn ask(question: &Question, mut person: &mut dyn BufRead, out: &mut Out<'_>) -> anyhow::Result<String> {
    out.line("")?;
    out.folded("", 0, &out.paint(Tone::Strong, question.text))?;
    out.folded("", 2, question.help)?;
    for choice in question.choices {
        out.folded(&format!("  {}", choice.key), 8, choice.text)?;
    }
    let prompt = match question.default {
        Some(default) if !default.is_empty() => format!("{} [{default}]: ", question.key),
        _ => format!("{}: ", question.key),
    };
    out.part(&prompt)?;
    let mut answer = String::new();
    let length = std::io::Read::take(&mut person, ANSWER_BYTES_MAX).read_line(&mut answer)?;
    anyhow::ensure!(length > 0, "the input ended before every question was answered; nothing was written");
    Ok(answer)
}
