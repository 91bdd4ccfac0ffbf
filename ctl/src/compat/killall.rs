//! `killall -k SECONDS -TERM NAME` of IRIS: a signal to every process of that name, and KILL to those that are still
//! there after so many seconds.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use failover_shared::process::{self, Process};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::exit::Exit;

const USAGE: &str = "usage: killall [-v] [-k SECONDS] [-SIGNAL] NAME...";
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
    names: Vec<String>,
}

/// Exit 0: with signal 0, a process of such a name runs; else nothing is left to be signalled. With `-k`, nothing runs
/// any more: also if nothing ran, so that a script which stops twice succeeds twice.
pub(super) async fn run(words: &[String]) -> anyhow::Result<Exit> {
    let order = Order::parse(words)?;
    let signal = order.signal.unwrap_or(Some(Signal::SIGTERM));
    let found = order.found()?;
    let Some(signal) = signal else {
        return Ok(if found.is_empty() { Exit::Warning } else { Exit::Ok });
    };
    order.send(&found, signal)?;
    let Some(patience) = order.patience else { return Ok(Exit::Ok) };
    if order.gone_within(&found, patience).await? {
        return Ok(Exit::Ok);
    }
    let left = alive(&found)?;
    order.send(&left, Signal::SIGKILL)?;
    if order.gone_within(&left, KILLED_WITHIN).await? {
        return Ok(Exit::Ok);
    }
    bail!("killall: still there after KILL: {}", names(&alive(&left)?))
}

impl Order {
    fn parse(words: &[String]) -> anyhow::Result<Order> {
        let mut order = Order::default();
        let mut words = words.iter().map(String::as_str).skip_while(|word| *word == "--");
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else {
                order.names.push(word.to_owned());
                continue;
            };
            if flag == "v" {
                order.tells = true;
            } else if let Some(seconds) = flag.strip_prefix('k') {
                let seconds = if seconds.is_empty() { words.next().context(USAGE)? } else { seconds };
                let seconds: u64 = seconds.parse().with_context(|| format!("-k wants seconds; {USAGE}"))?;
                order.patience = Some(Duration::from_secs(seconds.min(PATIENCE_SECONDS_MAX)));
            } else {
                order.signal = Some(signal(flag).ok_or_else(|| anyhow!("{word} is no signal; {USAGE}"))?);
            }
        }
        if order.names.is_empty() {
            // On IRIS this would end every process of the host.
            bail!("killall without a name is refused; {USAGE}");
        }
        Ok(order)
    }

    /// Every process of these names but this one and those that called it: the kernel knows a script by its file's
    /// name, so a script `named` that stops `named` would otherwise stop itself.
    fn found(&self) -> anyhow::Result<Vec<Process>> {
        let spared = process::protected()?;
        let mut found = Vec::new();
        for name in &self.names {
            let name = name.rsplit('/').next().unwrap_or(name);
            found.extend(process::named(name)?.into_iter().filter(|process| !spared.contains(&process.id.pid)));
        }
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
            assert_eq!(order.names, ["named"], "{line}");
        }
        assert_eq!(parsed("-0 named").unwrap().signal, Some(None));
        for line in ["-TERM", "-k x named", "-k", "-NOSUCH named"] {
            let refusal = format!("{:#}", parsed(line).unwrap_err());
            assert!(refusal.contains("usage"), "{line}: {refusal}");
        }
    }
}
