//! The POP3 dialogue, as a user's mail program holds it: greeting, `STLS`, `USER`, `PASS`, `STAT`, `RETR`, `QUIT`.
//!
//! Own client: it is the heart of the mission and small, and no library does STLS and removes dot-stuffing. Sources: RFC 1939
//! (protocol), RFC 2449 and 3206 (response codes), RFC 2595 (STLS). Generic over the stream, so a dialogue can be held over
//! memory, TCP or TLS.

mod message;
mod reply;

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use self::message::{Message, Progress};
use self::reply::Reply;
use super::failure::{CheckFailure, printable};
use super::lines::{LineError, Lines};
use super::record::{Record, StepLatency};
use super::secret::Password;
use super::tls::{Encryption, handshake};
use crate::decision::Symptom;

/// The most that is read of a message; then the connection is closed, and what was read counts.
pub const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// What a dialogue needs.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The canary's user name.
    pub user: &'a str,
    /// Its password.
    pub password: &'a Password,
    /// Whether and how the connection is encrypted.
    pub encryption: Encryption<'a>,
    /// Text that the newest message must hold.
    pub expect: Option<&'a str>,
}

/// A dialogue that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialogue {
    /// Each step and how long it took, in order.
    pub steps: Vec<StepLatency>,
    /// Messages in the mailbox.
    pub messages: u64,
    /// Bytes of the message that were read, without the stuffing.
    pub message_bytes: u64,
    /// SHA-256 of those bytes; of nothing if the mailbox is empty.
    pub sha256: [u8; 32],
    /// The message was longer than [`MESSAGE_BYTES_MAX`] and was not read to its end.
    pub truncated: bool,
}

impl Dialogue {
    /// All steps together.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.steps.iter().map(|step| step.latency).sum()
    }
}

impl fmt::Display for Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages, {} bytes read, {} ms", self.messages, self.message_bytes, self.latency().as_millis())
    }
}

/// Holds one dialogue over a connected stream. It has no time limit of its own: drop the future, and the stream is closed;
/// `record` then tells the step.
///
/// The newest message is the one with the highest number. An empty mailbox passes after `STAT` when no text is expected:
/// login and mailbox work, and nobody may have sent the canary a message yet. With a text it is a wrong answer.
///
/// # Errors
/// [`CheckFailure`] with the step at which it failed.
pub async fn dialogue<S>(stream: S, request: &Request<'_>, record: &mut Record) -> Result<Dialogue, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match request.encryption {
        Encryption::None => {
            let mut talk = Talk { lines: Lines::new(stream), request, record };
            talk.greeting().await?;
            talk.session().await
        }
        Encryption::Implicit(connector) => {
            let stream = handshake(stream, connector, record).await?;
            let mut talk = Talk { lines: Lines::new(stream), request, record };
            talk.greeting().await?;
            talk.session().await
        }
        Encryption::StartTls(connector) => {
            let mut talk = Talk { lines: Lines::new(stream), request, record };
            talk.greeting().await?;
            talk.command("stls", "STLS", "STLS").await?;
            let stream = talk.lines.into_stream().map_err(|early| {
                let detail = format!("{early} bytes came in plain text after STLS was agreed: refused");
                talk.record.failure(Symptom::WrongAnswer, detail)
            })?;
            let stream = handshake(stream, connector, talk.record).await?;
            // RFC 2595 §4: the server does not greet again.
            Talk { lines: Lines::new(stream), request, record: talk.record }.session().await
        }
    }
}

