//! The stage with the real thing: Dovecot and HAProxy from packages, hosts in namespaces. Needs root.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::loopback::tail;
use super::stage::{Answer, HOSTS, Place, Stage};
use crate::judge::lmtp;
use crate::judge::place::{finish, stand_on};
use crate::lab::service::{dovecot, haproxy, pair};
use crate::lab::{Host, Lab, Running};
use crate::program::program;

/// A lab.
pub struct Real {
    running: Mutex<Vec<Running>>,
    lab: Lab,
}

impl Real {
    /// Sets the stage in this folder.
    ///
    /// # Errors
    /// When this is not root, or the lab cannot be made.
    pub fn set(folder: &Path) -> Result<Real> {
        ensure!(nix::unistd::geteuid().is_root(), "--real makes network namespaces: run it as root");
        let lab = Lab::within(folder)?;
        let settings = pair::settings(&lab)
            .pair("proof_of_stop", "[Ack, Timeout(two_actives_possible: true)]")
            .timing("script_timeout", "4s")
            .timing("shutdown_timeout", "15s");
        pair::install(&lab, &settings)?;
        Ok(Real { running: Mutex::default(), lab })
    }

    fn host(&self, at: Place) -> &Host {
        self.lab.pair()[at]
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
            self.lab.cfg1.address(),
            self.lab.cfg2.address(),
            self.lab.balancer.address()
        )
    }

    fn start(&self) -> Result<()> {
        self.keep(haproxy::start(&self.lab)?);
        for host in self.lab.pair() {
            self.keep(pair::start_daemon(host)?);
        }
        Ok(())
    }

    fn operator(&self, at: Place, arguments: &[&str], limit: Duration) -> Result<Answer> {
        let output = pair::operator(self.host(at), arguments, limit)?;
        Ok(Answer { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    fn deliver(&self, message: &str) -> Result<()> {
        let front = SocketAddr::new(IpAddr::V4(self.lab.balancer.address()), 24);
        let message = message.to_owned();
        let limit = Duration::from_secs(2);
        finish(stand_on(&self.lab.client, move || lmtp::deliver(front, dovecot::USER, &message, limit))?)
    }

    fn start_reader(&self, digest: &str) -> Result<PathBuf> {
        let password = "/etc/failover/reader.pass";
        self.lab.client.write(password, dovecot::PASSWORD, 0o600)?;
        let (reader, front) = (program("demo-reader")?.display().to_string(), self.lab.balancer.address());
        let front = format!("{front}:110");
        let argv = ["--balancer", &front, "--user", dovecot::USER, "--digest", digest, "--password-file", password];
        let running = self.lab.client.spawn(&[&[reader.as_str()][..], &argv].concat())?;
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
        for host in self.lab.pair() {
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
