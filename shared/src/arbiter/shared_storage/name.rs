//! The names in the store, read as the list of the folder.
//!
//! Never by asking for one name: a client of NFS remembers for a while that a name was not there (negative dentries,
//! nfs(5) `lookupcache`), and would overlook a new claim.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::decision::{Epoch, Role};

/// A store holds a few dozen names. A folder with more than this is something else.
const NAMES_MAX: usize = 4096;

/// What is in the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The epochs of the claims.
    pub(super) claims: BTreeSet<Epoch>,
    /// The slot files of each host.
    pub(super) slots: BTreeMap<Role, Vec<String>>,
    /// The unfinished claims of each host.
    pub(super) unfinished: BTreeMap<Role, Vec<String>>,
}

impl Names {
    /// Reads the folder.
    pub(super) fn read(folder: &Path) -> io::Result<Names> {
        let mut names = Names::default();
        for (count, entry) in fs::read_dir(folder)?.enumerate() {
            let name = entry?.file_name();
            if count >= NAMES_MAX {
                return Err(io::Error::other(format!("it holds more than {NAMES_MAX} names: it is no lease store")));
            }
            // Another name is none of ours: `lost+found`, `.nfs…` of a file removed while open.
            if let Some(name) = name.to_str() {
                names.add(name);
            }
        }
        Ok(names)
    }

    fn add(&mut self, name: &str) {
        if let Some(epoch) = name.strip_prefix("claim.") {
            // One epoch has one spelling: `claim.07` would be a second claim of 7.
            let number = epoch.parse().ok().filter(|number: &u64| number.to_string() == epoch);
            self.claims.extend(number.map(Epoch));
            return;
        }
        for role in [Role::Master, Role::Slave] {
            let of_role = |kind: &str| {
                let rest = name.strip_prefix(&format!("{kind}.{role}."))?;
                (rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| name.to_owned())
            };
            self.slots.entry(role).or_default().extend(of_role("slot"));
            self.unfinished.entry(role).or_default().extend(of_role("unfinished"));
        }
    }

    pub(super) fn slots_of(&self, role: Role) -> &[String] {
        self.slots.get(&role).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn claim(epoch: Epoch) -> String {
    format!("claim.{epoch}")
}

pub(super) fn slot(role: Role, nonce: u64) -> String {
    format!("slot.{role}.{nonce:016x}")
}

pub(super) fn unfinished(role: Role, nonce: u64) -> String {
    format!("unfinished.{role}.{nonce:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_read_back_and_others_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = Names::default();
        expected.claims.extend([Epoch(7), Epoch(12)]);
        expected.slots.insert(Role::Master, vec![slot(Role::Master, 1)]);
        expected.slots.insert(Role::Slave, vec![]);
        expected.unfinished.insert(Role::Master, vec![]);
        expected.unfinished.insert(Role::Slave, vec![unfinished(Role::Slave, u64::MAX)]);
        let ours =
            ["claim.7", "claim.12", &slot(Role::Master, 1), &unfinished(Role::Slave, u64::MAX)].map(String::from);
        let others =
            ["claim.07", "claim.x", "claim.", "claim.99999999999999999999", "slot.master", "slot.other.1", "x"];
        for name in ours.iter().map(String::as_str).chain(others) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(Names::read(folder.path()).unwrap(), expected);
    }
}
