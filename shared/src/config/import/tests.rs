//! The old file, as its page shows it, and what can be wrong with one.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::{Probe, Proof, parse};

/// The example of the CPMS page, letter by letter.
const OLD: &str = r#"# failover config (Perl style)
# check with perl -cw failover_config.txt for consitency
# if any changes were made
sub CONFIG {
(
VERSION => '0.80.01' ,
REMOTE_POP3_HOST => 'cp-isp.access.ch' ,
REMOTE_POP3_TIMEOUT => 60 , # timeout in seconds
MONITOR_PORT => 7890 ,
MONITOR_PORT_SLAVE => 7891 ,
SLAVE_HOST => 'talisker.access.ch' ,
RLOGIN_USER => 'retoh' ,
RLOGIN_PASS => 'Xfoo' ,
# Multiple scripts to invoke had to be separated by commas
SHUTDOWN_SCRIPTS => './scripts/shutdown_1.sh >/tmp/foo.log 2>/tmp/foo.err,' .
'./scripts/shutdown_2.sh' ,
STARTUP_SCRIPTS => './scripts/foo2.sh,' .
'./scripts/bar.sh'
)
}
1;
"#;

fn answers() -> ImportAnswers {
    let text = |text: &str| Some(text.to_owned());
    ImportAnswers {
        pair: None,
        master_name: text("lagavulin.access.ch"),
        master_address: text("192.0.2.11"),
        slave_address: text("192.0.2.12"),
        pop3_address: text("192.0.2.5"),
        canary_user: text("canary"),
        process: text("popd"),
    }
}

fn refused(text: &str) -> String {
    match import_cpms(text, &answers()) {
        Err(problems) => problems.to_string(),
        Ok(imported) => panic!("imported:\n{}", imported.ron),
    }
}

#[test]
fn the_example_of_the_cpms_page_becomes_a_configuration_that_does_what_cpms_did() {
    let imported = import_cpms(OLD, &answers()).unwrap_or_else(|problems| panic!("{problems}"));
    let loaded = parse(&imported.ron, Path::new("failover.ron"), Path::new("/etc/failover"))
        .unwrap_or_else(|problems| panic!("{problems}\n{}", imported.ron));
    let config = loaded.config;
    assert_eq!((config.monitor_port, config.monitor_port_slave), (7890, 7891));
    assert_eq!(config.slave.name, "talisker.access.ch");
    assert_eq!(config.proof_of_stop, [Proof::Ack, Proof::Timeout]);
    let lists = &config.service.lists;
    let commands: Vec<&str> = lists.giveaway.iter().flatten().map(|step| step.script.name.as_str()).collect();
    assert_eq!(commands, ["./scripts/shutdown_1.sh >/tmp/foo.log 2>/tmp/foo.err", "./scripts/shutdown_2.sh"]);
    let commands: Vec<&str> = lists.takeover.iter().flatten().map(|step| step.script.name.as_str()).collect();
    assert_eq!(commands, ["./scripts/foo2.sh", "./scripts/bar.sh"]);
    assert_eq!(config.rcmd.map(|rcmd| rcmd.user).as_deref(), Some("retoh"));
    assert_eq!(config.checks[0].timeout.as_secs(), 60);
    let Probe::Pop3(mail) = &config.checks[0].probe else { panic!("{:?}", config.checks[0]) };
    assert_eq!(mail.through.map(|address| address.to_string()).as_deref(), Some("192.0.2.5:110"));
}

#[test]
fn the_password_is_not_carried_over_and_that_is_said() {
    let imported = import_cpms(OLD, &answers()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!imported.ron.contains("Xfoo"));
    assert!(imported.notes.iter().any(|note| note.contains("RLOGIN_PASS") && note.contains("clear text")));
    assert!(imported.notes.iter().all(|note| !note.contains("Xfoo")));
}

#[test]
fn a_broken_file_does_not_show_the_password_either() {
    for broken in [
        OLD.replace("'Xfoo' ,", "'Xfoo ,"),
        OLD.replace("'Xfoo' ,", "\"Xfoo$x\" ,"),
        OLD.replace("'Xfoo' ,", "'Xfoo' 'Xfoo',"),
        OLD.replace("RLOGIN_PASS => 'Xfoo'", "RLOGIN_PASS =>\n 'Xfoo' Xfoo"),
        OLD.replace("RLOGIN_PASS =>", "RLOGIN_PASSWORD =>"),
    ] {
        let shown = refused(&broken);
        assert!(!shown.contains("Xfoo"), "{shown}");
    }
}

#[test]
fn what_the_old_file_does_not_know_is_asked_and_refused_until_it_is_filled_in() {
    let imported = import_cpms(OLD, &ImportAnswers::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let problems = parse(&imported.ron, Path::new("failover.ron"), Path::new("/etc/failover"))
        .expect_err("a text with placeholders was taken");
    let shown = problems.to_string();
    assert_eq!(problems.list().len(), 6, "{shown}");
    assert!(problems.list().iter().all(|problem| problem.message.contains("to be filled in")), "{shown}");
    assert!(shown.contains("write here the own address of talisker.access.ch"), "{shown}");
}

#[test]
fn unknown_and_doubled_keys_are_told_with_their_lines() {
    let shown = refused(&OLD.replace("MONITOR_PORT =>", "MONITOR_PROT =>").replace("VERSION =>", "SLAVE_HOST =>"));
    assert!(shown.contains("did you mean `MONITOR_PORT`?") && shown.contains(":9:1"), "{shown}");
    assert!(shown.contains("`SLAVE_HOST` stands here twice") && shown.contains(":11:1"), "{shown}");
}

#[test]
fn what_would_have_to_be_run_is_refused() {
    for (from, to) in [
        ("7890", "$PORT"),
        ("7890", "7000 + 890"),
        ("'0.80.01'", "`hostname`"),
        ("'0.80.01'", "\"$0\""),
        ("1;", "system('x');"),
    ] {
        refused(&OLD.replacen(from, to, 1));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(sub CONFIG \\{ \\()?[-A-Z'\"=>.,#()\\\\{};$0-9\\n é]{0,60}") {
        let _ = import_cpms(&text, &ImportAnswers::default()).map_err(|problems| problems.to_string());
    }
}
