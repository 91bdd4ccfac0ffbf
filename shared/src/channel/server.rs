//! The socket server: takes the peer's connections, has them proved, and hands their messages to the daemon.
//!
//! [`serve`] returns a future that owns the listening socket and every connection. Stopping it at any await closes them
//! all and is safe: every request is idempotent, and the peer repeats what was not answered.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use native_tls::{Identity, Protocol};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_native_tls::{TlsAcceptor, TlsStream};

use crate::decision::Role;
use crate::key::KeyRing;
use crate::wire::{
    DecodeError, Envelope, Header, HeaderSource, LINE_BYTES_MAX, Message, decode, encode, version_is_spoken,
};

use super::counters::{Counters, Refused};
use super::limits::{Admission, ConnectionId, Limits, Place, Table};
use super::lines::{LineError, LineReader};
use super::proof::{Prover, prove_as_server};
use super::socket;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Answers that may wait for one connection. More means that the peer does not read.
const REPLIES_MAX: usize = 64;

/// After an accept that failed for want of memory or descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Listens there. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Whatever the kernel says: the address is in use, or not this host's.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket =
            if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
        // A restarted daemon must not wait for the connections of the one before it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Listener { socket: socket.listen(BACKLOG)? })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// What a socket server needs.
pub struct ServerSettings {
    /// The own certificate and private key. The certificate's signature must have a hash (ECDSA, not Ed25519): the proof
    /// is bound to it.
    pub identity: Identity,
    /// Pair, own role, and the headers of the answers.
    pub headers: Arc<HeaderSource>,
    /// The pair's keys.
    pub keys: KeyRing,
    /// The peer's addresses, for which places are kept.
    pub peer_addresses: Vec<IpAddr>,
    /// The bounds.
    pub limits: Limits,
    /// Where refusals are counted.
    pub counters: Arc<Counters>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// OpenSSL does not take the identity.
    #[error("the own certificate cannot be used for TLS; `failoverctl init` makes a new one")]
    Tls(#[from] native_tls::Error),
}

/// A message of the peer.
#[derive(Debug)]
pub struct Incoming {
    /// Who speaks. Pair, role and version have been checked.
    pub header: Header,
    /// What is said.
    pub message: Message,
    /// The way back.
    pub reply: Replies,
}

/// The way back to the peer, on the connection on which it asked.
#[derive(Clone, Debug)]
pub struct Replies {
    reply_to: u64,
    answers: mpsc::Sender<(u64, Message)>,
}

/// Why an answer was not taken. The peer asks again on its next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Too many answers wait: the peer does not read.
    #[error("the peer does not read its answers")]
    Full,
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
}

impl Replies {
    /// Sends an answer without waiting. A request may have several: progress, then the outcome.
    ///
    /// # Errors
    /// [`ReplyError`] if it will not be sent.
    pub fn send(&self, message: Message) -> Result<(), ReplyError> {
        self.answers.try_send((self.reply_to, message)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReplyError::Full,
            mpsc::error::TrySendError::Closed(_) => ReplyError::Closed,
        })
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.answers.is_closed()
    }
}

/// Checks the settings and gives the future that serves until it is dropped or nobody receives any more.
///
/// # Errors
/// [`ServeError::Tls`] if the identity cannot be used.
pub fn serve(
    listener: Listener,
    settings: ServerSettings,
    incoming: mpsc::Sender<Incoming>,
) -> Result<impl Future<Output = ()> + Send + 'static, ServeError> {
    let ServerSettings { identity, headers, keys, peer_addresses, limits, counters } = settings;
    let mut acceptor = native_tls::TlsAcceptor::builder(identity);
    acceptor.min_protocol_version(Some(Protocol::Tlsv12));
    let tls = TlsAcceptor::from(acceptor.build()?);
    let table = Mutex::new(Table::new(limits.clone(), peer_addresses));
    let server = Arc::new(Server { tls, headers, keys, limits, counters, table, incoming });
    Ok(accept_all(listener.socket, server))
}

struct Server {
    tls: TlsAcceptor,
    headers: Arc<HeaderSource>,
    keys: KeyRing,
    limits: Limits,
    counters: Arc<Counters>,
    table: Mutex<Table>,
    incoming: mpsc::Sender<Incoming>,
}

impl Server {
    fn with_table<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn role(&self) -> Role {
        self.headers.role()
    }
}

async fn accept_all(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => admit(stream, from.ip(), &server, &mut connections),
                // The connection is gone already, or descriptors or memory are short. Trying again at once would spin.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            () = server.incoming.closed() => return,
        }
        // One accept a turn: under a flood the handshakes that are under way, and the daemon, go on between them.
        tokio::task::yield_now().await;
    }
}

fn admit(stream: TcpStream, from: IpAddr, server: &Arc<Server>, connections: &mut JoinSet<()>) {
    server.counters.count_accepted();
    match server.with_table(|table| table.admit(Instant::now(), from)) {
        Admission::Admitted { place, displaced } => {
            if displaced {
                server.counters.refuse(Refused::HalfOpenDropped, from, &"a newer connection needed its place");
            }
            connections.spawn(connection(stream, from, place, server.clone()));
        }
        Admission::Refused(why) => {
            server.counters.refuse(Refused::NoRoom, from, &why);
            socket::reset(stream);
        }
    }
}

/// Gives the place in the table back, however the connection ends.
struct PlaceGuard<'a> {
    server: &'a Server,
    id: ConnectionId,
}

