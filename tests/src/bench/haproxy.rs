//! The switch of a real HAProxy, by the product's own reconciler: from the wish to the read-back that agrees with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use failover_shared::balancer::{HaProxy, Reconciler, Report, Wanted, Wish};
use failover_shared::decision::Epoch;
use tokio::sync::{mpsc, watch};

use super::Row;
use crate::wait::wait_until;

const WHAT: &str = "balancer switch and read-back, a real HAProxy's runtime socket";
const BUDGET: Duration = Duration::from_millis(10);
const BACKENDS: [&str; 3] = ["pop3", "imap", "lmtp"];

/// Sends the clients to one host and the other, `count` times.
///
/// # Errors
/// When HAProxy does not start, or does not follow.
pub fn switch(folder: &Path, count: u32) -> Result<Row> {
    let socket = folder.join("haproxy.sock");
    let config = folder.join("haproxy.cfg");
    std::fs::write(&config, configuration(&socket, &folder.join("front.sock")))?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _haproxy = match command.spawn() {
        Ok(child) => Process(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Row::not_run(WHAT, "10 ms", "haproxy is not installed"));
        }
        Err(error) => return Err(error).context("start haproxy"),
    };
    wait_until("HAProxy's runtime socket", Duration::from_secs(5), || Ok(socket.exists()))?;
    let socket = socket.to_str().context("a temporary folder without a name in UTF-8")?;
    let device = HaProxy::new(socket, &BACKENDS.map(String::from), "cfg1", "cfg2")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let times = runtime.block_on(moves(device, count))?;
    let note = format!("{} backends, both servers of each set and read back", BACKENDS.len());
    Ok(Row::of(WHAT, Some(BUDGET), times, &note))
}

async fn moves(device: HaProxy, count: u32) -> Result<Vec<Duration>> {
    let (wishes, wished) = watch::channel(None);
    let (reports, mut reported) = mpsc::channel(16);
    let _reconciler = Reconciler::start(device, Duration::from_secs(60), wished, reports);
    let mut times = Vec::new();
    for number in 1..=count {
        let (master, slave) = if number % 2 == 0 { (Wanted::Up, Wanted::Down) } else { (Wanted::Down, Wanted::Up) };
        let wish = Wish { master, slave, epoch: Epoch(u64::from(number)) };
        let begun = Instant::now();
        wishes.send(Some(wish))?;
        applied(&mut reported, wish).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn applied(reported: &mut mpsc::Receiver<Report>, wish: Wish) -> Result<()> {
    loop {
        match reported.recv().await.context("the reconciler ended")? {
            Report::Applied { wish: done, .. } if done == wish => return Ok(()),
            Report::Diverged { reason, .. } | Report::Blind { reason } => bail!("HAProxy did not follow: {reason}"),
            Report::Applied { .. } | Report::View { .. } => {}
        }
    }
}

/// The servers are never asked: what is switched is their administrative state.
fn configuration(socket: &Path, front: &Path) -> String {
    let mut text = format!(
        "global
  stats socket {} mode 600 level admin
  maxconn 100
defaults
  mode tcp
  timeout connect 1s
  timeout client 1s
  timeout server 1s
frontend in
  bind unix@{}
  default_backend {}
",
        socket.display(),
        front.display(),
        BACKENDS[0]
    );
    for name in BACKENDS {
        text += &format!("backend {name}\n  server cfg1 127.0.0.1:9\n  server cfg2 127.0.0.1:9 disabled\n");
    }
    text
}

/// Ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
