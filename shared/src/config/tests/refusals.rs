//! What is refused, and that the message says what to write instead.

use std::net::IpAddr;

use super::super::load::parse_with;
use super::*;

/// Each: a piece of the sketch, its replacement, and what the only problem must say.
const REFUSED: &[(&str, &str, &str)] = &[
    ("name: \"mail\",", "", "`Pair` needs the key `name`"),
    ("monitor_port: 7890,", "monitor_prot: 7890,", "did you mean `monitor_port`?"),
    ("monitor_port: 7890,", "monitor_port: 0,", "from 1 to 65535"),
    ("port: 143, every", "port: 7890, every", "the check \"imap\" asks port 7890"),
    ("proof_of_stop: [Ack, Operator],", "", "`Pair` needs the key `proof_of_stop`"),
    ("[Ack, Operator]", "[]", "this list is empty"),
    ("[Ack, Operator]", "[Ack, Ack]", "the proof `Ack` stands here twice"),
    ("[Ack, Operator]", "[Ack, Lease]", "`Lease` needs an arbiter"),
    ("[Ack, Operator]", "[Ack, Fence]", "`Fence` needs a device that fences"),
    ("[Ack, Operator]", "[Ack, Lease(1)]", "`Lease` takes nothing in parentheses"),
    ("proof_of_stop: [Ack, Operator]", "abiter: None, proof_of_stop: [Ack, Lease]", "did you mean `arbiter`?"),
    ("proof_of_stop: [Ack, Operator]", "fense: [], proof_of_stop: [Ack, Fence]", "did you mean `fence`?"),
    ("[Ack, Operator]", "[Ack, Timeout]", "write `Timeout(two_actives_possible: true)`"),
    (
        "[Ack, Operator]",
        "[Ack, Timeout(two_actives_possible: false)]",
        "lets a host start while the other may still run",
    ),
    ("[Ack, Operator]", "[Ack, Timeout(two_active_possible: true)]", "did you mean `two_actives_possible`?"),
    ("[Ack, Operator]", "[Ack(1), Operator]", "`Ack` takes nothing in parentheses"),
    ("[Ack, Operator]", "[Ack, operator]", "did you mean `Operator`?"),
    ("[Ack, Operator]", "[Ack, Timeout(two_actives_possible: true)]", "write `shutdown_timeout: \"2min 4s\"` or more"),
    ("suspect_after: \"3s\"", "suspect_after: \"500ms\"", "`suspect_after: \"600ms\"` or more"),
    ("beat: \"200ms\"", "beat: \"0ms\"", "too short"),
    ("beat: \"200ms\"", "beat: \"200\"", "the unit is missing"),
    ("objective_outage: \"9min\"", "objective_outage: \"25h\"", "at most 24h"),
    ("stopped_when:", "stop_when:", "did you mean `stopped_when`?"),
    ("NoProcess(\"dovecot\")", "NoProcess(\"/usr/sbin/dovecot\")", "write \"dovecot\""),
    ("NotMounted(\"/mail\")", "NotMounted(\"mail\")", "begin with `/`"),
    ("PortsClosed([110, 143])", "PortsClosed(110)", "a list is expected here"),
    ("PortsClosed([110, 143])", "PortsClosed([7890])", "no stop could ever be verified"),
    ("PortsClosed([110, 143])", "PortClosed([110])", "did you mean `PortsClosed`?"),
    ("[\"./mount_store.sh\", \"./start_dovecot.sh\"]", "[]", "at least 1 is needed"),
    ("\"./mount_store.sh\"", "\"\"", "this text is empty"),
    ("\"./mount_store.sh\"", "\"./x\\0y\"", "NUL"),
    ("\"./mount_store.sh\"", "Step(timeout: \"5s\")", "`Step` needs the key `command`"),
    ("address: \"192.0.2.12\"", "address: \"192.0.2.11\"", "both hosts have the address 192.0.2.11"),
    ("address: \"192.0.2.12\"", "address: \"127.0.0.1\"", "cannot reach each other"),
    ("address: \"192.0.2.12\"", "address: \"0.0.0.0\"", "is no address of one host"),
    ("address: \"192.0.2.12\"", "address: \"192.0.2\"", "write an address"),
    ("name: \"cfg2\"", "name: \"CFG1\"", "cannot be told apart"),
    ("name: \"cfg2\"", "name: \"cfg1.example.org\"", "cannot be told apart"),
    ("name: \"cfg2\"", "name: \"../cfg2\"", "cannot be used as a name"),
    ("[\"192.0.2.12\", \"10.99.0.12\"]", "[\"192.0.2.12\"]", "the master has 2 heartbeat paths and the slave has 1"),
    ("[\"192.0.2.12\", \"10.99.0.12\"]", "[\"192.0.2.12\", \"192.0.2.12\"]", "stands here twice"),
    ("[\"192.0.2.12\", \"10.99.0.12\"]", "[\"192.0.2.12\", \"10.99.0.11\"]", "path 2 leads from 10.99.0.11 to itself"),
    ("[\"192.0.2.12\", \"10.99.0.12\"]", "[\"192.0.2.12\", \"2001:db8::12\"]", "IPv4 and IPv6 do not meet"),
    ("timeout: \"4s\"", "timeout: \"6s\"", "`timeout` 6s is longer than `every` 5s"),
    ("(3, of: 5)", "(6, of: 5)", "6 failures among 5 rounds cannot happen"),
    ("(3, of: 5)", "(3, of: 33)", "from 1 to 32"),
    ("(3, of: 5)", "(0, of: 5)", "from 1 to 32"),
    ("(3, of: 5)", "(3, of: 5), of: 5", "told twice"),
    ("(3, of: 5)", "(3)", "`fails: (3, of: 5)`"),
    ("name: \"imap\"", "name: \"pop3\"", "two checks have the name \"pop3\""),
    ("Port(name: \"imap\"", "Prt(name: \"imap\"", "did you mean `Port`?"),
    ("user: \"canary\", ", "", "`Pop3` needs the key `user`"),
    ("slave: \"cfg2\"", "slave: \"cfg1\"", "both hosts are the server \"cfg1\""),
    ("backend: \"pop3\"", "backend: \"pop3;quit\"", "no name of HAProxy"),
    ("socket: \"192.0.2.5:9999\"", "socket: \"192.0.2.5:x\"", "is no port"),
    ("HaProxy(", "Haproxy(", "did you mean `HaProxy`?"),
    ("to: [\"ops@example.org\"]", "to: [\"ops\"]", "is no mail address"),
    ("relays: [", "login: (user: \"u\", password_file: \"p\"), relays: [", "in clear text"),
    ("objective_outage", "rcmd: Rcmd(user: \"-oProxyCommand=x\"), objective_outage", "no name of a user"),
    ("service: (", "service: Servce(", "`Service(…)` is expected here"),
    ("monitor_port: 7890", "monitor_port: {}", "a number is expected here, not a map"),
    ("monitor_port: 7890", "monitor_port: 'x'", "not a single character"),
    ("name: \"mail\"", "name: mail", "write, for example, \"mail\""),
];