impl Drop for PlaceGuard<'_> {
    fn drop(&mut self) {
        self.server.with_table(|table| table.remove(self.id));
    }
}

/// One connection, from its first byte to its last. Owns the stream and its place.
async fn connection(stream: TcpStream, from: IpAddr, place: Place, server: Arc<Server>) {
    let Place { id, yielded } = place;
    let _guard = PlaceGuard { server: &server, id };
    let stream = tokio::select! {
        () = yielded.notified() => return,
        done = timeout(server.limits.handshake_max, handshake(stream, &server)) => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err((kind, why))) => return server.counters.refuse(kind, from, &why),
            Err(_) => return server.counters.refuse(Refused::HandshakeUnfinished, from, &"it took too long"),
        },
    };
    server.counters.count_established();
    if server.with_table(|table| table.establish(id)) {
        server.counters.count(Refused::EstablishedDropped);
    }
    converse(stream, from, &yielded, &server).await;
}

async fn handshake(stream: TcpStream, server: &Server) -> Result<TlsStream<TcpStream>, (Refused, String)> {
    let unfinished = |error: io::Error| (Refused::HandshakeUnfinished, error.to_string());
    socket::prepare(&stream).map_err(unfinished)?;
    let mut stream = server.tls.accept(stream).await.map_err(|error| (Refused::Tls, error.to_string()))?;
    let end_point = stream.get_ref().tls_server_end_point();
    let end_point = end_point.map_err(|error| (Refused::Tls, error.to_string()))?.ok_or_else(|| {
        (Refused::Tls, "the own certificate has no channel binding; `failoverctl init` makes one that has".to_owned())
    })?;
    let own = Prover { role: server.role(), pair: server.headers.pair(), keys: &server.keys, end_point: &end_point };
    match prove_as_server(&mut stream, own).await {
        Ok(()) => Ok(stream),
        Err(error) => Err((error.kind(), error.to_string())),
    }
}

/// Reads and writes until either ends: two loops side by side, so that neither waits for the other.
async fn converse(stream: TlsStream<TcpStream>, from: IpAddr, yielded: &Notify, server: &Server) {
    let (reader, writer) = tokio::io::split(stream);
    let (answers, waiting) = mpsc::channel(REPLIES_MAX);
    tokio::select! {
        () = yielded.notified() => {}
        () = read_requests(reader, from, answers, server) => {}
        () = write_answers(writer, waiting, server) => {}
    }
}

async fn read_requests(
    stream: impl AsyncRead + Unpin,
    from: IpAddr,
    answers: mpsc::Sender<(u64, Message)>,
    server: &Server,
) {
    let mut lines = LineReader::new(stream, LINE_BYTES_MAX);
    loop {
        let decoded = match lines.next(decode).await {
            Ok(decoded) => decoded,
            Err(LineError::Closed | LineError::Io(_)) => return,
            Err(error @ LineError::TooLong(_)) => return server.counters.refuse(Refused::LongLine, from, &error),
        };
        let (header, id, asked) = match decoded {
            Ok(Envelope { header, id, message, .. }) => (header, id, Ok(message)),
            Err(error @ DecodeError::Malformed(_)) => return server.counters.refuse(Refused::BadLine, from, &error),
            Err(error) => {
                let text = error.to_string();
                let (DecodeError::UnknownVerb { header, id } | DecodeError::WrongBody { header, id, .. }) = error
                else {
                    return;
                };
                server.counters.count(Refused::BadLine);
                (header, id, Err(text))
            }
        };
        if let Err((kind, why)) = check_header(&header, server) {
            return server.counters.refuse(kind, from, &why);
        }
        let reply = Replies { reply_to: id, answers: answers.clone() };
        // An OK asks nothing: it is answered here, so that a connection can be tested without the daemon's loop.
        let answered = match asked {
            Ok(Message::Ok) => reply.send(Message::Ok),
            Ok(message) => match server.incoming.send(Incoming { header, message, reply }).await {
                Ok(()) => Ok(()),
                Err(_) => Err(ReplyError::Closed),
            },
            Err(text) => reply.send(Message::Error { text }),
        };
        if answered.is_err() {
            return;
        }
    }
}

/// The proof has named the peer already; a header that says otherwise comes from a daemon gone wrong.
fn check_header(header: &Header, server: &Server) -> Result<(), (Refused, &'static str)> {
    if header.pair != server.headers.pair() {
        Err((Refused::Pair, "a message of another pair"))
    } else if header.role != server.role().peer() {
        Err((Refused::Role, "a message in the wrong role"))
    } else if !version_is_spoken(header.version) {
        Err((Refused::Version, "a message of a version that is not spoken"))
    } else {
        Ok(())
    }
}

async fn write_answers(
    mut stream: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<(u64, Message)>,
    server: &Server,
) {
    let mut sequence = 0;
    while let Some((reply_to, message)) = waiting.recv().await {
        sequence += 1;
        let header = server.headers.header(sequence);
        let mut envelope = Envelope { header, id: 0, reply_to: Some(reply_to), message };
        let line = encode(&envelope).or_else(|error| {
            envelope.message = Message::Error { text: error.to_string() };
            encode(&envelope)
        });
        let Ok(line) = line else { return };
        let write = async {
            stream.write_all(&line).await?;
            stream.flush().await
        };
        if !matches!(timeout(server.limits.write_max, write).await, Ok(Ok(()))) {
            return;
        }
    }
}
