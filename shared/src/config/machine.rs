//! Looks at the machine that a lease would be guarded on: whether it is a virtual one, and its watchdog.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::arbiter::{Guard, HostReset};
use super::duration::show;
use super::files::Finding;
use super::model::{Config, Proof};
use super::problem::Severity;

/// What the kernel's software watchdog calls itself.
const SOFTDOG: &str = "Software Watchdog";
/// Longest file of the kernel's that is read; `cpuinfo` has some 1.5 KiB for each processor, and the first is enough.
const FACT_BYTES_MAX: u64 = 64 * 1024;

/// Looks at this machine as far as the lease rests on it. `root` is the folder with `sys`, `proc` and `dev`: `/`.
#[must_use]
pub fn check_machine(config: &Config, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(arbiter) = &config.arbiter else { return findings };
    if config.proof_of_stop.contains(&Proof::Lease)
        && let Some(kind) = virtual_machine(root)
    {
        let remedy = if config.proof_of_stop.contains(&Proof::Fence) {
            "the fence comes first, but if it fails the lease still counts: take `Lease` out of `proof_of_stop` if the \
             machine may ever be paused, suspended or moved"
        } else {
            "add a fence, best the hypervisor's own (docs/fencing.md), and take `Lease` out of `proof_of_stop`"
        };
        findings.push(Finding {
            severity: Severity::Warning,
            key: "proof_of_stop".into(),
            message: format!(
                "this host is a virtual machine ({kind}): a pause stops its clocks and its watchdog together, so the other \
                 host may start while this one only stands still; {remedy}"
            ),
        });
    }
    if let Some(message) = watchdog_fault(config, root) {
        findings.push(Finding { severity: Severity::Error, key: "arbiter.guard".into(), message });
    }
    if let Some(message) = reset_fault(&arbiter.reset, root) {
        findings.push(Finding { severity: Severity::Error, key: "arbiter.reset".into(), message });
    }
    findings
}

/// Why the configured watchdog could not guard a lease, as far as that is seen without opening it: that would arm it.
/// `root` is the folder with `sys` and `dev`: `/`.
#[must_use]
pub fn watchdog_fault(config: &Config, root: &Path) -> Option<String> {
    let arbiter = config.arbiter.as_ref()?;
    let Guard::Watchdog { device, accept_softdog } = &arbiter.guard else { return None };
    let span = Duration::from_millis(arbiter.times.watchdog_ms.0);
    watchdog(root, device, *accept_softdog, span).err()
}

/// Why the guardian could not reset this host.
fn reset_fault(reset: &HostReset, root: &Path) -> Option<String> {
    match reset {
        HostReset::SysRq if root.join("proc/sysrq-trigger").exists() => None,
        HostReset::SysRq => Some(
            "this kernel has no /proc/sysrq-trigger, so the guardian could not reset the host: write \
             `reset: Command([…])`"
                .into(),
        ),
        HostReset::Command(words) => {
            let program = Path::new(words.first()?);
            let there = root.join(program.strip_prefix("/").unwrap_or(program));
            let runs = there.is_file() && access(&there, AccessFlags::X_OK).is_ok();
            (!runs).then(|| format!("{} is no program that can be run", program.display()))
        }
    }
}

/// The kind of virtual machine, as its firmware tells it. `None` on hardware.
fn virtual_machine(root: &Path) -> Option<String> {
    let fact = |path: &str| read(&root.join(path)).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let names = [fact("sys/class/dmi/id/sys_vendor"), fact("sys/class/dmi/id/product_name")];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    // The processor says so itself on x86; elsewhere only the firmware's names tell. The words are systemd-detect-virt's.
    let flagged = read(&root.join("proc/cpuinfo")).is_some_and(|text| {
        let flags = text.lines().find(|line| line.starts_with("flags"));
        flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
    });
    let words =
        ["KVM", "QEMU", "VMware", "VMW", "innotek", "VirtualBox", "Xen", "Bochs", "Parallels", "BHYVE", "OpenStack"];
    let named = words.iter().any(|word| name.contains(word)) || name.contains("Virtual Machine");
    let xen = fact("sys/hypervisor/type");
    if !flagged && !named && xen.is_none() {
        return None;
    }
    Some(if name.is_empty() { xen.unwrap_or_else(|| "of an unknown kind".into()) } else { name })
}

fn watchdog(root: &Path, device: &Path, accept_softdog: bool, span: Duration) -> Result<(), String> {
    let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let shown = device.display();
    if !below(device).exists() {
        return Err(format!(
            "there is no watchdog {shown}: load the driver of this board (`modprobe iTCO_wdt`, `ipmi_watchdog`, `sp5100_tco`), \
             or name another device"
        ));
    }
    if access(&below(device), AccessFlags::W_OK).is_err() {
        return Err(format!(
            "the watchdog {shown} may not be written by this user: run the daemon as root, or change the device's owner"
        ));
    }
    if device.parent() != Some(Path::new("/dev")) {
        // The kernel's facts are filed by the names in /dev; what it is and takes is seen when it is opened.
        return Ok(());
    }
    // `/dev/watchdog` is another name of the first one.
    let name = device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = if name == "watchdog" { "watchdog0".to_owned() } else { name };
    let folder: PathBuf = root.join("sys/class/watchdog").join(name);
    let fact = |file: &str| read(&folder.join(file)).map(|text| text.trim().to_owned());
    if fact("identity").as_deref() == Some(SOFTDOG) && !accept_softdog {
        return Err(format!(
            "{shown} is the kernel's software watchdog, which does not reset a kernel that stands still: take a device of \
             the board, or write `Watchdog(device: \"{shown}\", accept_softdog: true)` if that risk is taken"
        ));
    }
    let seconds = |file: &str| fact(file).and_then(|text| text.parse::<u64>().ok()).filter(|seconds| *seconds > 0);
    let (least, most) = (seconds("min_timeout").unwrap_or(1), seconds("max_timeout").unwrap_or(u64::MAX));
    if !(least..=most).contains(&span.as_secs()) {
        return Err(format!(
            "{shown} can be set to {least} to {most} s, and the lease counts on {}: write another span for `watchdog` in \
             `profile: Hard(…)`",
            show(span)
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(FACT_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}
