//! Finds the workspace's other binaries.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

/// The path of the workspace's binary `name`, which lies in the same profile folder as the program that asks: next to it
/// for a binary, one folder up for a test (`target/debug/deps/…`).
///
/// Cargo builds the binaries of the test's own package only, so a daemon may be missing: the error then says what to run.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = profile_folder()?;
    let path = folder.join(name);
    if !path.is_file() {
        let profile = if folder.ends_with("release") { " --release" } else { "" };
        bail!("{} is not there. Build it first: cargo build{profile} --workspace --bins", path.display());
    }
    Ok(path)
}

/// The path of a daemon that was built with kill points: `target/failpoints/NAME`.
///
/// # Errors
/// When it is missing or older than the sources, with what to run: a crash test of yesterday's program shows nothing.
pub fn program_with_kill_points(name: &str) -> Result<PathBuf> {
    const BUILD: &str = "Build it first: scripts/build-failpoints.sh";
    let folder = profile_folder()?;
    let path = folder.parent().context("the profile folder lies in no target folder")?.join("failpoints").join(name);
    let Ok(built) = path.metadata().and_then(|file| file.modified()) else {
        bail!("{} is not there. {BUILD}", path.display())
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests lie in no workspace")?;
    for sources in ["shared/src", "master/src", "slave/src"] {
        if newest(&workspace.join(sources))? > built {
            bail!("{} is older than {sources}. {BUILD}", path.display());
        }
    }
    Ok(path)
}

fn profile_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell the path of the running program")?;
    let mut folder = own.parent().context("the running program lies in no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("the test lies in no profile folder")?;
    }
    Ok(folder.to_owned())
}

/// When anything below a folder was changed last.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut latest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let changed =
            if entry.file_type()?.is_dir() { newest(&entry.path())? } else { entry.metadata()?.modified()? };
        latest = latest.max(changed);
    }
    Ok(latest)
}
