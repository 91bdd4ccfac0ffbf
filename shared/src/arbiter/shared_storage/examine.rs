//! What `failoverctl check` says of the store: on what it lies, whether its mount is such that the argument of the module
//! above holds, and whether it is the pair's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::block;
use super::folder;
use super::mount::Mount;
use super::record::MARKER_FILE;
use crate::config::{Config, Finding, Postcondition, Severity};
use crate::decision::ArbiterFailure;

/// The options that an NFS mount of a store must have (nfs(5)). The export itself must be `sync` and, for a daemon that
/// runs as root, `no_root_squash` (exports(5)); neither is seen from here.
pub const MOUNT_OPTIONS: &str = "soft,timeo=10,retrans=2,noac,lookupcache=none,nosharecache,sync";

/// What touches the store may hang.
const LIMIT: Duration = Duration::from_secs(5);
/// Tenths of a second.
const TIMEO_MAX: u64 = 10;
const RETRANS_MAX: u64 = 2;

/// Looks at the store of a pair at `path`. Takes five seconds at most: a store that does not answer is left alone in a
/// thread.
#[must_use]
pub fn examine(path: &Path, config: &Config) -> Vec<Finding> {
    // They come and go with the service.
    let managed = config.service.stopped_when.iter().filter_map(|condition| match condition {
        Postcondition::NotMounted(mount) => Some(mount.clone()),
        _ => None,
    });
    let mut findings = match fs::read("/proc/self/mountinfo") {
        Ok(table) => of_mount(path, &managed.collect::<Vec<_>>(), &table),
        Err(error) => {
            let message =
                format!("what is mounted on {} cannot be told: /proc/self/mountinfo: {error}", path.display());
            vec![finding(Severity::Warning, message)]
        }
    };
    let (answer, answered) = mpsc::channel();
    let (folder, name) = (path.to_owned(), config.name.clone());
    let asked = thread::Builder::new().name("lease-store".to_owned()).spawn(move || {
        // Nobody listens any more: the store was too slow, which was said.
        let _ = answer.send(of_content(&folder, &name));
    });
    match (asked, answered.recv_timeout(LIMIT)) {
        (Ok(_), Ok(of_content)) => findings.extend(of_content),
        _ => findings.push(finding(
            Severity::Error,
            format!(
                "{path} does not answer within {limit} s: no lease can be held there; next: look at its server",
                path = path.display(),
                limit = LIMIT.as_secs()
            ),
        )),
    }
    findings
}

fn finding(severity: Severity, message: String) -> Finding {
    Finding { severity, key: "arbiter.path".to_owned(), message }
}

/// What the kernel's table of mounts says.
fn of_mount(path: &Path, managed: &[PathBuf], table: &[u8]) -> Vec<Finding> {
    let shown = path.display();
    let mut findings = Vec::new();
    if let Some(mount) = managed.iter().find(|mount| path.starts_with(mount)) {
        let message = format!(
            "{shown} lies below {}, which is unmounted with the service: the lease would go with it, and a stop could not \
             unmount it; next: give the store an export and a mount point of its own",
            mount.display()
        );
        findings.push(finding(Severity::Error, message));
    }
    let Some(mount) = Mount::holding(path, table) else {
        return findings;
    };
    let (kind, point) = (&mount.kind, mount.point.display());
    if mount.point != path {
        let message = format!(
            "{shown} is no mount of its own but part of {point} ({kind}, {}): what hangs or fills that hangs or fills the \
             lease; next: give it an export of its own, and mount {shown} on both hosts",
            mount.source
        );
        findings.push(finding(Severity::Warning, message));
    }
    if mount.has("ro") {
        let message =
            format!("{shown} is mounted read-only: no lease can be held there; next: mount -o remount,rw {point}");
        findings.push(finding(Severity::Error, message));
    }
    if mount.is_nfs() {
        findings.extend(of_nfs(path, &mount));
    } else {
        let message = format!(
            "{shown} is {kind}, not NFS: whether both hosts see the same folder, at once and uncached, cannot be told from \
             here; next: on both hosts: cat {shown}/{MARKER_FILE}, which must show the same id"
        );
        findings.push(finding(Severity::Warning, message));
    }
    findings
}

