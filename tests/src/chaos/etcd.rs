//! An etcd of one member on the lab's client host, as a service of a third machine, reached over the service network.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use crate::judge::place;
use crate::lab::{Lab, Running};
use crate::wait::wait_until;

/// Where it serves clients.
const PORT: u16 = 2379;
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The member. Its data is in the memory of its host, which no fault cuts off from its power.
#[derive(Default)]
pub(super) struct Etcd(Option<Running>);

impl Etcd {
    /// Where the hosts find it.
    pub(super) fn endpoint(lab_address: std::net::Ipv4Addr) -> String {
        format!("http://{lab_address}:{PORT}")
    }

    /// Whether it is installed, and the daemons were built with it, as this was.
    pub(super) fn possible() -> Result<(), &'static str> {
        if !cfg!(feature = "etcd") {
            return Err("needs the arbiter in etcd: --features etcd, whose build needs protoc");
        }
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("etcd").is_file()));
        if found { Ok(()) } else { Err("needs etcd (etcd-server)") }
    }

    /// Starts it, with the data that it left, and waits until it answers.
    pub(super) fn start(&mut self, lab: &Lab) -> Result<()> {
        let endpoint = Etcd::endpoint(lab.client.address());
        let peer = "http://127.0.0.1:2380";
        let member = lab.client.spawn(&[
            "etcd",
            "--data-dir=/run/etcd",
            "--name=etcd",
            &format!("--initial-cluster=etcd={peer}"),
            &format!("--initial-advertise-peer-urls={peer}"),
            &format!("--listen-peer-urls={peer}"),
            &format!("--listen-client-urls={endpoint}"),
            &format!("--advertise-client-urls={endpoint}"),
            "--heartbeat-interval=50",
            "--election-timeout=500",
        ])?;
        self.0 = Some(member);
        let address = SocketAddr::new(lab.client.address().into(), PORT);
        let told = || self.0.as_ref().map(Running::stderr).unwrap_or_default();
        wait_until("etcd's health", READY_LIMIT, || healthy(lab, address)).with_context(told)
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(&mut self) -> Result<()> {
        let member = self.0.take().context("etcd does not run")?;
        member.signal(Signal::SIGKILL)?;
        member.wait(READY_LIMIT)?;
        Ok(())
    }

    /// Lets it stand still, or go on.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        self.0.as_ref().context("etcd does not run")?.signal(signal)
    }

    pub(super) fn runs(&self) -> bool {
        self.0.is_some()
    }
}

/// Asks as a client on the same host.
fn healthy(lab: &Lab, address: SocketAddr) -> Result<bool> {
    let look = place::stand_on(&lab.client, move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        // Some hundred bytes.
        stream.take(16 * 1024).read_to_string(&mut answer)?;
        Ok(answer.contains("\"health\":\"true\""))
    })?;
    Ok(place::finish(look).unwrap_or(false))
}
