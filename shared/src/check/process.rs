//! A process's death, seen the moment it happens: its pidfd becomes readable (pidfd_open(2)).

use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::process;

/// Between two looks for a process that is not there.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches the oldest process called `name`, again and again, and sends the name each time it dies. Children come and go
/// (a mail server's logins); the oldest is the one that matters. Owns one descriptor; stopping it anywhere is safe.
pub async fn watch_process<T: From<String>>(name: String, died: mpsc::Sender<T>) {
    loop {
        let wanted = name.clone();
        let found = tokio::task::spawn_blocking(move || {
            let oldest = process::named(&wanted).ok()?.into_iter().next()?;
            let descriptor = open(oldest.pid).ok()?;
            // The pid may have been used again between the look and the open.
            let same = process::with_pid(oldest.pid).is_some_and(|now| now.started == oldest.started);
            same.then_some(descriptor)
        })
        .await;
        if let Ok(Some(descriptor)) = found
            && let Ok(descriptor) = register(descriptor)
            && descriptor.readable().await.is_ok()
        {
            if died.send(T::from(name.clone())).await.is_err() {
                return;
            }
            continue;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[allow(unsafe_code, reason = "tokio offers no safe call for a descriptor that it does not know itself")]
fn register(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what is returned, so it stays open, and the same, while it is registered.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(Into::into)
}

#[allow(unsafe_code, reason = "neither std nor nix opens a pidfd of a process that is not a child")]
fn open(pid: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and returns a new descriptor or -1.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    let descriptor = i32::try_from(descriptor).map_err(std::io::Error::other)?;
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_death_is_told_and_the_next_process_of_that_name_is_watched_again() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("watched-here");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let (sender, mut died) = mpsc::channel::<String>(4);
        let watch = tokio::spawn(watch_process("watched-here".into(), sender));
        for _ in 0..2 {
            let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
            // Whether the watch has found it shows only in what it tells; so it is killed after a while, and waited for.
            tokio::time::sleep(LOOK_EVERY * 2).await;
            child.kill().unwrap();
            let told = tokio::time::timeout(Duration::from_secs(5), died.recv()).await;
            assert_eq!(told.unwrap().as_deref(), Some("watched-here"));
            child.wait().unwrap();
        }
        watch.abort();
    }
}
