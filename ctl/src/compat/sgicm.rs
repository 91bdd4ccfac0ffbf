//! `sgicm-config-cluster-cmd --add_service`: a service of SGI Cluster Manager, said in the words of `failover.ron`.

use anyhow::{Context, anyhow, bail};

use crate::exit::Exit;
use crate::out::Out;

const USAGE: &str = "usage: sgicm-config-cluster-cmd --add_service --name=NAME --userscript=FILE [--checkinterval=SECONDS] \
                     [--servicetimeout=SECONDS]";

/// What such a command line tells.
#[derive(Debug, PartialEq, Eq)]
struct Service {
    name: String,
    script: String,
    /// Seconds between two looks.
    check_interval: Option<u32>,
    /// Seconds that one call may take.
    timeout: Option<u32>,
}

/// Prints what is to be put into the configuration, on both hosts. It changes nothing itself.
pub(super) fn run(words: &[String], out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let service = Service::parse(words)?;
    out.part(&service.ron())?;
    out.line("// next: put both into failover.ron, the script on both hosts, then run failoverctl check")?;
    Ok(Exit::Ok)
}

impl Service {
    /// The manual prints its last option without dashes, so every word may come so.
    fn parse(words: &[String]) -> anyhow::Result<Service> {
        let (mut adds, mut name, mut script, mut check_interval, mut timeout) = (false, None, None, None, None);
        for word in words.iter().skip_while(|word| *word == "--") {
            let word = word.trim_start_matches('-');
            if word == "add_service" {
                adds = true;
                continue;
            }
            let (key, value) = word.split_once('=').with_context(|| format!("{word} is not understood; {USAGE}"))?;
            let seconds = || value.parse().ok().filter(|seconds| *seconds > 0);
            let seconds =
                || seconds().ok_or_else(|| anyhow!("{key} wants a number of seconds, not {value:?}; {USAGE}"));
            match key {
                "name" => name = Some(value.to_owned()),
                "userscript" => script = Some(value.to_owned()),
                "checkinterval" => check_interval = Some(seconds()?),
                "servicetimeout" => timeout = Some(seconds()?),
                _ => bail!("{key} has no equal here, write it into failover.ron by hand (docs/scripts.md); {USAGE}"),
            }
        }
        if !adds {
            bail!("only --add_service is understood: a service is changed and removed in failover.ron; {USAGE}");
        }
        let name = name.with_context(|| format!("--name= is missing; {USAGE}"))?;
        let script = script.with_context(|| format!("--userscript= is missing; {USAGE}"))?;
        Ok(Service { name, script, check_interval, timeout })
    }

    fn ron(&self) -> String {
        let Service { name, script, check_interval, timeout } = self;
        let check = format!("{name}-status");
        let timeout = timeout.map(|seconds| format!(", timeout: \"{seconds}s\"")).unwrap_or_default();
        let every = check_interval.map(|seconds| format!(", every: \"{seconds}s\"")).unwrap_or_default();
        format!(
            "// Into `resources` of the service:\nClusterManager(name: {name:?}, script: {script:?}{timeout}),\n\
             // Into `checks`:\nResource(name: {check:?}, resource: {name:?}{every}),\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use failover_shared::config::parse;

    use super::*;

    fn service(line: &str) -> anyhow::Result<Service> {
        Service::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    /// As the manual prints it.
    const LINE: &str = "--add_service --name=userapp --userscript=/usr/lib/clumanager/services/new_application \
                        --checkinterval=40 servicetimeout=60";

    #[test]
    fn the_command_that_adds_a_service_becomes_a_resource_and_its_check() {
        let ron = service(LINE).unwrap().ron();
        let line = |start: &str| ron.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        let config = format!(
            r#"Pair(
                name: "mail",
                master: Host(name: "cfg1", address: "192.0.2.11"),
                slave: Host(name: "cfg2", address: "192.0.2.12"),
                proof_of_stop: [Operator],
                service: (resources: [{}]),
                checks: [{}],
            )"#,
            line("ClusterManager("),
            line("Resource("),
        );
        let loaded = parse(&config, Path::new("failover.ron"), Path::new("/"));
        let service = loaded.unwrap_or_else(|problems| panic!("{ron}\n{problems}")).config.service;
        assert_eq!(service.resources[0].name, "userapp");
        assert!(ron.contains("timeout: \"60s\"") && ron.contains("every: \"40s\""), "{ron}");
    }

    #[test]
    fn what_a_command_of_cluster_manager_has_no_equal_for_is_named() {
        for (line, named) in [
            ("--add_service --name=a", "--userscript= is missing"),
            ("--add_service --userscript=/a", "--name= is missing"),
            ("--name=a --userscript=/a", "only --add_service"),
            (&format!("{LINE} --ipaddress=192.0.2.30"), "ipaddress has no equal"),
            (&LINE.replace("=40", "=often"), "checkinterval wants a number"),
            (&LINE.replace("=40", "=0"), "checkinterval wants a number"),
            ("--add_service now", "now is not understood"),
        ] {
            let refusal = service(line).unwrap_err().to_string();
            assert!(refusal.contains(named) && refusal.contains("usage:"), "{line}: {refusal}");
        }
    }
}
