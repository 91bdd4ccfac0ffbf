//! A page as a mail (RFC 5322), handed to the first relay that takes it.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use thiserror::Error;

use super::NotifyError;
use super::page::Page;
use super::queue::Entry;
use crate::config::{MailNotify, MailTls};
use crate::secret::Secret;

/// How long one relay may take for the whole dialogue.
const RELAY_LIMIT: Duration = Duration::from_secs(30);

/// Hands pages to the relays.
#[derive(Debug)]
pub(super) struct Mailer {
    relays: Vec<Relay>,
    tls: MailTls,
    login: Option<(String, Secret)>,
    from: Mailbox,
    /// The own host's name, for HELO and the message ids.
    host: String,
}

/// One relay.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Relay {
    host: String,
    port: u16,
}

/// Why a page did not go out by mail. Each relay's own reason is in the text, as only the last one could be a source.
#[derive(Debug, Error)]
pub(super) enum MailError {
    /// The text could not be made a message.
    #[error("the page cannot be made a mail")]
    Message(#[source] lettre::error::Error),
    /// No relay took it.
    #[error("no relay took the page: {0}")]
    Relays(String),
}

impl Mailer {
    /// Reads addresses and password file.
    pub(super) fn new(settings: &MailNotify, host: &str) -> Result<Mailer, NotifyError> {
        let from = settings.from.clone().unwrap_or_else(|| format!("failover@{host}"));
        let login = match &settings.login {
            Some(_) if settings.tls == MailTls::None => return Err(NotifyError::LoginWithoutTls),
            Some((user, file)) => Some((user.clone(), Secret::read(file).map_err(NotifyError::Password)?)),
            None => None,
        };
        let relays = settings.relays.iter().map(|relay| Relay::parse(relay, settings.tls)).collect::<Result<_, _>>()?;
        Ok(Mailer { relays, tls: settings.tls, login, from: mailbox(&from)?, host: host.to_owned() })
    }

    /// Hands one page for one receiver to the first relay that takes it.
    pub(super) async fn send(&self, entry: &Entry, to: &Mailbox, pair: &str) -> Result<(), MailError> {
        let message = self.message(entry, to, pair).map_err(MailError::Message)?;
        let mut reasons = Vec::new();
        for relay in &self.relays {
            match tokio::time::timeout(RELAY_LIMIT, self.hand_over(relay, message.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => reasons.push(format!("{}:{}: {}", relay.host, relay.port, chain(&error))),
                Err(_) => {
                    let seconds = RELAY_LIMIT.as_secs();
                    reasons.push(format!("{}:{}: no full answer within {seconds} s", relay.host, relay.port));
                }
            }
        }
        Err(MailError::Relays(reasons.join("; ")))
    }

    async fn hand_over(&self, relay: &Relay, message: Message) -> Result<(), lettre::transport::smtp::Error> {
        let tls = match self.tls {
            MailTls::None => Tls::None,
            MailTls::Implicit => Tls::Wrapper(TlsParameters::new(relay.host.clone())?),
            // Required: a relay that does not offer it gets neither the page nor the password.
            MailTls::StartTls => Tls::Required(TlsParameters::new(relay.host.clone())?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&relay.host)
            .port(relay.port)
            .hello_name(ClientId::Domain(self.host.clone()))
            .timeout(Some(RELAY_LIMIT))
            .tls(tls);
        if let Some((user, password)) = &self.login {
            let password = String::from_utf8_lossy(password.expose()).into_owned();
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        transport.build().send(message).await.map(drop)
    }

    fn message(&self, entry: &Entry, to: &Mailbox, pair: &str) -> Result<Message, lettre::error::Error> {
        let id = format!("<{}.{}.failover@{}>", entry.first.as_millisecond(), entry.id, self.host);
        let mut message: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .to(to.clone())
            .date(SystemTime::from(entry.first))
            .subject(subject(entry, pair, &self.host))
            // The same after a crash between delivery and clean-up, so that a mail program can tell the double.
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN);
        // RFC 3834: no holiday answers, please.
        if let Ok(name) = HeaderName::new_from_ascii("Auto-Submitted".to_owned()) {
            message = message.raw_header(HeaderValue::new(name, "auto-generated".to_owned()));
        }
        message.body(body(entry, pair, &self.host))
    }
}

/// The subject line of a page, for mail and command alike.
pub(super) fn subject(entry: &Entry, pair: &str, host: &str) -> String {
    let times = if entry.count > 1 { format!(" ({} times)", entry.count) } else { String::new() };
    let subject = entry.page.subject();
    Page::new(entry.page.kind(), &format!("[failover {pair} {host}] {subject}{times}"), "").subject().to_owned()
}

/// The text of a page, for mail and command alike.
pub(super) fn body(entry: &Entry, pair: &str, host: &str) -> String {
    let (text, kind, first, last) = (entry.page.text(), entry.page.kind(), entry.first, entry.last);
    let times = match entry.count {
        1 => String::new(),
        count => format!(
            "\nThis stands for {count} pages of this kind, the last raised at {last}; its own text is the last one's."
        ),
    };
    format!("{text}\n\nPair {pair}, host {host}, event {kind}, raised at {first}.{times}\n")
}

/// An address for a mail's header.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, NotifyError> {
    text.parse().map_err(|source| NotifyError::Address { address: text.to_owned(), source })
}

impl Relay {
    /// `host`, `host:port`, `[v6]` or `[v6]:port`.
    fn parse(text: &str, tls: MailTls) -> Result<Relay, NotifyError> {
        let wrong = || NotifyError::Relay { relay: text.to_owned() };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match (port.strip_prefix(':'), tls) {
            (Some(port), _) => port.parse().map_err(|_| wrong())?,
            (None, _) if !port.is_empty() => return Err(wrong()),
            (None, MailTls::Implicit) => 465,
            (None, MailTls::None | MailTls::StartTls) => 25,
        };
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Relay { host: host.to_owned(), port })
    }
}

/// The error and its causes on one line: the relay's own words are in the innermost.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::page::Kind;
    use super::*;

