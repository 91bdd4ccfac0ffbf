//! Against the real HAProxy where it is installed, and a scripted socket for what the real one will not say.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
const HAPROXY: &str = "/usr/sbin/haproxy";

/// A real HAProxy with two backends of two servers each; `imap` has no health checks and starts its slave disabled.
struct RealHaProxy {
    folder: tempfile::TempDir,
    child: Child,
    /// Both servers of `pop3`: listening, so that the checks pass.
    _servers: [TcpListener; 2],
    tcp: String,
}

impl RealHaProxy {
    /// `None`, told on standard error, where HAProxy is not installed.
    fn start() -> Option<RealHaProxy> {
        if !Path::new(HAPROXY).exists() {
            eprintln!("not run: {HAPROXY} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let servers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|at: usize| servers[at].local_addr().unwrap().port());
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        // HAProxy takes the listening socket over, so nobody has to guess a free port.
        fcntl(&admin, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let at = folder.path().display();
        let config = format!(
            "global\n stats socket {at}/admin level admin\n stats socket {at}/operator level operator\n \
             stats socket fd@{fd} level admin\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
             listen pop3\n bind unix@{at}/pop3\n server cfg1 127.0.0.1:{m} check inter 50\n server cfg2 127.0.0.1:{s} check inter 50\n\
             backend imap\n server cfg1 127.0.0.1:{m}\n server cfg2 127.0.0.1:{s} disabled\n",
            fd = admin.as_raw_fd(),
            m = ports[0],
            s = ports[1],
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(HAPROXY)
            .arg("-db")
            .arg("-f")
            .arg(folder.path().join("config"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let tcp = admin.local_addr().unwrap().to_string();
        let started = RealHaProxy { folder, child, _servers: servers, tcp };
        let until = Instant::now() + LIMIT;
        // Its sockets appear one after the other; once it answers, all are there.
        while !started.answers() {
            let log = fs::read_to_string(started.folder.path().join("log")).unwrap();
            assert!(Instant::now() < until, "HAProxy did not start:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(started)
    }

    fn answers(&self) -> bool {
        let ask = || -> io::Result<usize> {
            let mut stream = std::os::unix::net::UnixStream::connect(self.folder.path().join("admin"))?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(b"show version\n")?;
            stream.read(&mut [0; 64])
        };
        ask().is_ok_and(|count| count > 0)
    }

    fn driver(&self, socket: &str, backends: &[&str]) -> HaProxy {
        let socket = self.folder.path().join(socket).display().to_string();
        driver(&socket, backends)
    }
}

impl Drop for RealHaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn driver(socket: &str, backends: &[&str]) -> HaProxy {
    let backends: Vec<String> = backends.iter().map(|&name| name.to_owned()).collect();
    HaProxy::new(socket, &backends, "cfg1", "cfg2").unwrap()
}

async fn wait_for(device: &HaProxy, what: &str, wanted: impl Fn(&View) -> bool) -> View {
    let until = Instant::now() + LIMIT;
    loop {
        let view = device.observe().await.unwrap();
        if wanted(&view) {
            return view;
        }
        assert!(Instant::now() < until, "never seen: {what}; last: {view:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn each_state_is_set_and_read_back_on_the_real_device() {
    let Some(real) = RealHaProxy::start() else { return };
    let device = real.driver("admin", &["pop3"]);
    for (wanted, admin) in [
        (Wanted::Down, Admin::Down),
        (Wanted::Down, Admin::Down),
        (Wanted::Drain, Admin::Drain),
        (Wanted::Up, Admin::Up),
        (Wanted::Up, Admin::Up),
    ] {
        device.set(Role::Slave, wanted, Epoch(1)).await.unwrap();
        let view = device.observe().await.unwrap();
        assert_eq!((view.master.admin, view.slave.admin), (Admin::Up, admin), "{view:?}");
    }
}

#[tokio::test]
async fn the_tcp_socket_works_like_the_unix_one() {
    let Some(real) = RealHaProxy::start() else { return };
    let device = driver(&real.tcp, &["pop3"]);
    device.set(Role::Master, Wanted::Down, Epoch(1)).await.unwrap();
    assert_eq!(device.observe().await.unwrap().master.admin, Admin::Down);
}

#[tokio::test]
async fn a_server_configured_as_disabled_counts_as_up_once_it_is_ready_in_every_backend() {
    let Some(real) = RealHaProxy::start() else { return };
    let device = real.driver("admin", &["pop3", "imap"]);
    // Up in one backend and down in the other is neither.
    assert_eq!(device.observe().await.unwrap().slave.admin, Admin::Unknown);
    device.set(Role::Slave, Wanted::Up, Epoch(1)).await.unwrap();
    assert_eq!(device.observe().await.unwrap().slave.admin, Admin::Up);
    device.set(Role::Slave, Wanted::Down, Epoch(1)).await.unwrap();
    assert_eq!(device.observe().await.unwrap().slave.admin, Admin::Down);
}

#[tokio::test]
async fn going_down_ends_the_sessions_that_are_there_and_draining_does_not() {
    let Some(real) = RealHaProxy::start() else { return };
    let device = real.driver("admin", &["pop3"]);
    device.set(Role::Slave, Wanted::Down, Epoch(1)).await.unwrap();
    let mut client = std::os::unix::net::UnixStream::connect(real.folder.path().join("pop3")).unwrap();
    client.write_all(b"hello").unwrap();
    wait_for(&device, "one session", |view| view.master.sessions == Some(1)).await;
    device.set(Role::Master, Wanted::Drain, Epoch(1)).await.unwrap();
    assert_eq!(device.observe().await.unwrap().master.sessions, Some(1));
    device.set(Role::Master, Wanted::Down, Epoch(1)).await.unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0, "the client is cut off");
    wait_for(&device, "no session", |view| view.master.sessions == Some(0)).await;
}

#[tokio::test]
async fn health_is_told_only_where_a_check_has_judged() {
    let Some(real) = RealHaProxy::start() else { return };
    let device = real.driver("admin", &["pop3"]);
    wait_for(&device, "both healthy", |view| view.master.serving == Some(true) && view.slave.serving == Some(true))
        .await;
    device.set(Role::Slave, Wanted::Down, Epoch(1)).await.unwrap();
    // Checks pause under maintenance: what they said before says nothing now.
    assert_eq!(device.observe().await.unwrap().slave.serving, None);
    let unchecked = real.driver("admin", &["imap"]);
    assert_eq!(unchecked.observe().await.unwrap().master.serving, None);
}

#[tokio::test]
async fn a_dead_server_is_seen_as_not_serving_although_it_is_switched_up() {
    let Some(mut real) = RealHaProxy::start() else { return };
    let device = real.driver("admin", &["pop3"]);
    wait_for(&device, "healthy", |view| view.master.serving == Some(true)).await;
    let [master, slave] =
        std::mem::replace(&mut real._servers, [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap()));
    drop(master);
    let view = wait_for(&device, "the master's death", |view| view.master.serving == Some(false)).await;
    assert_eq!(view.master.admin, Admin::Up);
    drop(slave);
}

#[tokio::test]
async fn refusals_of_the_real_device_say_what_to_do() {
    let Some(real) = RealHaProxy::start() else { return };
    let cases = [
        (real.driver("operator", &["pop3"]), "Permission denied", "level admin"),
        (real.driver("admin", &["nobody"]), "No such backend.", "compare the names"),
        (
            HaProxy::new(&real.folder.path().join("admin").display().to_string(), &["pop3".into()], "ghost", "cfg2")
                .unwrap(),
            "No such server.",
            "compare the names",
        ),
    ];
    for (device, answer_wanted, hint) in cases {
        let error = device.set(Role::Master, Wanted::Down, Epoch(1)).await.unwrap_err();
        let BalancerError::Refused { answer, .. } = &error else { panic!("{error:?}") };
        assert_eq!(answer, answer_wanted);
        assert!(error.to_string().contains(hint), "{error}");
    }
    let error = real.driver("admin", &["nobody"]).observe().await.unwrap_err();
    assert!(matches!(&error, BalancerError::Refused { answer, .. } if answer == "Can't find backend."), "{error:?}");
}

/// A socket that gives every client the same answer; a double of nothing but a misbehaving device.
fn scripted(answer: &'static [u8]) -> (tempfile::TempDir, HaProxy) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut line = [0; 256];
            let _ = stream.read(&mut line).await;
            let _ = stream.write_all(answer).await;
        }
    });
    let device = driver(&path.display().to_string(), &["pop3"]);
    (folder, device)
}

#[tokio::test]
async fn answers_that_no_haproxy_gives_are_errors_and_nothing_worse() {
    let (_folder, device) = scripted(b"");
    let error = device.set(Role::Master, Wanted::Up, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, BalancerError::Unreachable { .. }), "{error:?}");

    let (_folder, device) = scripted(b"\xff\xfe\x07 what?\n");
    let error = device.observe().await.unwrap_err();
    assert!(matches!(&error, BalancerError::Refused { answer, .. } if !answer.contains('\x07')), "{error:?}");

    let (_folder, device) = scripted(Box::leak(vec![b'#'; ANSWER_BYTES_MAX * 2].into_boxed_slice()));
    let error = device.observe().await.unwrap_err();
    assert!(matches!(error, BalancerError::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn a_table_with_missing_columns_and_rows_gives_unknowns() {
    let (_folder, device) =
        scripted(b"1\n# be_id srv_name srv_admin_state\n2 cfg1\n2 other 0\n\n# pxname,svname\npop3,cfg1\n\n");
    let view = device.observe().await.unwrap();
    assert_eq!(view, View { master: Seen::NOTHING, slave: Seen::NOTHING });
}

#[tokio::test]
async fn a_missing_socket_is_unreachable_and_named() {
    let error = driver("/nonexistent/socket", &["pop3"]).observe().await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/socket"), "{error}");
}

#[test]
fn names_that_would_be_commands_are_refused() {
    for name in ["pop3;shutdown", "pop 3", "pop3\n", "", "a/b"] {
        let error = HaProxy::new("/s", &[name.to_owned()], "a", "b").unwrap_err();
        assert!(matches!(error, BalancerError::Settings(_)), "{name:?}: {error:?}");
    }
    assert!(HaProxy::new("/s", &["pop3.v2:x_y-z".to_owned()], "a", "b").is_ok());
}
