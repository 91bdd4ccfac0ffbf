//! Debian's resource agents as they are: store, mail server, address and more of a pair that moves.

use std::path::Path;

use anyhow::{Result, ensure};
use failover_shared::decision::{Role, StateName};
use failover_tests::lab::{Host, not_run};
use failover_tests::pair::{Pair, Setup, own_service};
use nix::sys::signal::Signal;

const ADDRESS: &str = "10.77.0.30";
/// In place of all of the lab's own scripts.
const RESOURCES: &str = r#"
    Ocf(name: "store", agent: "heartbeat/Filesystem", class: Filesystem, parameters: {
        "device": "/store", "directory": "/mail", "fstype": "none", "options": "bind",
    }),
    Ocf(name: "address", agent: "ocf:heartbeat:IPaddr2", class: Ip, parameters: {
        "ip": "10.77.0.30", "cidr_netmask": 24, "nic": "eth0",
    }),
    Ocf(name: "mail", agent: "/usr/lib/ocf/resource.d/heartbeat/dovecot", class: UserApplication),
    Ocf(name: "any", agent: "heartbeat/anything", class: UserApplication, parameters: {
        "binfile": "/run/any", "cmdline_options": "86400",
    }),
    Ocf(name: "dummy", agent: "heartbeat/Dummy", class: UserApplication),
    Ocf(name: "letter", agent: "heartbeat/MailTo", class: UserApplication, parameters: {
        "email": "ops@example.org", "subject": "the mail pair:",
    }),
"#;
/// In place of mail(1): keeps the subject and to whom.
const MAIL: &str = "#!/bin/sh\necho \"$*\" >>/run/letters\ncat >/dev/null\n";
const CHECKS: &str = r#"
    Resource(name: "store-runs", resource: "store", every: "2s"),
    Resource(name: "address-runs", resource: "address", every: "2s"),
    Resource(name: "mail-runs", resource: "mail", every: "2s"),
    Resource(name: "any-runs", resource: "any", every: "1s", fails: 2, restarts: 1),
    Resource(name: "dummy-runs", resource: "dummy", every: "2s"),
"#;

fn pair(test: &str) -> Result<Option<Pair>> {
    if !Path::new("/usr/lib/ocf/resource.d/heartbeat/Dummy").exists() {
        not_run(test, "resource-agents is not installed")?;
        return Ok(None);
    }
    let Some(pair) = Pair::install(test, &Setup::default())? else { return Ok(None) };
    for host in pair.lab.pair() {
        // The agent asks Dovecot with its usual configuration.
        host.run(&["mkdir", "-p", "/etc/dovecot"])?;
        host.run(&["ln", "-sf", "/etc/failover/dovecot.conf", "/etc/dovecot/dovecot.conf"])?;
        // As on any host; the agent looks for bind mounts there.
        host.run(&["ln", "-sf", "/proc/self/mounts", "/etc/mtab"])?;
        host.run(&["cp", "/bin/sleep", "/run/any"])?;
        // The machine's own folder is left alone.
        host.run(&["mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin"])?;
        host.write("/etc/failover/mail", MAIL, 0o755)?;
        host.run(&["install", "/etc/failover/mail", "/usr/local/sbin/mail"])?;
    }
    pair.use_resources(RESOURCES, "", CHECKS)?;
    Ok(Some(pair))
}

/// What runs on a host: address, mail server, the process of `anything`, the store, Dummy's note.
fn here(host: &Host) -> Result<[bool; 5]> {
    let processes = host.processes()?;
    let runs = |name: &str| processes.iter().any(|process| process.name == name);
    let addresses = host.run(&["ip", "-o", "address", "show", "dev", "eth0"])?;
    let mounted = host.run(&["mountpoint", "-q", "/mail"]).is_ok();
    let noted = host.run(&["sh", "-c", "ls /run/resource-agents/Dummy-dummy.state"]).is_ok();
    Ok([addresses.contains(ADDRESS), runs("dovecot"), runs("any"), mounted, noted])
}

/// What the agent that writes letters has sent from a host: a word for each.
fn letters(host: &Host) -> Result<Vec<&'static str>> {
    let sent = host.run(&["sh", "-c", "cat /run/letters 2>/dev/null; true"])?;
    ensure!(
        sent.lines().all(|line| line.starts_with("-s the mail pair:") && line.ends_with("ops@example.org")),
        "{sent}"
    );
    let word = |line: &str| if line.contains("Takeover in progress") { "start" } else { "stop" };
    Ok(sent.lines().map(word).collect())
}

#[test]
fn debians_agents_for_store_address_and_mail_move_over_and_back() -> Result<()> {
    let test = "debians_agents_for_store_address_and_mail_move_over_and_back";
    let Some(mut pair) = pair(test)? else { return Ok(()) };
    pair.come_up()?;
    let (cfg1, cfg2) = (&pair.lab.cfg1, &pair.lab.cfg2);
    assert_eq!((here(cfg1)?, here(cfg2)?), ([true; 5], [false; 5]), "{}", pair.story());
    cfg1.signal("dovecot", Signal::SIGKILL)?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((here(cfg1)?, here(cfg2)?), ([false; 5], [true; 5]), "{}", pair.story());
    pair.wait_readable()?;
    pair.wait_for(Role::Master, "the master to be ready", |status| {
        status.not_ready.is_empty() && status.readiness_age_ms.is_some()
    })?;
    pair.order(Role::Master, &["takeback"])?;
    pair.wait_active(Role::Master)?;
    assert_eq!((here(cfg1)?, here(cfg2)?), ([true; 5], [false; 5]), "{}", pair.story());
    assert_eq!((letters(cfg1)?, letters(cfg2)?), (vec!["start", "stop", "start"], vec!["start", "stop"]));
    let history = pair.history(Role::Slave)?;
    ensure!(history.contains("OCF_SUCCESS"), "the journal does not tell what the exits mean: {history}");
    Ok(())
}

