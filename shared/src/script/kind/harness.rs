//! For the tests of the kinds: a folder with scripts, and one resource that is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Action;
use crate::config::{Loaded, parse};
use crate::decision::{Epoch, Presence, Role};
use crate::script::{Asked, Cancel, Environment, Operation, Script, ask};
use crate::stop::{StopContext, look, verify};

/// A service's folder.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an executable file.
    pub(super) fn script(&self, name: &str, text: &str) -> &Folder {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The configuration with this one resource; `HERE` stands for this folder.
    pub(super) fn loaded(&self, entry: &str) -> Loaded {
        self.loaded_with(entry, "NoProcess(\"no-such-process\")")
    }

    fn loaded_with(&self, entry: &str, stopped_when: &str) -> Loaded {
        let entry = entry.replace("HERE", &self.0.path().display().to_string());
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    timing: (script_timeout: "20s", shutdown_timeout: "1h"),
    proof_of_stop: [Ack, Operator],
    service: (resources: [{entry}], stopped_when: [{stopped_when}]),
    checks: [Port(name: "web", port: 80)],
)
"#
        );
        parse(&text, Path::new("failover.ron"), self.0.path()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    pub(super) fn resource(&self, entry: &str) -> Script {
        self.loaded(entry).config.service.resources[0].clone()
    }

    /// What a look before any move says.
    pub(super) fn missing(&self, entry: &str) -> String {
        self.resource(entry).missing(self.0.path()).join("\n")
    }

    /// What is in the way of a stop that rests on the word of the resource `name` alone (nothing, if it holds), and what
    /// the same word says where nothing was started yet.
    pub(super) async fn stopped(&self, entry: &str, name: &str, variables: &[(&str, &str)]) -> (String, Presence) {
        let loaded = self.loaded_with(entry, &format!("NotRunning(\"{name}\")"));
        let mut environment = Environment::of(&loaded, Role::Slave, Operation::Giveback, Epoch(3), "test");
        environment.extra.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (service, context) = (&loaded.config.service, StopContext::new(environment));
        let verification = verify(service, &context).await;
        assert_eq!(verification.holds, verification.missing().is_empty());
        (verification.missing(), look(service, &context).await)
    }

    pub(super) async fn asked(&self, entry: &str, action: Action) -> Asked {
        self.asked_with(entry, action, &[]).await
    }

    /// The same with further variables.
    pub(super) async fn asked_with(&self, entry: &str, action: Action, variables: &[(&str, &str)]) -> Asked {
        let loaded = self.loaded(entry);
        let mut environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(3), "test");
        environment.extra.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let script = &loaded.config.service.resources[0];
        ask(&script.to(action), &environment, self.0.path(), &mut Cancel::never()).await
    }
}
