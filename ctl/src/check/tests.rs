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
    let arguments = Arguments { file: None, host: Some(host.to_string()), brief: false, root: root.to_path_buf() };
    let mut bytes = Vec::new();
    let exit = run(file, None, &arguments, &mut Out::plain(&mut bytes)).unwrap();
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
