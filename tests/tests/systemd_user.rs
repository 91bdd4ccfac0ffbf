//! Units of a user, started by that user's real systemd. The other tests speak to a stand-in for systemctl; here it is
//! shown that systemd answers as the stand-in does. A lab's hosts have no systemd of their own, but a user's runs anywhere.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use failover_tests::lab::service::compat;
use failover_tests::lab::{Lab, not_run};
use failover_tests::program::program;
use failover_tests::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(30);
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// Where a login would have put it, for the user with the number 0.
const RUNTIME: &str = "XDG_RUNTIME_DIR=/run/user/0";
const RESOURCES: &str = r#"
        Systemd(name: "mail", unit: "mail", manager: User, run_as: "root"),
        Systemd(name: "other", unit: "other", manager: User, run_as: "root"),
    "#;

#[test]
fn a_real_systemd_of_a_user_starts_and_stops_its_unit_and_says_how_it_is() -> Result<()> {
    let test = "a_real_systemd_of_a_user_starts_and_stops_its_unit_and_says_how_it_is";
    if !Path::new(SYSTEMD).exists() {
        return not_run(test, "systemd is not installed");
    }
    let Some(lab) = Lab::new(test)? else { return Ok(()) };
    let host = &lab.cfg1;
    // By the first of these it believes that the host was started by systemd, without which it runs for no user.
    host.run(&["mkdir", "-p", "/run/systemd/system", "/run/systemd/user", "/run/user/0", "/run/home"])?;
    host.run(&["cp", "/bin/sleep", "/run/unit"])?;
    host.write("/etc/failover/mail.service", "[Service]\nExecStart=/run/unit 86400\n", 0o644)?;
    host.run(&["cp", "/etc/failover/mail.service", "/run/systemd/user/mail.service"])?;
    compat::configure(host, RESOURCES)?;
    let systemd = host.spawn(&["env", RUNTIME, "HOME=/run/home", SYSTEMD, "--user"])?;
    wait_for("the user's systemd", LIMIT, || {
        let asked = ["env", RUNTIME, "systemctl", "--user", "show", "--property", "Version"];
        Ok(host.run(&asked).ok())
    })?;
    let ctl = program("failoverctl")?.display().to_string();
    let runs = || anyhow::Ok(host.processes()?.iter().any(|process| process.name == "unit"));
    for (operation, said, running) in [
        ("exclusive", "exited 3: the unit is inactive", false),
        ("start", "exited 0", true),
        ("status", "exited 0: the unit is active", true),
        ("restart", "exited 0", true),
        ("stop", "exited 0", false),
        ("exclusive", "exited 3: the unit is inactive", false),
    ] {
        let output = host.output(&[ctl.as_str(), "script", "test", "mail", operation, "--yes"], LIMIT)?;
        ensure!(output.status.success() && output.stdout.contains(said), "{operation}: {output}");
        ensure!(output.stdout.contains("idempotent: called twice"), "{operation}: {output}");
        ensure!(runs()? == running, "{operation}: {output}");
    }
    let unknown = host.output(&[ctl.as_str(), "script", "test", "other", "exclusive"], LIMIT)?;
    ensure!(unknown.stdout.contains("exited 7: systemd knows no unit of this name"), "{unknown}");
    host.run(&["env", RUNTIME, "systemctl", "--user", "exit"])?;
    systemd.wait(LIMIT)?;
    Ok(())
}
