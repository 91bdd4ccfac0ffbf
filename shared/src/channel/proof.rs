//! The mutual proof: after the TLS handshake and before any message, each side shows that it holds the pair's key.
//!
//! TLS alone names only the server (native-tls cannot ask a client for its certificate), and whoever can redirect
//! traffic may speak to both ends. So each side signs, with the shared key, both greetings (with a fresh nonce each), the
//! role in which it speaks, the pair's name, and the end point of this very TLS connection (RFC 5929 §4). A proof
//! reflected to its maker carries the wrong role, a recorded one the wrong nonce, a relayed one the wrong end point.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::decision::Role;
use crate::key::{KeyId, KeyRing, MAC_BYTES};
use crate::wire::{PROTOCOL_VERSION, pair_tag, role_byte, version_is_spoken};

use super::counters::Refused;

const MAGIC: [u8; 4] = *b"FOCH";
const LABEL: &[u8] = b"failover channel proof 1\0";
const NONCE_BYTES: usize = 32;
const HELLO_BYTES: usize = 4 + 2 + 1 + 1 + 8 + 8 + NONCE_BYTES;
type Hello = [u8; HELLO_BYTES];
/// The id of the key, then the MAC.
const PROOF_BYTES: usize = 4 + MAC_BYTES;

/// What one side brings to the proof.
#[derive(Clone, Copy)]
pub(super) struct Prover<'a> {
    pub(super) role: Role,
    pub(super) pair: &'a str,
    pub(super) keys: &'a KeyRing,
    /// The tls-server-end-point of the connection: the hash of the server's certificate, the same on both ends.
    pub(super) end_point: &'a [u8],
}

/// Why the other side was not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProofError {
    #[error("the connection ended during the proof")]
    Io(#[from] io::Error),
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    #[error("it does not speak this protocol")]
    NotThisProtocol,
    #[error("it speaks protocol version {0}, this host {PROTOCOL_VERSION}; bring both hosts to neighbouring versions")]
    Version(u16),
    #[error("it belongs to another pair; compare `name` in both configurations")]
    Pair,
    #[error("it does not have the peer's role; compare the host names in both configurations")]
    Role,
    #[error("it holds none of this host's keys; copy `pair.key` from one host to the other")]
    NoCommonKey,
    #[error("its proof is wrong: it does not hold the key, or the connection is relayed by someone")]
    WrongProof,
    #[error("the other side refused: {why}")]
    RefusedThere { kind: Refused, why: &'static str },
}

impl ProofError {
    /// Under which kind it is counted.
    pub(super) fn kind(&self) -> Refused {
        match self {
            ProofError::Io(_) | ProofError::Random(_) | ProofError::NotThisProtocol => Refused::HandshakeUnfinished,
            ProofError::Version(_) => Refused::Version,
            ProofError::Pair => Refused::Pair,
            ProofError::Role => Refused::Role,
            ProofError::NoCommonKey | ProofError::WrongProof => Refused::Key,
            ProofError::RefusedThere { kind, .. } => *kind,
        }
    }

    /// The byte that tells the client why it was refused, so that its operator can read it there too.
    fn code(&self) -> u8 {
        match self.kind() {
            Refused::Version => 2,
            Refused::Pair => 3,
            Refused::Role => 4,
            Refused::Key => 5,
            _ => 1,
        }
    }

    fn from_code(code: u8) -> ProofError {
        let (kind, why) = match code {
            2 => (Refused::Version, "this host's protocol version is not spoken there"),
            3 => (Refused::Pair, "this host is of another pair"),
            4 => (Refused::Role, "this host claims a role that it does not have there"),
            5 => (Refused::Key, "this host's key is not known there; copy `pair.key` from one host to the other"),
            _ => (Refused::HandshakeUnfinished, "the handshake was not understood"),
        };
        ProofError::RefusedThere { kind, why }
    }
}

/// Proves to the server and has the server prove. The client goes first: a server shows nothing to a stranger.
pub(super) async fn prove_as_client<S>(stream: &mut S, own: Prover<'_>) -> Result<(), ProofError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = hello(own)?;
    stream.write_all(&client).await?;
    stream.flush().await?;
    let mut server = [0; HELLO_BYTES];
    accepted(stream).await?;
    stream.read_exact(&mut server).await?;
    let key = judge(own, &server)?;

    stream.write_all(&proof(own, key, &client, &server)?).await?;
    stream.flush().await?;
    accepted(stream).await?;
    let mut theirs = [0; PROOF_BYTES];
    stream.read_exact(&mut theirs).await?;
    check(own, &client, &server, &theirs)
}

/// Has the client prove, then proves to it. The client is told why it is refused.
pub(super) async fn prove_as_server<S>(stream: &mut S, own: Prover<'_>) -> Result<(), ProofError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outcome = prove_as_server_silently(stream, own).await;
    if let Err(error) = &outcome
        && !matches!(error, ProofError::Io(_))
    {
        // The refusal is told as a courtesy; that it cannot be told changes nothing.
        let _ = stream.write_all(&[error.code()]).await;
        let _ = stream.shutdown().await;
    }
    outcome
}

async fn prove_as_server_silently<S>(stream: &mut S, own: Prover<'_>) -> Result<(), ProofError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut client = [0; HELLO_BYTES];
    stream.read_exact(&mut client).await?;
    let key = judge(own, &client)?;
    let server = hello(own)?;
    write_accepted(stream, &server).await?;

    let mut theirs = [0; PROOF_BYTES];
    stream.read_exact(&mut theirs).await?;
    check(own, &client, &server, &theirs)?;
    write_accepted(stream, &proof(own, key, &client, &server)?).await
}

/// Everything the server says begins with a byte: zero, or why it refuses.
async fn write_accepted<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), ProofError> {
    let mut all = Vec::with_capacity(1 + bytes.len());
    all.push(0);
    all.extend_from_slice(bytes);
    stream.write_all(&all).await?;
    Ok(stream.flush().await?)
}

