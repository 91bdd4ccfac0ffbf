//! The connection to etcd, and the way round its members.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error, GetOptions, GetResponse, KvClient, Txn, TxnResponse};
use tokio::time::{Instant, timeout};
use tokio_native_tls::TlsConnector;

use super::dial::dial;
use super::endpoint::Endpoint;
use super::keys::Keys;
use super::record::RECORD_BYTES_MAX;
use super::settings::{EtcdError, EtcdSettings};
use super::tls;
use crate::decision::ArbiterFailure;
use crate::secret::Secret;

/// The most keys that are read: three are ours, and more are nobody's.
const KEYS_MAX: u32 = 8;

/// The longest answer that is taken from the network.
const ANSWER_BYTES_MAX: usize = KEYS_MAX as usize * (RECORD_BYTES_MAX + 512) + 4096;

/// The longest that one member's words are quoted.
const WORDS_CHARACTERS_MAX: usize = 200;

/// Codes of gRPC: what etcd answers to a wrong user or password, a user without the right, a user where none is needed.
/// No other member would say anything else.
const CODES_OF_REFUSAL: [i32; 3] = [3, 7, 9];

/// One connection at a time. Dropping it ends the tasks behind it; what was on its way may or may not take effect.
pub(super) struct Link {
    endpoints: Vec<Endpoint>,
    tls: Option<TlsConnector>,
    credentials: Option<(String, Secret)>,
    /// The endpoint that is asked next, and the one that `live` leads to.
    endpoint: usize,
    live: Option<KvClient>,
}

/// What can be asked.
enum Question {
    Read(GetOptions, Vec<u8>),
    Write(Box<Txn>),
}

enum Answer {
    Read(GetResponse),
    Written(TxnResponse),
}

impl Link {
    /// # Errors
    /// A file that cannot be used. Nothing is connected yet.
    pub(super) fn new(settings: &EtcdSettings) -> Result<Link, EtcdError> {
        Ok(Link {
            endpoints: settings.parsed_endpoints()?,
            tls: tls::connector(settings)?.map(TlsConnector::from),
            credentials: settings.credentials()?,
            endpoint: 0,
            live: None,
        })
    }

    /// The endpoint in use or to be used next.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoints.get(self.endpoint)
    }

    /// Reads all of a pair's keys at once. Linearizable: never what a member remembers, always what most agree on.
    pub(super) async fn read(&mut self, keys: &Keys, until: Instant) -> Result<GetResponse, ArbiterFailure> {
        let range = keys.range();
        let options = GetOptions::new().with_range(range.end).with_limit(i64::from(KEYS_MAX));
        match self.ask(&Question::Read(options, range.start), until).await? {
            Answer::Read(response) if response.more() => {
                Err(ArbiterFailure::Damaged(format!("etcd has foreign keys beside {}", keys.claim())))
            }
            Answer::Read(response) => Ok(response),
            Answer::Written(_) => Err(ArbiterFailure::Unreachable("etcd answered another question".to_owned())),
        }
    }

    /// Performs a transaction. It may have taken effect even if this fails, and even more than once: what it compares
    /// must forbid the second time.
    pub(super) async fn write(&mut self, transaction: Txn, until: Instant) -> Result<TxnResponse, ArbiterFailure> {
        match self.ask(&Question::Write(Box::new(transaction)), until).await? {
            Answer::Written(response) => Ok(response),
            Answer::Read(_) => Err(ArbiterFailure::Unreachable("etcd answered another question".to_owned())),
        }
    }

    /// Asks over the connection that stands, then over new ones to each endpoint in turn, the same one last. Each gets its
    /// share of the time that is left, so that one that is silent does not take the others' time.
    async fn ask(&mut self, question: &Question, until: Instant) -> Result<Answer, ArbiterFailure> {
        let tries = self.endpoints.len() + usize::from(self.live.is_some());
        let mut told = String::new();
        let mut only_late = true;
        for left in (1..=tries).rev() {
            let share = until.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            let fresh = self.live.is_none();
            let error = match timeout(share, self.attempt(question)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Some(error),
                Err(_late) => None,
            };
            self.live = None;
            only_late &= error.is_none();
            if let Some(endpoint) = self.endpoint() {
                note(&mut told, endpoint, error.as_ref(), share);
            }
            if fresh && error.as_ref().is_some_and(is_refusal) {
                break;
            }
            self.endpoint = (self.endpoint + 1) % self.endpoints.len().max(1);
        }
        Err(if only_late { ArbiterFailure::TimedOut } else { ArbiterFailure::Unreachable(told) })
    }

    async fn attempt(&mut self, question: &Question) -> Result<Answer, Error> {
        let client = match &mut self.live {
            Some(client) => client,
            None => {
                let client = self.connect().await?;
                self.live.insert(client)
            }
        };
        Ok(match question {
            Question::Read(options, key) => Answer::Read(client.get(key.clone(), Some(options.clone())).await?),
            Question::Write(transaction) => Answer::Written(client.txn(Txn::clone(transaction)).await?),
        })
    }

    async fn connect(&self) -> Result<KvClient, Error> {
        let endpoint = self.endpoint().ok_or_else(|| Error::InvalidArgs("no endpoint".to_owned()))?;
        let channel = Channel::Tonic(dial(endpoint.clone(), self.tls.clone()).await?);
        // Without a leader a member would hold the question until it times out; so it says so at once.
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((user, password)) = &self.credentials {
            // The client library keeps the password as plain text for as long as the connection stands.
            options = options.with_user(user, String::from_utf8_lossy(password.expose()));
        }
        let client = Client::from_channel(channel, Some(options)).await?;
        Ok(client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX))
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if CODES_OF_REFUSAL.contains(&i32::from(status.code())))
}

/// Adds what became of one endpoint.
fn note(told: &mut String, endpoint: &Endpoint, error: Option<&Error>, share: Duration) {
    let separator = if told.is_empty() { "" } else { "; " };
    // Writing to a string cannot fail.
    let _ = match error {
        None => write!(told, "{separator}{endpoint}: no answer within {} ms", share.as_millis()),
        Some(error) => {
            write!(
                told,
                "{separator}{endpoint}: {}",
                words(error).chars().take(WORDS_CHARACTERS_MAX).collect::<String>()
            )
        }
    };
}

/// What went wrong, down to the system's own words: "transport error" alone helps nobody.
fn words(error: &Error) -> String {
    let (mut text, mut cause): (_, Option<&dyn StdError>) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(transport) => (transport.to_string(), transport.source()),
        other => (other.to_string(), None),
    };
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            let _ = write!(text, ": {inner_text}");
        }
        cause = inner.source();
    }
    text
}
