//! The files that a configuration names, on a host that has them and on one that does not.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::decision::Role;
use crate::provision::{create_host_certificate, create_pair_key};

fn private(path: &Path, content: &str, mode: u32) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder with everything that the sketch names.
fn host() -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    private(&dir.path().join("canary.pass"), "s3cret\n", 0o600);
    for script in ["shutdown_1.sh", "shutdown_2.sh", "mount_store.sh", "start_dovecot.sh"] {
        private(&dir.path().join(script), "#!/bin/sh\n", 0o755);
    }
    create_pair_key(dir.path()).unwrap();
    create_host_certificate(dir.path(), "cfg1").unwrap();
    create_host_certificate(dir.path(), "cfg2").unwrap();
    std::fs::remove_file(dir.path().join("cfg2.key.pem")).unwrap();
    let config =
        parse(SKETCH, Path::new("failover.ron"), dir.path()).unwrap_or_else(|problems| panic!("{problems}")).config;
    (dir, config)
}

#[test]
fn a_host_that_has_every_file_has_no_finding() {
    let (_dir, config) = host();
    assert_eq!(check_files(&config, Role::Master), []);
}

#[test]
fn loose_missing_and_foreign_files_are_found_with_the_command_that_mends_them() {
    let (dir, config) = host();
    private(&dir.path().join("canary.pass"), "s3cret\n", 0o644);
    private(&dir.path().join("mount_store.sh"), "#!/bin/sh\n", 0o644);
    private(&dir.path().join("cfg2.key.pem"), "", 0o600);
    private(&dir.path().join("pair.key.old"), "short", 0o600);
    std::fs::remove_file(dir.path().join("shutdown_1.sh")).unwrap();
    std::fs::remove_file(dir.path().join("cfg2.cert.pem")).unwrap();
    let findings = check_files(&config, Role::Master);
    let found = |severity: Severity, key: &str, word: &str| {
        assert!(
            findings.iter().any(|one| one.severity == severity && one.key == key && one.message.contains(word)),
            "{key}: {word} is not among {findings:#?}"
        );
    };
    found(Severity::Error, "checks[pop3].password_file", "chmod 600");
    found(Severity::Error, "security.certificate_directory", "cfg2.cert.pem");
    found(Severity::Error, "security.old_key_file", "failoverctl init");
    found(Severity::Warning, "security.certificate_directory", "rm ");
    found(Severity::Warning, "service.startup_scripts[1]", "chmod +x");
    found(Severity::Warning, "service.shutdown_scripts[1]", "No such file");
    assert_eq!(findings.len(), 6, "{findings:#?}");
}

#[test]
fn the_other_role_needs_its_own_key() {
    let (_dir, config) = host();
    let findings = check_files(&config, Role::Slave);
    assert!(
        findings.iter().any(|one| one.severity == Severity::Error && one.message.contains("cfg2.key.pem")),
        "{findings:#?}"
    );
}

#[test]
fn the_secrets_of_etcd_and_of_a_fence_agent_are_looked_at() {
    let (dir, _) = host();
    let text = changed("[Ack, Operator]", "[Ack, Fence, Lease]").replace(
        "objective_outage",
        "timing: (script_timeout: \"13s\"), arbiter: Etcd(endpoints: [\"https://etcd1:2379\"], ca_file: \"ca.pem\", user: \"u\", \
         password_file: \"etcd.pass\", guard: Watchdog(\"/dev/watchdog\")), fence: [Agent(agent: \"fence_x\", options_file: \
         \"fence.options\", master: {}, slave: {\"plug\": \"2\"})], objective_outage",
    );
    let text = text.replace("timing: (beat: \"200ms\", suspect_after: \"3s\", shutdown_timeout: \"60s\"),", "");
    let config =
        parse(&text, Path::new("failover.ron"), dir.path()).unwrap_or_else(|problems| panic!("{problems}")).config;
    private(&dir.path().join("etcd.pass"), "s3cret\n", 0o604);
    private(&dir.path().join("fence.options"), "# for both\n\npassword = s3cret\ns3cret\n", 0o600);
    let findings = check_files(&config, Role::Master);
    let shown = format!("{findings:#?}");
    let keys: Vec<&str> = findings.iter().map(|finding| finding.key.as_str()).collect();
    assert_eq!(keys, ["arbiter.password_file", "fence[1].options_file"], "{shown}");
    assert!(shown.contains("line 4 of") && !shown.contains("s3cret"), "{shown}");
    private(&dir.path().join("etcd.pass"), "s3cret\n", 0o600);
    private(&dir.path().join("fence.options"), "password = s3cret\n", 0o600);
    assert_eq!(check_files(&config, Role::Master), []);
}
