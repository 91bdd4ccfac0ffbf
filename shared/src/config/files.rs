//! Looks at the files that a configuration names, on the host where it will run. Apart from [`super::parse`], so that a
//! configuration can be checked on any machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::arbiter::ArbiterPlace;
use super::fence::{FenceAgent, FenceDevice};
use super::model::{Balancer, Config, Probe, Step};
use super::problem::Severity;
use crate::decision::Role;
use crate::fence::check_options_file;
use crate::provision::{host_key_path, load_identity, load_pair_key, load_secret, peer_certificate};

/// Something about a file that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// An error keeps the daemon from starting; a warning does not.
    pub severity: Severity,
    /// The key that names the file.
    pub key: String,
    /// Cause and next command.
    pub message: String,
}

/// Looks at every file that the host of `role` needs: secrets (private to their owner), keys and certificates, scripts.
#[must_use]
pub fn check_files(config: &Config, role: Role) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, path) in secret_files(config) {
        if let Err(error) = load_secret(path) {
            findings.push(Finding { severity: Severity::Error, key, message: error.to_string() });
        }
    }
    fence_options(config, &mut findings);
    keys(config, role, &mut findings);
    scripts(config, &mut findings);
    findings
}

/// Every file with a password, with the key that names it.
fn secret_files(config: &Config) -> Vec<(String, &Path)> {
    let mut files: Vec<(String, &Path)> = Vec::new();
    for check in &config.checks {
        if let Probe::Pop3(mail) | Probe::Imap(mail) = &check.probe {
            files.push((format!("checks[{}].password_file", check.name), &mail.password_file));
        }
    }
    if let Balancer::Alteon { password_file, .. } = &config.balancer {
        files.push(("balancer.password_file".into(), password_file));
    }
    if let Some((_, password_file)) = config.notify.mail.as_ref().and_then(|mail| mail.login.as_ref()) {
        files.push(("notify.Mail.login.password_file".into(), password_file));
    }
    if let Some(ArbiterPlace::Etcd(etcd)) = config.arbiter.as_ref().map(|arbiter| &arbiter.place) {
        let named = [("password_file", &etcd.password_file), ("client_key_file", &etcd.client_key_file)];
        files.extend(named.into_iter().filter_map(|(key, path)| Some((format!("arbiter.{key}"), path.as_deref()?))));
    }
    files
}

fn fence_options(config: &Config, findings: &mut Vec<Finding>) {
    for (index, device) in config.fence.iter().enumerate() {
        if let FenceDevice::Agent(FenceAgent { options_file: Some(path), .. }) = device
            && let Err(error) = check_options_file(path)
        {
            let key = format!("fence[{}].options_file", index + 1);
            findings.push(Finding { severity: Severity::Error, key, message: error.to_string() });
        }
    }
}

fn keys(config: &Config, role: Role, findings: &mut Vec<Finding>) {
    let mut error = |key: &str, message: String| {
        findings.push(Finding { severity: Severity::Error, key: key.into(), message });
    };
    let security = &config.security;
    if let Err(refusal) = load_pair_key(&security.key_file) {
        error("security.key_file", refusal.to_string());
    }
    // The old key is there only while keys are changed.
    if security.old_key_file.exists()
        && let Err(refusal) = load_pair_key(&security.old_key_file)
    {
        error("security.old_key_file", refusal.to_string());
    }
    let (own, peer) = (&config.host(role).name, &config.host(role.peer()).name);
    if let Err(refusal) = load_identity(&security.certificate_directory, own) {
        error("security.certificate_directory", refusal.to_string());
    }
    if let Err(refusal) = peer_certificate(&security.certificate_directory, peer) {
        error("security.certificate_directory", refusal.to_string());
    }
    let foreign = host_key_path(&security.certificate_directory, peer);
    if foreign.exists() {
        let path = foreign.display();
        findings.push(Finding {
            severity: Severity::Warning,
            key: "security.certificate_directory".into(),
            message: format!("the private key of {peer} lies on this host, which does not need it: run `rm {path}`"),
        });
    }
}

fn scripts(config: &Config, findings: &mut Vec<Finding>) {
    let mut warn = |key: String, message: String| findings.push(Finding { severity: Severity::Warning, key, message });
    let directory = &config.service.directory;
    if !directory.is_dir() {
        warn("service.directory".into(), format!("{} is no folder on this host", directory.display()));
        return;
    }
    let lists =
        [("startup_scripts", &config.service.startup_scripts), ("shutdown_scripts", &config.service.shutdown_scripts)];
    for (list, steps) in lists {
        for (index, step) in steps.iter().enumerate() {
            let key = || format!("service.{list}[{}]", index + 1);
            let Some(path) = program(directory, step) else { continue };
            match std::fs::metadata(&path) {
                Err(error) => warn(key(), format!("{}: {error}", path.display())),
                Ok(found) if !found.is_file() => warn(key(), format!("{} is no file", path.display())),
                Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                    let path = path.display();
                    warn(key(), format!("{path} may not be executed: run `chmod +x {path}`"));
                }
                Ok(_) => {}
            }
        }
    }
}

/// The program that a command line names by its path. `None` when only the shell can tell which one it is.
fn program(directory: &Path, step: &Step) -> Option<PathBuf> {
    let word = step.command.split_whitespace().next()?;
    let plain =
        word.contains('/') && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+'));
    plain.then(|| directory.join(word))
}
