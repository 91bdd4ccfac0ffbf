//! `cmgr`, FailSafe's command: its sentences in the words of `failoverctl`. What has no equal here is said plainly.

mod sentence;
#[cfg(test)]
mod tests;

use std::io::{BufRead, IsTerminal, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Parser;
use failover_shared::config::load;
use failover_shared::decision::Role;

use self::sentence::Sentence;
use super::old_status;
use crate::Arguments as Whole;
use crate::daemon::{Daemon, role_named};
use crate::exit::Exit;
use crate::out::Out;
use crate::role;

const USAGE: &str = "usage: cmgr [-p] [-c SENTENCE] [-f FILE]; without them it reads sentences from its input";
/// FailSafe's maintenance had no end; here the longest is seven days.
const MAINTENANCE: &str = "168h";
/// More than anybody writes into a file of sentences.
const SENTENCES_MAX: usize = 10_000;
/// No sentence is longer.
const SENTENCE_BYTES_MAX: u64 = 4096;

/// Where the pair is: what the person gave on the command line.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) config: &'a Path,
    pub(super) run_dir: &'a Path,
    pub(super) role: Option<Role>,
}

/// Something to do for a sentence, one after another until one fails.
#[derive(Debug, PartialEq, Eq)]
enum Deed {
    /// This command of failoverctl.
    Obey(Vec<String>),
    /// `systemctl`, with these words.
    Systemctl([String; 2]),
}

/// Carries sentences out. Those of a file or an input end at the first that fails, as a script's author expects.
pub(super) async fn run(place: Place<'_>, words: &[String], out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| *word == "--").collect();
    match words.as_slice() {
        ["-c", sentence @ ..] if !sentence.is_empty() => carry_out(place, &sentence.join(" "), out).await,
        ["-f", file] => {
            let file = std::fs::File::open(file).with_context(|| format!("{file} cannot be read"))?;
            each(place, &mut std::io::BufReader::new(file), false, out).await
        }
        [] | ["-p"] => {
            let mut stdin = std::io::stdin().lock();
            let prompts = stdin.is_terminal();
            each(place, &mut stdin, prompts, out).await
        }
        _ => bail!("{} is not understood; {USAGE}", words.join(" ")),
    }
}

/// One sentence a line. A person at a prompt goes on after a failure.
async fn each(place: Place<'_>, lines: &mut dyn BufRead, prompts: bool, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let mut worst = Exit::Ok;
    for _ in 0..SENTENCES_MAX {
        if prompts {
            out.part("cmgr> ")?;
        }
        let mut line = String::new();
        let bytes = (&mut *lines).take(SENTENCE_BYTES_MAX).read_line(&mut line)?;
        if bytes == 0 || matches!(line.trim(), "quit" | "exit" | "bye") {
            return Ok(worst);
        }
        if bytes as u64 == SENTENCE_BYTES_MAX && !line.ends_with('\n') {
            bail!("a line of more than {SENTENCE_BYTES_MAX} bytes is no sentence");
        }
        let ended = match carry_out(place, &line, out).await {
            Err(error) if prompts => {
                out.line(format!("{error:#}"))?;
                Exit::Failed
            }
            ended => ended?,
        };
        if ended != Exit::Ok && !prompts {
            return Ok(ended);
        }
        worst = if ended == Exit::Ok { worst } else { ended };
    }
    bail!("more than {SENTENCES_MAX} sentences are not read")
}

async fn carry_out(place: Place<'_>, sentence: &str, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let sentence = match Sentence::parse(sentence) {
        Ok(None) => return Ok(Exit::Ok),
        Ok(Some(sentence)) => sentence,
        Err(refusal) => bail!("{refusal}"),
    };
    if sentence == Sentence::ShowStatus {
        return old_status::ha_status(&place.daemon()?, out).await;
    }
    for deed in place.deeds(&sentence).await? {
        let ended = match deed {
            Deed::Obey(words) => place.obey(&words, out).await?,
            Deed::Systemctl(words) => systemctl(&words)?,
        };
        if ended != Exit::Ok {
            return Ok(ended);
        }
    }
    Ok(Exit::Ok)
}

