//! On what the store lies, told by the kernel's table alone: a dead file server is not asked.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::stop::unescape;

/// One line of proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is.
    pub(super) point: PathBuf,
    /// The type of the file system.
    pub(super) kind: String,
    /// What is mounted: a device, or `server:/export`.
    pub(super) source: String,
    /// The options of the mount and of the file system.
    pub(super) options: Vec<String>,
}

impl Mount {
    /// The mount that holds `path`, by its letters: symbolic links are not followed. Of several in one place the last one
    /// covers the others.
    pub(super) fn holding(path: &Path, table: &[u8]) -> Option<Mount> {
        let mounts = table.split(|byte| *byte == b'\n').filter_map(Mount::of_line);
        mounts.filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.components().count())
    }

    /// `36 35 98:0 /root /point rw,noatime shared:1 - nfs4 server:/export rw,hard,vers=4.2`
    fn of_line(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = fields.nth(4)?;
        let of_mount = fields.next()?;
        // Any number of optional fields, then a hyphen.
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, source, of_file_system) = (rest.next()?, rest.next()?, rest.next()?);
        let options = [of_mount, of_file_system].into_iter().flat_map(|list| list.split(|byte| *byte == b','));
        Some(Mount {
            point: PathBuf::from(OsString::from_vec(unescape(point))),
            kind: text(kind),
            source: text(&unescape(source)),
            options: options.map(text).collect(),
        })
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }

    /// The number behind `name=`.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.options.iter().find_map(|found| found.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }

    pub(super) fn is_nfs(&self) -> bool {
        matches!(self.kind.as_str(), "nfs" | "nfs4")
    }
}

fn text(bytes: &[u8]) -> String {
    OsStr::from_bytes(bytes).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
        30 22 0:40 / /mnt rw - tmpfs tmpfs rw\n\
        31 30 0:41 / /mnt/lease\\040store rw,noatime shared:7 master:1 - nfs4 filer:/lease rw,sync,soft,timeo=10,retrans=2\n\
        32 30 0:42 / /mnt/lease\\040store ro - ext4 /dev/sdb1 ro\n\
        cut 22 line\n";

    #[test]
    fn the_deepest_and_last_mount_holds_a_path() {
        let kind = |path: &str| Mount::holding(Path::new(path), TABLE).unwrap().kind;
        assert_eq!(kind("/etc"), "ext4");
        assert_eq!(kind("/mnt/other"), "tmpfs");
        assert_eq!(kind("/mntlike"), "ext4");
        let covering = Mount::holding(Path::new("/mnt/lease store/x"), TABLE).unwrap();
        assert_eq!((covering.source.as_str(), covering.has("ro")), ("/dev/sdb1", true));
    }

    #[test]
    fn options_of_both_kinds_are_found() {
        let line = TABLE.split(|byte| *byte == b'\n').nth(2).unwrap();
        let mount = Mount::of_line(line.trim_ascii_start()).unwrap();
        assert_eq!((mount.point.as_path(), mount.source.as_str()), (Path::new("/mnt/lease store"), "filer:/lease"));
        assert!(mount.is_nfs() && mount.has("noatime") && mount.has("soft") && !mount.has("hard"));
        assert_eq!((mount.number("timeo"), mount.number("rsize")), (Some(10), None));
    }
}
