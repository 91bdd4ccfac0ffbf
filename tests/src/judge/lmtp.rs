//! An LMTP client (RFC 2033), as much of it as a judge needs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::line::Dialogue;

/// Delivers one message to one user. `Ok` means: the server took it on itself (250 after the data).
///
/// # Errors
/// When the server did not say so within `limit`. The message may be there all the same, if the connection broke after
/// the data: LMTP cannot tell.
pub fn deliver(address: SocketAddr, user: &str, message: &str, limit: Duration) -> Result<()> {
    let mut server = Dialogue::connect(address, limit)?;
    server.expect("220").context("greeting")?;
    server.write("LHLO judge.lab\r\n")?;
    while server.expect("250").context("LHLO")?.starts_with("250-") {}
    server.ask("MAIL FROM:<judge@lab>", "250").context("MAIL")?;
    server.ask(&format!("RCPT TO:<{user}>"), "250").context("RCPT")?;
    server.ask("DATA", "354").context("DATA")?;
    let mut data = String::new();
    for line in message.lines() {
        // RFC 5321, 4.5.2: a dot at the start of a line is doubled.
        if line.starts_with('.') {
            data.push('.');
        }
        data += line;
        data += "\r\n";
    }
    server.write(&data)?;
    server.ask(".", "250").context("after the data")?;
    // Taken. What happens to the goodbye changes nothing.
    let _ = server.ask("QUIT", "221");
    Ok(())
}