impl Place<'_> {
    fn daemon(self) -> anyhow::Result<Daemon> {
        Ok(Daemon::find(self.run_dir, self.role)?)
    }

    async fn deeds(self, sentence: &Sentence) -> anyhow::Result<Vec<Deed>> {
        Ok(match sentence {
            Sentence::ShowStatus => Vec::new(),
            Sentence::StartServices { node } => {
                let own = self.own_role(node.as_deref())?;
                vec![Deed::Systemctl(["start".to_owned(), unit(own)])]
            }
            Sentence::ResetNode { node } => vec![obey(&["fence", "off", node, "--reason", "cmgr: admin reset"])],
            Sentence::Maintenance { on: true } => {
                vec![obey(&["maintenance", "on", "--for", MAINTENANCE, "--reason", "cmgr: admin maintenance_on"])]
            }
            Sentence::Maintenance { on: false } => vec![obey(&["maintenance", "off"])],
            Sentence::StopServices { node, force } => {
                let own = self.own_role(node.as_deref())?;
                stop_services(own, *force)
            }
            Sentence::Move { node } => {
                let to = role_named(&self.daemon()?.status().await?, node)?;
                vec![obey(&[mover(to), "--reason", "cmgr: admin move"])]
            }
            Sentence::OfflineForce => {
                let host = self.daemon()?.status().await?.host;
                vec![obey(&["force-offline", &host, "--reason", "cmgr: offline force, by hand"])]
            }
        })
    }

    /// This host's role, if the sentence means this host: a daemon is started and ended where it runs.
    fn own_role(self, node: Option<&str>) -> anyhow::Result<Role> {
        let loaded = load(self.config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;
        let own = role::here(&loaded.config, self.role, None)?;
        let own = own.context("this host is neither the master nor the slave of the configuration")?;
        let host = loaded.config.host(own);
        let Some(node) = node else {
            bail!("ha_services are started and stopped on one node at a time here: add `on node {}`", host.name);
        };
        if loaded.config.role_of(node) != Some(own) {
            bail!("{node} is not this host, which is {}: give the command on {node}", host.name);
        }
        Ok(own)
    }

    /// A command of failoverctl, as if it had been typed.
    async fn obey(self, words: &[String], out: &mut Out<'_>) -> anyhow::Result<Exit> {
        let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
        out.line(format!("failoverctl {}", words.iter().map(quoted).collect::<Vec<_>>().join(" ")))?;
        let flags = [("--run-dir", self.run_dir), ("--config", self.config)];
        let flags = flags.iter().flat_map(|(flag, path)| [flag.into(), path.as_os_str().to_owned()]);
        let role = self.role.map(|role| format!("--role={role}").into());
        let line = std::iter::once("failoverctl".into()).chain(flags).chain(role);
        let whole = Whole::try_parse_from(line.chain(words.iter().map(Into::into)))?;
        // In a box: failoverctl obeys cmgr, and cmgr failoverctl.
        let obeying: std::pin::Pin<Box<dyn Future<Output = anyhow::Result<Exit>>>> = Box::pin(crate::obey(&whole, out));
        obeying.await
    }
}

/// FailSafe moved the groups of a node away before it ended there. With `force` it ended whatever came of that.
fn stop_services(own: Role, force: bool) -> Vec<Deed> {
    let give_away = obey(&["hand-over", "--reason", "cmgr: stop ha_services"]);
    (!force).then_some(give_away).into_iter().chain([Deed::Systemctl(["stop".to_owned(), unit(own)])]).collect()
}

fn mover(to: Role) -> &'static str {
    match to {
        Role::Master => "takeback",
        Role::Slave => "takeover",
    }
}

fn obey(words: &[&str]) -> Deed {
    Deed::Obey(words.iter().map(|word| (*word).to_owned()).collect())
}

fn unit(role: Role) -> String {
    format!("failover-{role}")
}

fn systemctl(words: &[String; 2]) -> anyhow::Result<Exit> {
    let line = format!("systemctl {}", words.join(" "));
    let cannot = || format!("{line} cannot be run; without systemd, use scripts/start.sh {}", words[0]);
    let ended = Command::new("systemctl").args(words).stdin(Stdio::null()).status().with_context(cannot)?;
    if ended.success() { Ok(Exit::Ok) } else { bail!("{line}: {ended}") }
}
