//! The IMAP dialogue: greeting, `STARTTLS`, `LOGIN`, `EXAMINE INBOX`, `FETCH` of the newest message, `LOGOUT`.
//!
//! By async-imap, but for greeting and STARTTLS: there the library would drop bytes that came too early instead of refusing
//! them. EXAMINE and `BODY.PEEK` change nothing in the mailbox. async-imap buffers up to 512 MiB, so what it may read is
//! limited here. (It writes commands, the login too, to the `log` crate at trace level; this program installs no logger
//! for that crate, and must not.)

mod limited;

use std::fmt::Debug;

use async_imap::error::Error;
use async_imap::{Client, Session};
use futures_util::TryStreamExt;
use tokio::io::{AsyncRead, AsyncWrite};

use self::limited::Limited;
use super::failure::{CheckFailure, printable};
use super::lines::{LineError, Lines};
use super::record::Record;
use super::search::Search;
use super::secret::Password;
use super::tls::{Encryption, handshake};
use crate::decision::Symptom;

/// The most that is asked for of a message.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// The most that is read after the greeting: a message and what is said around it.
const SESSION_BYTES_MAX: u64 = MESSAGE_BYTES_MAX + 256 * 1024;

/// Untagged lines that a server may say before it answers STARTTLS.
const UNTAGGED_LINES_MAX: usize = 20;

/// What a dialogue needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// The canary's user name.
    pub(super) user: &'a str,
    /// Its password.
    pub(super) password: &'a Password,
    /// Whether and how the connection is encrypted.
    pub(super) encryption: Encryption<'a>,
    /// Text that the newest message must hold.
    pub(super) expect: Option<&'a str>,
}

/// Holds one dialogue over a connected stream. It has no time limit of its own: drop the future, and the stream is closed.
/// As with POP3, an empty mailbox passes when no text is expected.
///
/// # Errors
/// [`CheckFailure`] with the step at which it failed.
pub(super) async fn dialogue<S>(stream: S, request: &Request<'_>, record: &mut Record) -> Result<(), CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + Send,
{
    match request.encryption {
        Encryption::None => {
            let stream = greeting(Lines::new(stream), record).await?;
            session(into_stream(stream, record)?, request, record).await
        }
        Encryption::Implicit(connector) => {
            let stream = handshake(stream, connector, record).await?;
            let stream = greeting(Lines::new(stream), record).await?;
            session(into_stream(stream, record)?, request, record).await
        }
        Encryption::StartTls(connector) => {
            let lines = greeting(Lines::new(stream), record).await?;
            let lines = starttls(lines, record).await?;
            let stream = handshake(into_stream(lines, record)?, connector, record).await?;
            // RFC 3501 §6.2.1: the server does not greet again.
            session(stream, request, record).await
        }
    }
}

async fn greeting<S>(mut lines: Lines<S>, record: &mut Record) -> Result<Lines<S>, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    record.begin("greeting");
    let line = next_line(&mut lines, record).await?;
    if !starts_with(&line, b"* OK") {
        let detail = format!("no IMAP greeting: \"{}\"", printable(&line));
        return Err(record.failure(Symptom::WrongAnswer, detail));
    }
    record.end();
    Ok(lines)
}

async fn starttls<S>(mut lines: Lines<S>, record: &mut Record) -> Result<Lines<S>, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    record.begin("starttls");
    record.sent("a STARTTLS");
    lines.send(b"a STARTTLS\r\n").await.map_err(|error| broken(&error, record))?;
    for _ in 0..UNTAGGED_LINES_MAX {
        let line = next_line(&mut lines, record).await?;
        if starts_with(&line, b"a OK") {
            record.end();
            return Ok(lines);
        }
        if !starts_with(&line, b"* ") {
            let detail = format!("STARTTLS was answered by \"{}\"", printable(&line));
            return Err(record.failure(Symptom::WrongAnswer, detail));
        }
    }
    Err(record.failure(Symptom::WrongAnswer, "STARTTLS was not answered among many lines"))
}

fn into_stream<S>(lines: Lines<S>, record: &Record) -> Result<S, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    lines.into_stream().map_err(|early| {
        let detail = format!("{early} bytes came before they were asked for: refused");
        record.failure(Symptom::WrongAnswer, detail)
    })
}

