use std::os::unix::fs::symlink;

use super::*;

fn config(directory: &Path, silence: &str, more: &str) -> PathBuf {
    let text = format!(
        r#"Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11", heartbeat: ["192.0.2.11", "198.51.100.11"]),
    slave: Host(name: "cfg2", address: "192.0.2.12", heartbeat: ["192.0.2.12", "198.51.100.12"]),
    proof_of_stop: [{silence}],
    service: (
        startup_scripts: ["systemctl start dovecot.service"],
        shutdown_scripts: ["/etc/init.d/postoffice stop"],
        stopped_when: [NoProcess("dovecot"), PortsClosed([110])],
        {more}
    ),
    checks: [Port(name: "pop3", port: 110)],
)"#
    );
    let path = directory.join("failover.ron");
    std::fs::write(&path, text).unwrap();
    path
}

fn checked(file: &Path, root: &Path, host: &str) -> (Exit, String) {
    check(file, root, host, false)
}

fn check(file: &Path, root: &Path, host: &str, fence_status: bool) -> (Exit, String) {
    let arguments =
        Arguments { file: None, host: Some(host.to_string()), brief: false, fence_status, root: root.to_path_buf() };
    let mut bytes = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exit = runtime.block_on(run(file, None, &arguments, &mut Out::plain(&mut bytes))).unwrap();
    (exit, String::from_utf8(bytes).unwrap())
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_value_is_shown_with_its_origin_and_every_fault_with_its_outage() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "Ack, Operator", "");
    let (_, text) = checked(&file, folder.path(), "elsewhere");
    let text = flat(&text);
    assert!(text.contains("line 2 name \"mail\""), "{text}");
    assert!(text.contains("default timing.beat \"200ms\""), "{text}");
    assert!(text.contains("until a person acts the active host falls silent (Operator)"), "{text}");
    assert!(text.contains("this host is neither cfg1 nor cfg2"), "{text}");
}

#[test]
fn a_refused_file_shows_its_problems_and_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "Ack", "cgroop: \"x\"");
    let (exit, text) = checked(&file, folder.path(), "cfg1");
    assert_eq!(exit, Exit::Failed);
    assert!(text.contains("cgroop") && text.contains("is refused"), "{text}");
}

#[test]
fn missing_keys_are_problems_of_this_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "Ack, Operator", "");
    let (exit, text) = checked(&file, folder.path(), "cfg1");
    assert_eq!(exit, Exit::Failed);
    assert!(flat(&text).contains("problem security.key_file"), "{text}");
}

