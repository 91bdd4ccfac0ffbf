//! A POP3 client (RFC 1939), as much of it as a judge needs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::line::Dialogue;

/// What a whole dialogue showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The server's greeting.
    pub greeting: String,
    /// How many messages there are.
    pub messages: usize,
    /// The newest message, lines joined by CR LF. Empty when there is none.
    pub newest: String,
}

/// Connects, reads the greeting and leaves.
///
/// # Errors
/// When there is none within `limit`.
pub fn greeting(address: SocketAddr, limit: Duration) -> Result<String> {
    Dialogue::connect(address, limit)?.expect("+OK")
}

/// Logs in, counts, reads the newest message whole, and quits.
///
/// # Errors
/// When any of it does not work within `limit`.
pub fn visit(address: SocketAddr, user: &str, password: &str, limit: Duration) -> Result<Visit> {
    let mut server = Dialogue::connect(address, limit)?;
    let greeting = server.expect("+OK")?;
    server.ask(&format!("USER {user}"), "+OK").context("USER")?;
    server.ask(&format!("PASS {password}"), "+OK").context("PASS")?;
    let stat = server.ask("STAT", "+OK").context("STAT")?;
    let messages = stat.split(' ').nth(1).and_then(|count| count.parse().ok()).context("STAT gave no number")?;
    let mut newest = String::new();
    if messages > 0 {
        server.ask(&format!("RETR {messages}"), "+OK").context("RETR")?;
        for line in server.read_to_dot()? {
            newest += &line;
            newest += "\r\n";
        }
        ensure!(!newest.is_empty(), "the newest message is empty");
    }
    server.ask("QUIT", "+OK").context("QUIT")?;
    Ok(Visit { greeting, messages, newest })
}
