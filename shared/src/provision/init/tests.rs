//! From answers to files that load.

use super::*;
use crate::config::{self, FenceDevice, Probe, Proof};
use crate::provision::{ProvisionError, load_identity, load_pair_key, peer_certificate};

fn answers(silence: &str) -> Answers {
    let mut answers = Answers::default();
    for (key, answer) in [
        ("master", "cfg1"),
        ("master-address", "192.0.2.11"),
        ("slave", "cfg2"),
        ("slave-address", "192.0.2.12"),
        ("second-path", "10.0.0.1, 10.0.0.2"),
        ("silence", silence),
        ("stop", "./a.sh >/tmp/a \"b\" ;; ./b.sh"),
        ("process", "dovecot"),
        ("mount", "/mail"),
        ("canary", "canary"),
        ("haproxy", "/run/haproxy/admin.sock"),
        ("page", "ops@example.org"),
    ] {
        answers.set(key, answer).unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    answers
}

#[test]
fn the_files_of_a_new_pair_load_on_both_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_pair(dir.path(), &answers("wait")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(written.files.len(), 6);
    let loaded = config::load(&dir.path().join("failover.ron")).unwrap_or_else(|problems| panic!("{problems}"));
    let config = loaded.config;
    assert_eq!(config.proof_of_stop, [Proof::Ack, Proof::Operator]);
    assert_eq!(config.master.heartbeat.len(), 2);
    assert_eq!(config.service.lists.giveaway[0][0].script.name, "./a.sh >/tmp/a \"b\"");
    assert!(matches!(config.checks[0].probe, Probe::Pop3(_)) && matches!(config.checks[1].probe, Probe::Imap(_)));
    load_pair_key(&config.security.key_file).unwrap();
    for host in [&config.master, &config.slave] {
        load_identity(&config.security.certificate_directory, &host.name).unwrap();
        peer_certificate(&config.security.certificate_directory, &host.name).unwrap();
    }
}

#[test]
fn acting_on_silence_writes_the_risk_and_a_time_out_that_covers_the_stop() {
    let text = configuration(&answers("act")).unwrap();
    assert!(text.contains("Timeout(two_actives_possible: true)"), "{text}");
    let mut long = answers("act");
    long.set("stop", &["./x.sh"; 9].join(" ;; ")).unwrap();
    configuration(&long).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_lease_is_written_with_a_stop_that_fits_into_it() {
    for (steps, profile) in [(1, "Standard"), (5, "Standard"), (6, "Long"), (9, "Long")] {
        let mut answers = answers("lease");
        answers.set("stop", &vec!["./x.sh"; steps].join(" ;; ")).unwrap();
        let text = configuration(&answers).unwrap_or_else(|error| panic!("{error}"));
        assert!(text.contains(&format!("profile: {profile}")), "{text}");
        assert!(text.contains("[Ack, Lease, Operator]") && text.contains("Watchdog(\"/dev/watchdog\")"), "{text}");
    }
    let mut bare = answers("lease");
    bare.set("watchdog", "none").unwrap();
    assert!(configuration(&bare).unwrap().contains("host_freeze_can_make_two_actives: true"));
    let mut below = answers("lease");
    below.set("lease-path", "/mail/lease").unwrap();
    assert!(configuration(&below).is_err(), "a lease under the managed mount was written");
}

#[test]
fn a_fence_is_written_with_the_file_for_its_password() {
    let mut answers = answers("fence");
    let error = configuration(&answers).unwrap_err().to_string();
    assert!(error.contains("`fence-master` needs an answer"), "{error}");
    answers.set("fence-options", "lanplus=1, username=failover").unwrap();
    answers.set("fence-master", "ip=192.0.2.31").unwrap();
    answers.set("fence-slave", "ip=192.0.2.32").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = write_pair(dir.path(), &answers).unwrap_or_else(|error| panic!("{error}"));
    assert!(written.next.iter().any(|step| step.contains("fence.options")), "{:?}", written.next);
    let config = config::load(&dir.path().join("failover.ron")).unwrap_or_else(|problems| panic!("{problems}")).config;
    let [FenceDevice::Agent(agent)] = config.fence.as_slice() else { panic!("{:?}", config.fence) };
    assert_eq!((agent.options["lanplus"].as_str(), agent.slave["ip"].as_str()), ("1", "192.0.2.32"));
    answers.set("fence-slave", "ip=192.0.2.31").unwrap();
    assert!(configuration(&answers).is_err(), "one target for both hosts was written");
}

#[test]
fn nothing_is_written_over_and_nothing_is_written_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cfg2.key.pem"), "mine").unwrap();
    assert!(matches!(write_pair(dir.path(), &answers("wait")), Err(ProvisionError::Exists { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(dir.path().join("cfg2.key.pem")).unwrap(), b"mine");
}

#[test]
fn what_silence_means_has_no_default() {
    let mut answers = answers("wait");
    assert!(answers.set("silence", "").is_err());
    assert!(answers.set("silence", "hope").unwrap_err().contains("wait, lease, fence, act"));
    let mut unanswered = Answers::default();
    unanswered.set("master", "cfg1").unwrap();
    assert!(configuration(&unanswered).is_err());
}

#[test]
fn an_answer_that_makes_no_configuration_is_told_as_such() {
    let mut answers = answers("wait");
    answers.set("slave-address", "192.0.2.11").unwrap();
    let error = configuration(&answers).unwrap_err().to_string();
    assert!(error.contains("both hosts have the address 192.0.2.11"), "{error}");
}

#[test]
fn needless_questions_are_not_put() {
    let mut answers = Answers::default();
    let asked =
        |answers: &Answers, key: &str| QUESTIONS.iter().any(|question| question.key == key && answers.wants(question));
    assert!(!asked(&answers, "relays"));
    answers.set("page", "ops@example.org").unwrap();
    assert!(asked(&answers, "relays"));
    answers.set("relays", "").unwrap();
    assert!(!asked(&answers, "relays"));
}
