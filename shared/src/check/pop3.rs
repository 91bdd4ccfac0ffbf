//! The POP3 dialogue as a reader holds it (RFC 1939; STLS: RFC 2595): greeting, login, STAT, RETR, QUIT.
//!
//! An own client: the dialogue is what this program is about, and it must bound what it reads, undo dot-stuffing, and
//! refuse bytes that came before a TLS handshake.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{CheckFailure, port, tls};
use crate::config::{MailProbe, MailTls};
use crate::decision::Symptom;
use crate::provision::load_secret;

/// RFC 1939 allows 512 bytes a reply; servers are chattier, attackers much more.
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// A message is read up to here; what lies behind proves nothing more.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const LINES_MAX: usize = 100_000;

/// What a whole dialogue found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialogue {
    /// Messages in the mailbox.
    pub messages: u64,
    /// Size of the newest message as read.
    pub bytes: usize,
    /// SHA-256 of it; zeros for an empty mailbox.
    pub digest: [u8; 32],
}

/// Asks a server at `address` as the probe says.
pub(super) async fn ask(mail: &MailProbe, address: SocketAddr, said: &mut Vec<String>) -> Result<(), CheckFailure> {
    let password = password(mail)?;
    let stream = port::connect(address).await?;
    match mail.tls {
        MailTls::None => dialogue(stream, &mail.user, &password, mail.expect.as_deref(), said).await,
        MailTls::Implicit => {
            dialogue(tls::wrap(stream).await?, &mail.user, &password, mail.expect.as_deref(), said).await
        }
        MailTls::StartTls => {
            let mut plain = Pop3::new(stream, said);
            plain.reply("greeting").await?;
            plain.command("STLS", "STLS").await?;
            let stream = plain.into_inner()?;
            let mut secure = Pop3::new(tls::wrap(stream).await?, said);
            secure.session(&mail.user, &password, mail.expect.as_deref()).await
        }
    }
    .map(drop)
}

/// The password of a mail check.
///
/// # Errors
/// When the file is missing or open to others: the asker cannot ask, which is not the service's fault.
pub(super) fn password(mail: &MailProbe) -> Result<zeroize::Zeroizing<String>, CheckFailure> {
    let unusable = |detail: String| CheckFailure { symptom: Symptom::LoginRefused, at: "the password file", detail };
    let secret = load_secret(&mail.password_file).map_err(|error| unusable(error.to_string()))?;
    let text = secret.expose_text().ok_or_else(|| unusable("it does not hold text".into()))?;
    Ok(zeroize::Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_string()))
}

/// The whole dialogue on an open connection. An empty mailbox passes when nothing is expected in it.
///
/// # Errors
/// The step at which it failed, and how.
pub async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    user: &str,
    password: &str,
    expect: Option<&str>,
    said: &mut Vec<String>,
) -> Result<Dialogue, CheckFailure> {
    let mut pop3 = Pop3::new(stream, said);
    pop3.reply("greeting").await?;
    pop3.session(user, password, expect).await
}

