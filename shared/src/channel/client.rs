//! The client: one connection to the peer's socket server, kept open, so that a demand costs one round trip.
//!
//! [`PeerClient::new`] starts a task that owns the connection. Dropping the client ends the task, at any await; that is
//! safe because requests are idempotent and their askers are told that the connection closed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use native_tls::{Certificate, Protocol};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_native_tls::{TlsConnector, TlsStream};

use crate::key::KeyRing;
use crate::wire::{HeaderSource, Message};

use super::conversation::{Order, converse};
use super::counters::{Counters, Refused};
use super::proof::{Prover, prove_as_client};
use super::socket;

/// Requests that may wait for the connection task.
const ORDERS_MAX: usize = 32;
/// How long connecting, TLS and proof may take together.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The first pause between two attempts, and the least.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a client needs.
pub struct ClientSettings {
    /// Where the peer's socket server listens.
    pub peer: SocketAddr,
    /// The own address to connect from: the peer keeps places for it.
    pub local: Option<IpAddr>,
    /// The peer's certificate. No other is accepted.
    pub peer_certificate: Certificate,
    /// Pair, own role, and the headers of the requests.
    pub headers: Arc<HeaderSource>,
    /// The pair's keys.
    pub keys: KeyRing,
    /// Where refusals are counted.
    pub counters: Arc<Counters>,
}

/// Why a client cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// OpenSSL does not take the peer's certificate.
    #[error("the peer's certificate cannot be used for TLS; copy it again from the other host")]
    Tls(#[from] native_tls::Error),
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection, and an attempt to make one failed.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// It was sent, and no answer came in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The peer, or the own side, would not take it.
    #[error("the request was refused: {0}")]
    Refused(String),
    /// The connection ended before the answer. Ask again: the peer knows a repeated request.
    #[error("the connection closed before the answer")]
    Closed,
}

/// Whether the connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Proved and open.
    Up,
    /// Not open, and why.
    Down(String),
}

/// The connection to the peer. Dropping it closes the connection.
#[derive(Debug)]
pub struct PeerClient {
    orders: mpsc::Sender<Order>,
    link: watch::Receiver<Link>,
    hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

impl PeerClient {
    /// Starts to connect. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::Tls`] if the peer's certificate cannot be used.
    pub fn new(settings: ClientSettings) -> Result<PeerClient, ClientError> {
        let mut tls = native_tls::TlsConnector::builder();
        // The pinned certificate is the only root, so names carry no information. The hosts' clocks may be wrong, which
        // is why the certificates that `init` makes are valid from 1975 to 4096.
        tls.disable_built_in_roots(true)
            .add_root_certificate(settings.peer_certificate.clone())
            .danger_accept_invalid_hostnames(true)
            .min_protocol_version(Some(Protocol::Tlsv12));
        let connector = Connector {
            tls: TlsConnector::from(tls.build()?),
            certificate: settings.peer_certificate.to_der()?,
            settings,
        };
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let (report, link) = watch::channel(Link::Down("not connected yet".to_owned()));
        let hurry = Arc::new(Notify::new());
        let task = tokio::spawn(keep_connected(connector, waiting, report, hurry.clone()));
        Ok(PeerClient { orders, link, hurry, task })
    }

    /// Asks, and waits at most `deadline` for the answer. Progress of a stop goes to `progress`; what does not fit there is
    /// dropped. Several requests may be under way. Safe to drop at its await: a late answer is then thrown away.
    ///
    /// # Errors
    /// [`RequestError`]. An answer that says no (`SHUTDOWN_NACK`) is an answer, not an error.
    pub async fn request(
        &self,
        message: Message,
        deadline: Duration,
        progress: Option<mpsc::Sender<Message>>,
    ) -> Result<Message, RequestError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.orders.send(Order { message, progress, answer }).await.map_err(|_| RequestError::Closed)?;
            answered.await.map_err(|_| RequestError::Closed)?
        };
        timeout(deadline, asked).await.unwrap_or_else(|_| match &*self.link.borrow() {
            Link::Up => Err(RequestError::TimedOut),
            Link::Down(reason) => Err(RequestError::Unreachable(reason.clone())),
        })
    }

    /// One round trip that does not pass through the peer's daemon loop: tells how long the connection takes.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn keep_alive(&self, deadline: Duration) -> Result<Duration, RequestError> {
        let asked = Instant::now();
        self.request(Message::Ok, deadline, None).await.map(|_| asked.elapsed())
    }

    /// Whether the connection stands. The receiver sees a reset as soon as the kernel tells of it.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Tries to connect now instead of at the end of the pause: something else has told that the peer is back.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl Drop for PeerClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Connector {
    settings: ClientSettings,
    tls: TlsConnector,
    certificate: Vec<u8>,
}

