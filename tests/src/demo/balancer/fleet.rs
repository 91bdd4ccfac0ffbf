//! The servers behind the balancer and what is known and wanted of them.

use std::cell::RefCell;
use std::net::SocketAddr;

use tokio::task::AbortHandle;

/// Failed checks in a row that make a server count as down. One that passes brings it back.
const FALL: u32 = 2;

/// All backends.
pub struct Fleet {
    backends: RefCell<Vec<Backend>>,
}

/// One backend.
#[derive(Debug)]
pub struct Backend {
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
}

/// One server of a backend.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) admin: Admin,
    /// Began in maintenance by its configuration: a mark that stays.
    pub(super) disabled_at_start: bool,
    pub(super) running: bool,
    /// The last check since it was made ready; `None`: not asked since.
    pub(super) last_check: Option<bool>,
    failures: u32,
    sessions: Vec<AbortHandle>,
}

/// What an operator wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admin {
    Ready,
    Drain,
    Maintenance,
}

impl Fleet {
    /// A fleet of these backends.
    #[must_use]
    pub fn new(backends: Vec<Backend>) -> Fleet {
        Fleet { backends: RefCell::new(backends) }
    }

    pub(super) fn servers(&self, backend: usize) -> usize {
        self.backends.borrow().get(backend).map_or(0, |backend| backend.servers.len())
    }

    pub(super) fn address(&self, backend: usize, server: usize) -> SocketAddr {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        self.backends.borrow().get(backend).and_then(|it| it.servers.get(server)).map_or(nowhere, |it| it.address)
    }

    /// The first server that is ready and running.
    pub(super) fn choose(&self, backend: usize) -> Option<(usize, SocketAddr)> {
        let backends = self.backends.borrow();
        let mut servers = backends.get(backend)?.servers.iter().enumerate();
        let (number, server) = servers.find(|(_, server)| server.admin == Admin::Ready && server.running)?;
        Some((number, server.address))
    }

    pub(super) fn session_began(&self, backend: usize, server: usize, session: AbortHandle) {
        self.server(backend, server, |server| {
            server.sessions.retain(|session| !session.is_finished());
            server.sessions.push(session);
        });
    }

    pub(super) fn checked(&self, backend: usize, server: usize, passed: bool) {
        self.server(backend, server, |server| {
            if server.admin == Admin::Maintenance {
                return;
            }
            server.failures = if passed { 0 } else { server.failures.saturating_add(1) };
            server.running = passed || (server.running && server.failures < FALL);
            server.last_check = Some(passed);
        });
    }

    /// Does something with the server of this name; `Err` names what is not there.
    pub(super) fn with_named<T>(
        &self,
        backend: &str,
        server: &str,
        act: impl FnOnce(&mut Server) -> T,
    ) -> Result<T, &'static str> {
        let mut backends = self.backends.borrow_mut();
        let backend = backends.iter_mut().find(|it| it.name == backend).ok_or("No such backend.")?;
        let server = backend.servers.iter_mut().find(|it| it.name == server).ok_or("No such server.")?;
        Ok(act(server))
    }

    /// Looks at every backend, or at the one of this name.
    pub(super) fn look<T>(&self, name: Option<&str>, see: impl FnMut((usize, &Backend)) -> T) -> Option<Vec<T>> {
        let backends = self.backends.borrow();
        let chosen = backends.iter().enumerate().filter(|(_, backend)| name.is_none_or(|name| backend.name == name));
        let seen: Vec<T> = chosen.map(see).collect();
        (!seen.is_empty()).then_some(seen)
    }

    fn server(&self, backend: usize, server: usize, act: impl FnOnce(&mut Server)) {
        if let Some(server) = self.backends.borrow_mut().get_mut(backend).and_then(|it| it.servers.get_mut(server)) {
            act(server);
        }
    }
}

impl Backend {
    /// A backend with these servers; those named in `disabled` begin in maintenance.
    #[must_use]
    pub fn new(name: String, servers: Vec<(String, SocketAddr)>, disabled: &[String]) -> Backend {
        let server = |(name, address)| {
            let disabled_at_start = disabled.contains(&name);
            let admin = if disabled_at_start { Admin::Maintenance } else { Admin::Ready };
            let running = !disabled_at_start;
            Server { name, address, admin, disabled_at_start, running, last_check: None, failures: 0, sessions: vec![] }
        };
        Backend { name, servers: servers.into_iter().map(server).collect() }
    }
}

impl Server {
    /// HAProxy's trap is kept: a server that leaves maintenance counts as running before any check.
    pub(super) fn set(&mut self, admin: Admin) {
        match (self.admin, admin) {
            (_, Admin::Maintenance) => self.running = false,
            (Admin::Maintenance, _) => {
                self.running = true;
                self.failures = 0;
                self.last_check = None;
            }
            _ => {}
        }
        self.admin = admin;
    }

    pub(super) fn shut_sessions(&mut self) {
        for session in self.sessions.drain(..) {
            session.abort();
        }
    }

    pub(super) fn open_sessions(&self) -> usize {
        self.sessions.iter().filter(|session| !session.is_finished()).count()
    }
}
