//! What `ha_cfginfo` answers: questions by path (`named`, `named#1#server-node`) about the configuration, as FailSafe 1
//! kept it in `/var/ha/ha.conf`.

use super::{Block, Entry, FailSafe1};
use crate::config::{Config, Service};
use crate::decision::Role;
use crate::script::kind::AnyKind;
use crate::script::{Script, Task};

/// Between the parts of a path: `$CFG_SEP`.
const SEPARATOR: char = '#';

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The path leads to a block: the names in it.
    Names(Vec<String>),
    /// The path leads to a parameter: its value.
    Value(String),
}

/// Answers a path. `own` is what hostname(1) prints on this host: scripts compare with that, so it is the answer where
/// this host is meant, whichever form of its name the configuration has. `None`: nothing of this path is configured.
///
/// Classes are the names of the `FailSafe1` scripts. Besides them `node` tells both hosts, and `internal` holds
/// `long-timeout`, the limit of a script in seconds.
#[must_use]
pub fn look_up(config: &Config, own: &str, path: &str) -> Option<Found> {
    let mut block = whole(config, own);
    let mut parts = path.split(SEPARATOR).filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        match block.into_iter().find(|(name, _)| name == part)?.1 {
            Entry::Block(inner) => block = inner,
            Entry::Value(value) => return parts.peek().is_none().then_some(Found::Value(value)),
        }
    }
    Some(Found::Names(block.into_iter().map(|(name, _)| name).collect()))
}

/// All of it as one block.
fn whole(config: &Config, own: &str) -> Block {
    let node = |role| {
        let host = config.host(role);
        if config.role_of(own) == Some(role) { own.to_owned() } else { host.name.clone() }
    };
    let nodes = [Role::Master, Role::Slave].map(|role| (node(role), Entry::Block(Block::new())));
    let seconds = config.timing.script_timeout.as_secs().to_string();
    let internal = vec![("long-timeout".to_owned(), Entry::Value(seconds))];
    let mut whole: Block =
        vec![("node".to_owned(), Entry::Block(nodes.into())), ("internal".to_owned(), Entry::Block(internal))];
    for (class, script) in classes(&config.service) {
        if whole.iter().any(|(known, _)| known == class) {
            continue;
        }
        let instances = script.instances.iter().map(|(name, entry)| {
            let mut parameters = match entry {
                Entry::Block(parameters) => parameters.clone(),
                Entry::Value(_) => Block::new(),
            };
            parameters.push(("server-node".to_owned(), Entry::Value(node(Role::Master))));
            parameters.push(("backup-node".to_owned(), Entry::Value(node(Role::Slave))));
            (name.clone(), Entry::Block(parameters))
        });
        whole.push((class.to_owned(), Entry::Block(instances.collect())));
    }
    whole
}

fn classes(service: &Service) -> impl Iterator<Item = (&str, &FailSafe1)> {
    let listed = service.lists.tasks().map(|(_, Task { script, .. })| script);
    service.resources.iter().chain(listed).filter_map(|Script { name, kind, .. }| match kind {
        AnyKind::FailSafe1(script) => Some((name.as_str(), script)),
        _ => None,
    })
}