struct Pop3<'a, S> {
    stream: BufReader<S>,
    said: &'a mut Vec<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Pop3<'a, S> {
    fn new(stream: S, said: &'a mut Vec<String>) -> Pop3<'a, S> {
        Pop3 { stream: BufReader::new(stream), said }
    }

    async fn session(&mut self, user: &str, password: &str, expect: Option<&str>) -> Result<Dialogue, CheckFailure> {
        if user.contains(['\r', '\n']) || password.contains(['\r', '\n']) {
            let detail = "user or password holds a line break".to_string();
            return Err(CheckFailure { symptom: Symptom::LoginRefused, at: "login", detail });
        }
        self.login("USER", &format!("USER {user}"), &format!("USER {user}")).await?;
        self.login("PASS", &format!("PASS {password}"), "PASS ****").await?;
        let stat = self.command("STAT", "STAT").await?;
        let messages: u64 = stat
            .split_whitespace()
            .nth(1)
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| CheckFailure::wrong("STAT", &stat))?;
        let found = if messages == 0 {
            Dialogue { messages, bytes: 0, digest: [0; 32] }
        } else {
            self.command("RETR", &format!("RETR {messages}")).await?;
            let message = self.message().await?;
            if let Some(text) = expect
                && !contains(&message, text.as_bytes())
            {
                let detail = format!("the newest message does not hold {text:?}");
                return Err(CheckFailure { symptom: Symptom::WrongAnswer, at: "RETR", detail });
            }
            Dialogue { messages, bytes: message.len(), digest: Sha256::digest(&message).into() }
        };
        if let (0, Some(text)) = (messages, expect) {
            let detail = format!("the mailbox is empty, but a message with {text:?} is expected");
            return Err(CheckFailure { symptom: Symptom::WrongAnswer, at: "STAT", detail });
        }
        self.command("QUIT", "QUIT").await?;
        Ok(found)
    }

    async fn login(&mut self, at: &'static str, line: &str, shown: &str) -> Result<(), CheckFailure> {
        self.send(at, line, shown).await?;
        self.reply(at).await.map(drop).map_err(|failure| match failure.symptom {
            Symptom::WrongAnswer if failure.detail.contains("-ERR") => {
                CheckFailure { symptom: Symptom::LoginRefused, ..failure }
            }
            _ => failure,
        })
    }

    async fn command(&mut self, at: &'static str, line: &str) -> Result<String, CheckFailure> {
        self.send(at, line, line).await?;
        self.reply(at).await
    }

    async fn send(&mut self, at: &'static str, line: &str, shown: &str) -> Result<(), CheckFailure> {
        self.said.push(format!("> {shown}"));
        let line = zeroize::Zeroizing::new(format!("{line}\r\n"));
        let io = |error: std::io::Error| CheckFailure::io(at, &error);
        self.stream.write_all(line.as_bytes()).await.map_err(io)?;
        self.stream.flush().await.map_err(io)
    }

    /// A status line that begins with `+OK`.
    async fn reply(&mut self, at: &'static str) -> Result<String, CheckFailure> {
        let line = self.line(at).await?;
        let text = String::from_utf8_lossy(&line).trim_end().to_string();
        self.said.push(format!("< {}", text.chars().take(200).collect::<String>()));
        if text == "+OK" || text.starts_with("+OK ") { Ok(text) } else { Err(CheckFailure::wrong(at, &text)) }
    }

    /// A line with its end.
    async fn line(&mut self, at: &'static str) -> Result<Vec<u8>, CheckFailure> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).await.map_err(|error| CheckFailure::io(at, &error))?;
        if line.ends_with(b"\n") {
            return Ok(line);
        }
        let (symptom, detail) = if line.len() as u64 >= LINE_BYTES_MAX {
            (Symptom::WrongAnswer, format!("a line longer than {LINE_BYTES_MAX} bytes"))
        } else {
            (Symptom::Closed, "the server closed the connection".to_string())
        };
        Err(CheckFailure { symptom, at, detail })
    }

    /// A multi-line answer up to the single dot, dot-stuffing undone (RFC 1939, section 3).
    async fn message(&mut self) -> Result<Vec<u8>, CheckFailure> {
        let mut message = Vec::new();
        for _ in 0..LINES_MAX {
            let line = self.line("RETR").await?;
            if line == b".\r\n" || line == b".\n" {
                self.said.push(format!("< ({} bytes of message)", message.len()));
                return Ok(message);
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if message.len() > MESSAGE_BYTES_MAX {
                break;
            }
        }
        let detail = format!("a message longer than {MESSAGE_BYTES_MAX} bytes: give the canary a short one");
        Err(CheckFailure { symptom: Symptom::WrongAnswer, at: "RETR", detail })
    }

    /// The connection, to be wrapped in TLS. Bytes that are already here were sent in plain text and would be taken for
    /// the protected session's (RFC 2595; the STARTTLS injection of CVE-2011-0411).
    fn into_inner(self) -> Result<S, CheckFailure> {
        if self.stream.buffer().is_empty() {
            return Ok(self.stream.into_inner());
        }
        let detail = "the server sent more before the TLS handshake".to_string();
        Err(CheckFailure { symptom: Symptom::WrongAnswer, at: "STLS", detail })
    }
}

fn contains(message: &[u8], text: &[u8]) -> bool {
    text.is_empty() || message.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests;
