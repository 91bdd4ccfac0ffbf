//! Server and client together, on loopback, with real TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use native_tls::{Certificate, Identity};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::proof::{Prover, prove_as_client};
use super::*;
use crate::decision::{Answer, BootId, Demand, Epoch, Evidence, Incarnation, Millis, RequestId, Role, StopMeans};
use crate::key::KeyRing;
use crate::wire::{Envelope, HeaderSource, LINE_BYTES_MAX, Message, encode};

const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];
/// Long enough for the slowest machine; nothing here waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The peer's address in the flood tests; the strangers use [`LOOPBACK`].
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A self-signed ECDSA certificate, as PEM, and its key.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "cfg1").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_str("19750101000000Z").unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_str("40960101000000Z").unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

fn headers(pair: &str, role: Role) -> Arc<HeaderSource> {
    Arc::new(HeaderSource::new(pair, role, BootId(1), Incarnation(2)))
}

/// A master's socket server whose daemon answers every request as a healthy master would.
struct Master {
    address: SocketAddr,
    certificate: Certificate,
    counters: Arc<Counters>,
    keys: KeyRing,
    server: JoinHandle<()>,
    daemon: JoinHandle<()>,
}

impl Master {
    fn start() -> Master {
        Master::start_with(Limits::default(), vec![LOOPBACK])
    }

    fn start_with(limits: Limits, peer_addresses: Vec<IpAddr>) -> Master {
        let (certificate, key) = certificate();
        let identity = Identity::from_pkcs8(&certificate, &key).unwrap();
        let keys = KeyRing::new(&KEY, None).unwrap();
        let counters = Arc::new(Counters::default());
        let settings = ServerSettings {
            identity,
            headers: headers("mail", Role::Master),
            keys: keys.clone(),
            peer_addresses,
            limits,
            counters: counters.clone(),
        };
        let listener = Listener::bind(SocketAddr::new(LOOPBACK, 0)).unwrap();
        let address = listener.address().unwrap();
        let (incoming, requests) = mpsc::channel(16);
        let server = tokio::spawn(serve(listener, settings, incoming).unwrap());
        let daemon = tokio::spawn(answer_all(requests));
        let certificate = Certificate::from_pem(&certificate).unwrap();
        Master { address, certificate, counters, keys, server, daemon }
    }

    fn slave_settings(&self) -> ClientSettings {
        ClientSettings {
            peer: self.address,
            local: Some(LOOPBACK),
            peer_certificate: self.certificate.clone(),
            headers: headers("mail", Role::Slave),
            keys: KeyRing::new(&KEY, None).unwrap(),
            counters: Arc::new(Counters::default()),
        }
    }

    fn slave(&self) -> PeerClient {
        PeerClient::new(self.slave_settings()).unwrap()
    }

    /// A connection that has passed the proof, to write raw bytes on.
    async fn raw(&self) -> tokio_native_tls::TlsStream<TcpStream> {
        let mut tls = native_tls::TlsConnector::builder();
        tls.disable_built_in_roots(true)
            .add_root_certificate(self.certificate.clone())
            .danger_accept_invalid_hostnames(true);
        let tls = tokio_native_tls::TlsConnector::from(tls.build().unwrap());
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut stream = tls.connect("peer", stream).await.unwrap();
        let end_point = stream.get_ref().tls_server_end_point().unwrap().unwrap();
        let own = Prover { role: Role::Slave, pair: "mail", keys: &self.keys, end_point: &end_point };
        prove_as_client(&mut stream, own).await.unwrap();
        stream
    }

