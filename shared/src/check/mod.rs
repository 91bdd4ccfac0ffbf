//! Health questions, asked as a user would: ports, the whole POP3 dialogue, IMAP, a command.

mod command;
mod failure;
mod imap;
mod limited;
mod pop3;
mod port;
mod process;
mod reference;
mod schedule;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

pub use failure::CheckFailure;
pub use pop3::{Dialogue, dialogue};
pub use process::watch_process;
pub use reference::reference_answers;
pub use schedule::{Checks, Report, Scheduled, Vantage};

use crate::config::{Check, Probe};
use crate::decision::Symptom;

/// One round of a check.
#[derive(Debug)]
pub struct Round {
    /// How long it took, or how it failed.
    pub result: Result<Duration, CheckFailure>,
    /// What was said, line by line, for `failoverctl`; never a password.
    pub transcript: Vec<String>,
}

/// Asks once, within the check's time. `directory`: where a command starts.
pub async fn run_once(check: &Check, target: IpAddr, directory: &Path) -> Round {
    let port = match &check.probe {
        Probe::Port { port } => *port,
        Probe::Pop3(mail) | Probe::Imap(mail) => mail.port,
        Probe::Command(_) => 0,
    };
    run_at(check, SocketAddr::new(target, port), directory).await
}

/// The same at another address, for example the balancer's.
pub async fn run_at(check: &Check, address: SocketAddr, directory: &Path) -> Round {
    let began = Instant::now();
    let mut transcript = Vec::new();
    let ask = async {
        match &check.probe {
            Probe::Port { .. } => port::connect(address).await.map(drop),
            Probe::Pop3(mail) => pop3::ask(mail, address, &mut transcript).await,
            Probe::Imap(mail) => imap::ask(mail, address, &mut transcript).await,
            Probe::Command(step) => command::ask(step, directory).await,
        }
    };
    let answered = tokio::time::timeout(check.timeout, ask).await;
    let result = answered.unwrap_or_else(|_| {
        let said = format!("no full answer within {:?}", check.timeout);
        Err(CheckFailure { symptom: Symptom::TimedOut, at: "the dialogue", detail: said })
    });
    Round { result: result.map(|()| began.elapsed()), transcript }
}