fn of_nfs(path: &Path, mount: &Mount) -> Option<Finding> {
    let slower = |name, limit| mount.number(name).is_none_or(|found| found > limit);
    let rules = [
        (!(mount.has("soft") || mount.has("softerr")), "soft (a dead server is waited for without end)"),
        (slower("timeo", TIMEO_MAX), "timeo=10 (a lost request is noticed late)"),
        (slower("retrans", RETRANS_MAX), "retrans=2 (a dead server is noticed late)"),
        (!mount.has("noac"), "noac (what the other host wrote is seen late)"),
        (!mount.has("lookupcache=none"), "lookupcache=none (a claim of the other host is overlooked)"),
        (!mount.has("nosharecache"), "nosharecache (an earlier mount of the same server decides all of these)"),
        (!mount.has("sync"), "sync (writes are held back)"),
    ];
    let missing: Vec<&str> = rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect();
    (!missing.is_empty()).then(|| {
        let message = format!(
            "the mount of {source} on {point} lacks {}; it has {}; next: in /etc/fstab on both hosts: {source} {point} nfs \
             {MOUNT_OPTIONS} 0 0, then umount {point} && mount {point}; on the server, the export must be sync",
            missing.join(", "),
            mount.options.join(","),
            source = mount.source,
            point = path.display(),
        );
        finding(Severity::Warning, message)
    })
}

/// What the store itself says. May hang.
fn of_content(path: &Path, pair: &str) -> Option<Finding> {
    if let Err(failure) = folder::read_marker(path, pair) {
        return Some(finding(Severity::Error, in_words(failure)));
    }
    match block::takes_direct(&path.join(MARKER_FILE)) {
        Ok(true) => None,
        Ok(false) => Some(finding(
            Severity::Warning,
            format!(
                "the file system of {} does not take O_DIRECT: what the other host wrote may be read from a cache; next: \
                 use an NFS export",
                path.display()
            ),
        )),
        Err(error) => Some(finding(Severity::Warning, format!("{}: {error}", path.join(MARKER_FILE).display()))),
    }
}

fn in_words(failure: ArbiterFailure) -> String {
    match failure {
        ArbiterFailure::Unreachable(text) | ArbiterFailure::Damaged(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbiter::shared_storage::initialise;

    const GOOD: &str = "rw,sync,vers=4.2,soft,nosharecache,noac,lookupcache=none,timeo=10,retrans=2";

    fn mounted(options: &str) -> Vec<u8> {
        format!("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 22 0:41 / /mnt/lease rw - nfs4 filer:/lease {options}\n")
            .into()
    }

    fn said(path: &str, managed: &[PathBuf], table: &[u8]) -> Vec<String> {
        of_mount(Path::new(path), managed, table).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_nfs_mount_of_its_own_with_the_wanted_options_is_left_in_peace() {
        assert_eq!(said("/mnt/lease", &[], &mounted(GOOD)), [""; 0]);
        assert_eq!(MOUNT_OPTIONS.split(',').filter(|option| !GOOD.contains(option)).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn each_missing_option_is_named_with_its_effect() {
        for option in MOUNT_OPTIONS.split(',') {
            let without: Vec<&str> = GOOD.split(',').filter(|found| *found != option).collect();
            let found = said("/mnt/lease", &[], &mounted(&without.join(",")));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(&format!("lacks {option} (")) && found[0].contains("/etc/fstab"), "{found:?}");
        }
        let slow = said("/mnt/lease", &[], &mounted(&GOOD.replace("timeo=10", "timeo=600")));
        assert!(slow[0].contains("lacks timeo=10") && slow[0].contains("timeo=600"), "{slow:?}");
    }

    #[test]
    fn a_store_below_a_managed_mount_is_an_error() {
        let findings = of_mount(Path::new("/mnt/lease"), &[PathBuf::from("/mnt")], &mounted(GOOD));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(findings[0].message.contains("/mnt,"), "{findings:?}");
    }

    #[test]
    fn a_part_of_another_mount_a_local_one_and_a_read_only_one_are_told() {
        let part = said("/mnt/lease/below", &[], &mounted(GOOD));
        assert!(part.len() == 1 && part[0].contains("no mount of its own"), "{part:?}");
        let local = said("/srv/lease", &[], &mounted(GOOD));
        assert!(local.iter().any(|text| text.contains("ext4, not NFS")), "{local:?}");
        let read_only = said("/mnt/lease", &[], &mounted(&GOOD.replace("rw,", "ro,")));
        assert!(read_only.iter().any(|text| text.contains("read-only")), "{read_only:?}");
    }

    #[test]
    fn the_marker_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let missing = of_content(folder.path(), "mail").unwrap();
        assert_eq!(missing.severity, Severity::Error);
        assert!(missing.message.contains("failoverctl arbiter-init"), "{missing:?}");
        initialise(folder.path(), "mail").unwrap();
        assert!(of_content(folder.path(), "mail").is_none_or(|found| found.severity == Severity::Warning));
        assert!(of_content(folder.path(), "news").unwrap().message.contains("\"mail\""));
    }
}