impl Connector {
    async fn connect(&self) -> Result<TlsStream<TcpStream>, String> {
        match timeout(CONNECT_MAX, self.connect_unbounded()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((kind, why))) => {
                if let Some(kind) = kind {
                    self.settings.counters.count(kind);
                }
                Err(why)
            }
            Err(_) => Err(format!("{} did not answer within {} s", self.settings.peer, CONNECT_MAX.as_secs())),
        }
    }

    async fn connect_unbounded(&self) -> Result<TlsStream<TcpStream>, (Option<Refused>, String)> {
        let ClientSettings { peer, local, headers, keys, .. } = &self.settings;
        let refused = |kind, error: &dyn std::fmt::Display| (Some(kind), format!("{peer}: {error}"));
        let tcp = socket::connect(*local, *peer).await.map_err(|error| (None, format!("{peer}: {error}")))?;
        // The name is not checked, see `new`.
        let mut stream = self.tls.connect("failover-peer", tcp).await.map_err(|error| refused(Refused::Tls, &error))?;
        let shown = stream.get_ref().peer_certificate().and_then(|shown| shown.map(|it| it.to_der()).transpose());
        // As a root, the pinned certificate might have signed another one: only itself is the peer.
        if shown.map_err(|error| refused(Refused::Tls, &error))?.as_ref() != Some(&self.certificate) {
            return Err(refused(Refused::Tls, &"its certificate is not the pinned one"));
        }
        let end_point = stream.get_ref().tls_server_end_point().map_err(|error| refused(Refused::Tls, &error))?;
        let end_point = end_point.ok_or_else(|| refused(Refused::Tls, &"its certificate has no channel binding"))?;
        let own = Prover { role: headers.role(), pair: headers.pair(), keys, end_point: &end_point };
        prove_as_client(&mut stream, own).await.map_err(|error| refused(error.kind(), &error))?;
        self.settings.counters.count_established();
        Ok(stream)
    }
}

/// Connects, talks, and connects again, until the client is dropped.
async fn keep_connected(
    connector: Connector,
    mut orders: mpsc::Receiver<Order>,
    report: watch::Sender<Link>,
    hurry: Arc<Notify>,
) {
    let mut first = None;
    let mut pause = PAUSE_MIN;
    loop {
        match connector.connect().await {
            Ok(stream) => {
                report.send_replace(Link::Up);
                let since = Instant::now();
                let why = converse(stream, first.take(), &mut orders, &connector.settings.headers).await;
                report.send_replace(Link::Down(format!("{}: {why}", connector.settings.peer)));
                pause = PAUSE_MIN;
                // A connection that stood for a while is worth an attempt at once; one that the peer closes again and
                // again is not.
                if since.elapsed() > PAUSE_MAX {
                    continue;
                }
            }
            Err(why) => {
                for order in first.take().into_iter().chain(std::iter::from_fn(|| orders.try_recv().ok())) {
                    // Whoever no longer waits needs no answer.
                    let _ = order.answer.send(Err(RequestError::Unreachable(why.clone())));
                }
                report.send_replace(Link::Down(why));
            }
        }
        tokio::time::sleep(PAUSE_MIN).await;
        tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(PAUSE_MIN)) => {}
            () = hurry.notified() => {}
            order = orders.recv() => match order {
                Some(order) => first = Some(order),
                None => return,
            },
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
