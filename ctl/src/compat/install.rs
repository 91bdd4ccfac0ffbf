//! Lays the pieces out below a root, and leaves alone whatever is there.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::pieces::{Piece, What, pieces};
use crate::exit::Exit;
use crate::out::Out;

pub(super) fn run(root: &Path, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let program = std::env::current_exe().context("where this program lies is not known")?;
    let root = fs::canonicalize(root).with_context(|| format!("{} is not usable", root.display()))?;
    for piece in pieces(&program) {
        let place = inside(&root, &piece.path)?;
        let made = lay(&place, &piece).with_context(|| format!("{} could not be made", place.display()))?;
        out.line(format!("{} {}", if made { "made " } else { "kept " }, place.display()))?;
    }
    out.line("next: put your scripts into /var/ha/resources, name them in failover.ron, then run failoverctl check")?;
    Ok(Exit::Ok)
}

/// Where a piece goes. Folders above it are made; a link among them must not lead out of the root.
fn inside(root: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let place = root.join(path.trim_start_matches('/'));
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else { bail!("{path} names no file") };
    let mut made = root.to_path_buf();
    for part in folder.strip_prefix(root)?.components() {
        made.push(part);
        if !made.is_dir() {
            fs::create_dir(&made).with_context(|| format!("{} could not be made", made.display()))?;
        }
        made = fs::canonicalize(&made).with_context(|| made.display().to_string())?;
        if !made.starts_with(root) {
            bail!("{path} would lie in {}, which is not below {}", made.display(), root.display());
        }
    }
    Ok(made.join(name))
}

/// Makes a piece. `Ok(false)`: something is there already, whatever it is.
fn lay(place: &Path, piece: &Piece) -> std::io::Result<bool> {
    let made = match &piece.what {
        What::Folder => fs::create_dir(place),
        What::Text(text) => write_new(place, text, 0o644),
        What::Program(text) => write_new(place, text, 0o755),
        What::Link(target) => symlink(target.as_ref(), place),
    };
    match made {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Written beside its place and then linked there, which overwrites nothing: a full disk must not leave a file that was cut,
/// for every later run would keep it.
fn write_new(place: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let beside = place.with_file_name(format!(".{name}.{}", std::process::id()));
    let made = write(&beside, text, mode).and_then(|()| fs::hard_link(&beside, place));
    // What cannot be taken away again is a hidden file that nobody reads.
    let _ = fs::remove_file(&beside);
    made
}

fn write(place: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(place)?;
    file.write_all(text.as_bytes())?;
    // Some file systems find out only now that they are full.
    file.sync_all()
}
