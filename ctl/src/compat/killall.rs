//! `killall -k SECONDS -TERM NAME` of IRIS: a signal to every process of that name, and KILL to those that are still
//! there after so many seconds. `ha_exec2 -s SIGNAL -t NAME [ARGUMENT]` of FailSafe 2: the same, but the process is told
//! by its arguments too.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use failover_shared::process::{self, Process};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::exit::Exit;

const USAGE: &str = "usage: killall [-v] [-k SECONDS] [-SIGNAL] NAME...";
const USAGE_EXEC2: &str = "usage: ha_exec2 [-v] [-k SECONDS] [-s SIGNAL] -t NAME [ARGUMENT]...";
/// Nobody waits longer than this for a process to end by itself.
const PATIENCE_SECONDS_MAX: u64 = 3600;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a killed process may take to disappear.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    tells: bool,
    patience: Option<Duration>,
    /// `None`: not written. `Some(None)`: 0, which only asks.
    signal: Option<Option<Signal>>,
    whom: Whom,
}

#[derive(Debug, PartialEq, Eq)]
enum Whom {
    /// Processes of any of these names.
    Names(Vec<String>),
    /// Processes that were started by this command line.
    CommandLine(Vec<String>),
}

impl Default for Whom {
    fn default() -> Whom {
        Whom::Names(Vec::new())
    }
}

/// Exit 0: with signal 0, a process of such a name runs; else nothing is left to be signalled. With `-k`, nothing runs
/// any more: also if nothing ran, so that a script which stops twice succeeds twice.
pub(super) async fn run(words: &[String]) -> anyhow::Result<Exit> {
    Order::parse(words)?.carry_out().await
}

/// `ha_exec2`. Exits as killall does.
pub(super) async fn run_exec2(words: &[String]) -> anyhow::Result<Exit> {
    Order::parse_exec2(words)?.carry_out().await
}

impl Order {
    async fn carry_out(self) -> anyhow::Result<Exit> {
        let signal = self.signal.unwrap_or(Some(Signal::SIGTERM));
        let found = self.found()?;
        let Some(signal) = signal else {
            return Ok(if found.is_empty() { Exit::Warning } else { Exit::Ok });
        };
        self.send(&found, signal)?;
        let Some(patience) = self.patience else { return Ok(Exit::Ok) };
        if self.gone_within(&found, patience).await? {
            return Ok(Exit::Ok);
        }
        let left = alive(&found)?;
        self.send(&left, Signal::SIGKILL)?;
        if self.gone_within(&left, KILLED_WITHIN).await? {
            return Ok(Exit::Ok);
        }
        bail!("still there after KILL: {}", names(&alive(&left)?))
    }

