//! Control groups of version 2 (cgroups(7)): where a service's processes can be found and ended without a gap.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Where the host has its version 2 hierarchy, by its own mount table: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified`
/// beside version 1. `None` if it has none.
#[must_use]
pub fn root() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        // proc_pid_mountinfo(5): the fifth field is the mount point, the type follows " - ".
        let (front, back) = line.split_once(" - ")?;
        (back.split(' ').next() == Some("cgroup2")).then(|| front.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The folder of the control group `name`, which is relative to the hierarchy's root or lies below it.
///
/// # Errors
/// Without a hierarchy, and for names that leave it or are its root: ending "everything in it" would end the host.
pub fn folder(name: &Path) -> Result<PathBuf, String> {
    let root = root().ok_or("this host has no cgroup v2 mounted")?;
    let relative = name.strip_prefix(&root).or_else(|_| name.strip_prefix("/")).unwrap_or(name);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || relative.as_os_str().is_empty() {
        return Err(format!("{} names no control group below {}", name.display(), root.display()));
    }
    Ok(root.join(relative))
}

/// Makes the folder if needed, and sees that processes can be put into it.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).map(drop)
}

/// Whether any process is in it or below it. `Ok(None)`: there is no such group.
///
/// # Errors
/// It is there and does not say.
pub fn populated(folder: &Path) -> io::Result<Option<bool>> {
    let events = match fs::read_to_string(folder.join("cgroup.events")) {
        Ok(events) => events,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(None),
        Err(error) => return Err(error),
    };
    match events.lines().find_map(|line| line.strip_prefix("populated ")) {
        Some("0") => Ok(Some(false)),
        Some("1") => Ok(Some(true)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "cgroup.events has no line \"populated 0\" or 1")),
    }
}

/// The processes in it and in the groups below it. A process of another process namespace shows as 0 and is left out.
///
/// # Errors
/// It cannot be read. A group that is not there has none.
pub fn processes(folder: &Path) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = match fs::read_to_string(folder.join("cgroup.procs")) {
            Ok(listed) => listed,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => continue,
            Err(error) => return Err(error),
        };
        found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// KILL to every process in it and below, without a gap for a fork (`cgroup.kill`, Linux 5.14).
///
/// # Errors
/// What the kernel says: `ENOENT` where it is too old.
pub fn kill(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.kill"), "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_the_root_or_leaves_it_is_refused() {
        let Some(root) = root() else {
            println!("not run: no cgroup v2 here");
            return;
        };
        for name in ["", "/", "..", "a/../..", "../a"] {
            assert!(folder(Path::new(name)).is_err(), "{name:?} was taken");
        }
        assert!(folder(&root).is_err());
        for name in ["mail", "/mail"] {
            assert_eq!(folder(Path::new(name)).unwrap(), root.join("mail"), "{name}");
        }
        assert_eq!(folder(&root.join("a/b")).unwrap(), root.join("a/b"));
    }
}
