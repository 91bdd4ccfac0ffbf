//! The stage with the real thing: Dovecot and HAProxy from packages, hosts in namespaces. Needs root.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use failover_shared::decision::Role;
use nix::sys::signal::Signal;

use super::loopback::tail;
use super::stage::{Answer, HOSTS, Place, Stage};
use crate::judge::lmtp;
use crate::judge::place::{finish, stand_on};
use crate::lab::service::{dovecot, haproxy};
use crate::lab::{Host, Lab, Running};
use crate::pair::{Pair, Proofs, Setup};
use crate::program::program;

/// By [`Place`].
const ROLES: [Role; 2] = [Role::Master, Role::Slave];

/// A pair in a lab.
pub struct Real {
    running: Mutex<Vec<Running>>,
    pair: Pair,
}

impl Real {
    /// Sets the stage in this folder.
    ///
    /// # Errors
    /// When this is not root, or the lab cannot be made.
    pub fn set(folder: &Path) -> Result<Real> {
        ensure!(nix::unistd::geteuid().is_root(), "--real makes network namespaces: run it as root");
        let lab = Lab::within(folder)?;
        let setup = Setup { proofs: Proofs::AckOperatorTimeout, ..Setup::default() };
        Ok(Real { running: Mutex::default(), pair: Pair::furnish(lab, &setup)? })
    }

    fn host(&self, at: Place) -> &Host {
        self.pair.host(ROLES[at])
    }

    fn keep(&self, running: Running) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
    }
}

impl Stage for Real {
    fn describe(&self) -> String {
        format!(
            "Two hosts in namespaces, with Dovecot and HAProxy from packages.\n  cfg1 {} (master)   cfg2 {} (slave)   \
             balancer {}:110 (the only address the reader knows)",
            self.pair.lab.cfg1.address(),
            self.pair.lab.cfg2.address(),
            self.pair.lab.balancer.address()
        )
    }

    fn start(&self) -> Result<()> {
        self.keep(haproxy::start(&self.pair.lab)?);
        for role in ROLES {
            let daemon = program(&format!("failover-{role}"))?.display().to_string();
            self.keep(self.pair.host(role).spawn(&[daemon])?);
        }
        Ok(())
    }

    fn operator(&self, at: Place, arguments: &[&str], limit: Duration) -> Result<Answer> {
        let output = self.pair.ctl_within(ROLES[at], arguments, limit)?;
        Ok(Answer { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    fn deliver(&self, message: &str) -> Result<()> {
        let front = SocketAddr::new(IpAddr::V4(self.pair.lab.balancer.address()), 24);
        let message = message.to_owned();
        let limit = Duration::from_secs(2);
        finish(stand_on(&self.pair.lab.client, move || lmtp::deliver(front, dovecot::USER, &message, limit))?)
    }

    fn start_reader(&self, digest: &str) -> Result<PathBuf> {
        let password = "/etc/failover/reader.pass";
        self.pair.lab.client.write(password, dovecot::PASSWORD, 0o600)?;
        let (reader, front) = (program("demo-reader")?.display().to_string(), self.pair.lab.balancer.address());
        let front = format!("{front}:110");
        let argv = ["--balancer", &front, "--user", dovecot::USER, "--digest", digest, "--password-file", password];
        let running = self.pair.lab.client.spawn(&[&[reader.as_str()][..], &argv].concat())?;
        let file = running.stdout_file().to_owned();
        self.keep(running);
        Ok(file)
    }

    fn kill_service(&self, at: Place) -> Result<()> {
        let killed = self.host(at).signal("dovecot", Signal::SIGKILL)?;
        ensure!(killed > 0, "no Dovecot runs on {}", HOSTS[at]);
        Ok(())
    }

    fn silence(&self, at: Place) -> Result<()> {
        self.host(at).power_cut().context("cut the power")
    }

    fn silence_is(&self) -> &'static str {
        "the power is cut"
    }

    fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = Vec::new();
        for host in self.pair.lab.pair() {
            let folders = [host.output_folder(), host.on_disk("/var/log"), host.on_disk("/var/log/failover")];
            for folder in folders {
                files.extend(std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
            }
        }
        files.retain(|path| {
            path.to_string_lossy().contains("failover-") || path.extension().is_some_and(|it| it == "log")
        });
        files.sort();
        files.iter().map(|path| tail(path)).collect()
    }
}
