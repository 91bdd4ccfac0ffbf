//! What `failoverctl script new` writes, tried with `failoverctl script test` on a host that has what each kind expects.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use failover_tests::lab::service::compat;
use failover_tests::lab::{Host, Lab};
use failover_tests::program::program;

const LIMIT: Duration = Duration::from_secs(30);
const OLD: &str = "/run/old-system";
const UNIT: &str = "/run/systemd/system";

/// One kind, and what its template is asked, in this order. The questions of a kind are asked while it runs, and the last
/// one when it does not.
const KINDS: [(&str, &[&str]); 8] = [
    ("plain", &["start", "status", "stop"]),
    ("cpms", &["start", "status", "stop"]),
    ("failsafe1", &["takeback", "giveaway", "start", "stop"]),
    ("failsafe2", &["exclusive", "start", "status", "restart", "stop", "exclusive"]),
    ("clumanager", &["start", "status", "stop"]),
    ("ocf", &["exclusive", "start", "status", "restart", "stop", "exclusive"]),
    ("lsb", &["exclusive", "start", "status", "restart", "stop", "exclusive"]),
    ("systemd", &["exclusive", "start", "status", "restart", "stop", "exclusive"]),
];

fn ctl(host: &Host, arguments: &[&str]) -> Result<String> {
    let ctl = program("failoverctl")?.display().to_string();
    let argv: Vec<&str> = [ctl.as_str()].iter().chain(arguments).copied().collect();
    let output = host.output(&argv, LIMIT)?;
    ensure!(output.status.success(), "{output}");
    Ok(output.stdout)
}

/// `compat install` into a temporary root. The scripts name the places of their old system in full, so what is in that
/// root is then shown at the host's own `/usr` and `/var/ha`: a layer over the one, a bind over the other. Nothing else
/// is needed; on a real host the root is `/`, and there are no mounts.
fn lay_out(host: &Host) -> Result<()> {
    host.run(&["mkdir", "-p", OLD, "/run/upper", "/run/work", "/var/ha"])?;
    ctl(host, &["compat", "install", "--root", OLD])?;
    let layers = format!("lowerdir={OLD}/usr:/usr,upperdir=/run/upper,workdir=/run/work");
    host.run(&["mount", "-t", "overlay", "overlay", "-o", &layers, "/usr"]).context("lay a layer over /usr")?;
    host.run(&["mount", "--bind", &format!("{OLD}/var/ha"), "/var/ha"])?;
    Ok(())
}

/// A host without systemd has the stand-in for systemctl, which knows the unit's state.
fn stand_in(host: &Host, unit: &str) -> Result<()> {
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/service/systemctl.sh");
    host.write("/etc/failover/systemctl", &fs::read_to_string(stand_in)?, 0o755)?;
    host.run(&["install", "-D", "/etc/failover/systemctl", "/usr/local/bin/systemctl"])?;
    host.run(&["install", "-D", "-m", "644", &format!("/etc/failover/{unit}"), &format!("{UNIT}/{unit}")])?;
    let state = format!("mkdir -p /run/stand-in && echo inactive >/run/stand-in/{unit}.state");
    host.run(&["sh", "-c", &state]).map(drop)
}

#[test]
fn every_template_passes_its_test_on_a_host_that_has_what_its_kind_expects() -> Result<()> {
    let test = "every_template_passes_its_test_on_a_host_that_has_what_its_kind_expects";
    let Some(lab) = Lab::new(test)? else { return Ok(()) };
    let host = &lab.cfg1;
    lay_out(host)?;
    let mut entries = String::new();
    for (kind, _) in KINDS {
        let told = ctl(host, &["script", "new", kind, &format!("my_{kind}"), "--directory", "/etc/failover"])?;
        // The entry stands behind the line that says where it belongs.
        let entry = told.lines().skip_while(|line| !line.contains("put this into `resources`")).nth(1);
        entries.push_str(entry.with_context(|| format!("no entry is told: {told}"))?);
        entries.push_str(",\n");
    }
    stand_in(host, "my_systemd.service")?;
    compat::configure(host, &entries)?;
    // It names what a script lacks by a mark in front, and ends with 1.
    ctl(host, &["script", "list"])?;
    for (kind, operations) in KINDS {
        for operation in operations {
            let told = ctl(host, &["script", "test", &format!("my_{kind}"), operation, "--yes"])?;
            ensure!(told.contains("idempotent: called twice"), "{kind}, {operation}: {told}");
        }
    }
    Ok(())
}
