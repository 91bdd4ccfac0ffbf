//! A program to call, and the looks at whether it can be called.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The kernel reads no more of a file's first line (`BINPRM_BUF_SIZE`, execve(2)).
const FIRST_LINE_BYTES_MAX: u64 = 256;

/// A program to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments.
    pub arguments: Vec<OsString>,
    /// What its contract adds to the environment of design-wide variables.
    pub variables: BTreeMap<String, String>,
    /// Variables whose values are secrets: the files that hold them, read at the call and kept nowhere.
    pub secret_files: BTreeMap<String, PathBuf>,
}

impl Program {
    /// A program without variables of its own.
    pub fn of<Argument: Into<OsString>>(arguments: impl IntoIterator<Item = Argument>) -> Program {
        Program { arguments: arguments.into_iter().map(Into::into).collect(), ..Program::default() }
    }
}

/// What speaks against running the file `path`, which names a script or a program: each with what to do.
pub(crate) fn not_runnable(path: &Path) -> Option<String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) => Some(format!("script {shown}: {error}")),
        Ok(found) if !found.is_file() => Some(format!("script {shown} is not a file")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Some(format!("script {shown} may not be executed: run `chmod +x {shown}`"))
        }
        Ok(_) => interpreter(path).filter(|interpreter| !interpreter.exists()).map(|interpreter| {
            let interpreter = interpreter.display();
            format!(
                "script {shown} begins with `#!{interpreter}`, which is not on this host: install it, or mend the line"
            )
        }),
    }
}

/// The program behind `#!`, if the file is readable and begins so.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE_BYTES_MAX).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = String::from_utf8_lossy(line).split_whitespace().next()?.to_owned();
    Some(PathBuf::from(word))
}

/// The program that a shell's line begins with, where it is named by a path. `None` where only the shell can tell.
pub(super) fn first_word(line: &str, directory: &Path) -> Option<PathBuf> {
    let word = line.split_whitespace().next()?;
    let plain =
        word.contains('/') && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+'));
    plain.then(|| directory.join(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_taken_for_programs() {
        let folder = Path::new("/etc/failover");
        assert_eq!(first_word("./start.sh >/tmp/log 2>&1", folder), Some(PathBuf::from("/etc/failover/./start.sh")));
        assert_eq!(first_word("/bin/true", folder), Some(PathBuf::from("/bin/true")));
        assert_eq!(first_word("mount -a", folder), None);
        assert_eq!(first_word("A=/b ./c", folder), None);
    }

    #[test]
    fn a_script_that_cannot_be_run_is_told_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("a.sh");
        assert!(not_runnable(&script).unwrap().contains("No such file"));
        assert!(not_runnable(folder.path()).unwrap().contains("is not a file"));
        std::fs::write(&script, "#!/nonexistent/sh -e\n").unwrap();
        assert!(not_runnable(&script).unwrap().contains("chmod +x"));
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(not_runnable(&script).unwrap().contains("`#!/nonexistent/sh`, which is not on this host"));
        std::fs::write(&script, "#! /bin/sh\n").unwrap();
        assert_eq!(not_runnable(&script), None);
    }
}
