//! Listening TCP sockets of this network namespace, and who holds them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};

use super::table::{Process, list};

/// One listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its inode, which `/proc/<pid>/fd` names.
    pub inode: u64,
}

/// Every listening TCP socket, both address families.
///
/// # Errors
/// The kernel's tables cannot be read. A kernel without IPv6 has one table only.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for table in [procfs::net::tcp(), procfs::net::tcp6()] {
        match table {
            Ok(entries) => found.extend(entries.into_iter().filter_map(listening)),
            Err(ProcError::NotFound(Some(path))) if path.ends_with("tcp6") => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(found)
}

/// The first process that holds the socket; `None` if it lives in another process namespace or may not be looked into.
///
/// # Errors
/// `/proc` cannot be read.
pub fn owner_of_socket(inode: u64) -> io::Result<Option<Process>> {
    let wanted = format!("socket:[{inode}]");
    Ok(list()?.into_iter().find(|process| {
        fs::read_dir(format!("/proc/{}/fd", process.id.pid)).is_ok_and(|links| {
            links.flatten().any(|link| fs::read_link(link.path()).is_ok_and(|target| target == Path::new(&wanted)))
        })
    }))
}

fn listening(entry: TcpNetEntry) -> Option<Listener> {
    (entry.state == TcpState::Listen).then_some(Listener { address: entry.local_address, inode: entry.inode })
}
