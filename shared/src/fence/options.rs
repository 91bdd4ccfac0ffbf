//! What an agent is told: lines `name=value` on its standard input, where no process list shows them (FenceAgentAPI).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::CallError;
use crate::config::FenceAgent;
use crate::decision::Role;
use crate::secret::Secret;

/// A value shorter than this is not blotted out: it would be found in every other word.
const BLOT_LEAST: usize = 4;

/// What one call of an agent is told, and what of it must not be shown.
pub(super) struct Told {
    lines: Zeroizing<Vec<u8>>,
    secrets: Vec<Zeroizing<String>>,
}

impl Told {
    /// Without any options: for `metadata`.
    pub(super) fn only(action: &str) -> Told {
        Told { lines: Zeroizing::new(format!("action={action}\n").into_bytes()), secrets: Vec::new() }
    }

    /// The options for both hosts, then those of the file, then those of the target: the last one with a name wins. The
    /// file is read anew for each call, so that a changed password needs no restart.
    pub(super) async fn of(agent: &FenceAgent, target: Role, action: &str) -> Result<Told, CallError> {
        let secrets = match agent.options_file.clone() {
            None => Vec::new(),
            Some(path) => tokio::task::spawn_blocking(move || options_file(&path))
                .await
                // The thread of a blocking task ends early only when the runtime is taken down.
                .unwrap_or_else(|_| Ok(Vec::new()))?,
        };
        let pointing = match target {
            Role::Master => &agent.master,
            Role::Slave => &agent.slave,
        };
        let mut options: BTreeMap<&str, &str> = BTreeMap::new();
        options.extend(agent.options.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        options.extend(secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        options.extend(pointing.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let length: usize = options.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        // Room for everything at once: a buffer that grows leaves copies behind that nobody wipes.
        let mut lines = Zeroizing::new(Vec::with_capacity(length + action.len() + 8));
        for (name, value) in [("action", action)].into_iter().chain(options) {
            for part in [name, "=", value, "\n"] {
                lines.extend_from_slice(part.as_bytes());
            }
        }
        Ok(Told { lines, secrets: secrets.into_iter().map(|(_, value)| value).collect() })
    }

    pub(super) fn lines(&self) -> Vec<u8> {
        self.lines.to_vec()
    }

    /// What a device said, without the secrets that it was told.
    pub(super) fn blotted(&self, said: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| secret.len() >= BLOT_LEAST)
            .fold(said.to_owned(), |said, secret| said.replace(secret.as_str(), "****"))
    }
}

/// Whether an agent's file of options can be used.
///
/// # Errors
/// It cannot be read, others can read it, or a line is no option.
pub(crate) fn check_options_file(path: &Path) -> Result<(), CallError> {
    options_file(path).map(|_| ())
}

/// Lines `name=value`; empty ones and those that begin with `#` are left out.
fn options_file(path: &Path) -> Result<Vec<(String, Zeroizing<String>)>, CallError> {
    let secret = Secret::read(path)?;
    let broken = |line| CallError::Options { path: PathBuf::from(path), line };
    let text = secret.expose_text().ok_or_else(|| broken(1))?;
    let mut options = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| broken(number))?;
        let (name, value) = (name.trim(), value.trim());
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if name.is_empty() || !plain || name == "action" || value.contains('\0') {
            return Err(broken(number));
        }
        options.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    }
    Ok(options)
}
