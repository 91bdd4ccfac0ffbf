//! HAProxy before both hosts: POP3, IMAP and LMTP, with a runtime socket over TCP and as a file.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::lab::{Cable, Lab, Running};
use crate::wait::wait_until;

/// The runtime socket over TCP, at the balancer's address.
pub const ADMIN_PORT: u16 = 9999;
/// The runtime socket as a file, on the balancer.
pub const ADMIN_SOCKET: &str = "/run/haproxy.sock";
/// The configuration file on the balancer.
pub const CONFIG: &str = "/etc/failover/haproxy.cfg";
/// The backends that hold both servers.
pub const BACKENDS: [&str; 3] = ["pop3", "imap", "lmtp"];

/// Starts HAProxy in the foreground; `cfg2` begins in maintenance, as in a shop whose master runs the service.
///
/// # Errors
/// When its runtime socket does not answer within 5 s.
pub fn start(lab: &Lab) -> Result<Running> {
    lab.balancer.write(CONFIG, &configuration(), 0o644)?;
    let mut running = lab.balancer.spawn(&["haproxy", "-db", "-f", CONFIG])?;
    wait_until("HAProxy's runtime socket", Duration::from_secs(5), || {
        if !running.is_running()? {
            bail!("HAProxy ended: {}", running.stderr());
        }
        Ok(lab.balancer.run(&["test", "-S", ADMIN_SOCKET]).is_ok())
    })?;
    Ok(running)
}

/// Says one line to the runtime socket and gives the answer, as an operator would on the balancer.
///
/// # Errors
/// When the balancer is off, or HAProxy does not answer within 5 s.
pub fn say(lab: &Lab, line: &str) -> Result<String> {
    let path = format!("/proc/{}/root{ADMIN_SOCKET}", lab.balancer.first()?);
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    writeln!(socket, "{line}")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Lets new connections of every backend go to `server` (`ready`), or not (`maint`).
///
/// # Errors
/// When HAProxy does not take the command.
pub fn set_state(lab: &Lab, server: &str, state: &str) -> Result<()> {
    for backend in BACKENDS {
        let answer = say(lab, &format!("set server {backend}/{server} state {state}"))?;
        ensure!(answer.trim().is_empty(), "HAProxy answered: {answer}");
    }
    Ok(())
}

fn configuration() -> String {
    let [cfg1, cfg2] = [11, 12].map(|number| Cable::Service.address(number));
    let mut text = format!(
        "global
  stats socket ipv4@0.0.0.0:{ADMIN_PORT} level admin
  stats socket {ADMIN_SOCKET} mode 600 level admin
  stats timeout 1h
  maxconn 2000
defaults
  mode tcp
  option redispatch
  retries 2
  timeout connect 2s
  timeout client 1m
  timeout server 1m
  timeout check 1s
"
    );
    for (name, port, greeting) in [("pop3", 110, "+OK"), ("imap", 143, "* OK"), ("lmtp", 24, "220")] {
        text += &format!(
            "frontend {name}_in
  bind :{port}
  default_backend {name}
backend {name}
  option tcp-check
  tcp-check connect
  tcp-check expect string \"{greeting}\"
  server cfg1 {cfg1}:{port} check inter 500ms fall 2 rise 1
  server cfg2 {cfg2}:{port} check inter 500ms fall 2 rise 1 disabled
"
        );
    }
    text
}
