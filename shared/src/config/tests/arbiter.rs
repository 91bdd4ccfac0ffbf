//! The lease: its spans, its guard, its place.

use super::*;
use crate::decision::{LeaseTimes, Millis};

/// The sketch with a lease, and a stop that fits into it.
fn with(arbiter: &str) -> String {
    changed("[Ack, Operator]", "[Ack, Lease, Operator]")
        .replace("objective_outage", &format!("arbiter: {arbiter}, objective_outage"))
        .replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"60s\", script_timeout: \"13s\"")
}

fn shared(rest: &str) -> String {
    with(&format!("SharedStorage(path: \"/mnt/failover-lease\", {rest})"))
}

fn times(text: &str) -> LeaseTimes {
    good(text).config.arbiter.expect("an arbiter").times
}

const GUARD: &str = "guard: Watchdog(\"/dev/watchdog\")";

#[test]
fn the_lease_of_the_design_is_read() {
    let arbiter = good(&shared(&format!("profile: Standard, {GUARD}"))).config.arbiter.expect("an arbiter");
    assert_eq!(arbiter.place, ArbiterPlace::SharedStorage { path: "/mnt/failover-lease".into() });
    assert_eq!(arbiter.guard, Guard::Watchdog { device: "/dev/watchdog".into(), accept_softdog: false });
    assert_eq!(arbiter.times.drift_permille, 10);
}

#[test]
fn each_profile_is_as_long_as_it_says() {
    let short = |text: String| text.replace("script_timeout: \"13s\"", "script_timeout: \"2s\"");
    for (profile, lease_s, wait_ms) in [("Standard", 60, 61_213), ("Fast", 30, 30_607), ("Long", 100, 102_021)] {
        let times = times(&short(shared(&format!("profile: {profile}, {GUARD}"))));
        assert_eq!(times.lease_ms(), Millis(lease_s * 1_000), "{profile}");
        assert_eq!(times.terms(0).wait_ms(), Millis(wait_ms), "{profile}");
        assert!(3 * times.renew_ms.0 + times.attempt_ms.0 <= times.stop_after_ms.0, "{profile}");
    }
    assert_eq!(times(&shared(GUARD)).lease_ms(), Millis(60_000), "Standard is the default");
}

#[test]
fn a_hard_profile_without_grace_takes_any_stop_list() {
    let hard = "renew: \"500ms\", attempt: \"300ms\", stop_after: \"1800ms\", scripts: \"0s\", kill: \"1s\", watchdog: \"1s\", \
                margin: \"200ms\"";
    let times = times(&shared(&format!("profile: Hard({hard}), {GUARD}")));
    assert_eq!(times.lease_ms(), Millis(4_000));
    // With some time for scripts, their whole sum counts.
    let some = hard.replace("scripts: \"0s\"", "scripts: \"1s\"");
    let shown = refused(&shared(&format!("profile: Hard({some}), {GUARD}"))).to_string();
    assert!(shown.contains("has 1s for it"), "{shown}");
}

/// Each: what stands behind the arbiter's path, and what the only problem must say.
const REFUSED: &[(&str, &str)] = &[
    ("", "`SharedStorage` needs the key `guard`"),
    ("guard: GuardianOnly", "host_freeze_can_make_two_actives: true"),
    ("guard: GuardianOnly(host_freeze_can_make_two_actives: false)", "goes on later still runs its service"),
    ("guard: GuardianOnly(host_freeze_can_make_two_active: true)", "did you mean `host_freeze_can_make_two_actives`?"),
    ("guard: Watchdog(\"watchdog\")", "is not a full path"),
    ("guard: Watchdog(accept_softdg: true)", "did you mean `accept_softdog`?"),
    ("guard: Watchdg(\"/dev/watchdog\")", "did you mean `Watchdog`?"),
    ("guard: GuardianOnly(host_freeze_can_make_two_actives: true), profile: Standart", "did you mean `Standard`?"),
    ("guard: GuardianOnly(host_freeze_can_make_two_actives: true), profile: Hard", "needs the key `renew`"),
    ("guard: GuardianOnly(host_freeze_can_make_two_actives: true), drift_permille: 0", "from 1 to 100"),
    ("guard: GuardianOnly(host_freeze_can_make_two_actives: true), profile: Fast", "has 8s for it"),
    ("guard: Watchdog(\"/dev/watchdog\"), reset: Comand([\"/sbin/reboot\"])", "did you mean `Command`?"),
    ("guard: Watchdog(\"/dev/watchdog\"), reset: Command(\"/sbin/reboot -f\")", "a list"),
    ("guard: Watchdog(\"/dev/watchdog\"), reset: Command([\"reboot\", \"-f\"])", "is not a full path"),
];

#[test]
fn the_host_is_reset_by_the_kernel_unless_a_command_is_written() {
    let reset = |more: &str| good(&shared(&format!("{GUARD}{more}"))).config.arbiter.expect("an arbiter").reset;
    assert_eq!(reset(""), HostReset::SysRq);
    assert_eq!(reset(", reset: SysRq"), HostReset::SysRq);
    let words = ["/sbin/reboot", "-n", "-f"].map(String::from).to_vec();
    assert_eq!(reset(", reset: Command([\"/sbin/reboot\", \"-n\", \"-f\"])"), HostReset::Command(words));
}

