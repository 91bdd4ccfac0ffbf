//! Failover policy scripts of FailSafe 2: from the hosts that might run the service, the ones that may, the best first.
//!
//! Called as `SCRIPT VERSION NAME OWNER ATTRIBUTES POSSIBLE_OWNERS DOMAIN` (Linux FailSafe Programmer's Guide, 3.2);
//! lists are words separated by spaces. It prints the hosts; where it prints more, its last line counts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::cancel::Cancel;
use super::environment::Environment;
use super::exit::StepExit;
use super::step::{self, Invocation};
use crate::config::Config;
use crate::decision::Role;

/// The version of the interface.
const VERSION: &str = "1";
/// Between TERM and KILL: nothing is lost by its end.
const KILL_AFTER: Duration = Duration::from_millis(200);

/// Which script is asked, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailoverPolicy {
    /// The script.
    pub script: PathBuf,
    /// Words for the script, which mean what it wants them to.
    pub attributes: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a policy script is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Who runs the service.
    pub owner: Option<Role>,
    /// The hosts that are up.
    pub possible: Vec<Role>,
    /// All hosts, in the order of the last answer.
    pub domain: Vec<Role>,
}

impl FailoverPolicy {
    /// Asks the script. Dropping the future ends it.
    ///
    /// # Errors
    /// Why there is no answer, as a sentence.
    pub async fn ask(&self, config: &Config, choice: &Choice, environment: &Environment) -> Result<Vec<Role>, String> {
        let names =
            |roles: &[Role]| roles.iter().map(|role| config.host(*role).name.clone()).collect::<Vec<_>>().join(" ");
        let directory: &Path = &config.service.directory;
        let script = directory.join(&self.script);
        let name = self.script.file_name().unwrap_or_default().to_owned();
        let owner = choice.owner.map_or(String::new(), |role| names(&[role]));
        let arguments: [OsString; 7] = [
            script.clone().into(),
            VERSION.into(),
            name,
            owner.into(),
            self.attributes.join(" ").into(),
            names(&choice.possible).into(),
            names(&choice.domain).into(),
        ];
        let invocation = Invocation {
            arguments: &arguments,
            variables: &environment.variables(),
            secrets: &[],
            directory,
            limit: self.timeout,
            kill_after: KILL_AFTER,
        };
        let end = step::run(invocation, &mut None, &mut Cancel::never()).await;
        let shown = script.display();
        if end.exit != StepExit::Code(0) {
            return Err(format!("the failover policy {shown} {}", end.exit));
        }
        let mut hosts = Vec::new();
        for word in end.tail.trim_end().lines().last().unwrap_or_default().split_whitespace() {
            match config.role_of(word) {
                Some(role) if hosts.contains(&role) => {
                    return Err(format!("the failover policy {shown} names {word} twice"));
                }
                Some(role) => hosts.push(role),
                None => {
                    let word: String = word.chars().take(64).collect();
                    return Err(format!("the failover policy {shown} names {word:?}, which is no host of this pair"));
                }
            }
        }
        Ok(hosts)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::parse;
    use crate::decision::Epoch;
    use crate::script::Operation;

    async fn asked(body: &str, choice: &Choice) -> Result<Vec<Role>, String> {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("policy");
        std::fs::write(&script, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let text = r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (
        resources: [FailSafe2(resource_type: "web")],
        failover_policy: FailoverPolicy(script: "policy", attributes: ["Controlled_Failback", "x"], timeout: "2s"),
    ),
    checks: [Port(name: "web", port: 80)],
)
"#;
        let loaded = parse(text, Path::new("failover.ron"), folder.path()).unwrap_or_else(|wrong| panic!("{wrong}"));
        let environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(0), "test");
        let policy = loaded.config.service.failover_policy.as_ref().unwrap();
        policy.ask(&loaded.config, choice, &environment).await
    }

    fn both() -> Choice {
        let all = vec![Role::Master, Role::Slave];
        Choice { owner: Some(Role::Master), possible: all.clone(), domain: all }
    }

    #[tokio::test]
    async fn a_failover_policy_gets_the_failover_domain_and_prints_the_ordered_hosts() {
        let wanted = r#"test "$*" = "1 policy cfg1 Controlled_Failback x cfg1 cfg2 cfg1 cfg2" && test $# = 6 || exit 1
echo noise >&2; echo cfg2 cfg1"#;
        assert_eq!(asked(wanted, &both()).await, Ok(vec![Role::Slave, Role::Master]));
        let alone = Choice { owner: None, possible: vec![Role::Slave], domain: vec![Role::Slave, Role::Master] };
        let wanted = r#"test "$3|$5|$6" = "|cfg2|cfg2 cfg1" || exit 1; echo "$5""#;
        assert_eq!(asked(wanted, &alone).await, Ok(vec![Role::Slave]));
        assert_eq!(asked("exit 0", &both()).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn an_answer_that_names_no_order_of_hosts_is_refused_with_its_cause() {
        for (body, said) in [
            ("echo cfg3", "names \"cfg3\", which is no host of this pair"),
            ("echo cfg1 cfg1", "names cfg1 twice"),
            ("printf '\\377\\n'", "which is no host of this pair"),
            ("exit 3", "exited 3"),
            ("exit 127", "exited 127: the command was not found"),
            ("kill -KILL $$", "ended by SIGKILL"),
            ("sleep 60", "still running after its limit of 2.0 s"),
        ] {
            let refusal = asked(body, &both()).await.unwrap_err();
            assert!(refusal.contains(said), "{body}: {refusal}");
        }
    }
}
