//! Encryption of a mail check.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_native_tls::{TlsConnector, TlsStream};

use super::CheckFailure;
use crate::decision::Symptom;

/// Wraps a connection in TLS. Certificates are not judged: the question is whether mail can be read, and a failover for
/// an expired certificate would move the same certificate to the other host.
///
/// # Errors
/// When the handshake fails.
pub(super) async fn wrap<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<TlsStream<S>, CheckFailure> {
    let failed = |detail: String| CheckFailure { symptom: Symptom::WrongAnswer, at: "TLS", detail };
    let connector = native_tls::TlsConnector::builder()
        .danger_accept_invalid_certs(true)
        .danger_accept_invalid_hostnames(true)
        .disable_built_in_roots(true)
        .use_sni(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    TlsConnector::from(connector).connect("check", stream).await.map_err(|error| failed(error.to_string()))
}
