//! The lab itself: hosts boot, reach each other, fail as asked, and leave nothing behind; Dovecot and HAProxy work in it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use failover_tests::lab::service::{dovecot, scripts, ssh};
use failover_tests::lab::{Cable, Host, Lab, fault};
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;

const LIMIT: Duration = Duration::from_secs(10);

fn reaches(from: &Host, to: &Host, cable: Cable) -> Result<bool> {
    let address = to.address_on(cable).to_string();
    // A refused connection is an answer too: the packet went there and back.
    let script = format!("timeout 0.3 bash -c 'echo >/dev/tcp/{address}/9' 2>&1; [ $? -ne 124 ]");
    Ok(from.output(&["/bin/sh", "-c", &script], LIMIT)?.status.success())
}

#[test]
fn hosts_have_their_own_names_processes_disks_and_boot_ids() -> Result<()> {
    let Some(lab) = Lab::new("hosts_have_their_own_names_processes_disks_and_boot_ids")? else { return Ok(()) };
    assert_eq!(lab.cfg1.run(&["hostname"])?.trim(), "cfg1");
    assert_ne!(
        lab.cfg1.run(&["cat", "/proc/sys/kernel/random/boot_id"])?,
        lab.cfg2.run(&["cat", "/proc/sys/kernel/random/boot_id"])?
    );
    let sleeper = lab.cfg1.spawn(&["sleep", "600"])?;
    let inside = sleeper.pid()?;
    wait_until("the sleeper in the list of its host", LIMIT, || {
        Ok(lab.cfg1.processes()?.iter().any(|process| process.name == "sleep" && process.outside == inside))
    })?;
    assert!(lab.cfg2.processes()?.iter().all(|process| process.name != "sleep"));
    assert!(lab.cfg1.run(&["ps", "-e"])?.lines().count() < 10, "the host sees processes that are not its own");
    lab.cfg1.run(&["touch", "/var/lib/failover/mine", "/run/gone-at-boot"])?;
    assert!(lab.cfg2.run(&["ls", "/var/lib/failover/mine"]).is_err());
    assert!(lab.cfg1.on_disk("/var/lib/failover/mine").exists());
    lab.cfg1.run(&["touch", "/store/ours"])?;
    lab.cfg2.run(&["ls", "/store/ours"])?;
    Ok(())
}

#[test]
fn a_power_cut_takes_processes_and_run_but_not_the_disk() -> Result<()> {
    let Some(lab) = Lab::new("a_power_cut_takes_processes_and_run_but_not_the_disk")? else { return Ok(()) };
    let boot_id = lab.cfg1.run(&["cat", "/proc/sys/kernel/random/boot_id"])?;
    lab.cfg1.run(&["touch", "/var/lib/failover/mine", "/run/gone-at-boot"])?;
    let mut sleeper = lab.cfg1.spawn(&["setsid", "sleep", "600"])?;
    let pid = sleeper.pid()?;
    assert!(reaches(&lab.cfg2, &lab.cfg1, Cable::Service)?);
    lab.cfg1.power_cut()?;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    wait_until("the sleeper's end", LIMIT, || Ok(!sleeper.is_running()?))?;
    assert!(!reaches(&lab.cfg2, &lab.cfg1, Cable::Service)?);
    lab.cfg1.boot()?;
    assert_ne!(lab.cfg1.run(&["cat", "/proc/sys/kernel/random/boot_id"])?, boot_id);
    lab.cfg1.run(&["ls", "/var/lib/failover/mine"])?;
    assert!(lab.cfg1.run(&["ls", "/run/gone-at-boot"]).is_err());
    assert!(reaches(&lab.cfg2, &lab.cfg1, Cable::Service)? && reaches(&lab.cfg2, &lab.cfg1, Cable::Heartbeat)?);
    Ok(())
}

#[test]
fn network_faults_do_what_they_say_and_heal() -> Result<()> {
    let Some(lab) = Lab::new("network_faults_do_what_they_say_and_heal")? else { return Ok(()) };
    let (cfg1, cfg2, client) = (&lab.cfg1, &lab.cfg2, &lab.client);
    let links = |expected: [bool; 3], when: &str| -> Result<()> {
        let mut found = [false; 3];
        // Address resolution that failed meanwhile is tried again about once a second.
        wait_until("the links", LIMIT, || {
            found = [
                reaches(cfg1, cfg2, Cable::Service)?,
                reaches(cfg1, cfg2, Cable::Heartbeat)?,
                reaches(client, cfg1, Cable::Service)?,
            ];
            Ok(found == expected)
        })
        .with_context(|| format!("{when}: service path, heartbeat path, client to cfg1: {found:?}, not {expected:?}"))
    };
    links([true; 3], "at the start")?;
    cfg1.silence()?;
    links([false; 3], "cfg1 silent")?;
    assert!(cfg1.run(&["bash", "-c", "echo >/dev/tcp/127.0.0.1/9 || test $? -eq 1"]).is_ok());
    cfg1.hear_again()?;
    links([true; 3], "cfg1 hears again")?;
    fault::cut(cfg1, cfg2)?;
    links([false, false, true], "the link between the hosts cut")?;
    fault::heal(cfg1, cfg2)?;
    links([true; 3], "the link healed")?;
    cfg1.cable_out(Cable::Heartbeat)?;
    links([true, false, true], "the heartbeat cable out")?;
    cfg1.cable_in(Cable::Heartbeat)?;
    links([true; 3], "the heartbeat cable in")?;
    cfg1.lose(100)?;
    links([false; 3], "everything lost")?;
    cfg1.lose_nothing()?;
    cfg1.freeze(true)?;
    cfg1.freeze(false)?;
    links([true; 3], "at the end")
}

#[test]
fn scripts_start_and_stop_dovecot_and_note_each_run() -> Result<()> {
    let Some(lab) = Lab::new("scripts_start_and_stop_dovecot_and_note_each_run")? else { return Ok(()) };
    dovecot::install(&lab)?;
    scripts::install(&lab.cfg1)?;
    for script in scripts::START.iter().chain(&scripts::STOP) {
        lab.cfg1.run(&[format!("/etc/failover/{script}")])?;
        if *script == scripts::START[2] {
            assert_eq!(lab.cfg1.run(&["pidof", "dovecot"])?.split_whitespace().count(), 1);
        }
    }
    let names: Vec<_> = scripts::runs(&lab.cfg1)?.into_iter().map(|run| run.script).collect();
    assert_eq!(names, [scripts::START, scripts::STOP].concat());
    assert_eq!(lab.cfg1.signal("dovecot", Signal::SIGKILL)?, 0, "Dovecot is still there after the stop scripts");
    Ok(())
}

#[test]
fn ssh_leads_from_one_host_to_the_other() -> Result<()> {
    let Some(lab) = Lab::new("ssh_leads_from_one_host_to_the_other")? else { return Ok(()) };
    ssh::install(&lab)?;
    let _server = ssh::start(&lab.cfg1)?;
    let mut argv = vec!["ssh"];
    argv.extend(ssh::ARGUMENTS);
    argv.extend(["root@cfg1", "hostname"]);
    assert_eq!(lab.cfg2.run(&argv)?.trim(), "cfg1");
    Ok(())
}
