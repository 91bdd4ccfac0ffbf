//! What scripts of older systems expect, laid out on a host of the lab.

use anyhow::{Context as _, Result};

use crate::lab::Host;
use crate::program::program;

/// Runs `failoverctl compat install --root /` there. `/usr` is the machine's own, so a layer that only this host sees is
/// laid over it first; it is gone with the host's next power cut.
///
/// # Errors
/// When the kernel has no overlay file system, or the command fails.
pub fn install(host: &Host) -> Result<()> {
    host.run(&["mkdir", "-p", "/run/usr/upper", "/run/usr/work"])?;
    let layers = "lowerdir=/usr,upperdir=/run/usr/upper,workdir=/run/usr/work";
    host.run(&["mount", "-t", "overlay", "overlay", "-o", layers, "/usr"]).context("lay a layer over /usr")?;
    let ctl = program("failoverctl")?.display().to_string();
    host.run(&[ctl.as_str(), "compat", "install", "--root", "/"])?;
    Ok(())
}
