//! A mail server for tests that does what a script says, on 127.0.0.1 and a port of its own.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One thing that the server does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Reads a line and wants it to begin so.
    Hear(&'static str),
    /// Goes on with TLS.
    Tls,
    /// Sends these bytes again and again until the client has had enough.
    Flood(&'static [u8]),
    /// Says nothing more and keeps the connection.
    Hang,
}

pub(super) fn say(text: impl AsRef<str>) -> Act {
    Act::Say(text.as_ref().as_bytes().to_vec())
}

/// A server that plays its script to every client; it ends when dropped.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Scripted {
    pub(super) async fn start(script: Vec<Act>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let acceptor = acceptor();
            let mut clients = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, acceptor) = (script.clone(), acceptor.clone());
                clients.spawn(async move {
                    match script.iter().position(|act| matches!(act, Act::Tls)) {
                        None => play(stream, &script).await,
                        Some(at) => {
                            let (before, after) = script.split_at(at);
                            let mut stream = stream;
                            play(&mut stream, before).await;
                            if let Ok(stream) = acceptor.accept(stream).await {
                                play(stream, &after[1..]).await;
                            }
                        }
                    }
                });
            }
        });
        Scripted { address, _task: task }
    }
}

async fn play(stream: impl AsyncRead + AsyncWrite + Unpin, script: &[Act]) {
    // No read-ahead across a TLS handshake: a buffer of one byte keeps none back.
    let mut stream = BufReader::with_capacity(1, stream);
    for act in script {
        match act {
            Act::Say(bytes) => {
                if stream.write_all(bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Act::Hear(wanted) => {
                let mut line = String::new();
                if stream.read_line(&mut line).await.is_err() || !line.starts_with(wanted) {
                    let told = format!("-ERR the script wanted {wanted}, not {line:?}\r\n");
                    stream.write_all(told.as_bytes()).await.ok();
                    return;
                }
            }
            Act::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
            Act::Hang => std::future::pending().await,
            Act::Tls => panic!("TLS begins once"),
        }
    }
}

/// TLS with a certificate made on the spot, long expired: no check may mind.
fn acceptor() -> tokio_native_tls::TlsAcceptor {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::x509::X509;

    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::from_unix(86_400).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = certificate.build().to_pem().unwrap();
    let key = key.private_key_to_pem_pkcs8().unwrap();
    let identity = native_tls::Identity::from_pkcs8(&certificate, &key).unwrap();
    native_tls::TlsAcceptor::new(identity).unwrap().into()
}
