//! HAProxy's runtime socket, as its management guide (chapter 9, "Unix Socket commands") describes it.
//!
//! One command a connection: the socket answers and closes, so an answer ends where the connection does. A command that
//! worked answers one empty line; everything else is a refusal in words.
//!
//! Traps, each seen on 2.6: `srv_admin_state` is a mask, and a server configured `disabled` keeps bit 0x04 after
//! `ready`. A server without a health check, and one just made ready, counts as running whether it lives or not.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::error::excerpt;
use super::{Admin, BalancerError, Device, Seen, View, Wanted};
use crate::decision::{Epoch, Role};

/// The longest answer that is read. The state of a backend takes about 150 bytes a server.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The runtime socket and the names of the pair's servers in it.
#[derive(Debug)]
pub struct HaProxy {
    socket: Socket,
    backends: Vec<String>,
    master: String,
    slave: String,
}

#[derive(Debug)]
enum Socket {
    Unix(PathBuf),
    /// `host:port`, resolved at each call: an address is what the configuration should hold.
    Tcp(String),
}

impl HaProxy {
    /// A driver for `socket`: a path when it holds a slash, else `host:port`.
    ///
    /// # Errors
    /// [`BalancerError::Settings`] when a name could not be a HAProxy name. A blank or a semicolon in one would make a
    /// second command of it.
    pub fn new(socket: &str, backends: &[String], master: &str, slave: &str) -> Result<HaProxy, BalancerError> {
        for name in backends.iter().map(String::as_str).chain([master, slave]) {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c)) {
                let reason = format!("balancer: {name:?} is no HAProxy name; letters, digits and - _ . : are allowed");
                return Err(BalancerError::Settings(reason));
            }
        }
        if backends.is_empty() {
            return Err(BalancerError::Settings("balancer: name at least one HAProxy backend".to_owned()));
        }
        let socket = match socket.strip_prefix("unix@").unwrap_or(socket) {
            path if path.contains('/') => Socket::Unix(PathBuf::from(path)),
            address => Socket::Tcp(address.to_owned()),
        };
        Ok(HaProxy { socket, backends: backends.to_vec(), master: master.to_owned(), slave: slave.to_owned() })
    }

    fn server(&self, host: Role) -> &str {
        match host {
            Role::Master => &self.master,
            Role::Slave => &self.slave,
        }
    }

    /// A command that answers nothing when it worked.
    async fn tell(&self, command: &str) -> Result<(), BalancerError> {
        let answer = self.ask(command).await?;
        if answer.trim().is_empty() {
            return Ok(());
        }
        Err(BalancerError::Refused { command: command.to_owned(), answer: excerpt(&answer) })
    }

    /// Sends one command and reads the answer to its end.
    async fn ask(&self, command: &str) -> Result<String, BalancerError> {
        let answer = match &self.socket {
            Socket::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => exchange(stream, command).await,
                Err(source) => Err(source),
            },
            Socket::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => exchange(stream, command).await,
                Err(source) => Err(source),
            },
        };
        let answer = answer.map_err(|source| BalancerError::Unreachable { at: self.place(), source })?;
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(BalancerError::TooLong { command: command.to_owned(), bytes_max: ANSWER_BYTES_MAX });
        }
        // A success is a line end, too: no bytes at all mean that the socket closed before it had answered.
        if answer.is_empty() {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection without an answer");
            return Err(BalancerError::Unreachable { at: self.place(), source });
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn place(&self) -> String {
        match &self.socket {
            Socket::Unix(path) => path.display().to_string(),
            Socket::Tcp(address) => address.clone(),
        }
    }
}

impl Device for HaProxy {
    async fn set(&self, host: Role, wanted: Wanted, _epoch: Epoch) -> Result<(), BalancerError> {
        let server = self.server(host);
        let state = match wanted {
            Wanted::Up => "ready",
            Wanted::Drain => "drain",
            Wanted::Down => "maint",
        };
        for backend in &self.backends {
            self.tell(&format!("set server {backend}/{server} state {state}")).await?;
        }
        if wanted == Wanted::Down {
            // `maint` leaves the sessions that are there; their clients would go on with a host that stops.
            for backend in &self.backends {
                self.tell(&format!("shutdown sessions server {backend}/{server}")).await?;
            }
        }
        Ok(())
    }

