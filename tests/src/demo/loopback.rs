//! The stage without root: two "hosts" are two loopback addresses and two folders; mail server and balancer are the
//! demo's own. All ports are free ones, and nothing outside the demo's folder is written.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cleanup::descendants;
use super::stage::{Answer, HOSTS, MASTER, Place, SLAVE, Stage};
use crate::judge::lmtp;
use crate::keys::{key_files, make_keys};
use crate::program::program;
use crate::still::stand_still;
use crate::wait::wait_until;

const USER: &str = "reader";
const CANARY: &str = "canary";
/// Worth nothing: the demo's mail server listens on loopback, for minutes.
const PASSWORD: &str = "of-the-demo";

/// Two hosts on loopback.
pub struct Loopback {
    folder: PathBuf,
    addresses: Addresses,
    children: Mutex<Vec<(&'static str, Child)>>,
}

/// Where everything is.
struct Addresses {
    hosts: [IpAddr; 2],
    second_path: [IpAddr; 2],
    balancer: IpAddr,
    pop3: u16,
    lmtp: u16,
    front_pop3: u16,
    front_lmtp: u16,
    monitor: [u16; 2],
    heartbeat: u16,
}

impl Loopback {
    /// Sets the stage in an empty folder: addresses, configuration, keys, scripts, maildirs.
    ///
    /// # Errors
    /// When a file cannot be written or no free port is found.
    pub fn set(folder: &Path) -> Result<Loopback> {
        let stage =
            Loopback { folder: folder.to_owned(), addresses: Addresses::choose()?, children: Mutex::new(Vec::new()) };
        for user in [USER, CANARY] {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(folder.join("store").join(user).join(part))?;
            }
        }
        fs::write(folder.join("store").join(CANARY).join("new/1.canary"), "Subject: canary\r\n\r\nalive\r\n")?;
        fs::write(folder.join("users"), format!("{USER}:{PASSWORD}\n{CANARY}:{PASSWORD}\n"))?;
        fs::create_dir(folder.join("keys"))?;
        make_keys(&folder.join("keys"), HOSTS)?;
        for host in HOSTS {
            stage.furnish(host)?;
        }
        Ok(stage)
    }

    /// A host's folder: the configuration is the same text for both, keys and scripts are its own.
    fn furnish(&self, host: &str) -> Result<()> {
        let own = self.folder.join(host);
        for part in ["state", "run", "log"] {
            fs::create_dir_all(own.join(part))?;
        }
        for file in key_files(host, HOSTS) {
            fs::copy(self.folder.join("keys").join(&file), own.join(&file))?;
        }
        fs::write(own.join("failover.ron"), self.configuration())?;
        write_with_mode(&own.join("canary.pass"), &format!("{PASSWORD}\n"), 0o600)?;
        // Only that the scripts need no path with blanks in it.
        symlink(program("demo-mail")?, own.join("demo-mail"))?;
        for (name, body) in self.scripts(host) {
            write_with_mode(&own.join(name), &format!("#!/bin/sh\nset -eu\n{body}"), 0o755)?;
        }
        Ok(())
    }

    fn configuration(&self) -> String {
        let places = &self.addresses;
        let host = |place: Place| {
            let (address, second) = (places.hosts[place], places.second_path[place]);
            format!("Host(name: {:?}, address: \"{address}\", heartbeat: [\"{address}\", \"{second}\"])", HOSTS[place])
        };
        let (master, slave) = (host(MASTER), host(SLAVE));
        let [monitor_port, monitor_port_slave] = places.monitor;
        let (heartbeat_port, port) = (places.heartbeat, places.pop3);
        let front = SocketAddr::new(places.balancer, places.front_pop3);
        let socket = self.balancer_socket();
        format!(
            r#"// The demo's pair, with times short enough to watch.
Pair(
    name: "demo",
    master: {master},
    slave: {slave},
    monitor_port: {monitor_port},
    monitor_port_slave: {monitor_port_slave},
    heartbeat_port: {heartbeat_port},
    timing: (
        beat: "50ms", suspect_after: "500ms", script_timeout: "3s", kill_after: "200ms", restart_grace: "0ms",
        // At least the longest stop: one step, and the ladder behind it.
        shutdown_timeout: "4s",
        start_verify: "5s", balancer_timeout: "1s", balancer_every: "1s",
    ),
    proof_of_stop: [Ack, Timeout(two_actives_possible: true)],
    service: (
        startup_scripts: ["./start_1_store.sh", "./start_2_mail.sh"],
        shutdown_scripts: ["./stop_1_mail.sh"],
        // Both hosts share one process list here, so a process name or a port could not tell them apart.
        stopped_when: [PidFileGone("mail.pid")],
    ),
    checks: [
        Pop3(
            name: "pop3", port: {port}, user: "{CANARY}", password_file: "canary.pass", through: "{front}",
            every: "250ms", timeout: "250ms", fails: 2, of: 2,
        ),
    ],
    balancer: HaProxy(socket: {socket:?}, backends: ["pop3", "lmtp"], master: "cfg1", slave: "cfg2"),
    references: [Tcp("{front}")],
)
"#
        )
    }

