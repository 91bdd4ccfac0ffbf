//! What a script is told by its environment. It gets this and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::config::Loaded;
use crate::decision::{Epoch, Role};

/// A reason longer than this is cut: an environment has a bound (`E2BIG`), and a step must not fail for its reason.
const REASON_BYTES_MAX: usize = 1024;
/// Where programs are looked for that are named without a path.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The four operations, in FailSafe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// All of them.
    pub const ALL: [Operation; 4] =
        [Operation::Takeback, Operation::Takeover, Operation::Giveaway, Operation::Giveback];

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
    /// `FAILOVER_HOST`: this host's name in the configuration.
    pub host: String,
    /// `FAILOVER_PEER`: the other host's name.
    pub peer: String,
    /// `FAILOVER_CONFIG`: the configuration's file, in full.
    pub config_file: PathBuf,
    /// `FAILOVER_CONFIG_DIGEST`: the fingerprint of the configuration in force, 16 hexadecimal digits. A script that
    /// works it out anew sees whether the file was changed meanwhile.
    pub config_digest: u64,
    /// `FAILOVER_REASON`: one line.
    pub reason: String,
    /// Further variables; they win over all others.
    pub extra: BTreeMap<String, String>,
}

impl Environment {
    /// What the scripts of the host with this role are told.
    #[must_use]
    pub fn of(loaded: &Loaded, role: Role, operation: Operation, epoch: Epoch, reason: &str) -> Environment {
        Environment {
            epoch,
            role,
            operation,
            host: loaded.config.host(role).name.clone(),
            peer: loaded.config.host(role.peer()).name.clone(),
            config_file: loaded.file.clone(),
            config_digest: loaded.digest,
            reason: reason.to_owned(),
            extra: BTreeMap::new(),
        }
    }

    /// The variables of a step.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = of_every_program();
        let of_the_move = [
            ("FAILOVER_EPOCH", self.epoch.to_string()),
            ("FAILOVER_ROLE", self.role.to_string()),
            ("FAILOVER_OPERATION", self.operation.to_string()),
            ("FAILOVER_HOST", self.host.clone()),
            ("FAILOVER_PEER", self.peer.clone()),
            ("FAILOVER_CONFIG", self.config_file.to_string_lossy().into_owned()),
            ("FAILOVER_CONFIG_DIGEST", format!("{:016x}", self.config_digest)),
            ("FAILOVER_REASON", one_line(&self.reason)),
        ];
        variables.extend(of_the_move.map(|(name, value)| (name.to_owned(), value)));
        variables.extend(self.extra.clone());
        variables
    }
}

/// What does not depend on the move. Only `HOME` is taken over from the daemon, so that a program runs the same whether
/// the daemon was started by init, by systemd or by a person's shell.
pub(crate) fn of_every_program() -> BTreeMap<String, String> {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
    [("PATH", PATH.to_owned()), ("LANG", "C.UTF-8".to_owned()), ("HOME", home)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
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
