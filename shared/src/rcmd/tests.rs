//! Against a shell script in the place of `ssh`, and the real `ssh` where nobody listens.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::decision::{BootId, Incarnation, StopMeans};

const REQUEST: RequestId = RequestId { incarnation: Incarnation(1), number: 2 };

/// A folder with a double of `ssh`: a script that writes its arguments down and then does what `body` says.
struct FakeSsh {
    folder: tempfile::TempDir,
    host: Host,
    settings: Rcmd,
    key: Secret,
}

impl FakeSsh {
    fn new(body: &str) -> FakeSsh {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh");
        let script = format!(
            "#!/bin/sh\ncd {}\nfor word; do echo \"$word\"; done >arguments\n{body}\n",
            folder.path().display()
        );
        // Beside and then renamed: a file that was just written to may not be run while another test forks.
        fs::write(folder.path().join("new"), script).unwrap();
        fs::set_permissions(folder.path().join("new"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        let address = "192.0.2.1".parse().unwrap();
        let host = Host { name: "cfg1".to_owned(), address, heartbeat: vec![address], service_address: address };
        let settings = Rcmd {
            user: "cpms".to_owned(),
            ssh_arguments: vec!["-i".to_owned(), "/etc/failover/id".to_owned()],
            remote_command: "failoverctl".to_owned(),
            timeout: Duration::from_secs(20),
        };
        FakeSsh { folder, host, settings, key: Secret::new(b"the pair's key") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signed(&self, key: &Secret, request: RequestId) {
        let statement = Statement {
            pair: "mail".to_owned(),
            host: Role::Master,
            request,
            epoch: Epoch(7),
            means: StopMeans::PostConditions,
            forced: None,
            boot: BootId(3),
            signed_at: jiff::Timestamp::now(),
        };
        fs::write(self.file("line"), statement::sign(key, &statement).unwrap() + "\n").unwrap();
    }

    async fn stop(&self) -> Result<Statement, RcmdError> {
        let order = StopOrder { pair: "mail", role: Role::Master, host: &self.host, request: REQUEST, epoch: Epoch(7) };
        stop_there(&self.file("ssh"), &self.settings, order, std::slice::from_ref(&self.key)).await
    }
}

#[tokio::test]
async fn a_signed_statement_is_believed_among_the_chatter_of_a_login_shell() {
    let fake = FakeSsh::new("echo Welcome; cat line; echo Goodbye");
    fake.signed(&fake.key, REQUEST);
    let statement = fake.stop().await.unwrap();
    assert_eq!((statement.epoch, statement.means), (Epoch(7), StopMeans::PostConditions));
    let arguments = fs::read_to_string(fake.file("arguments")).unwrap();
    let expected = [
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        "-i",
        "/etc/failover/id",
        "cpms@192.0.2.1",
        "failoverctl stop-here --request 0000000000000001-2 --epoch 7",
    ];
    assert_eq!(arguments.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_statement_signed_by_anyone_else_or_for_another_request_does_not_count() {
    let fake = FakeSsh::new("cat line");
    fake.signed(&Secret::new(b"guessed"), REQUEST);
    let error = fake.stop().await.unwrap_err();
    assert!(matches!(error, RcmdError::Statement(StatementError::WrongSignature)), "{error:?}");
    fake.signed(&fake.key, RequestId { number: 1, ..REQUEST });
    let error = fake.stop().await.unwrap_err();
    assert!(matches!(error, RcmdError::Statement(StatementError::OtherMatter { .. })), "{error:?}");
}

#[tokio::test]
async fn a_clean_exit_without_a_statement_is_no_stop() {
    let fake = FakeSsh::new("echo the service is stopped, honestly; echo 'no such command' >&2; exit 0");
    let error = fake.stop().await.unwrap_err();
    assert!(matches!(&error, RcmdError::NotStopped { exit: 0, said } if said == "no such command"), "{error:?}");
}

#[tokio::test]
async fn exit_255_is_unreachable() {
    let fake = FakeSsh::new("echo 'ssh: connect to host: No route to host' >&2; exit 255");
    let error = fake.stop().await.unwrap_err();
    assert!(matches!(&error, RcmdError::Unreachable { said, .. } if said.contains("No route")), "{error:?}");
}

#[tokio::test]
async fn a_hanging_ssh_is_ended_at_the_limit() {
    let mut fake = FakeSsh::new("sleep 600");
    fake.settings.timeout = Duration::from_millis(300);
    let error = fake.stop().await.unwrap_err();
    assert!(matches!(error, RcmdError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_user_that_ssh_would_take_for_an_option_is_refused() {
    let mut fake = FakeSsh::new("cat line");
    for user in ["-oProxyCommand=x", "", "a b"] {
        fake.settings.user = user.to_owned();
        let error = fake.stop().await.unwrap_err();
        assert!(matches!(error, RcmdError::Settings { .. }), "{error:?}");
    }
    assert!(!fake.file("arguments").exists(), "nothing was run");
}

#[tokio::test]
async fn a_host_without_ssh_says_so() {
    let fake = FakeSsh::new("");
    fs::remove_file(fake.file("ssh")).unwrap();
    let error = fake.stop().await.unwrap_err();
    assert!(matches!(error, RcmdError::NoSsh(_)), "{error:?}");
}

#[tokio::test]
async fn the_real_ssh_takes_our_arguments_and_reports_a_closed_port_as_unreachable() {
    if !Path::new("/usr/bin/ssh").exists() {
        eprintln!("not run: /usr/bin/ssh is not installed");
        return;
    }
    let mut fake = FakeSsh::new("");
    fake.host.address = "127.0.0.1".parse().unwrap();
    // Bound and not listening: nobody else gets the port, and nobody answers on it.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    fake.settings.ssh_arguments = ["-F", "none", "-p"].map(str::to_owned).to_vec();
    fake.settings.ssh_arguments.push(port.to_string());
    let order = StopOrder { pair: "mail", role: Role::Master, host: &fake.host, request: REQUEST, epoch: Epoch(7) };
    let error = stop_there(Path::new("/usr/bin/ssh"), &fake.settings, order, &[]).await.unwrap_err();
    assert!(matches!(&error, RcmdError::Unreachable { said, .. } if said.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn the_whole_way_through_a_real_ssh_and_sshd() {
    for program in ["/usr/bin/ssh", "/usr/bin/ssh-keygen", "/usr/sbin/sshd"] {
        if !Path::new(program).exists() {
            eprintln!("not run: {program} is not installed");
            return;
        }
    }
    // As root, sshd wants a folder that only an init script makes: given to it in a mount namespace of its own.
    let root = nix::unistd::geteuid().is_root();
    let unshare = || std::process::Command::new("unshare").args(["--mount", "true"]).status();
    if root && !unshare().is_ok_and(|status| status.success()) {
        eprintln!("not run: root may not make a mount namespace here, which this test gives sshd its /run/sshd in");
        return;
    }
    // The remote command: writes down how it was called and prints the statement.
    let mut fake = FakeSsh::new("cat line");
    fake.signed(&fake.key, REQUEST);
    for key in ["host", "user"] {
        let made = std::process::Command::new("/usr/bin/ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(fake.file(key))
            .status()
            .unwrap();
        assert!(made.success());
    }
    let at = fake.folder.path().display().to_string();
    let server = format!(
        "HostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n"
    );
    fs::write(fake.file("sshd_config"), server).unwrap();
    let sshd = format!("exec /usr/sbin/sshd -i -f {at}/sshd_config");
    let in_namespace =
        format!("exec unshare --mount sh -c 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && {sshd}'");
    fs::write(fake.file("serve"), if root { in_namespace } else { sshd }).unwrap();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
    fake.settings.user = user.name;
    fake.settings.remote_command = fake.file("ssh").display().to_string();
    let option = |text: &str| ["-o".to_owned(), text.to_owned()];
    fake.settings.ssh_arguments = [
        ["-F".to_owned(), "none".to_owned()],
        ["-i".to_owned(), format!("{at}/user")],
        // sshd talks over its standard input: no port, no daemon that stays behind.
        option(&format!("ProxyCommand=sh {at}/serve 2>>{at}/sshd_log")),
        option("StrictHostKeyChecking=accept-new"),
        option(&format!("UserKnownHostsFile={at}/known")),
    ]
    .concat();
    let order = StopOrder { pair: "mail", role: Role::Master, host: &fake.host, request: REQUEST, epoch: Epoch(7) };
    let answer = stop_there(Path::new("/usr/bin/ssh"), &fake.settings, order, std::slice::from_ref(&fake.key)).await;
    let log = fs::read_to_string(fake.file("sshd_log")).unwrap_or_default();
    let statement = answer.unwrap_or_else(|error| panic!("{error:?}\nsshd said: {log}"));
    assert_eq!(statement.request, REQUEST);
    let arguments = fs::read_to_string(fake.file("arguments")).unwrap();
    let expected = ["stop-here", "--request", "0000000000000001-2", "--epoch", "7"];
    assert_eq!(arguments.lines().collect::<Vec<_>>(), expected);

    // The same way with a key that the other host does not know: no password is asked for, nothing is run.
    fs::remove_file(fake.file("arguments")).unwrap();
    fs::write(fake.file("user.pub"), "").unwrap();
    let error = stop_there(Path::new("/usr/bin/ssh"), &fake.settings, order, &[]).await.unwrap_err();
    assert!(matches!(&error, RcmdError::Unreachable { said, .. } if said.contains("Permission denied")), "{error:?}");
    assert!(!fake.file("arguments").exists());
}
