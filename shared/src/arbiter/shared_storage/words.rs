//! What the system says of the store, in words: cause, effect, next command.

use std::io;
use std::path::Path;

use crate::decision::ArbiterFailure;

/// The failure that follows from an error of the system while `doing` something in the store at `path`.
pub(super) fn unreachable(path: &Path, doing: &str, error: &io::Error) -> ArbiterFailure {
    let place = path.display();
    let (cause, next) = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => ("is not there, so it is not mounted", format!("mount {place}")),
        Some(libc::EROFS) => ("is mounted read-only", format!("mount -o remount,rw {place}; then look at the server")),
        Some(libc::ENOSPC | libc::EDQUOT) => {
            ("is full", format!("df -h {place}; make room there: it needs a few hundred KiB"))
        }
        Some(libc::EIO | libc::ETIMEDOUT) => (
            "gives an input/output error (on NFS: its server did not answer)",
            "dmesg | tail; look at the server".into(),
        ),
        Some(libc::ESTALE) => {
            ("is gone from its server, or was replaced there", format!("umount {place} && mount {place}"))
        }
        Some(libc::EACCES | libc::EPERM) => (
            "may not be used by this daemon's user",
            format!("ls -ld {place}; a daemon that runs as root needs an export with no_root_squash"),
        ),
        _ => ("cannot be used", format!("ls -l {place}; dmesg | tail")),
    };
    ArbiterFailure::Unreachable(format!("the lease store {place} {cause} ({doing}: {error}); next: {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_error_has_its_own_cause_and_a_command() {
        let mut seen = std::collections::BTreeSet::new();
        for code in [libc::ENOENT, libc::EROFS, libc::ENOSPC, libc::EIO, libc::ESTALE, libc::EACCES, libc::EMFILE] {
            let error = io::Error::from_raw_os_error(code);
            let ArbiterFailure::Unreachable(text) = unreachable(Path::new("/mnt/lease"), "reading lease.id", &error)
            else {
                panic!("{code} is no reason to call the records damaged")
            };
            assert!(text.contains("next: ") && text.contains("reading lease.id"), "{text}");
            assert!(seen.insert(text.split(" (").next().unwrap().to_owned()), "{text} is said of two errors");
        }
    }
}