/// `check` with one agent, whose validate-all is this.
fn validated(body: &str, more: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let agent = folder.path().join("resource.d/own/web");
    std::fs::create_dir_all(agent.parent().unwrap()).unwrap();
    let text = format!(
        "#!/bin/sh\ncase $1 in meta-data) echo '<resource-agent name=\"web\"/>' ;; validate-all)\n{body}\n;; *) exit 1 ;; esac\n"
    );
    std::fs::write(&agent, text).unwrap();
    std::fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = config(folder.path(), "Ack, Operator", "");
    let entry = format!("resources: [Ocf(name: \"web1\", agent: \"{}\"{more})],", agent.display());
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(r#"startup_scripts: ["systemctl start dovecot.service"],"#, &entry);
    std::fs::write(&file, text.replace(r#"shutdown_scripts: ["/etc/init.d/postoffice stop"],"#, "")).unwrap();
    flat(&checked(&file, folder.path(), "cfg1").1)
}

#[test]
fn an_agent_says_what_speaks_against_its_start_and_how_much_that_weighs() {
    let reason = r#"echo "ocf-exit-reason:there is no folder /srv/web" >&2"#;
    for (body, more, said) in [
        (
            format!("echo noise; {reason}; exit 6"),
            "",
            "problem service.resources[web1]: RA validate-all exited 6: OCF_ERR_CONFIGURED, its parameters in failover.ron are \
             wrong: there is no folder /srv/web; next: mend it, then `failoverctl script test web1 validate`",
        ),
        (
            format!("{reason}; exit 5"),
            "",
            "warning service.resources[web1]: RA validate-all exited 5: OCF_ERR_INSTALLED",
        ),
        ("exit 1".to_owned(), "", "exited 1: OCF_ERR_GENERIC, it failed; next"),
        (
            "trap '' TERM; sleep 600".to_owned(),
            ", timeout: (validate: \"200ms\")",
            "warning service.resources[web1]: RA validate-all still running after its limit of 200 ms",
        ),
    ] {
        let text = validated(&body, more);
        let agent =
            text.split("service.resources[web1]: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("RA");
        assert!(text.contains(&said.replace("RA", agent)), "{body}: {said:?} is not in {text}");
    }
    for quiet in ["exit 0", "exit 3"] {
        let text = validated(quiet, "");
        assert!(!text.contains("validate-all"), "{quiet}: {text}");
    }
}

/// A root folder with one enabled unit called `name` whose program is `program`.
fn enabled(root: &Path, name: &str, program: &str) {
    let (units, wants) = (root.join("lib/systemd/system"), root.join("etc/systemd/system/multi-user.target.wants"));
    std::fs::create_dir_all(&units).unwrap();
    std::fs::create_dir_all(&wants).unwrap();
    std::fs::write(units.join(name), format!("[Service]\nExecStart=-{program} -F\n")).unwrap();
    symlink(format!("/lib/systemd/system/{name}"), wants.join(name)).unwrap();
}

fn starters(root: &Path) -> Vec<String> {
    let file = config(root, "Ack, Operator", "watch_processes: [\"dovecot\"],");
    let loaded = config::load(&file).unwrap();
    autostart::find(root, &loaded.config).into_iter().map(|found| found.name).collect()
}

#[test]
fn an_enabled_unit_is_found_by_its_name_or_by_its_program() {
    let root = tempfile::tempdir().unwrap();
    enabled(root.path(), "dovecot.service", "/usr/sbin/something");
    enabled(root.path(), "mailstore.service", "/usr/sbin/dovecot");
    enabled(root.path(), "dovecot.socket", "");
    enabled(root.path(), "ssh.service", "/usr/sbin/sshd");
    assert_eq!(starters(root.path()), ["dovecot.service", "dovecot.socket", "mailstore.service"]);
}

#[test]
fn an_enabled_unit_of_a_user_is_found_in_that_users_home() {
    let root = tempfile::tempdir().unwrap();
    let file = config(root.path(), "Ack, Operator", "");
    let text = std::fs::read_to_string(&file).unwrap().replace(
        r#"startup_scripts: ["systemctl start dovecot.service"],"#,
        r#"resources: [Systemd(unit: "imap-sync", manager: User)],"#,
    );
    std::fs::write(&file, text.replace(r#"shutdown_scripts: ["/etc/init.d/postoffice stop"],"#, "")).unwrap();
    let own = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap();
    let home = root.path().join(own.dir.strip_prefix("/").unwrap());
    let found = || autostart::find(root.path(), &config::load(&file).unwrap().config);
    assert_eq!(found(), []);
    for (place, remedy) in [
        (home.join(".config"), "systemctl --user disable imap-sync.service"),
        (root.path().join("etc"), "systemctl --global disable imap-sync.service"),
    ] {
        let wants = place.join("systemd/user/default.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        std::fs::write(wants.join("imap-sync.service"), "").unwrap();
        assert_eq!(found().iter().map(|starter| starter.remedy.as_str()).collect::<Vec<_>>(), [remedy]);
        std::fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn a_start_link_of_init_is_found_and_a_kill_link_is_not() {
    let root = tempfile::tempdir().unwrap();
    for (level, link) in
        [("rc3.d", "S20postoffice"), ("rc0.d", "S20dovecot"), ("rc3.d", "K20dovecot"), ("rc3.d", "S10ssh")]
    {
        let folder = root.path().join("etc").join(level);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(link), "").unwrap();
    }
    assert_eq!(starters(root.path()), ["postoffice"]);
}

#[test]
fn what_starts_the_service_at_boot_is_a_problem_with_its_remedy() {
    let root = tempfile::tempdir().unwrap();
    enabled(root.path(), "dovecot.service", "/usr/sbin/dovecot");
    let file = config(root.path(), "Ack, Operator", "");
    let (exit, text) = checked(&file, root.path(), "cfg2");
    assert_eq!(exit, Exit::Failed);
    assert!(flat(&text).contains("next: systemctl disable dovecot.service"), "{text}");
}

#[test]
fn fence_devices_are_asked_only_when_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let device = "Command(status: \"echo $FAILOVER_TARGET >>asked; exit 2\", off: \"exit 0\", timeout: \"20s\")";
    let file = config(folder.path(), &format!("Ack, Fence], fence: [{device}"), "");
    let (_, text) = check(&file, folder.path(), "cfg1", false);
    assert!(!flat(&text).contains("is cut off") && !folder.path().join("asked").exists(), "{text}");
    let (_, text) = check(&file, folder.path(), "cfg1", true);
    assert!(flat(&text).contains("cfg2 is cut off; when it was restarted: failoverctl fence on cfg2"), "{text}");
    assert_eq!(std::fs::read_to_string(folder.path().join("asked")).unwrap(), "cfg1\ncfg2\n");
}

#[test]
fn a_virtual_machine_with_a_lease_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let arbiter = "SharedStorage(path: \"/lease\", guard: GuardianOnly(host_freeze_can_make_two_actives: true))";
    let more = format!("Ack, Lease], timing: (script_timeout: \"9s\"), arbiter: {arbiter}, references: [");
    let file = config(folder.path(), &more, "");
    std::fs::create_dir_all(folder.path().join("proc")).unwrap();
    std::fs::write(folder.path().join("proc/cpuinfo"), "flags : fpu hypervisor\n").unwrap();
    let (_, text) = checked(&file, folder.path(), "cfg1");
    assert!(flat(&text).contains("a pause stops its clocks and its watchdog together"), "{text}");
}