    async fn until_refused(&self, kind: Refused, count: u64) {
        let counted = async {
            while self.counters.refused(kind) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, counted).await.is_err() {
            panic!("waited for {count} × {kind:?}, found {:?}", self.counters.snapshot());
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.server.abort();
        self.daemon.abort();
    }
}

async fn answer_all(mut requests: mpsc::Receiver<Incoming>) {
    while let Some(Incoming { message, reply, .. }) = requests.recv().await {
        match message {
            Message::ShutdownYourService(Demand { request, epoch, .. }) => {
                for step in 1..=2 {
                    let text = "stopping".to_owned();
                    reply.send(Message::ShutdownProgress { request, step, text }).unwrap();
                }
                let answer = Answer::Acked { epoch, means: StopMeans::PostConditions, forced: None };
                reply.send(Message::ShutdownAnswer { request, answer }).unwrap();
            }
            Message::Status => reply.send(Message::Reply { body: "fine".into() }).unwrap(),
            // Never answered: the test closes the connection meanwhile.
            Message::TakeoverNotice { .. } => {}
            other => reply.send(Message::Error { text: format!("not expected: {other:?}") }).unwrap(),
        }
    }
}

fn demand() -> (RequestId, Message) {
    let request = RequestId { incarnation: Incarnation(2), number: 1 };
    let demand = Demand {
        request,
        from: Role::Slave,
        epoch: Epoch(3),
        evidence: Evidence::NobodyActive,
        ready: true,
        lifetime_ms: Millis(1_000),
        prepare: false,
    };
    (request, Message::ShutdownYourService(demand))
}

async fn status(client: &PeerClient) -> Result<Message, RequestError> {
    client.request(Message::Status, PATIENCE, None).await
}

#[tokio::test]
async fn a_demand_brings_progress_and_then_its_acknowledgement() {
    let master = Master::start();
    let slave = master.slave();
    let (progress, mut steps) = mpsc::channel(8);
    let (request, demand) = demand();
    let answer = slave.request(demand, PATIENCE, Some(progress)).await.unwrap();
    let acked = Answer::Acked { epoch: Epoch(3), means: StopMeans::PostConditions, forced: None };
    assert_eq!(answer, Message::ShutdownAnswer { request, answer: acked });
    for expected in 1..=2 {
        assert!(matches!(steps.recv().await, Some(Message::ShutdownProgress { step, .. }) if step == expected));
    }
    assert!(steps.recv().await.is_none());
    assert_eq!(master.counters.snapshot().refused.len(), 0);
}

#[tokio::test]
async fn several_requests_are_under_way_and_each_gets_its_own_answer() {
    let master = Master::start();
    let slave = master.slave();
    let (_, demanded) = demand();
    let patience = PATIENCE;
    let (stop, status, alive) = tokio::join!(
        slave.request(demanded, patience, None),
        slave.request(Message::Status, patience, None),
        slave.keep_alive(patience)
    );
    assert!(matches!(stop, Ok(Message::ShutdownAnswer { .. })), "{stop:?}");
    assert_eq!(status, Ok(Message::Reply { body: "fine".into() }));
    alive.unwrap();
    assert_eq!(master.counters.snapshot().established, 1, "over one connection");
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_counted_on_both_hosts_until_the_old_key_is_accepted_too() {
    let master = Master::start();
    let keys = KeyRing::new(&OTHER_KEY, None).unwrap();
    let settings = ClientSettings { keys, ..master.slave_settings() };
    let counters = settings.counters.clone();
    let slave = PeerClient::new(settings).unwrap();
    let refused = status(&slave).await;
    assert!(matches!(&refused, Err(RequestError::Unreachable(why)) if why.contains("key")), "{refused:?}");
    master.until_refused(Refused::Key, 1).await;
    assert!(counters.refused(Refused::Key) >= 1);

    // The master gets the new key, and keeps the old one: both slaves are welcome.
    master.keys.replace(&OTHER_KEY, Some(&KEY)).unwrap();
    slave.hurry();
    let accepted = timeout(PATIENCE, async {
        while status(&slave).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    accepted.await.expect("the new key is accepted");
    assert!(status(&master.slave()).await.is_ok(), "the old key is accepted too");
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not_believed() {
    let master = Master::start();
    let (other, _) = certificate();
    let peer_certificate = Certificate::from_pem(&other).unwrap();
    let settings = ClientSettings { peer_certificate, ..master.slave_settings() };
    let counters = settings.counters.clone();
    let slave = PeerClient::new(settings).unwrap();
    assert!(matches!(status(&slave).await, Err(RequestError::Unreachable(_))));
    assert!(counters.refused(Refused::Tls) >= 1);
    assert_eq!(master.counters.snapshot().established, 0);
}

#[tokio::test]
async fn another_pair_and_a_wrong_role_are_refused_under_their_names() {
    let master = Master::start();
    for (pair, role, kind) in [("news", Role::Slave, Refused::Pair), ("mail", Role::Master, Refused::Role)] {
        let settings = ClientSettings { headers: headers(pair, role), ..master.slave_settings() };
        let slave = PeerClient::new(settings).unwrap();
        assert!(matches!(status(&slave).await, Err(RequestError::Unreachable(_))));
        master.until_refused(kind, 1).await;
    }
    assert_eq!(master.counters.snapshot().established, 0);
}

#[tokio::test]
async fn plain_text_on_the_port_is_refused_and_counted() {
    let master = Master::start();
    let mut stream = TcpStream::connect(master.address).await.unwrap();
    stream.write_all(b"SHUTDOWN_YOUR_SERVICE {}\n").await.unwrap();
    master.until_refused(Refused::Tls, 1).await;
}

#[tokio::test]
async fn a_silent_stranger_is_closed_after_the_handshake_time() {
    let limits = Limits { handshake_max: Duration::from_millis(50), ..Limits::default() };
    let master = Master::start_with(limits, vec![PEER]);
    let mut stream = TcpStream::connect(master.address).await.unwrap();
    let closed = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("closed in time");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    master.until_refused(Refused::HandshakeUnfinished, 1).await;
}

#[tokio::test]
async fn a_line_of_a_mebibyte_from_the_peer_itself_closes_the_connection() {
    let master = Master::start();
    let mut stream = master.raw().await;
    // The server closes in the middle: writing may fail, which is what is wanted.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]).await;
    master.until_refused(Refused::LongLine, 1).await;
    assert!(status(&master.slave()).await.is_ok(), "and the next connection is served");
}

#[tokio::test]
async fn a_line_that_comes_byte_by_byte_is_read_whole() {
    let master = Master::start();
    let mut stream = master.raw().await;
    let header = headers("mail", Role::Slave).header(1);
    for byte in encode(&Envelope { header, id: 5, reply_to: None, message: Message::Status }).unwrap() {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    let answer = timeout(PATIENCE, read_line(&mut stream)).await.unwrap();
    assert!(answer.starts_with("REPLY {") && answer.contains("\"reply_to\":5"), "{answer}");
}

#[tokio::test]
async fn a_verb_of_a_later_version_is_answered_with_an_error_and_the_connection_goes_on() {
    let master = Master::start();
    let mut stream = master.raw().await;
    let header = headers("mail", Role::Slave).header(1);
    let line = encode(&Envelope { header, id: 6, reply_to: None, message: Message::Status }).unwrap();
    let later = String::from_utf8(line.clone()).unwrap().replacen("STATUS", "DANCE", 1);
    stream.write_all(later.as_bytes()).await.unwrap();
    let answer = timeout(PATIENCE, read_line(&mut stream)).await.unwrap();
    assert!(answer.starts_with("ERROR {") && answer.contains("\"reply_to\":6"), "{answer}");

    stream.write_all(&line).await.unwrap();
    let answer = timeout(PATIENCE, read_line(&mut stream)).await.unwrap();
    assert!(answer.starts_with("REPLY {"), "{answer}");
}

async fn read_line(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') && line.len() < LINE_BYTES_MAX {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn a_lost_connection_is_told_at_once_to_the_daemon_and_to_whoever_waits() {
    let master = Master::start();
    let slave = master.slave();
    slave.keep_alive(PATIENCE).await.unwrap();
    let mut link = slave.link();
    assert_eq!(*link.borrow_and_update(), Link::Up);

    let notice = Message::TakeoverNotice { epoch: Epoch(4) };
    let waiting = slave.request(notice, PATIENCE, None);
    let cut = async {
        // The notice is on its way once a later request has come back.
        slave.keep_alive(PATIENCE).await.unwrap();
        master.server.abort();
    };
    let (answer, ()) = timeout(PATIENCE / 2, async { tokio::join!(waiting, cut) }).await.expect("told at once");
    assert_eq!(answer, Err(RequestError::Closed));
    timeout(PATIENCE, link.changed()).await.unwrap().unwrap();
    assert!(matches!(&*link.borrow(), Link::Down(_)));
    assert!(matches!(status(&slave).await, Err(RequestError::Unreachable(_))), "nobody listens any more");
}

#[tokio::test]
async fn a_request_that_the_peer_never_answers_times_out() {
    let master = Master::start();
    let slave = master.slave();
    slave.keep_alive(PATIENCE).await.unwrap();
    let notice = Message::TakeoverNotice { epoch: Epoch(4) };
    let answer = slave.request(notice, Duration::from_millis(50), None).await;
    assert_eq!(answer, Err(RequestError::TimedOut));
}

/// Strangers hold half-open connections and keep opening new ones, from a thread of their own so that they do not wait
/// for the server.
fn flood(address: SocketAddr, half_open: usize, connections: usize) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        use std::io::Write;
        let mut held = Vec::new();
        let mut connected = 0;
        for number in 0..half_open + connections {
            let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, PATIENCE) else { continue };
            connected += 1;
            if number < half_open {
                // The first bytes of a TLS handshake that never goes on.
                let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]);
                held.push(stream);
            }
        }
        connected
    })
}

