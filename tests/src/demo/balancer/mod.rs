//! The demo's load balancer. One thread; all state is behind [`Fleet`].

mod command;
mod fleet;

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

pub use fleet::{Backend, Fleet};

/// Between two health checks of a server, and the limit of one.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// How long a server may take to accept.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const LINE_BYTES_MAX: u64 = 4 * 1024;

/// Forwards from each front to the backend at the same place of the fleet, checks the servers, and answers on the runtime
/// socket, until the process ends.
///
/// # Errors
/// When an address or the socket cannot be listened on.
pub async fn serve(fleet: Rc<Fleet>, fronts: &[SocketAddr], socket: &Path) -> Result<()> {
    for (backend, front) in fronts.iter().enumerate() {
        let listener = TcpListener::bind(front).await.with_context(|| format!("listen at {front}"))?;
        spawn_local(forward(Rc::clone(&fleet), backend, listener));
        for server in 0..fleet.servers(backend) {
            spawn_local(check(Rc::clone(&fleet), backend, server));
        }
    }
    let admin = UnixListener::bind(socket).with_context(|| format!("listen at {}", socket.display()))?;
    loop {
        // A refused connection (no file left) comes right by itself; the pause keeps it from becoming a busy loop.
        match admin.accept().await {
            Ok((stream, _)) => drop(spawn_local(answer(Rc::clone(&fleet), stream))),
            Err(_) => sleep(CHECK_EVERY).await,
        }
    }
}

/// Owns one front. Each connection is a task that the fleet can abort when its server's sessions are shut down.
async fn forward(fleet: Rc<Fleet>, backend: usize, listener: TcpListener) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            sleep(CHECK_EVERY).await;
            continue;
        };
        // Without a server the connection is closed at once, as HAProxy does it.
        let Some((server, address)) = fleet.choose(backend) else { continue };
        let session = spawn_local(pass(client, address));
        fleet.session_began(backend, server, session.abort_handle());
    }
}

async fn pass(mut client: TcpStream, address: SocketAddr) {
    if let Ok(Ok(mut server)) = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
        // Either side may leave at any moment; both ends close then.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// Owns the health check of one server: a connection and the first byte of a greeting.
async fn check(fleet: Rc<Fleet>, backend: usize, server: usize) {
    let address = fleet.address(backend, server);
    loop {
        let greeted = timeout(CHECK_EVERY, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.read_u8().await
        });
        fleet.checked(backend, server, matches!(greeted.await, Ok(Ok(_))));
        sleep(CHECK_EVERY).await;
    }
}

/// One command, one answer, and the end: what HAProxy's socket does outside its interactive mode.
async fn answer(fleet: Rc<Fleet>, stream: UnixStream) {
    let mut stream = BufReader::new(stream).take(LINE_BYTES_MAX);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_ok() {
        let text = command::answer(&fleet, line.trim());
        // Who has left does not want the answer.
        let _ = stream.into_inner().write_all(text.as_bytes()).await;
    }
}