    fn parse(words: &[String]) -> anyhow::Result<Order> {
        let mut order = Order::default();
        let mut names = Vec::new();
        let mut words = words.iter().map(String::as_str).skip_while(|word| *word == "--");
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else {
                names.push(word.to_owned());
                continue;
            };
            if flag == "v" {
                order.tells = true;
            } else if let Some(seconds) = flag.strip_prefix('k') {
                let seconds = if seconds.is_empty() { words.next().context(USAGE)? } else { seconds };
                order.patience = Some(patience(seconds).context(USAGE)?);
            } else {
                order.signal = Some(signal(flag).ok_or_else(|| anyhow!("{word} is no signal; {USAGE}"))?);
            }
        }
        if names.is_empty() {
            // On IRIS this would end every process of the host.
            bail!("killall without a name is refused; {USAGE}");
        }
        Ok(Order { whom: Whom::Names(names), ..order })
    }

    /// Everything behind `-t` is the command line, in one word or several.
    fn parse_exec2(words: &[String]) -> anyhow::Result<Order> {
        let mut order = Order::default();
        let mut words = words.iter().map(String::as_str).skip_while(|word| *word == "--");
        loop {
            match words.next().context(USAGE_EXEC2)? {
                "-v" => order.tells = true,
                "-k" => order.patience = Some(patience(words.next().context(USAGE_EXEC2)?).context(USAGE_EXEC2)?),
                "-s" => {
                    let word = words.next().context(USAGE_EXEC2)?;
                    order.signal = Some(signal(word).ok_or_else(|| anyhow!("{word} is no signal; {USAGE_EXEC2}"))?);
                }
                "-t" => break,
                word => bail!("{word} is not understood; {USAGE_EXEC2}"),
            }
        }
        let command: Vec<String> = words.flat_map(str::split_whitespace).map(str::to_owned).collect();
        if command.is_empty() {
            bail!("-t wants the name of a process; {USAGE_EXEC2}");
        }
        Ok(Order { whom: Whom::CommandLine(command), ..order })
    }

    /// Every process of these names but this one and those that called it: the kernel knows a script by its file's
    /// name, so a script `named` that stops `named` would otherwise stop itself.
    fn found(&self) -> anyhow::Result<Vec<Process>> {
        let spared = process::protected()?;
        let mut found = Vec::new();
        match &self.whom {
            Whom::Names(names) => {
                for name in names {
                    found.extend(process::named(name.rsplit('/').next().unwrap_or(name))?);
                }
            }
            Whom::CommandLine(command) => found.extend(process::started_as(command)?),
        }
        found.retain(|process| !spared.contains(&process.id.pid));
        Ok(found)
    }

    fn send(&self, to: &[Process], signal: Signal) -> anyhow::Result<()> {
        for process in to {
            if self.tells {
                eprint_line(&format!("{signal} to {process}"));
            }
            process::signal(process.id, signal).with_context(|| format!("{signal} to {process}"))?;
        }
        Ok(())
    }

    async fn gone_within(&self, whom: &[Process], patience: Duration) -> anyhow::Result<bool> {
        let limit = Instant::now() + patience;
        loop {
            if alive(whom)?.is_empty() {
                return Ok(true);
            }
            if Instant::now() >= limit {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn patience(seconds: &str) -> anyhow::Result<Duration> {
    let seconds: u64 = seconds.parse().context("-k wants seconds")?;
    Ok(Duration::from_secs(seconds.min(PATIENCE_SECONDS_MAX)))
}

/// `TERM`, `SIGTERM` or a number; the inner `None` is 0.
fn signal(word: &str) -> Option<Option<Signal>> {
    if let Ok(number) = word.parse::<i32>() {
        return if number == 0 { Some(None) } else { Signal::try_from(number).ok().map(Some) };
    }
    let name = word.to_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().ok().map(Some)
}

fn alive(whom: &[Process]) -> std::io::Result<Vec<Process>> {
    let mut left = Vec::new();
    for process in whom {
        left.extend(process::look(process.id.pid)?.filter(|found| found.id == process.id && !found.zombie));
    }
    Ok(left)
}

fn names(processes: &[Process]) -> String {
    processes.iter().map(Process::to_string).collect::<Vec<_>>().join(", ")
}

fn eprint_line(text: &str) {
    // Whoever does not listen misses a line and nothing else.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Order> {
        Order::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn killall_reads_both_ways_of_writing_seconds_and_signals_by_name_or_number() {
        let seconds = |number| Some(Duration::from_secs(number));
        for line in ["-k1 -TERM named", "-k 1 -TERM named", "-k 1 -15 named", "-- -k1 -SIGTERM named"] {
            let order = parsed(line).unwrap();
            assert_eq!((order.patience, order.signal), (seconds(1), Some(Some(Signal::SIGTERM))), "{line}");
            assert_eq!(order.whom, Whom::Names(vec!["named".to_owned()]), "{line}");
        }
        assert_eq!(parsed("-0 named").unwrap().signal, Some(None));
        for line in ["-TERM", "-k x named", "-k", "-NOSUCH named"] {
            let refusal = format!("{:#}", parsed(line).unwrap_err());
            assert!(refusal.contains("usage"), "{line}: {refusal}");
        }
    }

    #[test]
    fn ha_exec2_takes_the_command_line_in_one_word_or_several() {
        let read = |line: &[&str]| Order::parse_exec2(&line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let command = Whom::CommandLine(["httpd", "-f", "a.conf"].map(str::to_owned).to_vec());
        for line in [&["-s", "0", "-t", "httpd -f a.conf"][..], &["--", "-s", "0", "-t", "httpd", "-f", "a.conf"][..]] {
            let order = read(line).unwrap();
            assert_eq!((order.signal, &order.whom), (Some(None), &command), "{line:?}");
        }
        assert_eq!(read(&["-k", "5", "-t", "httpd"]).unwrap().patience, Some(Duration::from_secs(5)));
        for line in [&["-t"][..], &["httpd"][..], &["-s", "x", "-t", "httpd"][..], &[][..]] {
            let refusal = format!("{:#}", read(line).unwrap_err());
            assert!(refusal.contains("usage: ha_exec2"), "{line:?}: {refusal}");
        }
    }
}