    fn settings(tls: MailTls) -> MailNotify {
        MailNotify { to: vec![], from: None, relays: vec!["mx.example".to_owned()], login: None, tls }
    }

    fn formatted(subject: &str, text: &str) -> String {
        let mailer = Mailer::new(&settings(MailTls::None), "cfg2.example").unwrap();
        let (first, last) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let entry = Entry { id: 3, page: Page::new(Kind::Move, subject, text), count: 4, first, last, left: vec![] };
        let message = mailer.message(&entry, &mailbox("ops@example.org").unwrap(), "mail").unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn a_page_becomes_a_mail_that_says_who_what_and_how_often() {
        let mail = formatted("moved to cfg2", "The service runs on cfg2.");
        for part in [
            "From: failover@cfg2.example",
            "To: ops@example.org",
            "Subject: [failover mail cfg2.example] moved to cfg2 (4 times)",
            "Message-ID: <0.3.failover@cfg2.example>",
            "Auto-Submitted: auto-generated",
            "Date: Thu, 01 Jan 1970",
            "The service runs on cfg2.",
            "event move",
            "4 pages",
        ] {
            assert!(mail.contains(part), "{part:?} is missing in\n{mail}");
        }
    }

    #[test]
    fn no_text_makes_a_header() {
        let mail = formatted("x\r\nBcc: thief@example.net\r\n\r\nbody\u{2028}", "t\r\n.\r\nMAIL FROM:<x>\r\n");
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(head.lines().all(|line| line.starts_with(' ') || line.contains(": ")), "{head}");
        assert!(body.contains("MAIL FROM"), "{body}");
    }

    #[test]
    fn relays_are_read_with_and_without_a_port() {
        let relay = |text: &str, tls| Relay::parse(text, tls).map(|relay| (relay.host, relay.port)).ok();
        assert_eq!(relay("mx", MailTls::None), Some(("mx".to_owned(), 25)));
        assert_eq!(relay("mx", MailTls::Implicit), Some(("mx".to_owned(), 465)));
        assert_eq!(relay("mx:587", MailTls::StartTls), Some(("mx".to_owned(), 587)));
        assert_eq!(relay("[::1]:2525", MailTls::None), Some(("::1".to_owned(), 2525)));
        assert_eq!(relay("[::1]", MailTls::None), Some(("::1".to_owned(), 25)));
        for wrong in ["", ":25", "mx:", "mx:x", "mx:0", "mx:99999", "::1", "[::1", "[::1]25"] {
            assert_eq!(relay(wrong, MailTls::None), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_password_never_goes_out_in_clear_text() {
        let login = Some(("user".to_owned(), "/nonexistent".into()));
        let error = Mailer::new(&MailNotify { login, ..settings(MailTls::None) }, "cfg2").unwrap_err();
        assert!(matches!(error, NotifyError::LoginWithoutTls), "{error:?}");
    }
}
