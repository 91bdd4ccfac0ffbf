//! IMAP as a reader holds it (RFC 9051), by `async-imap`: login, EXAMINE, FETCH of the newest message, LOGOUT.

use std::net::SocketAddr;

use futures_util::TryStreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::limited::Limited;
use super::{CheckFailure, pop3, port, tls};
use crate::config::{MailProbe, MailTls};
use crate::decision::Symptom;

/// All that one dialogue may read: the library's own buffer would grow to half a gigabyte.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Asks a server at `address` as the probe says. EXAMINE and BODY.PEEK change nothing in the mailbox.
pub(super) async fn ask(mail: &MailProbe, address: SocketAddr, said: &mut Vec<String>) -> Result<(), CheckFailure> {
    let stream = Limited::new(port::connect(address).await?, BYTES_MAX);
    match mail.tls {
        MailTls::None => session(greeted(stream).await?, mail, said).await,
        MailTls::Implicit => session(greeted(tls::wrap(stream).await?).await?, mail, said).await,
        MailTls::StartTls => {
            let mut plain = greeted(stream).await?;
            plain.run_command_and_check_ok("STARTTLS", None).await.map_err(|error| failure("STARTTLS", &error))?;
            let stream: TcpStream = plain.into_inner().into_inner();
            let secure = tls::wrap(Limited::new(stream, BYTES_MAX)).await?;
            session(async_imap::Client::new(secure), mail, said).await
        }
    }
}

async fn greeted<S>(stream: S) -> Result<async_imap::Client<S>, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug,
{
    let mut client = async_imap::Client::new(stream);
    match client.read_response().await {
        Ok(Some(_)) => Ok(client),
        Ok(None) => {
            let detail = "the server closed the connection".to_string();
            Err(CheckFailure { symptom: Symptom::Closed, at: "greeting", detail })
        }
        Err(error) => Err(CheckFailure::io("greeting", &error)),
    }
}

async fn session<S>(client: async_imap::Client<S>, mail: &MailProbe, said: &mut Vec<String>) -> Result<(), CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug,
{
    let password = pop3::password(mail)?;
    said.push(format!("> LOGIN {} ****", mail.user));
    let mut session = client.login(&mail.user, &*password).await.map_err(|(error, _)| match error {
        async_imap::error::Error::No(detail) => {
            CheckFailure { symptom: Symptom::LoginRefused, at: "LOGIN", detail: detail.clone() }
        }
        other => failure("LOGIN", &other),
    })?;
    let mailbox = session.examine("INBOX").await.map_err(|error| failure("EXAMINE", &error))?;
    said.push(format!("< INBOX holds {} messages", mailbox.exists));
    if mailbox.exists > 0 {
        let fetches =
            session.fetch(mailbox.exists.to_string(), "BODY.PEEK[]").await.map_err(|error| failure("FETCH", &error))?;
        let fetched: Vec<_> = fetches.try_collect().await.map_err(|error| failure("FETCH", &error))?;
        let body = fetched.iter().find_map(async_imap::types::Fetch::body).unwrap_or_default();
        said.push(format!("< ({} bytes of message)", body.len()));
        expect(mail, body)?;
    } else {
        expect(mail, b"")?;
    }
    session.logout().await.map_err(|error| failure("LOGOUT", &error))
}

fn expect(mail: &MailProbe, body: &[u8]) -> Result<(), CheckFailure> {
    match mail.expect.as_deref() {
        Some(text) if !body.windows(text.len().max(1)).any(|window| window == text.as_bytes()) => {
            let detail = format!("the newest message does not hold {text:?}");
            Err(CheckFailure { symptom: Symptom::WrongAnswer, at: "FETCH", detail })
        }
        Some(_) | None => Ok(()),
    }
}

fn failure(at: &'static str, error: &async_imap::error::Error) -> CheckFailure {
    use async_imap::error::Error;
    match error {
        Error::Io(error) => CheckFailure::io(at, error),
        Error::ConnectionLost => {
            CheckFailure { symptom: Symptom::Closed, at, detail: "the server closed the connection".into() }
        }
        other => CheckFailure::wrong(at, &other.to_string()),
    }
}
