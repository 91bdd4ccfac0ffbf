//! What a script is told by its environment. It gets this and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use crate::decision::{Epoch, Role};

/// A reason longer than this is cut: an environment has a bound (`E2BIG`), and a step must not fail for its reason.
const REASON_BYTES_MAX: usize = 1024;

/// The four operations, in FailSafe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The slave starts.
    Takeover,
    /// The master starts.
    Takeback,
    /// The master stops.
    Giveaway,
    /// The slave stops.
    Giveback,
}

impl Operation {
    /// What a start is called on the host of this role.
    #[must_use]
    pub const fn start_of(role: Role) -> Operation {
        match role {
            Role::Master => Operation::Takeback,
            Role::Slave => Operation::Takeover,
        }
    }

    /// What a stop is called on the host of this role.
    #[must_use]
    pub const fn stop_of(role: Role) -> Operation {
        match role {
            Role::Master => Operation::Giveaway,
            Role::Slave => Operation::Giveback,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Takeover => "takeover",
            Operation::Takeback => "takeback",
            Operation::Giveaway => "giveaway",
            Operation::Giveback => "giveback",
        })
    }
}

/// What every step of one list is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `FAILOVER_EPOCH`.
    pub epoch: Epoch,
    /// `FAILOVER_ROLE`: `master` or `slave`.
    pub role: Role,
    /// `FAILOVER_OPERATION`: `takeover`, `takeback`, `giveaway` or `giveback`.
    pub operation: Operation,
    /// `FAILOVER_PEER`: the other host's name.
    pub peer: String,
    /// `FAILOVER_REASON`: one line.
    pub reason: String,
    /// Further variables; they win over all others.
    pub extra: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of a step. Only `HOME` is taken over from the daemon, so that a step runs the same whether the
    /// daemon was started by init, by systemd or by a person's shell.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
        let mut variables: BTreeMap<String, String> = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", home),
            ("FAILOVER_EPOCH", self.epoch.to_string()),
            ("FAILOVER_ROLE", self.role.to_string()),
            ("FAILOVER_OPERATION", self.operation.to_string()),
            ("FAILOVER_PEER", self.peer.clone()),
            ("FAILOVER_REASON", one_line(&self.reason)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        variables.extend(self.extra.clone());
        variables
    }
}

/// A NUL would make the whole step impossible to start, and a line end would break scripts that log the reason.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    line.truncate(line.floor_char_boundary(REASON_BYTES_MAX));
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_reason_is_one_bounded_line_whatever_it_was() {
        assert_eq!(one_line("a\nb\0c"), "a b c");
        assert_eq!(one_line(&"é".repeat(2_000)).len(), 1024);
        assert_eq!(one_line(&format!("x{}", "é".repeat(2_000))).len(), 1023);
    }
}
