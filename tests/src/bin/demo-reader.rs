//! The demo's reader: a user who knows the balancer's address and nothing else. It reads one known message again and again
//! by POP3, compares its digest, and prints a line whenever something changes: who answered, or what went wrong.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::Parser;
use failover_tests::demo::digest;
use failover_tests::judge::pop3;

/// The demo's reader
#[derive(Parser)]
struct Arguments {
    /// The balancer's POP3 address.
    #[arg(long)]
    balancer: SocketAddr,
    #[arg(long)]
    user: String,
    /// The password is its only line.
    #[arg(long)]
    password_file: PathBuf,
    /// The digest that the newest message must have.
    #[arg(long)]
    digest: String,
    /// Milliseconds between two reads.
    #[arg(long, default_value_t = 20)]
    every_ms: u64,
    /// Milliseconds that one read may take.
    #[arg(long, default_value_t = 500)]
    limit_ms: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let password = std::fs::read_to_string(&arguments.password_file).context("read the password")?;
    let mut told = String::new();
    loop {
        let limit = Duration::from_millis(arguments.limit_ms);
        let outcome = match pop3::visit(arguments.balancer, &arguments.user, password.trim_end(), limit) {
            Ok(visit) => {
                let found = digest(&visit.newest);
                let via = visit.greeting.trim_start_matches("+OK").trim();
                if found == arguments.digest {
                    format!("mail read, digest {found} as sent, via \"{via}\"")
                } else {
                    format!("WRONG MAIL, digest {found}, via \"{via}\"")
                }
            }
            Err(_) => "no mail: the balancer's address does not serve it".to_owned(),
        };
        if outcome != told {
            let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
            let mut out = std::io::stdout();
            writeln!(out, "{now_ms} {outcome}")?;
            out.flush()?;
            told = outcome;
        }
        std::thread::sleep(Duration::from_millis(arguments.every_ms));
    }
}