async fn accepted<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), ProofError> {
    match stream.read_u8().await? {
        0 => Ok(()),
        code => Err(ProofError::from_code(code)),
    }
}

fn hello(own: Prover<'_>) -> Result<Hello, ProofError> {
    let mut bytes = [0; HELLO_BYTES];
    let [first, second] = own.keys.held();
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    bytes[6] = role_byte(own.role);
    bytes[8..16].copy_from_slice(&pair_tag(own.pair));
    bytes[16..20].copy_from_slice(&first.0);
    bytes[20..24].copy_from_slice(&second.0);
    getrandom::fill(&mut bytes[24..])?;
    Ok(bytes)
}

/// Whether the other side's greeting fits, and which key both hold.
fn judge(own: Prover<'_>, theirs: &Hello) -> Result<KeyId, ProofError> {
    if theirs[..4] != MAGIC {
        return Err(ProofError::NotThisProtocol);
    }
    let version = u16::from_be_bytes([theirs[4], theirs[5]]);
    if !version_is_spoken(version) {
        return Err(ProofError::Version(version));
    }
    if theirs[8..16] != pair_tag(own.pair) {
        return Err(ProofError::Pair);
    }
    if theirs[6] != role_byte(own.role.peer()) {
        return Err(ProofError::Role);
    }
    let id = |at: usize| KeyId([theirs[at], theirs[at + 1], theirs[at + 2], theirs[at + 3]]);
    own.keys.common([id(16), id(20)]).ok_or(ProofError::NoCommonKey)
}

fn proof(own: Prover<'_>, key: KeyId, client: &Hello, server: &Hello) -> Result<[u8; PROOF_BYTES], ProofError> {
    // The key may have been replaced since the greeting.
    let mac = own.keys.sign(key, &[&signed(own, own.role, client, server)]).ok_or(ProofError::NoCommonKey)?;
    let mut bytes = [0; PROOF_BYTES];
    bytes[..4].copy_from_slice(&key.0);
    bytes[4..].copy_from_slice(&mac);
    Ok(bytes)
}

fn check(own: Prover<'_>, client: &Hello, server: &Hello, theirs: &[u8; PROOF_BYTES]) -> Result<(), ProofError> {
    let (id, mac) = theirs.split_at(4);
    let key = KeyId([id[0], id[1], id[2], id[3]]);
    let signed = signed(own, own.role.peer(), client, server);
    if own.keys.verify(key, &[&signed], mac) && mac.len() == MAC_BYTES { Ok(()) } else { Err(ProofError::WrongProof) }
}

/// What is signed. Every part has a fixed length but the pair's name and the end point, which have it in front.
fn signed(own: Prover<'_>, prover: Role, client: &Hello, server: &Hello) -> Vec<u8> {
    let mut bytes = LABEL.to_vec();
    bytes.push(role_byte(prover));
    bytes.extend_from_slice(client);
    bytes.extend_from_slice(server);
    for part in [own.pair.as_bytes(), own.end_point] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests;
