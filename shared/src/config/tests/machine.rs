//! The machine under a lease: virtual or not, and its watchdog.

use super::*;

const LEASE: &str = include_str!("../../../../config/lease.ron");

/// A root folder with these files.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

const HARDWARE: &[(&str, &str)] = &[
    ("dev/watchdog", ""),
    ("sys/class/watchdog/watchdog0/identity", "iTCO_wdt\n"),
    ("sys/class/watchdog/watchdog0/min_timeout", "2\n"),
    ("sys/class/watchdog/watchdog0/max_timeout", "613\n"),
    ("sys/class/dmi/id/sys_vendor", "Dell Inc.\n"),
    ("proc/cpuinfo", "processor : 0\nflags : fpu vme de\n"),
    ("proc/sysrq-trigger", ""),
];

fn found(text: &str, files: &[(&str, &str)]) -> Vec<Finding> {
    check_machine(&good(text).config, root(&[HARDWARE, files].concat()).path())
}

#[test]
fn good_hardware_has_no_finding_and_without_an_arbiter_nothing_is_looked_at() {
    assert_eq!(found(LEASE, &[]), []);
    assert_eq!(check_machine(&good(SKETCH).config, Path::new("/no/such/root")), []);
}

#[test]
fn a_virtual_machine_is_told_that_a_pause_voids_its_lease() {
    for files in [
        &[("proc/cpuinfo", "flags : fpu hypervisor\n")][..],
        &[("sys/class/dmi/id/sys_vendor", "QEMU\n")],
        &[
            ("sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n"),
            ("sys/class/dmi/id/product_name", "Virtual Machine\n"),
        ],
        &[("sys/hypervisor/type", "xen\n")],
    ] {
        let findings = found(LEASE, files);
        let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.message.contains("a pause stops its clocks"), "{finding:?}");
    }
    let alone = LEASE.replace("[Ack, Fence, Lease, Operator]", "[Ack, Lease, Operator]");
    assert!(found(&alone, &[("sys/class/dmi/id/sys_vendor", "QEMU\n")])[0].message.contains("add a fence"));
    let without = LEASE.replace("[Ack, Fence, Lease, Operator]", "[Ack, Fence, Operator]");
    assert_eq!(found(&without, &[("sys/class/dmi/id/sys_vendor", "QEMU\n")]), []);
}

#[test]
fn a_watchdog_that_is_missing_soft_or_too_coarse_is_refused() {
    let refused = |text: &str, files: &[(&str, &str)], wanted: &str| {
        let findings = found(text, files);
        let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.message.contains(wanted), "{wanted:?} is not in {finding:?}");
    };
    let other = LEASE.replace("Watchdog(\"/dev/watchdog\")", "Watchdog(\"/dev/watchdog1\")");
    refused(&other, &[], "there is no watchdog /dev/watchdog1");
    let soft = [("sys/class/watchdog/watchdog0/identity", "Software Watchdog\n")];
    refused(LEASE, &soft, "accept_softdog: true");
    let accepted =
        LEASE.replace("Watchdog(\"/dev/watchdog\")", "Watchdog(device: \"/dev/watchdog\", accept_softdog: true)");
    assert_eq!(found(&accepted, &soft), []);
    refused(LEASE, &[("sys/class/watchdog/watchdog0/max_timeout", "8\n")], "can be set to 2 to 8 s");
    refused(LEASE, &[("sys/class/watchdog/watchdog0/min_timeout", "30\n")], "can be set to 30 to 613 s");
}

#[test]
fn what_resets_the_host_must_be_there() {
    let commanded =
        LEASE.replace("profile: Standard,", "profile: Standard, reset: Command([\"/sbin/reboot\", \"-f\"]),");
    let findings = found(&commanded, &[("sbin/reboot", "not a program")]);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert!(finding.message.contains("/sbin/reboot is no program"), "{finding:?}");
    let root = root(HARDWARE);
    std::fs::remove_file(root.path().join("proc/sysrq-trigger")).unwrap();
    let findings = check_machine(&good(LEASE).config, root.path());
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert!(finding.message.contains("no /proc/sysrq-trigger"), "{finding:?}");
}

#[test]
fn a_watchdog_outside_of_dev_is_judged_only_when_it_is_opened() {
    let elsewhere = LEASE.replace("Watchdog(\"/dev/watchdog\")", "Watchdog(\"/run/lab/watchdog\")");
    let soft = [("sys/class/watchdog/watchdog0/identity", "Software Watchdog\n"), ("run/lab/watchdog", "")];
    assert_eq!(found(&elsewhere, &soft), []);
    assert!(watchdog_fault(&good(&elsewhere).config, root(HARDWARE).path()).is_some(), "it is not there");
}
