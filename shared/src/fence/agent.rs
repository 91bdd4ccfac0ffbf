//! Whether the configured agents are there and know what they are to be told. Runs them, asks no device.

use std::time::Duration;

use super::CallError;
use super::device::{agent_run, said};
use super::metadata::AgentMetadata;
use super::options::Told;
use crate::child;
use crate::config::{Config, FenceAgent, FenceDevice, Finding, Severity, nearest};

/// An agent prints its metadata from its own text; a slow start of its interpreter is all that this takes.
const METADATA_LIMIT: Duration = Duration::from_secs(10);

/// What is wrong with the agents on this host: missing, silent, or told something that they do not know.
pub async fn check_agents(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, device) in config.fence.iter().enumerate() {
        let FenceDevice::Agent(agent) = device else { continue };
        let key = format!("fence[{}]", index + 1);
        match metadata(agent).await {
            Ok(metadata) => findings.extend(unknown(agent, &metadata, &key)),
            Err(error) => {
                let message = format!(
                    "{}: {error}: install it (Debian: `apt-get install fence-agents`), or mend the key `agent`",
                    agent.agent
                );
                findings.push(Finding { severity: Severity::Error, key, message });
            }
        }
    }
    findings
}

/// Asks an agent for its options and actions.
async fn metadata(agent: &FenceAgent) -> Result<AgentMetadata, CallError> {
    let action = "metadata";
    let run = agent_run(agent, &Told::only(action), METADATA_LIMIT);
    let finished = child::run(run).await.map_err(|source| CallError::Run { action, source })?;
    if !finished.status.success() {
        return Err(CallError::Failed { action, status: finished.status, said: said(&finished) });
    }
    Ok(AgentMetadata::parse(&String::from_utf8_lossy(&finished.stdout)))
}

fn unknown(agent: &FenceAgent, metadata: &AgentMetadata, key: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |key: String, message: String| {
        findings.push(Finding { severity: Severity::Warning, key, message });
    };
    if metadata.options.is_empty() {
        warn(key.to_owned(), format!("{} tells no options, so they were not compared", agent.agent));
        return findings;
    }
    for (group, options) in [("options", &agent.options), ("master", &agent.master), ("slave", &agent.slave)] {
        for name in options.keys().filter(|name| !metadata.options.contains(*name)) {
            let meant = match nearest(name, metadata.options.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("`{} -o metadata` tells them", agent.agent),
            };
            warn(format!("{key}.{group}"), format!("{} knows no option `{name}`: {meant}", agent.agent));
        }
    }
    for action in ["off", "status"] {
        if !metadata.actions.is_empty() && !metadata.actions.contains(action) {
            warn(key.to_owned(), format!("{} knows no action `{action}`, so it fences nobody", agent.agent));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn agent(options: &[&str]) -> FenceAgent {
        FenceAgent {
            agent: "fence_x".into(),
            options: options.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect(),
            options_file: None,
            master: BTreeMap::from([("plug".to_owned(), "1".to_owned())]),
            slave: BTreeMap::from([("plgu".to_owned(), "2".to_owned())]),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn an_option_that_the_agent_does_not_know_is_named_with_the_one_that_was_meant() {
        let text = "<parameter name=\"ip\"/><parameter name=\"plug\"/><action name=\"off\"/><action name=\"status\"/>";
        let findings = unknown(&agent(&["ip", "colour"]), &AgentMetadata::parse(text), "fence[1]");
        let shown: Vec<String> =
            findings.iter().map(|finding| format!("{} {}", finding.key, finding.message)).collect();
        assert_eq!(
            shown,
            [
                "fence[1].options fence_x knows no option `colour`: `fence_x -o metadata` tells them",
                "fence[1].slave fence_x knows no option `plgu`: did you mean `plug`?",
            ]
        );
    }

    #[test]
    fn an_agent_that_cannot_switch_off_is_told() {
        let text = "<parameter name=\"ip\"/><parameter name=\"plug\"/><parameter name=\"plgu\"/><action name=\"on\"/>";
        let findings = unknown(&agent(&["ip"]), &AgentMetadata::parse(text), "fence[1]");
        assert!(findings[0].message.contains("no action `off`"), "{findings:?}");
    }
}
