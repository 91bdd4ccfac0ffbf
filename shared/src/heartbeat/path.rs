//! One path: a UDP socket between one address of this host and one of the peer.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

/// What a socket held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A packet from the peer's address.
    Packet {
        /// In bytes.
        length: usize,
    },
    /// A packet from another address.
    Foreign,
    /// The answer (ICMP) to a packet that was sent: nobody listens there. It takes the place of a packet.
    Unreachable,
}

pub(super) struct Path {
    peer: SocketAddr,
    socket: UdpSocket,
    connected: AtomicBool,
}

impl Path {
    /// Binds, whether or not the address is on the host already: an interface may come up later.
    pub(super) fn open(local: SocketAddr, peer: SocketAddr) -> io::Result<Path> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if local.is_ipv4() {
            socket.set_freebind_v4(true)?;
        } else {
            socket.set_freebind_v6(true)?;
        }
        socket.bind(&local.into())?;
        socket.set_nonblocking(true)?;
        let path = Path { peer, socket: socket.into(), connected: AtomicBool::new(false) };
        path.connect();
        Ok(path)
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same socket under a second descriptor, for waiting only.
    pub(super) fn ready(&self) -> io::Result<tokio::net::UdpSocket> {
        tokio::net::UdpSocket::from_std(self.socket.try_clone()?)
    }

    /// Sends without waiting.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.connected.load(Ordering::Relaxed) && !self.connect() {
            return self.socket.send_to(bytes, self.peer).map(drop);
        }
        match self.socket.send(bytes) {
            // That is the answer to an earlier packet (nobody listened there), told in place of sending this one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.socket.send(bytes).map(drop),
            sent => sent.map(drop),
        }
    }

    /// The next thing that came; `None` if there is nothing. Asks the socket itself: what the runtime has heard about the
    /// socket may be older than the clock reading of this turn.
    pub(super) fn receive(&self, bytes: &mut [u8]) -> Option<Received> {
        match self.socket.recv_from(bytes) {
            Ok((length, from)) if from == self.peer => Some(Received::Packet { length }),
            Ok(_) => Some(Received::Foreign),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Received::Unreachable),
        }
    }

    /// A connected socket hears nobody but the peer: the kernel drops what others send before it takes room in the
    /// buffer. Fails while there is no route, and is tried again with the next packet.
    fn connect(&self) -> bool {
        let connected = self.socket.connect(self.peer).is_ok();
        self.connected.store(connected, Ordering::Relaxed);
        connected
    }
}