#[test]
fn each_mistake_is_one_problem_that_says_what_to_write() {
    for (from, to, wanted) in REFUSED {
        let problems = refused(&changed(from, to));
        let shown = problems.to_string();
        assert!(shown.contains(wanted), "for {to:?} {wanted:?} is missing in:\n{shown}");
        assert_eq!(problems.list().len(), 1, "for {to:?}:\n{shown}");
        let problem = &problems.list()[0];
        assert!(problem.line > 0 && problem.column > 0, "for {to:?} there is no place:\n{shown}");
        assert!(shown.contains(&format!("failover.ron:{}:{}", problem.line, problem.column)), "{shown}");
    }
}

#[test]
fn an_acknowledgement_without_evidence_is_refused() {
    let text = changed("stopped_when: [NoProcess(\"dovecot\"), PortsClosed([110, 143]), NotMounted(\"/mail\")],", "");
    let shown = refused(&text).to_string();
    assert!(shown.contains("nothing tells whether the service has stopped"), "{shown}");
    good(&text.replace("[Ack, Operator]", "[Operator]"));
}

#[test]
fn a_time_out_that_covers_the_stop_list_is_allowed() {
    let text = changed("[Ack, Operator]", "[Ack, Timeout(two_actives_possible: true)]");
    let config = good(&text.replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"124s\"")).config;
    assert_eq!(stop_limit(&config.timing, &config.service), Duration::from_secs(124));
    refused(&text.replace("shutdown_timeout: \"60s\"", "shutdown_timeout: \"123999ms\""));
}

