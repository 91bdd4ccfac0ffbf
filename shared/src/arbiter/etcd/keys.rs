//! The names of a pair's keys.

use std::ops::Range;

use crate::decision::Role;

/// `PREFIX/PAIR/claim`, `PREFIX/PAIR/slot/master`, `PREFIX/PAIR/slot/slave`.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    claim: String,
    slots: [String; 2],
}

impl Keys {
    pub(super) fn new(prefix: &str, pair: &str) -> Keys {
        let slot = |role: Role| format!("{prefix}/{pair}/slot/{role}");
        Keys { claim: format!("{prefix}/{pair}/claim"), slots: [slot(Role::Master), slot(Role::Slave)] }
    }

    pub(super) fn claim(&self) -> &str {
        &self.claim
    }

    pub(super) fn slot(&self, role: Role) -> &str {
        match role {
            Role::Master => &self.slots[0],
            Role::Slave => &self.slots[1],
        }
    }

    /// From the first key to just behind the last, as etcd wants a range.
    pub(super) fn range(&self) -> Range<Vec<u8>> {
        let mut end = self.slot(Role::Slave).as_bytes().to_vec();
        end.push(0);
        self.claim.as_bytes().to_vec()..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_holds_the_three_keys_and_none_of_another_pair() {
        let keys = Keys::new("/failover", "mail");
        let range = keys.range();
        for own in [keys.claim(), keys.slot(Role::Master), keys.slot(Role::Slave)] {
            assert!(range.contains(&own.as_bytes().to_vec()), "{own}");
        }
        for pair in ["mail2", "mai", "mail-x", "mail.x"] {
            let other = Keys::new("/failover", pair);
            for key in [other.claim(), other.slot(Role::Master), other.slot(Role::Slave)] {
                assert!(!range.contains(&key.as_bytes().to_vec()), "{key}");
            }
        }
    }
}