#[test]
fn each_mistake_of_the_arbiter_is_told_with_what_to_write() {
    for (rest, wanted) in REFUSED {
        let problems = refused(&shared(rest));
        let shown = problems.to_string();
        assert!(shown.contains(wanted), "for {rest:?} {wanted:?} is missing in:\n{shown}");
        assert!(problems.list().iter().all(|problem| problem.line > 0 && problem.column > 0), "{shown}");
    }
}

/// Each: a piece of a good hard profile, its replacement, and what the only problem must say.
const HARD_REFUSED: &[(&str, &str, &str)] = &[
    ("stop_after: \"4s\"", "stop_after: \"3s\"", "write `stop_after: \"3s 500ms\"`"),
    ("renew: \"1s\"", "renew: \"1200ms\"", "`renew: \"1s 166ms\"` or less"),
    ("attempt: \"500ms\"", "attempt: \"1s 1ms\"", "write `attempt: \"1s\"` or less"),
    ("renew: \"1s\"", "renew: \"0s\"", "too short"),
    ("attempt: \"500ms\"", "attempt: \"0s\"", "too short"),
    ("kill: \"1s\"", "kill: \"0s\"", "too short"),
    ("watchdog: \"2s\"", "watchdog: \"1500ms\"", "whole seconds: write `watchdog: \"2s\"`"),
    ("watchdog: \"2s\"", "watchdog: \"0s\"", "whole seconds: write `watchdog: \"1s\"`"),
    ("margin: \"1s\"", "margn: \"1s\"", "did you mean `margin`?"),
];

#[test]
fn a_hard_profile_that_breaks_a_sum_is_refused_with_the_sum() {
    let hard = "Hard(renew: \"1s\", attempt: \"500ms\", stop_after: \"4s\", scripts: \"30s\", kill: \"1s\", watchdog: \"2s\", \
                margin: \"1s\")";
    assert_eq!(times(&shared(&format!("profile: {hard}, {GUARD}"))).lease_ms(), Millis(38_000));
    for (from, to, wanted) in HARD_REFUSED {
        assert!(hard.contains(from), "{from}");
        let problems = refused(&shared(&format!("profile: {}, {GUARD}", hard.replace(from, to))));
        let shown = problems.to_string();
        assert!(shown.contains(wanted), "for {to:?} {wanted:?} is missing in:\n{shown}");
        assert_eq!(problems.list().len(), 1, "for {to:?}:\n{shown}");
    }
}

#[test]
fn a_stop_that_does_not_fit_into_the_lease_is_refused_with_the_limit_that_does() {
    let long = shared(GUARD).replace("script_timeout: \"13s\"", "script_timeout: \"13001ms\"");
    let problems = refused(&long);
    let shown = problems.to_string();
    assert!(
        shown.contains("the stop may take 30s 2ms") && shown.contains("give the 2 steps of the stop 13s each"),
        "{shown}"
    );
    assert_eq!(problems.list()[0].line, 12, "{shown}");
}

#[test]
fn a_lease_under_a_managed_mount_is_refused() {
    for path in ["/mail", "/mail/lease"] {
        let text = with(&format!("SharedStorage(path: {path:?}, {GUARD})"));
        let shown = refused(&text).to_string();
        assert!(shown.contains("is mounted only where the service runs"), "{shown}");
    }
    good(&with(&format!("SharedStorage(path: \"/mail-lease\", {GUARD})")));
}

#[test]
fn an_arbiter_whose_lease_proves_nothing_and_a_time_out_beside_a_lease_are_warned_of() {
    let shown = good(&shared(GUARD).replace("[Ack, Lease, Operator]", "[Ack, Operator]")).warnings.to_string();
    assert!(shown.contains("add `Lease`"), "{shown}");
    let both = shared(GUARD).replace("[Ack, Lease, Operator]", "[Ack, Lease, Timeout(two_actives_possible: true)]");
    let shown = good(&both).warnings.to_string();
    assert!(shown.contains("`Timeout` takes away"), "{shown}");
}

#[test]
fn what_the_guardian_cannot_see_is_warned_of() {
    let unseen = |conditions: &str, cgroup: &str| {
        let text = shared(GUARD).replace("script_timeout: \"13s\"", "script_timeout: \"3s\"");
        let (head, rest) = text.split_once("service: (").expect("a service");
        let (_, tail) = rest.split_once("\n    ),").expect("its end");
        let service = format!(
            "resources: [Systemd(name: \"mail\", unit: \"dovecot\"), Lsb(name: \"web\", script: \"/etc/init.d/web\")], \
             stopped_when: [{conditions}], {cgroup}"
        );
        let loaded = good(&format!("{head}service: ({service}\n    ),{tail}"));
        let unseen = loaded.config.service.unseen_by_guardian();
        let warned = loaded.warnings.to_string().contains("the guardian cannot see whether");
        assert_eq!(warned, !unseen.is_empty(), "{}", loaded.warnings);
        unseen.join(" ")
    };
    assert_eq!(unseen("NotRunning(\"mail\")", ""), "NotRunning(\"mail\")");
    assert_eq!(
        unseen("NotRunning(\"mail\"), NotMounted(\"/mail\")", ""),
        "NotRunning(\"mail\")",
        "its group is its own"
    );
    assert_eq!(unseen("NotRunning(\"mail\"), CgroupEmpty(\"system.slice/dovecot.service\")", ""), "");
    assert_eq!(unseen("NotRunning(\"web\"), NotMounted(\"/mail\")", ""), "");
    assert_eq!(unseen("PidFileGone(\"/run/web.pid\")", ""), "PidFileGone(\"/run/web.pid\")");
    assert_eq!(unseen("PidFileGone(\"/run/web.pid\")", "cgroup: \"mail\","), "");
}