#[test]
fn a_sum_that_rests_on_an_agent_that_keeps_silent_is_warned_of_and_not_refused() {
    let text = changed("[Ack, Operator]", "[Ack, Timeout(two_actives_possible: true)]");
    assert!(refused(&text).to_string().contains("the other host would start while the stop list still runs"));
    let (head, rest) = text.split_once("shutdown_scripts:").expect("a list");
    let (_, tail) = rest.split_once("stopped_when").expect("its end");
    let text = format!("{head}resources: [Ocf(name: \"web\", agent: \"nobody/X\")],\n        stopped_when{tail}");
    let shown = good(&text).warnings.to_string();
    assert!(shown.contains("the other host would start while the stop list still runs"), "{shown}");
}

#[test]
fn a_missing_comma_is_told_at_its_place() {
    let problems = refused(&changed("name: \"mail\",", "name: \"mail\""));
    let shown = problems.to_string();
    assert_eq!(problems.list().len(), 1, "{shown}");
    assert!(shown.contains("a `,` or the closing `)` is missing before this"), "{shown}");
    assert!(shown.contains("this is no RON") && (4..=5).contains(&problems.list()[0].line), "{shown}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    for key in ["password", "passwd", "Password"] {
        let text = changed("password_file: \"canary.pass\"", &format!("{key}: \"s3cret\""));
        let problems = refused(&text);
        let shown = format!("{problems} {}", problems.render(true));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("password_file"), "{shown}");
        // Nor when the text cannot be read at all.
        for broken in [text.replace("\"s3cret\"", "\"s3cret"), text.replace("\"s3cret\",", "\"s3cret\"")] {
            let shown = refused(&broken).to_string();
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}

#[test]
fn a_list_that_is_too_long_is_refused() {
    let checks: String = (0..65).map(|number| format!("Port(name: \"p{number}\", port: 1),")).collect();
    let shown = refused(&changed("checks: [", &format!("checks: [{checks}"))).to_string();
    assert!(shown.contains("at most 64"), "{shown}");
}

#[test]
fn warnings_are_told_without_refusing() {
    let warned = |text: &str, wanted: &str| {
        let shown = good(text).warnings.to_string();
        assert!(shown.contains(wanted), "{wanted:?} is missing in:\n{shown}");
    };
    warned(SKETCH, "`shutdown_timeout` 1min is shorter than the stop it waits for");
    warned(&changed("[Ack, Operator]", "[Ack]"), "nothing can release the service of a silent host");
    warned(&changed("[Ack, Operator]", "[Operator]"), "`Ack` is not allowed");
    warned(&changed("NoProcess(\"dovecot\"), ", ""), "`stopped_when` looks at no process");
    warned(&changed("objective_outage: \"9min\"", "objective_outage: \"1min\""), "more than `objective_outage` 1min");
}

#[test]
fn a_name_is_looked_up_at_load_and_its_traps_are_told() {
    let with = |found: fn(&str) -> std::io::Result<Vec<IpAddr>>| {
        let text = changed("address: \"192.0.2.12\"", "address: \"cfg2.example.org\"");
        parse_with(&text, Path::new("failover.ron"), Path::new("/etc/failover"), found)
    };
    let loaded = with(|_| Ok(vec![IpAddr::from([192, 0, 2, 14]), IpAddr::from([192, 0, 2, 13])]));
    // Resolvers turn their answers round; both hosts must take the same.
    assert_eq!(
        loaded.unwrap_or_else(|problems| panic!("{problems}")).config.slave.address,
        IpAddr::from([192, 0, 2, 13])
    );
    let told = |found, wanted: &str| {
        let shown = with(found).err().map(|problems| problems.to_string()).unwrap_or_default();
        assert!(shown.contains(wanted), "{wanted:?} is missing in:\n{shown}");
    };
    told(|_| Ok(vec![IpAddr::from([127, 0, 1, 1])]), "see /etc/hosts");
    told(|_| Ok(vec![]), "the name has no address");
    told(|_| Err(std::io::Error::other("no answer")), "the name was not resolved (no answer)");
}

#[test]
fn an_address_literal_asks_no_resolver() {
    fn nobody(name: &str) -> std::io::Result<Vec<IpAddr>> {
        panic!("{name} was looked up")
    }
    assert!(parse_with(SKETCH, Path::new("failover.ron"), Path::new("/etc/failover"), nobody).is_ok());
}
