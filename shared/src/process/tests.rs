use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::*;

/// Ends with the test, also when the test panics.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleeper() -> (Ended, ProcessId) {
    let child = Ended(Command::new("sleep").arg("60").spawn().unwrap());
    let pid = i32::try_from(child.0.id()).unwrap();
    // The name is `sleep` only once the new program has begun.
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        let process = look(pid).unwrap().unwrap();
        if process.name == "sleep" {
            return (child, process.id);
        }
        assert!(Instant::now() < limit, "the child never became sleep: {process:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_reaches_the_process_it_names() {
    let (mut child, id) = sleeper();
    assert!(named("sleep").unwrap().iter().any(|process| process.id == id));
    assert!(signal(id, Signal::SIGKILL).unwrap());
    child.0.wait().unwrap();
    assert!(!signal(id, Signal::SIGKILL).unwrap(), "the process is gone");
}

#[test]
fn a_reused_number_is_not_signalled() {
    let (mut child, id) = sleeper();
    let older = ProcessId { started_ticks: id.started_ticks - 1, ..id };
    assert!(!signal(older, Signal::SIGKILL).unwrap());
    assert!(child.0.try_wait().unwrap().is_none(), "the stranger was killed");
}

#[test]
fn a_zombie_is_no_process_of_the_service() {
    let (mut child, id) = sleeper();
    child.0.kill().unwrap();
    let limit = Instant::now() + Duration::from_secs(5);
    while !look(id.pid).unwrap().unwrap().zombie {
        assert!(Instant::now() < limit, "killed, yet no zombie after 5 s");
        std::thread::yield_now();
    }
    assert!(!list().unwrap().iter().any(|process| process.id == id));
}

#[test]
fn this_process_and_its_parents_are_protected() {
    let kept = protected().unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(kept.contains(&own) && kept.contains(&1));
    assert!(kept.contains(&look(own).unwrap().unwrap().parent));
}

#[test]
fn a_listening_socket_is_found_with_its_owner() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let found = listeners().unwrap().into_iter().find(|listener| listener.address == address).unwrap();
    let owners = owners_of_sockets(&[found.inode]).unwrap();
    assert_eq!(owners[&found.inode].id.pid.unsigned_abs(), std::process::id());
}

#[test]
fn the_holder_of_an_open_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let _file = std::fs::File::create(folder.path().join("held")).unwrap();
    let holders = holders_of_path(&folder.path().canonicalize().unwrap()).unwrap();
    assert!(holders.iter().any(|process| process.id.pid.unsigned_abs() == std::process::id()), "{holders:?}");
}

#[tokio::test]
async fn a_question_that_hangs_is_given_up_and_others_are_still_answered() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    assert_eq!(aside(Duration::from_millis(20), move || hold.recv().is_ok()).await, None);
    assert_eq!(aside(Duration::from_secs(5), || 7).await, Some(7));
    release.send(()).unwrap();
}

#[test]
fn a_process_is_told_by_its_name_and_its_arguments() {
    let (_child, id) = sleeper();
    let found = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        started_as(&words).unwrap().iter().any(|process| process.id == id)
    };
    assert!(found(&["sleep"]) && found(&["sleep", "60"]));
    assert!(!found(&["sleep", "61"]) && !found(&["sleep", "60", "60"]) && !found(&["leep"]) && !found(&["60"]));
    assert!(!found(&["/opt/sleep"]) && !found(&[]));
}

#[test]
fn a_script_is_told_by_its_own_name_and_not_by_its_interpreters() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than the 15 bytes that the kernel keeps of it.
    let script = folder.path().join("a-web-server-of-ours");
    std::fs::write(&script, "#!/bin/sh\nread -r line\n").unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "chmod +x \"$0\" && exec \"$0\" -f conf"]).arg(&script).stdin(std::process::Stdio::piped());
    let child = Ended(command.spawn().unwrap());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let found = |wanted: &[&str]| {
        let pid = i32::try_from(child.0.id()).unwrap();
        started_as(&words(wanted)).unwrap().iter().any(|process| process.id.pid == pid)
    };
    let limit = Instant::now() + Duration::from_secs(5);
    while !found(&["a-web-server-of-ours", "-f", "conf"]) {
        assert!(Instant::now() < limit, "the script is not found");
        std::thread::yield_now();
    }
    assert!(found(&[script.to_str().unwrap()]));
    assert!(!found(&["a-web-server-of-ours", "-g"]) && !found(&["conf"]));
}
