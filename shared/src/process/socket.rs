//! Listening TCP sockets of this network namespace, and who holds them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

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

/// The first holder of each of these sockets, in one pass over the process table. A socket whose holder lives in another
/// process namespace, or may not be looked into, is missing.
///
/// # Errors
/// `/proc` cannot be read.
pub fn owners_of_sockets(inodes: &[u64]) -> io::Result<BTreeMap<u64, Process>> {
    let wanted: BTreeMap<PathBuf, u64> =
        inodes.iter().map(|inode| (PathBuf::from(format!("socket:[{inode}]")), *inode)).collect();
    let mut owners = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(owners);
    }
    for process in list()? {
        let Ok(links) = fs::read_dir(format!("/proc/{}/fd", process.id.pid)) else { continue };
        for target in links.flatten().filter_map(|link| fs::read_link(link.path()).ok()) {
            if let Some(inode) = wanted.get(&target) {
                owners.entry(*inode).or_insert_with(|| process.clone());
            }
        }
    }
    Ok(owners)
}

fn listening(entry: TcpNetEntry) -> Option<Listener> {
    (entry.state == TcpState::Listen).then_some(Listener { address: entry.local_address, inode: entry.inode })
}