/// A dialogue in progress on one stream.
struct Talk<'a, S> {
    lines: Lines<S>,
    request: &'a Request<'a>,
    record: &'a mut Record,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    async fn greeting(&mut self) -> Result<(), CheckFailure> {
        self.record.begin("greeting");
        self.reply().await?;
        self.record.end();
        Ok(())
    }

    /// From login to QUIT.
    async fn session(mut self) -> Result<Dialogue, CheckFailure> {
        self.login().await?;
        let messages = self.stat().await?;
        let message = match messages {
            0 => self.no_message()?,
            newest => self.retrieve(newest).await?,
        };
        if !message.truncated() {
            self.quit().await?;
        }
        Ok(Dialogue {
            steps: self.record.steps().to_vec(),
            messages,
            message_bytes: message.bytes(),
            truncated: message.truncated(),
            sha256: message.sha256(),
        })
    }

    async fn login(&mut self) -> Result<(), CheckFailure> {
        let Request { user, password, .. } = *self.request;
        self.record.begin("user");
        // A line end in a name would be a command of its own.
        if [user, password.expose()].iter().any(|text| text.contains(['\r', '\n', '\0'])) {
            let detail = "the user name or the password of the check holds a line end: correct the configuration";
            return Err(self.record.failure(Symptom::LoginRefused, detail));
        }
        let command = format!("USER {user}");
        self.command("user", &command, &command).await?;
        let command = zeroize::Zeroizing::new(format!("PASS {}", password.expose()));
        self.command("pass", &command, "PASS ****").await?;
        Ok(())
    }

    async fn stat(&mut self) -> Result<u64, CheckFailure> {
        let reply = self.command("stat", "STAT", "STAT").await?;
        reply::message_count(&reply).ok_or_else(|| {
            let detail = format!("STAT was answered by \"{}\"", self.shown(&reply));
            self.record.failure(Symptom::WrongAnswer, detail)
        })
    }

    fn no_message(&mut self) -> Result<Message, CheckFailure> {
        match self.request.expect {
            None => Ok(Message::new(None)),
            Some(_) => {
                let detail = "the mailbox is empty, and the check expects a text in its newest message";
                Err(self.record.failure(Symptom::WrongAnswer, detail))
            }
        }
    }

    async fn retrieve(&mut self, number: u64) -> Result<Message, CheckFailure> {
        let command = format!("RETR {number}");
        self.ask("retr", &command, &command).await?;
        self.reply().await?;
        let mut message = Message::new(self.request.expect);
        loop {
            let chunk = match self.lines.chunk().await {
                Ok(chunk) => chunk,
                Err(error) => return Err(self.broken(&error)),
            };
            let (progress, taken) = message.push(chunk);
            self.lines.consume(taken);
            match progress {
                Progress::More => {}
                Progress::Complete | Progress::TooLong => break,
            }
        }
        self.record.remark(|| format!("{} bytes of message {number}", message.bytes()));
        if !message.has_expected() {
            let where_looked =
                if message.truncated() { "the first MiB of the newest message" } else { "the newest message" };
            let detail = format!("{where_looked} does not hold the expected text");
            return Err(self.record.failure(Symptom::WrongAnswer, detail));
        }
        self.record.end();
        Ok(message)
    }

    /// QUIT wants an answer, but a server that just closes is forgiven: the mail has been read.
    async fn quit(&mut self) -> Result<(), CheckFailure> {
        match self.command("quit", "QUIT", "QUIT").await {
            Ok(_) => {}
            Err(CheckFailure { symptom: Symptom::Closed, .. }) => {
                self.record.remark(|| "closed without an answer".into());
                self.record.end();
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// One command and its answer, as one step. `shown` is what the transcript gets.
    async fn command(&mut self, step: &'static str, command: &str, shown: &str) -> Result<Vec<u8>, CheckFailure> {
        self.ask(step, command, shown).await?;
        let reply = self.reply().await?;
        self.record.end();
        Ok(reply)
    }

    async fn ask(&mut self, step: &'static str, command: &str, shown: &str) -> Result<(), CheckFailure> {
        self.record.begin(step);
        self.record.sent(shown);
        // In one write: two packets would wait for each other (Nagle and delayed acknowledgement).
        let line = zeroize::Zeroizing::new(format!("{command}\r\n"));
        match self.lines.send(line.as_bytes()).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// The text of a `+OK`; everything else is a failure.
    async fn reply(&mut self) -> Result<Vec<u8>, CheckFailure> {
        let line = match self.lines.line().await {
            Ok(line) => line,
            Err(error) => return Err(self.broken(&error)),
        };
        self.record.received(&line, self.request.password);
        match reply::parse(&line) {
            Some(Reply::Ok(text)) => Ok(text.to_vec()),
            Some(Reply::Refused { code, .. }) => {
                let symptom = reply::symptom_of_refusal(self.record.step(), code);
                Err(self.record.failure(symptom, format!("the server said \"{}\"", self.shown(&line))))
            }
            None => {
                let detail = format!("no POP3 answer: \"{}\"", self.shown(&line));
                Err(self.record.failure(Symptom::WrongAnswer, detail))
            }
        }
    }

    fn broken(&self, error: &LineError) -> CheckFailure {
        match error {
            LineError::Io(error) => CheckFailure::of_io(self.record.step(), error),
            LineError::Ended => self.record.failure(Symptom::Closed, error.to_string()),
            LineError::TooLong => self.record.failure(Symptom::WrongAnswer, error.to_string()),
        }
    }

    fn shown(&self, line: &[u8]) -> String {
        self.request.password.mask(printable(line))
    }
}

#[cfg(test)]
mod tests;
