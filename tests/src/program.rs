//! Finds the workspace's other binaries.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// The path of the workspace's binary `name`, which lies in the same profile folder as the program that asks: next to it
/// for a binary, one folder up for a test (`target/debug/deps/…`).
///
/// Cargo builds the binaries of the test's own package only, so a daemon may be missing: the error then says what to run.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell the path of the running program")?;
    let mut folder = own.parent().context("the running program lies in no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("the test lies in no profile folder")?;
    }
    let path = folder.join(name);
    if !path.is_file() {
        let profile = if folder.ends_with("release") { " --release" } else { "" };
        bail!("{} is not there. Build it first: cargo build{profile} --workspace --bins", path.display());
    }
    Ok(path)
}
