//! The demo's own mail server, balancer and reader, without the daemons.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use failover_tests::demo::digest;
use failover_tests::judge::{lmtp, pop3};
use failover_tests::program::program;
use failover_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(10);

/// A program that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two on an address that nobody else uses, so that no other test takes one of them before it is used.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    static USED: AtomicU8 = AtomicU8::new(30);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high, low, USED.fetch_add(1, Ordering::Relaxed));
    let held = [TcpListener::bind((address, 0))?, TcpListener::bind((address, 0))?];
    Ok([held[0].local_addr()?, held[1].local_addr()?])
}

fn mail_server(folder: &Path, host: &str) -> Result<(Ended, SocketAddr, SocketAddr)> {
    let [pop3, lmtp] = free_addresses()?;
    let pid_file = folder.join(format!("{host}.pid"));
    let mut command = Command::new(program("demo-mail")?);
    command.args(["--host", host, "--address", &pop3.ip().to_string()]);
    command.args(["--pop3-port", &pop3.port().to_string(), "--lmtp-port", &lmtp.port().to_string()]);
    command.arg("--store").arg(folder).arg("--users").arg(folder.join("users")).arg("--pid-file").arg(&pid_file);
    let server = Ended(command.stdin(Stdio::null()).spawn()?);
    wait_until("the mail server", LIMIT, || Ok(fs::read_to_string(&pid_file)?.ends_with('\n')))?;
    Ok((server, pop3, lmtp))
}

fn say(socket: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn wait_for_answer(socket: &Path, line: &str, wanted: &str) -> Result<()> {
    wait_until(wanted, LIMIT, || {
        let shown = say(socket, line)?;
        ensure!(shown.contains(wanted), "{line} shows {shown}");
        Ok(true)
    })
}

#[test]
fn mail_moves_with_the_balancer_and_open_sessions_can_be_shut_down() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.path().join("mary").join(part))?;
    }
    fs::write(folder.path().join("users"), "mary:lamb\n")?;
    let (first, pop3_1, lmtp_1) = mail_server(folder.path(), "cfg1")?;
    let (_second, pop3_2, lmtp_2) = mail_server(folder.path(), "cfg2")?;
    let ([front_pop3, front_lmtp], socket) = (free_addresses()?, folder.path().join("admin"));
    let mut command = Command::new(program("demo-balancer")?);
    command.arg("--socket").arg(&socket).args(["--disabled", "cfg2"]);
    command.args(["--backend", &format!("pop3,{front_pop3},cfg1={pop3_1},cfg2={pop3_2}")]);
    command.args(["--backend", &format!("lmtp,{front_lmtp},cfg1={lmtp_1},cfg2={lmtp_2}")]);
    let _balancer = Ended(command.stdin(Stdio::null()).spawn()?);
    wait_until("the balancer", LIMIT, || Ok(socket.exists()))?;

    let message = "From: demo@failover.example\r\nSubject: dots\r\n\r\n.one\r\n..two\r\nend\r\n";
    lmtp::deliver(front_lmtp, "mary", message, LIMIT)?;
    ensure!(lmtp::deliver(front_lmtp, "nobody", message, LIMIT).is_err(), "mail for an unknown user was accepted");
    let visit = pop3::visit(front_pop3, "mary", "lamb", LIMIT)?;
    assert_eq!((visit.messages, digest(&visit.newest)), (1, digest(message)));
    ensure!(visit.greeting.contains("cfg1"), "{}", visit.greeting);
    ensure!(pop3::visit(front_pop3, "mary", "wolf", LIMIT).is_err(), "a wrong password was accepted");

    let mut open = std::net::TcpStream::connect(front_pop3)?;
    open.set_read_timeout(Some(LIMIT))?;
    let mut greeting = [0; 3];
    open.read_exact(&mut greeting)?;
    // The visits before may still be counted for a moment.
    wait_for_answer(&socket, "show stat pop3 4 -1", "pop3,cfg1,0,0,1,UP")?;
    for line in
        ["set server pop3/cfg1 state maint", "shutdown sessions server pop3/cfg1", "set server pop3/cfg2 state ready"]
    {
        assert_eq!(say(&socket, line)?, "\n", "{line}");
    }
    let mut rest = Vec::new();
    // The end of the session: a reset is one too.
    let _ = open.read_to_end(&mut rest);
    drop(first);
    let visit = pop3::visit(front_pop3, "mary", "lamb", LIMIT)?;
    assert_eq!(digest(&visit.newest), digest(message));
    ensure!(visit.greeting.contains("cfg2"), "{}", visit.greeting);
    wait_for_answer(&socket, "show stat lmtp 4 -1", "cfg1,0,0,0,DOWN")
}