    async fn observe(&self) -> Result<View, BalancerError> {
        let mut view: Option<View> = None;
        for backend in &self.backends {
            let command = format!("show servers state {backend}");
            let states = self.ask(&command).await?;
            let states = Table::parse(&states, "# be_id ", ' ').ok_or_else(|| refused(&command, &states))?;
            // 4: servers only. -1: all of them.
            let command = format!("show stat {backend} 4 -1");
            let counts = self.ask(&command).await?;
            let counts = Table::parse(&counts, "# pxname,", ',').ok_or_else(|| refused(&command, &counts))?;
            let seen = |host| see(&states, &counts, self.server(host));
            let here = View { master: seen(Role::Master), slave: seen(Role::Slave) };
            view = Some(match view {
                None => here,
                Some(so_far) => {
                    View { master: both(so_far.master, here.master), slave: both(so_far.slave, here.slave) }
                }
            });
        }
        Ok(view.unwrap_or(View { master: Seen::NOTHING, slave: Seen::NOTHING }))
    }
}

/// Writes the command's line and reads until the other side closes, or one byte past the bound.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, command: &str) -> io::Result<Vec<u8>> {
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// An answer without the table that was asked for: a refusal in words, or a version that nobody knows.
fn refused(command: &str, answer: &str) -> BalancerError {
    let (command, answer) = (command.to_owned(), excerpt(answer));
    if answer.contains('#') {
        BalancerError::NotUnderstood { command, answer }
    } else {
        BalancerError::Refused { command, answer }
    }
}

/// An answer with one line of column names and one line a server. Columns are found by name, as versions add some.
struct Table<'a> {
    names: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    /// The table whose line of names starts with `start`.
    fn parse(answer: &'a str, start: &str, separator: char) -> Option<Table<'a>> {
        let mut lines = answer.lines().skip_while(|line| !line.starts_with(start));
        let names = lines.next()?.trim_start_matches("# ").trim_end().split(separator).collect();
        let rows = lines.take_while(|line| !line.is_empty()).map(|line| line.split(separator).collect()).collect();
        Some(Table { names, rows })
    }

    /// The number at `column` of the row whose `key` column is `server`.
    fn number(&self, key: &str, server: &str, column: &str) -> Option<u64> {
        let at = |name: &str| self.names.iter().position(|known| *known == name);
        let (key, column) = (at(key)?, at(column)?);
        let row = self.rows.iter().find(|row| row.get(key) == Some(&server))?;
        row.get(column)?.parse().ok()
    }
}

/// Bits of `srv_admin_state` that keep every client away: forced, inherited, or its name does not resolve.
const MAINTENANCE: u64 = 0x01 | 0x02 | 0x20;
/// Bits of `srv_admin_state` that keep new clients away: forced, or inherited.
const DRAIN: u64 = 0x08 | 0x10;
/// `srv_op_state` of a server that gets no traffic for its health.
const STOPPED: u64 = 0;
/// Bits of `srv_check_state`: a check is configured, it is enabled, it is paused (as it is under maintenance).
const CHECK: (u64, u64, u64) = (0x02, 0x04, 0x08);
/// `srv_check_result` of a check that passed, wholly or with "no new sessions, please".
const PASSED: [u64; 2] = [3, 4];

/// One server of one backend.
fn see(states: &Table<'_>, counts: &Table<'_>, server: &str) -> Seen {
    let state = |column| states.number("srv_name", server, column);
    let admin = match (state("srv_admin_state"), state("srv_uweight")) {
        (Some(mask), _) if mask & MAINTENANCE != 0 => Admin::Down,
        // Weight zero is the older way to drain: the server is ready and gets nothing new.
        (Some(mask), weight) if mask & DRAIN != 0 || weight == Some(0) => Admin::Drain,
        (Some(_), _) => Admin::Up,
        (None, _) => Admin::Unknown,
    };
    let (configured, enabled, paused) = CHECK;
    let checked = state("srv_check_state")
        .is_some_and(|bits| bits & configured != 0 && bits & enabled != 0 && bits & paused == 0);
    let serving = match (state("srv_op_state"), state("srv_check_result")) {
        _ if !checked => None,
        (Some(STOPPED), _) => Some(false),
        (Some(_), Some(result)) if PASSED.contains(&result) => Some(true),
        // Running, but the last check did not pass: not failed often enough yet, or not asked since it was made ready.
        _ => None,
    };
    Seen { admin, serving, sessions: counts.number("svname", server, "scur") }
}

/// One server over two backends: it is only what it is in both.
fn both(one: Seen, other: Seen) -> Seen {
    let sessions = match (one.sessions, other.sessions) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        _ => None,
    };
    let serving = match (one.serving, other.serving) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true) | None) | (None, Some(true)) => Some(true),
        (None, None) => None,
    };
    Seen { admin: if one.admin == other.admin { one.admin } else { Admin::Unknown }, serving, sessions }
}

#[cfg(test)]
mod tests;
