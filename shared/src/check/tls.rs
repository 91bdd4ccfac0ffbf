//! TLS as a mail check uses it: encrypted, certificate not judged.

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_native_tls::{TlsConnector, TlsStream};

use super::failure::{CheckFailure, printable};
use super::record::Record;
use crate::decision::Symptom;

/// Whether and how a dialogue is encrypted.
#[derive(Clone, Copy, Debug)]
pub enum Encryption<'a> {
    /// Plain text.
    None,
    /// TLS from the first byte.
    Implicit(&'a TlsConnector),
    /// STLS or STARTTLS after the greeting.
    StartTls(&'a TlsConnector),
}

/// OpenSSL would not set up a connector.
#[derive(Debug, Error)]
#[error("TLS for the mail checks cannot be set up: {0}")]
pub struct TlsSetupError(#[from] native_tls::Error);

/// A connector for mail checks; make one and share it.
///
/// It judges neither the certificate's chain nor its name nor its dates: the check asks whether users can read mail, and
/// an expired certificate is the same on the other host, so moving the service would not help (and would cost an outage).
/// The canary's password can be had by someone who stands between the hosts; it opens a mailbox made for nothing else.
///
/// # Errors
/// [`TlsSetupError`] when OpenSSL refuses.
pub fn connector() -> Result<TlsConnector, TlsSetupError> {
    let connector = native_tls::TlsConnector::builder()
        .danger_accept_invalid_certs(true)
        .danger_accept_invalid_hostnames(true)
        // No name is asked for: the check speaks to an address, and a server with several names shows its default.
        .use_sni(false)
        // Not judged, so not loaded either: the system's roots cost 35 ms and their memory.
        .disable_built_in_roots(true)
        .build()?;
    Ok(TlsConnector::from(connector))
}

/// The TLS handshake, as a step of its own.
pub(super) async fn handshake<S>(
    stream: S,
    connector: &TlsConnector,
    record: &mut Record,
) -> Result<TlsStream<S>, CheckFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    record.begin("tls");
    // The name is needed by the interface and neither sent nor compared.
    let stream = connector.connect("mail", stream).await.map_err(|error| {
        // native-tls hides the socket's error inside the handshake's; the words are all there is.
        let text = error.to_string();
        let is_closed = ["unexpected EOF", "reset by peer", "Broken pipe"].iter().any(|end| text.contains(end));
        let symptom = if is_closed { Symptom::Closed } else { Symptom::WrongAnswer };
        record.failure(symptom, format!("TLS handshake: {}", printable(text.as_bytes())))
    })?;
    record.remark(|| "TLS is on; the certificate is not judged".into());
    record.end();
    Ok(stream)
}
