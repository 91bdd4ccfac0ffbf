//! A TCP port answers.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::CheckFailure;

/// Connects.
///
/// # Errors
/// Refused and unreachable are told apart by errno (connect(2)).
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, CheckFailure> {
    let stream = TcpStream::connect(address).await.map_err(|error| CheckFailure::io("connect", &error))?;
    // Small lines back and forth: waiting for more to send only makes the check slow.
    stream.set_nodelay(true).map_err(|error| CheckFailure::io("connect", &error))?;
    Ok(stream)
}
