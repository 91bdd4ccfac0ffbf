//! The sentences of `cmgr` (FailSafe Administrator's Guide, "System Operation").

use crate::out::harmless;

/// A sentence that has an equal here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sentence {
    /// `show status of resource_group mail in cluster mail`
    ShowStatus,
    /// `start ha_services on node cfg1`
    StartServices { node: Option<String> },
    /// `stop ha_services on node cfg1 [force]`
    StopServices { node: Option<String>, force: bool },
    /// `admin move resource_group mail in cluster mail to node cfg2`
    Move { node: String },
    /// `offline force`, `admin offline_force resource_group mail`
    OfflineForce,
    /// `admin maintenance_on resource_group mail`
    Maintenance { on: bool },
    /// `admin reset node cfg1`
    ResetNode { node: String },
}

impl Sentence {
    /// `None`: there is nothing to do, as for a comment. Clusters and resource groups need no look: there is one of each.
    ///
    /// # Errors
    /// What has no equal here, and what there is instead; or that the sentence is not understood.
    pub(super) fn parse(text: &str) -> Result<Option<Sentence>, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = |word: &str| {
            let place = words.iter().position(|found| *found == word)?;
            words.get(place + 1).map(|node| (*node).to_owned())
        };
        let has = |word: &str| words.contains(&word);
        let node = || after("node");
        Ok(Some(match words.as_slice() {
            [] | ["set", "cluster" | "node", _] => return Ok(None),
            [comment, ..] if comment.starts_with('#') => return Ok(None),
            ["show", "status", ..] => Sentence::ShowStatus,
            ["start", "ha_services", ..] => Sentence::StartServices { node: node() },
            ["stop", "ha_services", ..] => Sentence::StopServices { node: node(), force: has("force") },
            ["admin", "move", "resource_group", ..] => {
                Sentence::Move { node: node().ok_or("say where to: admin move resource_group NAME to node HOST")? }
            }
            ["offline", "force", ..] | ["admin", "offline_force" | "offline", ..]
                if has("force") || has("offline_force") =>
            {
                Sentence::OfflineForce
            }
            ["admin", "maintenance_on", ..] => Sentence::Maintenance { on: true },
            ["admin", "maintenance_off", ..] => Sentence::Maintenance { on: false },
            ["admin", "reset", ..] => Sentence::ResetNode { node: node().ok_or("say which: admin reset node HOST")? },
            words => return Err(no_equal(words)),
        }))
    }
}

/// Why there is no such thing here, and what there is.
fn no_equal(words: &[&str]) -> String {
    let instead = match words {
        ["admin", "online", ..] => {
            "the pair brings its service online by itself; a host that never heard the other one: failoverctl start-alone"
        }
        ["admin", "offline" | "offline_detach" | "offline_detach_force", ..] => {
            "the service is stopped only to be started on the other host; to work on it: failoverctl maintenance on"
        }
        ["define" | "modify" | "create" | "delete" | "remove" | "add" | "install", ..] => {
            "the configuration is failover.ron, the same text on both hosts: docs/config.md, then failoverctl check"
        }
        ["show", ..] => "every value in force: failoverctl check; what happened: failoverctl history",
        ["test", ..] => "failoverctl check, failoverctl script test NAME OPERATION, failoverctl takeover --dry-run",
        ["admin", "ping" | "nmi" | "powercycle", ..] => "failoverctl status; failoverctl fence status HOST",
        _ => {
            return format!(
                "cmgr: {:?} is not understood; known are: show status, start and stop ha_services, admin move, offline \
                 force, admin maintenance_on and maintenance_off, admin reset",
                harmless(&words.join(" "))
            );
        }
    };
    format!("cmgr: {:?} has no equal here; instead: {instead}", harmless(&words.join(" ")))
}
