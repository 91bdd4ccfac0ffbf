//! The pair's configuration with resources in place of its two lists.

use std::fs;

use anyhow::{Context as _, Result};

use super::{CONFIG, Pair};
use crate::lab::service::scripts;

/// The lab's own scripts as one resource, for after others.
#[must_use]
pub fn own_service() -> String {
    let line = |list: &[&str]| list.iter().map(|name| format!("./{name}")).collect::<Vec<_>>().join(" && ");
    let (start, stop) = (line(&scripts::START), line(&scripts::STOP));
    format!("Step(name: \"mail\", start: \"{start}\", stop: \"{stop}\", timeout: \"6s\"),")
}

impl Pair {
    /// Writes both hosts' configuration anew: these resources, these further keys of the service, these further checks,
    /// and time for all of it to stop. To be called before the daemons run.
    ///
    /// # Errors
    /// When the configuration is not as `Setup` writes it, or cannot be written.
    pub fn use_resources(&self, resources: &str, service: &str, checks: &str) -> Result<()> {
        for host in self.lab.pair() {
            let path = host.on_disk(CONFIG);
            let text = fs::read_to_string(&path)?;
            let (head, rest) = text.split_once("startup_scripts: [").context("no startup_scripts")?;
            let (_, rest) = rest.split_once("shutdown_scripts: [").context("no shutdown_scripts")?;
            let (_, rest) = rest.split_once("],").context("no end of shutdown_scripts")?;
            let text = format!("{head}resources: [{resources}],{service}{rest}");
            let text = text.replace("checks: [", &format!("checks: [{checks}"));
            fs::write(path, text.replace("shutdown_timeout: \"8s\"", "shutdown_timeout: \"60s\""))?;
        }
        Ok(())
    }
}
