//! A TCP port answers: the connection is accepted, and nothing is said.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::failure::CheckFailure;
use super::record::Record;

/// Connects to `address`, as the step `connect`. The stream is the first step of a mail check, or is dropped: then the
/// port check has passed.
///
/// A listening socket whose process is stopped is still accepted by the kernel: a port check sees less than a dialogue.
///
/// # Errors
/// [`CheckFailure`]: refused, unreachable, or this host could not ask. It has no time limit of its own.
pub(super) async fn connect(address: SocketAddr, record: &mut Record) -> Result<TcpStream, CheckFailure> {
    record.begin("connect");
    record.remark(|| format!("connect to {address}"));
    let stream = TcpStream::connect(address).await.map_err(|error| CheckFailure::of_io("connect", &error))?;
    // Short commands one after another: each is to leave at once. Without it a check is slower, not wrong.
    stream.set_nodelay(true).ok();
    record.end();
    Ok(stream)
}
