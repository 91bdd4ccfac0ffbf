//! Looks at the files that a configuration names, on the host where it will run. Apart from [`super::parse`], so that a
//! configuration can be checked on any machine.

use std::collections::BTreeSet;
use std::path::Path;

use super::arbiter::ArbiterPlace;
use super::fence::{FenceAgent, FenceDevice};
use super::model::{Balancer, Config, Probe, Service};
use super::problem::Severity;
use crate::decision::Role;
use crate::fence::check_options_file;
use crate::provision::{host_key_path, load_identity, load_pair_key, peer_certificate};
use crate::script::kind::Action;
use crate::script::{Script, Stage, Task};
use crate::secret::Secret;

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
        if let Err(error) = Secret::read(path) {
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
    let mut told = BTreeSet::new();
    for (key, script) in named_scripts(config) {
        for message in script.missing(directory) {
            // An entry of several lists lacks the same thing in each.
            if told.insert((key.clone(), message.clone())) {
                warn(key.clone(), message);
            }
        }
    }
    for copy in &config.copies {
        let script = Task::line(Action::Monitor, &copy.command).script;
        for message in script.missing(directory) {
            warn(format!("copies[{}].command", copy.name), message);
        }
    }
}

/// Every script with the key that names it.
pub(crate) fn named_scripts(config: &Config) -> impl Iterator<Item = (String, &Script)> {
    let Service { lists, resources, .. } = &config.service;
    let of_list = |key: &'static str, stages| {
        let tasks: Vec<&Task> = Vec::from_iter(<&[Stage]>::into_iter(stages).flatten());
        tasks.into_iter().enumerate().map(move |(index, task)| (format!("service.{key}[{}]", index + 1), &task.script))
    };
    let as_lists = if resources.is_empty() {
        Vec::from_iter(of_list("startup_scripts", &lists.takeover).chain(of_list("shutdown_scripts", &lists.giveback)))
    } else {
        Vec::from_iter(resources.iter().map(|script| (format!("service.resources[{}]", script.name), script)))
    };
    as_lists.into_iter()
}
