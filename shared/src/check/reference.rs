//! A reference point answers: a host that lives, or a path that can be looked at.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::Reference;

/// Whether it answers within `limit`.
pub async fn reference_answers(reference: &Reference, limit: Duration) -> bool {
    match reference {
        Reference::Tcp(address) => match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => true,
            // A refusal comes from a living host, which is all that is asked.
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        },
        Reference::Path(path) => {
            let path = path.clone();
            // A look at a dead mount hangs; the thread may be left behind.
            let look = tokio::task::spawn_blocking(move || nix::sys::statvfs::statvfs(&path).is_ok());
            matches!(tokio::time::timeout(limit, look).await, Ok(Ok(true)))
        }
    }
}
