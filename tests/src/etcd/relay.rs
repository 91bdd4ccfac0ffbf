//! A relay between a client and etcd that can lose the answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;

/// Passes on all that clients send, and the answers while it is not told to lose them. Its threads end on drop.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    loses_answers: AtomicBool,
    ends: AtomicBool,
    /// Both sides of each connection, to end the threads that read from them.
    streams: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// A relay to the local `port`.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(port: u16) -> Result<Relay> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, port, &shared)
        });
        Ok(Relay { address, shared, acceptor: Some(acceptor) })
    }

    /// What a client connects to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether answers are lost from now on.
    pub fn lose_answers(&self, lost: bool) {
        self.shared.loses_answers.store(lost, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then sees that it shall end.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic in there has been printed already.
            let _ = acceptor.join();
        }
        for stream in self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, port: u16, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        // A server that is down: the client sees its connection closed.
        if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            let _ = join(client, server, shared);
        }
    }
}

fn join(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let [client_writer, server_writer] = [client.try_clone()?, server.try_clone()?];
    shared.streams.lock().unwrap_or_else(PoisonError::into_inner).extend([client.try_clone()?, server.try_clone()?]);
    std::thread::spawn(move || pass_on(client, server_writer, || false));
    let shared = Arc::clone(shared);
    std::thread::spawn(move || pass_on(server, client_writer, || shared.loses_answers.load(Ordering::SeqCst)));
    Ok(())
}

/// Until one side closes.
fn pass_on(mut from: TcpStream, mut to: TcpStream, lose: impl Fn() -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !lose() && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // Closed by the other side already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