#[test]
fn an_agents_resource_that_dies_is_restarted_here_first() -> Result<()> {
    let Some(mut pair) = pair("an_agents_resource_that_dies_is_restarted_here_first")? else { return Ok(()) };
    pair.come_up()?;
    pair.lab.cfg1.signal("any", Signal::SIGKILL)?;
    pair.wait_noted(Role::Master, "the resource is restarted here first, 1 of 1")?;
    pair.wait_for(Role::Master, "the restart", |status| {
        status.state == StateName::Active && here(&pair.lab.cfg1).is_ok_and(|here| here == [true; 5])
    })?;
    Ok(())
}

#[test]
fn an_agents_resource_that_runs_before_the_start_is_found_by_its_probe() -> Result<()> {
    let Some(mut pair) = pair("an_agents_resource_that_runs_before_the_start_is_found_by_its_probe")? else {
        return Ok(());
    };
    // Somebody has given the stand-by the address, which no post-condition looks at.
    pair.lab.cfg2.run(&["ip", "address", "add", &format!("{ADDRESS}/24"), "dev", "eth0"])?;
    pair.start(Role::Slave)?;
    let status = pair.wait_state(Role::Slave, StateName::ExclusivityError)?;
    ensure!(status.way_out.contains("address exited 0: OCF_SUCCESS"), "{}", status.way_out);
    Ok(())
}

/// An agent that tells everybody what it should keep to itself. At each call it notes of itself and of every process above
/// it what anybody can see while it runs: the arguments, and the names of the variables.
const TALKER: &str = r#"#!/bin/sh
if [ "$1" != meta-data ]; then
    echo "$1 with the word $OCF_RESKEY_word"
    pid=$$
    while [ "$pid" -gt 1 ]; do
        arguments=$(tr '\0\n' '  ' <"/proc/$pid/cmdline")
        names=$(tr '\0' '\n' <"/proc/$pid/environ" | sed 's/=.*//' | tr '\n' ' ')
        echo "$arguments| $names"
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    done >>/run/seen
fi
case $1 in
meta-data) echo '<resource-agent name="talker"><parameters><parameter name="word"/></parameters></resource-agent>' ;;
start) touch /run/talker ;;
stop) rm -f /run/talker ;;
monitor) [ -e /run/talker ] || exit 7 ;;
esac
"#;
const WORD: &str = "open-sesame-4711";

#[test]
fn a_secret_of_an_agent_is_in_no_journal_log_or_status_of_the_pair() -> Result<()> {
    let test = "a_secret_of_an_agent_is_in_no_journal_log_or_status_of_the_pair";
    // Pages that cannot be delivered lie in the state's folder.
    let setup = Setup { more: r#"notify: Command("false"),"#, ..Setup::default() };
    let Some(mut pair) = Pair::install(test, &setup)? else { return Ok(()) };
    for host in pair.lab.pair() {
        host.write("/etc/failover/own/talker", TALKER, 0o755)?;
        host.write("/etc/failover/talker.pass", &format!("{WORD}\n"), 0o600)?;
    }
    let talker = r#"Ocf(name: "talker", agent: "/etc/failover/own/talker", secret_parameters: {"word": "talker.pass"}, timeout: "9s"),"#;
    let check = r#"Resource(name: "talker-runs", resource: "talker", every: "2s"),"#;
    pair.use_resources(&format!("{talker}{}", own_service()), "", check)?;
    pair.come_up()?;
    // Its monitor fails, and what it says is the reason of the move.
    pair.lab.cfg1.run(&["rm", "/run/talker"])?;
    pair.wait_active(Role::Slave)?;
    for role in [Role::Master, Role::Slave] {
        let host = pair.host(role);
        let in_all_files = |folders: &str| {
            host.run(&["sh", "-c", &format!("find {folders} -type f -exec cat {{}} + | tr -cd '[:print:]\\n'")])
        };
        let kept = in_all_files("/var/log/failover /var/lib/failover")?;
        ensure!(kept.contains("start with the word [secret]"), "the agent did not talk: {}", pair.story());
        // The host that took over has a page to send.
        let pages = in_all_files("/var/lib/failover/pages")?;
        ensure!(role == Role::Master || !pages.is_empty(), "no page waits there: {}", pair.story());
        let told = [pair.history(role)?, pair.ctl(role, &["status"])?.stdout, pair.log(role), kept];
        ensure!(!told.iter().any(|text| text.contains(WORD)), "the word is out: {told:?}");
        let seen = host.run(&["cat", "/run/seen"])?;
        ensure!(!seen.contains(WORD), "the word is an argument: {seen}");
        // The agent has it as a variable, and neither the daemon nor its guardian.
        let (of_agent, above): (Vec<&str>, Vec<&str>) = seen.lines().partition(|line| line.contains("talker"));
        let has_it = |line: &&str| line.contains("OCF_RESKEY_word");
        ensure!(!of_agent.is_empty() && of_agent.iter().all(has_it), "it did not see itself: {seen}");
        let daemon = format!("failover-{role}");
        ensure!(above.iter().any(|line| line.contains(&daemon)), "it did not see the daemon: {seen}");
        ensure!(!above.iter().any(has_it), "the word is a variable of another process: {seen}");
    }
    Ok(())
}