#[tokio::test]
async fn strangers_that_flood_the_port_do_not_keep_the_peer_out() {
    let master = Master::start_with(Limits::default(), vec![PEER]);
    // Half handshakes are held open by file descriptors of this process: 300 stay below the usual limit of 1,024.
    let strangers = flood(master.address, 300, 10_000);
    master.until_refused(Refused::NoRoom, 100).await;

    let mut served_under_flood = 0;
    while !strangers.is_finished() || served_under_flood == 0 {
        let settings = ClientSettings { local: Some(PEER), ..master.slave_settings() };
        let slave = PeerClient::new(settings).unwrap();
        // No second attempt: the first one has to succeed.
        slave.keep_alive(PATIENCE).await.expect("a new connection of the peer is served at once");
        served_under_flood += 1;
    }
    let connected = strangers.join().unwrap();
    assert!(connected > 9_000, "the flood was a flood: {connected}");
    let snapshot = master.counters.snapshot();
    assert_eq!(snapshot.established, served_under_flood, "{snapshot:?}");
}

#[tokio::test]
async fn a_flood_from_the_peers_own_address_leaves_the_peer_a_way_in() {
    let master = Master::start();
    let strangers = flood(master.address, 300, 2_000);
    master.until_refused(Refused::HalfOpenDropped, 10).await;
    let slave = master.slave();
    let served = timeout(PATIENCE, async { while slave.keep_alive(PATIENCE).await.is_err() {} }).await;
    assert!(served.is_ok(), "{:?}", master.counters.snapshot());
    // The server lives on this thread: waiting for the strangers must not stop it.
    let joined = tokio::task::spawn_blocking(move || strangers.join().unwrap());
    assert!(timeout(PATIENCE, joined).await.unwrap().unwrap() > 2_000);
}
