//! Options of the channel's TCP connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

/// Silence after which the kernel asks whether the other host is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// Between two such questions; three without an answer end the connection.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the connection ends.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// No delay for small lines, and a dead host ends the connection within seconds instead of hours. That is the
/// connection's own hygiene: whether the peer is alive is for the heartbeats to say.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY).with_retries(KEEPALIVE_TIMES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// Closes with a reset, so that a flood of refused connections leaves no TIME_WAIT behind.
pub(super) fn reset(stream: TcpStream) {
    // If the option cannot be set the connection is closed the slow way, which is only less tidy.
    let _ = stream.set_zero_linger();
}

/// Connects from `local`, if the host has that address: the peer's server keeps places for it.
pub(super) async fn connect(local: Option<IpAddr>, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local.filter(|local| local.is_ipv4() == peer.is_ipv4()) {
        // Without the address the connection is one of a stranger, which is still better than none.
        let _ = socket.bind(SocketAddr::new(local, 0));
    }
    let stream = socket.connect(peer).await?;
    prepare(&stream)?;
    Ok(stream)
}
