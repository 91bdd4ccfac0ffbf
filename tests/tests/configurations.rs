//! The configurations that the lab and the demo write are ones that the product takes.

use std::path::Path;

use anyhow::{Result, ensure};
use failover_shared::config::{Severity, check_files, load};
use failover_shared::decision::Role;
use failover_tests::demo::Loopback;
use failover_tests::pair::{CONFIG, Pair, Setup};

fn accepted(path: &Path, role: Role) -> Result<u64> {
    let loaded = load(path)
        .map_err(|problems| anyhow::anyhow!("{problems}\n{}", std::fs::read_to_string(path).unwrap_or_default()))?;
    let findings = check_files(&loaded.config, role);
    ensure!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?}");
    Ok(loaded.digest)
}

#[test]
fn the_demos_configuration_is_accepted_and_the_same_on_both_hosts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    Loopback::set(folder.path())?;
    let master = accepted(&folder.path().join("cfg1/failover.ron"), Role::Master)?;
    let slave = accepted(&folder.path().join("cfg2/failover.ron"), Role::Slave)?;
    assert_eq!(master, slave);
    Ok(())
}

#[test]
fn the_labs_configuration_is_accepted_and_the_same_on_both_hosts() -> Result<()> {
    let test = "the_labs_configuration_is_accepted_and_the_same_on_both_hosts";
    let Some(pair) = Pair::install(test, &Setup { rcmd: true, ..Setup::default() })? else { return Ok(()) };
    let master = accepted(&pair.lab.cfg1.on_disk(CONFIG), Role::Master)?;
    let slave = accepted(&pair.lab.cfg2.on_disk(CONFIG), Role::Slave)?;
    assert_eq!(master, slave);
    Ok(())
}
