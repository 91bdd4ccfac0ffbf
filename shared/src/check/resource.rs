//! A resource says that it runs, by the contract of its kind.

use std::path::Path;

use super::failure::{CheckFailure, printable};
use super::record::Record;
use crate::decision::Symptom;
use crate::script::kind::{Action, Outcome};
use crate::script::{self, Asked, Cancel, Environment, Script};

/// Asks once, within the script's own limit; the check's limit is the caller's.
///
/// # Errors
/// [`Symptom::CommandFailed`] with what its contract says of the end, and the last line that it printed;
/// [`Symptom::Stale`] if nobody told what resources are told.
pub(super) async fn ask(
    script: &Script,
    environment: Option<&Environment>,
    directory: &Path,
    record: &mut Record,
) -> Result<(), CheckFailure> {
    let task = script.to(Action::Monitor);
    record.begin("resource");
    record.sent(&script.name);
    let Some(environment) = environment else {
        return Err(record.failure(Symptom::Stale, "resources cannot be asked from here"));
    };
    let Asked { answer, tail, .. } = script::ask(&task, environment, directory, &mut Cancel::never()).await;
    if answer.outcome == Outcome::Passed {
        record.end();
        return Ok(());
    }
    let last = printable(tail.trim_ascii().lines().last().unwrap_or_default().as_bytes());
    let detail = if last.is_empty() { answer.said } else { format!("{}: {last}", answer.said) };
    Err(record.failure(Symptom::CommandFailed, detail))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Probe, parse};
    use crate::decision::{Epoch, Role};
    use crate::script::Operation;

    const CONFIG: &str = r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (resources: [Step(name: "web", start: "true", stop: "true", status: "STATUS")]),
    checks: [Resource(name: "web runs", resource: "web", every: "1s")],
)
"#;

    async fn asked(status: &str) -> Result<(), CheckFailure> {
        let text = CONFIG.replace("STATUS", status).replace("web runs", "web-runs");
        let loaded = parse(&text, Path::new("failover.ron"), Path::new("/")).unwrap_or_else(|wrong| panic!("{wrong}"));
        let Config { checks, .. } = &loaded.config;
        let Probe::Resource(probe) = &checks[0].probe else { panic!("{checks:?}") };
        let environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(0), "test");
        ask(&probe.script, Some(&environment), Path::new("/"), &mut Record::brief()).await
    }

    #[tokio::test]
    async fn a_resource_that_says_it_runs_passes_and_any_other_answer_is_told_with_its_last_line() {
        asked("test $FAILOVER_HOST = cfg2").await.unwrap();
        let failure = asked("echo one; echo the pool is empty; exit 4").await.unwrap_err();
        assert_eq!(failure.symptom, Symptom::CommandFailed);
        assert!(failure.detail.contains("exited 4: the pool is empty"), "{}", failure.detail);
    }

    #[tokio::test]
    async fn a_monitor_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("left");
        asked(&format!("sleep 60 & echo $! >{}", file.display())).await.unwrap();
        let left: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while crate::process::look(left).unwrap().is_some_and(|process| !process.zombie) {
            assert!(std::time::Instant::now() < limit, "the monitor's child still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
