//! A silent master is fenced, its service taken over on that proof, and the host let back only in a kernel start that began
//! after the fence.
//!
//! The device is a stand-in: its command writes down what it is asked and waits for the state that the test then sets,
//! which is also the hand that cuts the power. The host's new kernel start has a clock of its own (time_namespaces(7)).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use failover_shared::decision::{Duty, Role, StateName};
use failover_tests::judge::actives::Watch;
use failover_tests::lab::Lab;
use failover_tests::pair::{LIMIT, Pair, Proofs, Setup};
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;

const FENCE: &str = r#"fence: [Command(status: "/store/device/ask status", off: "/store/device/ask off", on: "/store/device/ask on",
        timeout: "20s")],
    fence_delay: (master: "0s", slave: "1s"),"#;

/// Exits as fence agents do: status 0 on, 2 off.
const ASK: &str = r#"#!/bin/sh
set -eu
cd "/store/device/$FAILOVER_TARGET"
state=$(cat state)
case $1 in
  status) [ "$state" = on ] || exit 2 ;;
  *) echo "$1" >>asked
     until [ "$(cat state)" = "$1" ]; do sleep 0.05; done ;;
esac
"#;

/// The stand-in for the device that switches the master.
struct Device(PathBuf);

impl Device {
    fn install(lab: &Lab) -> Result<Device> {
        let folder = lab.store().join("device");
        for host in lab.pair() {
            let place = folder.join(host.name());
            fs::create_dir_all(&place)?;
            fs::write(place.join("state"), "on")?;
        }
        let ask = folder.join("ask");
        fs::write(&ask, ASK)?;
        fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Device(folder.join("cfg1")))
    }

    /// What it was asked to do so far.
    fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.0.join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    fn wait_asked(&self, wanted: &[&str]) -> Result<()> {
        wait_until(&format!("the device to be asked {wanted:?}"), LIMIT, || Ok(self.asked() == wanted))
    }

    fn set(&self, state: &str) -> Result<()> {
        fs::write(self.0.join("state.new"), state)?;
        fs::rename(self.0.join("state.new"), self.0.join("state")).context("the device's state")
    }
}

fn begin(test: &str) -> Result<Option<(Pair, Device)>> {
    let setup = Setup { proofs: Proofs::AckFenceOperator, more: FENCE, ..Setup::default() };
    let Some(mut pair) = Pair::install(test, &setup)? else { return Ok(None) };
    let device = Device::install(&pair.lab)?;
    pair.come_up()?;
    Ok(Some((pair, device)))
}

#[test]
fn a_silent_master_is_fenced_and_let_back_when_its_kernel_was_started_after_the_fence() -> Result<()> {
    let test = "a_silent_master_is_fenced_and_let_back_when_its_kernel_was_started_after_the_fence";
    let Some((mut pair, device)) = begin(test)? else { return Ok(()) };
    let watch = Watch::begin(&pair.lab)?;
    pair.lab.cfg1.silence()?;
    device.wait_asked(&["off"])?;
    ensure!(pair.status(Role::Slave)?.duty == Duty::Requesting, "started before the device had done anything");
    pair.lab.cfg1.power_cut()?;
    device.set("off")?;
    pair.wait_active(Role::Slave)?;
    pair.wait_readable()?;
    ensure!(pair.history(Role::Slave)?.contains("ProofFence"), "{}", pair.history(Role::Slave)?);
    let status = pair.ctl(Role::Slave, &["status"])?.stdout;
    ensure!(status.contains("cfg1 was cut off"), "{status}");

    pair.lab.cfg1.boot_with_its_own_clock()?;
    pair.start(Role::Master)?;
    device.wait_asked(&["off", "on"])?;
    device.set("on")?;
    pair.wait_state(Role::Master, StateName::Standby)?;
    pair.wait_for(Role::Slave, "the master to be let back", |status| status.fenced.is_none())?;
    ensure!(pair.history(Role::Slave)?.contains("Unfenced"), "{}", pair.history(Role::Slave)?);
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "two hosts ran the service at once: {verdict}");
    Ok(())
}

#[test]
fn a_fenced_host_that_comes_back_in_the_same_kernel_start_is_not_let_back() -> Result<()> {
    let test = "a_fenced_host_that_comes_back_in_the_same_kernel_start_is_not_let_back";
    let Some((mut pair, device)) = begin(test)? else { return Ok(()) };
    pair.lab.cfg1.silence()?;
    device.wait_asked(&["off"])?;
    // A device that cuts off from the store only: here what used the store dies with it, and the kernel runs on.
    for program in
        ["failover-guardia", "failover-master", "dovecot", "pop3-login", "imap-login", "pop3", "imap", "lmtp"]
    {
        pair.lab.cfg1.signal(program, Signal::SIGKILL)?;
    }
    device.set("off")?;
    pair.wait_active(Role::Slave)?;

    pair.lab.cfg1.hear_again()?;
    pair.start(Role::Master)?;
    pair.wait_noted(Role::Slave, "FencedStillRuns")?;
    ensure!(device.asked() == ["off"], "let back: {:?}", device.asked());
    ensure!(pair.status(Role::Slave)?.fenced.is_some(), "forgotten");
    Ok(())
}