/// Each: what the group `Etcd` holds besides its guard, and what the only problem must say.
const ETCD_REFUSED: &[(&str, &str)] = &[
    ("", "`Etcd` needs the key `endpoints`"),
    ("endpoints: [\"192.0.2.21:2379\"]", "no endpoint of etcd"),
    ("endpoints: [\"http://u:p@192.0.2.21:2379\"]", "no endpoint of etcd"),
    ("endpoints: [\"http://192.0.2.21:2379/v3\"]", "no endpoint of etcd"),
    ("endpoints: [\"https://[2001:db8::1]:2379\"], ca_file: \"a\"", "write the member's host name"),
    ("endpoints: [\"https://a:1\", \"http://b:1\"], ca_file: \"a\"", "some endpoints are https and some are http"),
    ("endpoints: [\"https://a:1\"]", "https needs `ca_file`"),
    ("endpoints: [\"http://a:1\"], ca_file: \"a\"", "`ca_file` is for https"),
    ("endpoints: [\"http://a:1\"], user: \"u\", password_file: \"p\"", "in clear text"),
    ("endpoints: [\"http://127.0.0.1:1\"], user: \"u\"", "`user` is of no use without `password_file`"),
    ("endpoints: [\"https://a:1\"], ca_file: \"a\", client_key_file: \"k\"", "without `client_certificate_file`"),
    ("endpoints: [\"http://a:1\"], prefix: \"failover/\"", "no prefix for keys of etcd"),
    ("endpoints: [\"http://a:1\"], password: \"s3cret\"", "write `password_file: \"FILE\"`"),
    (
        "endpoints: [\"http://a:1\", \"http://b:1\", \"http://c:1\"], profile: Hard(renew: \"500ms\", attempt: \"150ms\", \
         stop_after: \"2s\", scripts: \"0s\", kill: \"1s\", watchdog: \"1s\", margin: \"1s\")",
        "write `attempt: \"200ms\"` or more",
    ),
];

#[test]
fn each_mistake_of_etcd_is_one_problem_that_says_what_to_write() {
    for (rest, wanted) in ETCD_REFUSED {
        let separator = if rest.is_empty() { "" } else { ", " };
        let problems = refused(&with(&format!("Etcd({rest}{separator}{GUARD})")));
        let shown = problems.to_string();
        assert!(shown.contains(wanted), "for {rest:?} {wanted:?} is missing in:\n{shown}");
        assert_eq!(problems.list().len(), 1, "for {rest:?}:\n{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn etcd_on_the_own_host_may_be_spoken_to_in_clear_text() {
    let text =
        with(&format!("Etcd(endpoints: [\"http://127.0.0.1:2379\"], user: \"u\", password_file: \"p\", {GUARD})"));
    let arbiter = good(&text).config.arbiter.expect("an arbiter");
    let ArbiterPlace::Etcd(etcd) = arbiter.place else { panic!("{:?}", arbiter.place) };
    assert_eq!((etcd.prefix.as_str(), etcd.password_file), ("/failover", Some(PathBuf::from("/etc/failover/p"))));
}

#[test]
fn the_guarantee_names_what_it_rests_on_and_every_accepted_risk() {
    let config = |text: &str| good(text).config;
    let lease = include_str!("../../../../config/lease.ron");
    let rests_on = config(lease).guarantee();
    for wanted in ["never two actives, as long as", "the fence device tells the truth", "within 1.0 %", "the watchdog"]
    {
        assert!(rests_on.contains(wanted), "{wanted:?} is not in {rests_on:?}");
    }
    assert_eq!(config(lease).accepted_risks(), [""; 0]);
    let alone = lease.replace("Watchdog(\"/dev/watchdog\")", "GuardianOnly(host_freeze_can_make_two_actives: true)");
    assert!(config(&alone).guarantee().contains("no host stands still"), "{}", config(&alone).guarantee());
    assert!(config(&alone).accepted_risks()[0].starts_with("GuardianOnly: "));
    let timeout = SKETCH.replace("[Ack, Operator]", "[Ack, Timeout(two_actives_possible: true)]");
    let timeout = timeout.replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"10min\"");
    assert!(config(&timeout).guarantee().starts_with("none"), "{}", config(&timeout).guarantee());
    assert!(config(&timeout).accepted_risks()[0].starts_with("Timeout "));
}
