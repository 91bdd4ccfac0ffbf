//! One process of etcd.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;

use super::authority::Credential;

/// How much of a log a failure shows.
const LOG_END_BYTES: usize = 4_000;

/// For one question about its health or its metrics.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Its metrics have some 100 kB.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) struct Member {
    name: String,
    ports: Ports,
    /// What all members are started with: names and ports.
    cluster: String,
    folder: PathBuf,
    credential: Option<Credential>,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    metrics: u16,
}

impl Member {
    /// Members of one cluster, each with a folder of its own; none runs yet.
    pub(super) fn make(count: usize, folder: &Path, credential: Option<&Credential>) -> Result<Vec<Member>> {
        let ports = free_ports(count)?;
        let names = (1..=count).map(|number| format!("etcd-{number}"));
        let named: Vec<_> = names.zip(ports).collect();
        let cluster: Vec<_> =
            named.iter().map(|(name, ports)| format!("{name}=http://127.0.0.1:{}", ports.peer)).collect();
        let member = |(name, ports): (String, Ports)| Member {
            folder: folder.join(&name),
            name,
            ports,
            cluster: cluster.join(","),
            credential: credential.cloned(),
            child: None,
        };
        Ok(named.into_iter().map(member).collect())
    }

    pub(super) fn start(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let (client, peer) = (self.endpoint(), format!("http://127.0.0.1:{}", self.ports.peer));
        let mut command = Command::new("etcd");
        // The environment is read as flags are.
        command.env_clear().current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        command.arg("--data-dir").arg(self.data());
        command.args(["--name", &self.name, "--initial-cluster", &self.cluster, "--logger", "zap"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-metrics-urls", &format!("http://127.0.0.1:{}", self.ports.metrics)]);
        command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
        if let Some(credential) = &self.credential {
            command.arg("--cert-file").arg(&credential.certificate).arg("--key-file").arg(&credential.key);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&credential.authority);
        }
        self.child = Some(command.spawn().context("start etcd")?);
        Ok(())
    }

    /// # Errors
    /// It was started and has ended by itself.
    pub(super) fn is_ready(&mut self) -> Result<bool> {
        let Some(child) = &mut self.child else { return Ok(true) };
        if let Some(status) = child.try_wait()? {
            bail!("{} has ended: {status}", self.name);
        }
        Ok(self.ask("/health").is_ok_and(|answer| answer.contains(r#""health":"true""#)))
    }

    /// Asks the port that serves neither clients nor peers, and no TLS.
    pub(super) fn ask(&self, path: &str) -> Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.metrics));
        let mut stream = TcpStream::connect_timeout(&address, ASK_LIMIT)?;
        stream.set_read_timeout(Some(ASK_LIMIT))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(super) fn endpoint(&self) -> String {
        let scheme = if self.credential.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.ports.client)
    }

    pub(super) fn port(&self) -> u16 {
        self.ports.client
    }

    pub(super) fn data(&self) -> &Path {
        &self.folder
    }

    /// Beside the data: a test may put an older copy of the data in place.
    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    pub(super) fn log_end(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_END_BYTES)..];
        format!("the end of {}'s log:\n{}", self.name, String::from_utf8_lossy(end))
    }

    pub(super) fn process(&self) -> Result<Pid> {
        let child = self.child.as_ref().with_context(|| format!("{} does not run", self.name))?;
        Ok(Pid::from_raw(i32::try_from(child.id())?))
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} does not run", self.name))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.kill();
    }
}

/// Ports that nobody uses now, all different.
fn free_ports(members: usize) -> Result<Vec<Ports>> {
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = (0..members * 3).map(|_| listener()).collect::<Result<Vec<_>, _>>().context("find free ports")?;
    let numbers = held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    Ok(numbers.chunks_exact(3).map(|three| Ports { client: three[0], peer: three[1], metrics: three[2] }).collect())
}
