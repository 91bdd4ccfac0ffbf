//! `failoverctl arbiter-init`: makes a folder on shared storage the pair's lease store. Once for a pair, on one host.

use std::path::{Path, PathBuf};

use anyhow::bail;
use failover_shared::arbiter::shared_storage::{MOUNT_OPTIONS, examine, initialise};
use failover_shared::config::{ArbiterPlace, load};

use crate::exit::Exit;
use crate::out::{Out, Tone};

/// Flags of `arbiter-init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder; default: the configured one. Mounted on both hosts all the time, with an export of its own
    path: Option<PathBuf>,
}

pub(crate) fn run(config: &Path, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let loaded = load(config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;
    let place = loaded.config.arbiter.as_ref().map(|arbiter| &arbiter.place);
    let path = match (&arguments.path, place) {
        (Some(path), _) => std::path::absolute(path)?,
        (None, Some(ArbiterPlace::SharedStorage { path })) => path.clone(),
        (None, _) => {
            bail!("{} names no lease store; next: name the folder, or write the key arbiter", config.display())
        }
    };
    let id = initialise(&path, &loaded.config.name)?;
    out.line(format!("{} is now the lease store of the pair {}; its id is {id}", path.display(), loaded.config.name))?;
    let findings = examine(&path, &loaded.config);
    for finding in &findings {
        out.folded(&out.paint(Tone::Warning, "look:"), 8, &finding.message)?;
    }
    let next = format!(
        "on the other host, mount the same export there with {MOUNT_OPTIONS}, and see that {}/lease.id shows the same id",
        path.display()
    );
    out.folded("next:", 8, &next)?;
    Ok(if findings.is_empty() { Exit::Ok } else { Exit::Warning })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11", heartbeat: ["192.0.2.11"]),
    slave: Host(name: "cfg2", address: "192.0.2.12", heartbeat: ["192.0.2.12"]),
    proof_of_stop: [Ack, Operator],
    service: (
        startup_scripts: ["systemctl start dovecot.service"],
        shutdown_scripts: ["systemctl stop dovecot.service"],
        stopped_when: [NoProcess("dovecot"), NotMounted("STORE")],
    ),
    checks: [Port(name: "pop3", port: 110)],
)"#;

    #[test]
    fn a_store_is_made_once_and_what_speaks_against_its_place_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (config, store) = (folder.path().join("failover.ron"), folder.path().join("store"));
        std::fs::create_dir(&store).unwrap();
        std::fs::write(&config, CONFIG.replace("STORE", folder.path().to_str().unwrap())).unwrap();
        let arguments = Arguments { path: Some(store.clone()) };
        let mut bytes = Vec::new();
        let exit = run(&config, &arguments, &mut Out::plain(&mut bytes)).unwrap();
        let text = String::from_utf8(bytes).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(exit, Exit::Warning, "{text}");
        assert!(text.contains("lease store of the pair mail") && text.contains("unmounted with the service"), "{text}");
        assert!(text.contains("next: on the other host"), "{text}");
        let marker = std::fs::read(store.join("lease.id")).unwrap();
        let again = run(&config, &arguments, &mut Out::plain(&mut Vec::new())).unwrap_err();
        assert!(again.to_string().contains("left as it is"), "{again:#}");
        assert_eq!(std::fs::read(store.join("lease.id")).unwrap(), marker);
        let nowhere = run(&config, &Arguments { path: None }, &mut Out::plain(&mut Vec::new())).unwrap_err();
        assert!(nowhere.to_string().contains("names no lease store"), "{nowhere:#}");
    }
}
