//! Fingerprints of what the operator wrote, to tell whether both hosts hold the same configuration, and where not.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::reader::item_name;
use super::tree::{Kind, Node};

/// One fingerprint for each dotted key that is written. No defaults, no comments, no layout.
pub(super) fn of_keys(root: &Node) -> BTreeMap<String, u64> {
    let mut digests = BTreeMap::new();
    walk(root, "", &mut digests);
    digests
}

/// One fingerprint for the whole configuration: of the fingerprints of its keys, in the order of the keys.
pub(super) fn of_all(keys: &BTreeMap<String, u64>) -> u64 {
    let mut hasher = Sha256::new();
    for (key, digest) in keys {
        hasher.update(key.as_bytes());
        // A key holds no newline, so no two maps give the same bytes.
        hasher.update(b"\n");
        hasher.update(digest.to_be_bytes());
    }
    shorten(hasher)
}

/// The dotted keys whose values differ between two configurations, or that only one of them has.
#[must_use]
pub fn differing_keys(left: &BTreeMap<String, u64>, right: &BTreeMap<String, u64>) -> Vec<String> {
    let mut keys: Vec<String> = left.keys().filter(|key| left.get(*key) != right.get(*key)).cloned().collect();
    keys.extend(right.keys().filter(|key| !left.contains_key(*key)).cloned());
    keys.sort();
    keys
}

/// A group with named entries is told entry by entry, and so is a list of such groups that have names of their own;
/// everything else is one value.
fn walk(node: &Node, path: &str, digests: &mut BTreeMap<String, u64>) {
    match &node.kind {
        Kind::Group { name, fields } if !fields.is_empty() && fields.iter().all(|field| field.label.is_some()) => {
            if let Some(name) = name
                && !path.is_empty()
            {
                insert(digests, path, name);
            }
            for field in fields {
                let key = field.label.as_ref().map(|label| label.name.as_str()).unwrap_or_default();
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                walk(&field.value, &path, digests);
            }
        }
        Kind::List(items) if !items.is_empty() && items.iter().all(has_name) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{}]", item_name(item, index)), digests);
            }
        }
        _ => insert(digests, path, &node.canonical()),
    }
}

fn has_name(node: &Node) -> bool {
    match &node.kind {
        Kind::Group { fields, .. } => {
            fields.iter().any(|field| field.label.as_ref().is_some_and(|label| label.name == "name"))
        }
        _ => false,
    }
}

fn insert(digests: &mut BTreeMap<String, u64>, path: &str, text: &str) {
    let mut hasher = Sha256::new();
    hasher.update(text.as_bytes());
    digests.insert(path.to_owned(), shorten(hasher));
}

/// 64 bits are enough against chance; against intent the channel's own proof stands.
fn shorten(hasher: Sha256) -> u64 {
    hasher.finalize().iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}
