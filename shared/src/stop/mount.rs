//! Mounts of this mount namespace: seen in the kernel's table, and taken away without ever being lazy.
//!
//! A lazy unmount (`umount -l`, `MNT_DETACH`) takes the mount out of the table while processes go on writing to it. No
//! table shows that; the conditions about processes do.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process;
use crate::script::step::{self, Invocation};
use crate::script::{Cancel, StepExit};

use super::condition::names;
use super::verify::State;

/// One try. The whole ladder's unmount is bounded by two for each mount.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(3);
/// More mounts than this on one point or below it are not taken away.
const UNMOUNTS_MAX: usize = 16;

pub(super) fn not_mounted(path: &Path) -> io::Result<State> {
    let Some(point) = mounted_at(path)? else { return Ok(State::Holds) };
    let holders = process::holders_of_path(&point)?;
    let used = if holders.is_empty() { String::new() } else { format!(", used by {}", names(&holders)) };
    Ok(State::Broken(format!("{} is still mounted{used}", path.display())))
}

/// Takes away what is mounted on `path`, and first what is mounted below it. `Err`: why something is left.
///
/// The system's `umount` does it, in a process of its own that can be given up: the call can hang for good on a dead
/// file server, and a thread in that state would keep this daemon from ever ending. The second try is `umount -f`,
/// which a dead file server needs.
pub(super) async fn unmount(path: &Path, variables: &BTreeMap<String, String>) -> Result<(), String> {
    for _ in 0..UNMOUNTS_MAX {
        let wanted = path.to_owned();
        let next = process::aside(UNMOUNT_LIMIT, move || deepest(&wanted)).await;
        let point = match next {
            Some(Ok(Some(point))) => point,
            Some(Ok(None)) => return Ok(()),
            Some(Err(error)) => return Err(format!("what is mounted on {} cannot be told: {error}", path.display())),
            None => return Err(format!("what is mounted on {} cannot be told: no answer", path.display())),
        };
        let gentle = umount("--no-canonicalize", &point, variables).await;
        if let Err(first) = gentle
            && let Err(second) = umount("--force", &point, variables).await
        {
            let why = if first == second { first } else { format!("{first}; by force: {second}") };
            return Err(format!("{} cannot be unmounted: {why}", point.display()));
        }
    }
    Err(format!("more than {UNMOUNTS_MAX} mounts on {}", path.display()))
}

async fn umount(flag: &str, point: &Path, variables: &BTreeMap<String, String>) -> Result<(), String> {
    let arguments: Vec<OsString> = vec!["umount".into(), flag.into(), "--".into(), point.into()];
    let invocation = Invocation {
        arguments: &arguments,
        variables,
        secrets: &[],
        directory: Path::new("/"),
        limit: UNMOUNT_LIMIT,
        kill_after: Duration::ZERO,
    };
    let end = step::run(invocation, &mut None, &mut Cancel::never()).await;
    match (&end.exit, end.tail.trim()) {
        (StepExit::Code(0), _) => Ok(()),
        (exit, "") => Err(exit.to_string()),
        (StepExit::Code(_), said) => Err(said.replace('\n', "; ")),
        (exit, said) => Err(format!("{exit}: {}", said.replace('\n', "; "))),
    }
}

/// The mount point that `path` names, if it is one. A path that is none by its letters may still be one by a symbolic
/// link; only then the path itself is touched, which hangs if it leads to a dead file server.
fn mounted_at(path: &Path) -> io::Result<Option<PathBuf>> {
    let points = mount_points(&fs::read("/proc/self/mountinfo")?);
    let plain: PathBuf = path.components().collect();
    if points.contains(&plain) {
        return Ok(Some(plain));
    }
    match fs::canonicalize(path) {
        Ok(real) => Ok(points.contains(&real).then_some(real)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What must go next so that the mount on `path` can go: the newest mount below it, or itself.
fn deepest(path: &Path) -> io::Result<Option<PathBuf>> {
    let Some(point) = mounted_at(path)? else { return Ok(None) };
    let points = mount_points(&fs::read("/proc/self/mountinfo")?);
    Ok(points.into_iter().rfind(|other| other.starts_with(&point)))
}

/// The mount points at `path` and below it in the kernel's order, if something is mounted on `path` itself. Only looks
/// into the kernel's table, so it cannot hang; `path` must be without symbolic links.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn mounts_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut points = mount_points(&fs::read("/proc/self/mountinfo")?);
    if !points.iter().any(|point| point == path) {
        points.clear();
    }
    points.retain(|point| point.starts_with(path));
    Ok(points)
}

/// The mount points in the kernel's order: proc_pid_mountinfo(5), field 5.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
        .collect()
}

/// The kernel writes blank, tab, line end and backslash as `\` and three octal digits.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| after.first_chunk::<3>())
            .flatten()
            .and_then(|digits| u8::from_str_radix(OsStr::from_bytes(digits).to_str()?, 8).ok());
        if let Some(byte) = code {
            plain.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_odd_letters_is_read_as_it_is() {
        let table =
            b"36 35 98:0 /mnt1 /mnt/a\\040b\\134c rw - ext3 /dev/root rw\n37 35 98:0 / /caf\xe9 rw - ext3 x rw\n";
        let points = mount_points(table);
        assert_eq!(points[0], Path::new("/mnt/a b\\c"));
        assert_eq!(points[1].as_os_str().as_bytes(), b"/caf\xe9");
        assert_eq!(unescape(b"\\04"), b"\\04");
        assert_eq!(unescape(b"\\999x"), b"\\999x");
    }

    #[test]
    fn the_root_is_mounted_by_any_spelling_and_a_missing_path_is_not() {
        assert_eq!(mounted_at(Path::new("//./")).unwrap().as_deref(), Some(Path::new("/")));
        assert_eq!(mounted_at(Path::new("/nonexistent/place")).unwrap(), None);
    }
}