    fn scripts(&self, host: &str) -> [(&'static str, String); 3] {
        let (places, own) = (&self.addresses, self.folder.join(host));
        let address = if host == HOSTS[MASTER] { places.hosts[MASTER] } else { places.hosts[SLAVE] };
        let (own, store) = (own.display(), self.folder.join("store"));
        [
            ("start_1_store.sh", format!("cd '{}' && test -d {USER}/new\n", store.display())),
            (
                "start_2_mail.sh",
                format!(
                    "cd '{own}'
rm -f mail.pid
setsid ./demo-mail --host {host} --address {address} --pop3-port {} --lmtp-port {} \\
  --store ../store --users ../users --pid-file mail.pid </dev/null >>log/mail.log 2>&1 &
tries=0
until [ -s mail.pid ]; do
  tries=$((tries + 1))
  [ \"$tries\" -lt 100 ] || exit 1
  sleep 0.02
done
",
                    places.pop3, places.lmtp
                ),
            ),
            (
                "stop_1_mail.sh",
                format!(
                    "cd '{own}'
[ -s mail.pid ] || exit 0
pid=$(cat mail.pid)
kill \"$pid\" 2>/dev/null || exit 0
# A process that has ended and waits to be reaped has no program any more; kill -0 would still find it.
while [ -e \"/proc/$pid/exe\" ]; do sleep 0.02; done
"
                ),
            ),
        ]
    }

    fn balancer_socket(&self) -> PathBuf {
        self.folder.join("balancer.sock")
    }

    /// Starts one of the demo's own programs; its output goes to a file of this name.
    fn spawn(&self, name: &'static str, command: &mut Command) -> Result<PathBuf> {
        let log = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        command.stdin(Stdio::null()).stdout(File::create(log("out"))?).stderr(File::create(log("err"))?);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push((name, child));
        Ok(log("out"))
    }

    fn mail_server(&self, at: Place) -> Result<Pid> {
        let file = self.folder.join(HOSTS[at]).join("mail.pid");
        let text = fs::read_to_string(&file).with_context(|| format!("no mail server runs on {}", HOSTS[at]))?;
        Ok(Pid::from_raw(text.trim().parse()?))
    }
}

impl Stage for Loopback {
    fn describe(&self) -> String {
        let places = &self.addresses;
        format!(
            "A pair on loopback. Mail server and balancer are the demo's own; the daemons are the real ones.\n  \
             cfg1 {} (master)   cfg2 {} (slave)   balancer {}:{} (the only address the reader knows)",
            places.hosts[MASTER], places.hosts[SLAVE], places.balancer, places.front_pop3
        )
    }

    fn start(&self) -> Result<()> {
        let places = &self.addresses;
        let mut balancer = Command::new(program("demo-balancer")?);
        balancer.arg("--socket").arg(self.balancer_socket()).args(["--disabled", "cfg2"]);
        for (name, front, port) in [("pop3", places.front_pop3, places.pop3), ("lmtp", places.front_lmtp, places.lmtp)]
        {
            let [master, slave] = places.hosts.map(|host| SocketAddr::new(host, port));
            let front = SocketAddr::new(places.balancer, front);
            balancer.arg("--backend").arg(format!("{name},{front},cfg1={master},cfg2={slave}"));
        }
        self.spawn("balancer", &mut balancer)?;
        wait_until("the balancer", Duration::from_secs(5), || Ok(self.balancer_socket().exists()))?;
        for (place, daemon) in [(MASTER, "failover-master"), (SLAVE, "failover-slave")] {
            let own = self.folder.join(HOSTS[place]);
            let mut command = Command::new(program(daemon)?);
            command.arg("--config").arg(own.join("failover.ron")).args(["--host", HOSTS[place]]);
            for (flag, part) in [("--state-dir", "state"), ("--run-dir", "run"), ("--log-dir", "log")] {
                command.arg(flag).arg(own.join(part));
            }
            self.spawn(daemon, &mut command)?;
        }
        Ok(())
    }

    fn operator(&self, at: Place, arguments: &[&str], limit: Duration) -> Result<Answer> {
        let own = self.folder.join(HOSTS[at]);
        let mut command = Command::new(program("failoverctl")?);
        command.arg("--run-dir").arg(own.join("run")).arg("--config").arg(own.join("failover.ron")).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // Its answers are far smaller than a pipe holds, but for the journal: so somebody reads all the time.
        let [out, err] = [read_all(child.stdout.take()), read_all(child.stderr.take())];
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begin.elapsed() > limit {
                let _ = child.kill();
                let _ = child.wait();
                bail!("failoverctl {} still ran after {limit:?}", arguments.join(" "));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Ok(Answer {
            code: status.code(),
            stdout: out.join().unwrap_or_default(),
            stderr: err.join().unwrap_or_default(),
        })
    }

    fn deliver(&self, message: &str) -> Result<()> {
        let front = SocketAddr::new(self.addresses.balancer, self.addresses.front_lmtp);
        lmtp::deliver(front, USER, message, Duration::from_secs(2))
    }

    fn start_reader(&self, digest: &str) -> Result<PathBuf> {
        let front = SocketAddr::new(self.addresses.balancer, self.addresses.front_pop3);
        let mut command = Command::new(program("demo-reader")?);
        command.arg("--balancer").arg(front.to_string()).args(["--user", USER, "--digest", digest]);
        command.arg("--password-file").arg(self.folder.join(HOSTS[SLAVE]).join("canary.pass"));
        self.spawn("reader", &mut command)
    }

    fn kill_service(&self, at: Place) -> Result<()> {
        kill(self.mail_server(at)?, Signal::SIGKILL).context("kill the mail server")
    }

    fn silence(&self, at: Place) -> Result<()> {
        let name = if at == MASTER { "failover-master" } else { "failover-slave" };
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let daemon = children.iter().find(|(child, _)| *child == name).context("the daemon was not started")?;
        let daemon = Pid::from_raw(i32::try_from(daemon.1.id())?);
        let mut processes = vec![daemon, self.mail_server(at)?];
        processes.extend(descendants(daemon));
        for process in processes {
            stand_still(process).context("stop a process of the host")?;
        }
        Ok(())
    }

    fn silence_is(&self) -> &'static str {
        "daemon, guardian and mail server are frozen (SIGSTOP): connections open and nobody answers"
    }

    fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in [self.folder.clone(), self.folder.join("cfg1/log"), self.folder.join("cfg2/log")] {
            files.extend(fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        files.retain(|path| path.extension().is_some_and(|kind| kind == "err" || kind == "log"));
        files.sort();
        files.iter().map(|path| tail(path)).collect()
    }
}

impl Addresses {
    /// Addresses that follow from the process number, so that two demos do not meet; ports that are free on all of them.
    fn choose() -> Result<Addresses> {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = |last| IpAddr::V4(Ipv4Addr::new(127, high, low, last));
        let (hosts, balancer) = ([address(11), address(12)], address(5));
        let mut taken = Vec::new();
        let mut port = |on: &[IpAddr]| free_port(on, &mut taken);
        Ok(Addresses {
            hosts,
            second_path: [address(21), address(22)],
            balancer,
            pop3: port(&hosts)?,
            lmtp: port(&hosts)?,
            front_pop3: port(&[balancer])?,
            front_lmtp: port(&[balancer])?,
            monitor: [port(&hosts)?, port(&hosts)?],
            heartbeat: port(&[hosts[0], hosts[1], address(21), address(22)])?,
        })
    }
}

/// A port that is free on all these addresses, for TCP and UDP, and not among those `taken`.
fn free_port(on: &[IpAddr], taken: &mut Vec<u16>) -> Result<u16> {
    let first = *on.first().context("no address")?;
    for _ in 0..100 {
        let port = TcpListener::bind((first, 0))?.local_addr()?.port();
        let free =
            |address: &IpAddr| TcpListener::bind((*address, port)).is_ok() && UdpSocket::bind((*address, port)).is_ok();
        if !taken.contains(&port) && on.iter().all(free) {
            taken.push(port);
            return Ok(port);
        }
    }
    bail!("no port is free on {on:?}")
}

fn write_with_mode(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn read_all(from: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The last lines of a log, under its name.
pub(super) fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("--- {}\n{}\n", path.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
}