/// From LOGIN to LOGOUT.
async fn session<S>(stream: S, request: &Request<'_>, record: &mut Record) -> Result<(), CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + Send,
{
    let client = Client::new(Limited::new(stream, SESSION_BYTES_MAX));

    begin(record, "login", "LOGIN … ****");
    let login = client.login(request.user, request.password.expose()).await;
    let mut session = login.map_err(|(error, _)| failed(&error, request, record))?;
    record.end();

    begin(record, "examine", "EXAMINE INBOX");
    let mailbox = session.examine("INBOX").await.map_err(|error| failed(&error, request, record))?;
    still_open(&mut session, record)?;
    record.remark(|| format!("{} messages", mailbox.exists));
    record.end();

    if mailbox.exists > 0 {
        let query = format!("BODY.PEEK[]<0.{MESSAGE_BYTES_MAX}>");
        begin(record, "fetch", &format!("FETCH {} {query}", mailbox.exists));
        let fetched = session.fetch(mailbox.exists.to_string(), query).await;
        let mut fetched = fetched.map_err(|error| failed(&error, request, record))?;
        let mut search = Search::new(request.expect.unwrap_or_default().as_bytes());
        let mut message_bytes = None;
        while let Some(part) = fetched.try_next().await.map_err(|error| failed(&error, request, record))? {
            if let Some(body) = part.body() {
                search.push(body);
                message_bytes = Some(body.len());
            }
        }
        drop(fetched);
        still_open(&mut session, record)?;
        let Some(message_bytes) = message_bytes else {
            return Err(record.failure(Symptom::WrongAnswer, "the newest message was not sent"));
        };
        record.remark(|| format!("{message_bytes} bytes of message {}", mailbox.exists));
        if !search.found() {
            return Err(record.failure(Symptom::WrongAnswer, "the newest message does not hold the expected text"));
        }
        record.end();
    } else if request.expect.is_some() {
        let detail = "the mailbox is empty, and the check expects a text in its newest message";
        return Err(record.failure(Symptom::WrongAnswer, detail));
    }

    begin(record, "logout", "LOGOUT");
    match session.logout().await.map_err(|error| failed(&error, request, record)) {
        // The mail has been read: a server that just closes is forgiven.
        Ok(()) | Err(CheckFailure { symptom: Symptom::Closed, .. }) => {
            record.end();
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// The library takes an early end of the stream for the end of an answer, so it is looked for.
fn still_open<S>(session: &mut Session<Limited<S>>, record: &Record) -> Result<(), CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + Send,
{
    if session.as_mut().has_ended() {
        return Err(record.failure(Symptom::Closed, "the server closed the connection"));
    }
    Ok(())
}

fn begin(record: &mut Record, step: &'static str, shown: &str) {
    record.begin(step);
    record.sent(shown);
}

/// What an error of the library says.
fn failed(error: &Error, request: &Request<'_>, record: &mut Record) -> CheckFailure {
    let shown = request.password.mask(printable(error.to_string().as_bytes()));
    record.remark(|| shown.clone());
    match error {
        Error::Io(error) if error.raw_os_error().is_some() || error.kind() != std::io::ErrorKind::Other => {
            CheckFailure::of_io(record.step(), error)
        }
        Error::ConnectionLost => record.failure(Symptom::Closed, "the server closed the connection"),
        // RFC 5530 §3: with these codes the server speaks of itself, not of the account.
        Error::No(text) if record.step() == "login" && !is_servers_own_trouble(text) => {
            record.failure(Symptom::LoginRefused, shown)
        }
        // A character that LOGIN cannot carry: the check's configuration, not the service.
        Error::Validate(_) => record.failure(Symptom::LoginRefused, "the user name or the password holds a line end"),
        // The library quotes what it could not parse: shown cut and printable.
        _ => record.failure(Symptom::WrongAnswer, shown),
    }
}

fn is_servers_own_trouble(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    ["UNAVAILABLE", "SERVERBUG", "CONTACTADMIN"].iter().any(|code| text.contains(code))
}

async fn next_line<S>(lines: &mut Lines<S>, record: &mut Record) -> Result<Vec<u8>, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = lines.line().await.map_err(|error| broken(&error, record))?;
    record.remark(|| format!("server: {}", printable(&line)));
    Ok(line)
}

fn broken(error: &LineError, record: &Record) -> CheckFailure {
    match error {
        LineError::Io(error) => CheckFailure::of_io(record.step(), error),
        LineError::Ended => record.failure(Symptom::Closed, error.to_string()),
        LineError::TooLong => record.failure(Symptom::WrongAnswer, error.to_string()),
    }
}

fn starts_with(line: &[u8], wanted: &[u8]) -> bool {
    line.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests;
