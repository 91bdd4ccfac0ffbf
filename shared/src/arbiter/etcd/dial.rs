//! One connection to a member of etcd.

use std::io;

use etcd_client::Error;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_native_tls::TlsConnector;
use tonic::transport::{Channel, Endpoint as Http2};

use super::endpoint::Endpoint;

/// A connection with TLS, or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, and brings up HTTP/2. Dropping the channel ends the task behind it.
///
/// The client library would connect by itself, but over TLS of its own choice, and without `TCP_NODELAY`: every write then
/// waits for the kernel's delayed acknowledgement, 40 ms each.
pub(super) async fn dial(endpoint: Endpoint, tls: Option<TlsConnector>) -> Result<Channel, Error> {
    let http2 = Http2::from_shared(endpoint.to_string())?;
    let connect = tower::service_fn(move |_| {
        // Called again if the connection breaks and the channel is still in use.
        let (endpoint, tls) = (endpoint.clone(), tls.clone());
        async move { stream(&endpoint, tls.as_ref()).await.map(TokioIo::new) }
    });
    Ok(http2.connect_with_connector(connect).await?)
}

async fn stream(endpoint: &Endpoint, tls: Option<&TlsConnector>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls.filter(|_| endpoint.tls) else { return Ok(Box::new(stream)) };
    Ok(Box::new(tls.connect(&endpoint.host, stream).await.map_err(io::Error::other)?))
}
