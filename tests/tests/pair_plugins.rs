//! The resource types of FailSafe, its commands and its tests for monitors, on the hosts of a pair. What these hosts do
//! not have (LVM, an NFS server, Samba, ping) has a stand-in that keeps a file in its place.

use anyhow::{Result, ensure};
use failover_shared::decision::{Duty, Role};
use failover_tests::lab::Host;
use failover_tests::lab::service::compat;
use failover_tests::pair::{Pair, Setup, own_service};
use failover_tests::program::program;

const TYPES: &str = "/usr/lib/failsafe/resource_types";
const BIN: &str = "/usr/lib/failsafe/bin";
const ADDRESS: &str = "198.18.77.30";
const HARDWARE_ADDRESS: &str = "02:00:5e:00:53:01";

/// Each type: its resource's name, its attributes, and a command that succeeds where the resource runs.
const RESOURCES: [(&str, &str, &str, &str); 12] = [
    (
        "volume",
        "vg",
        r#""volume": "vg0/mail", "device": "/run/vg0-mail", "devname-owner": "daemon", "devname-mode": "640""#,
        "test \"$(stat -c %U:%a /run/vg0-mail)\" = daemon:640",
    ),
    (
        "filesystem",
        "fs",
        r#""mount-point": "/run/shop", "volume-name": "shop", "type": "tmpfs", "mount-options": "size=1m", "monitor-level": "2""#,
        "mountpoint -q /run/shop",
    ),
    (
        "NFS",
        "export",
        r#""export-point": "/run/shop", "export-info": "rw", "clients": "198.18.77.0/24", "monitor-level": "2""#,
        "grep -q '^/run/shop 198.18.77.0/24(rw)' /run/exports",
    ),
    (
        "MAC_address",
        "mac",
        r#""interface-name": "lan1", "mac-address": "02:00:5e:00:53:01""#,
        "grep -q 02:00:5e:00:53:01 /sys/class/net/lan1/address",
    ),
    (
        "IP_address",
        "198.18.77.30",
        r#""NetworkMask": "255.255.255.0", "interfaces": "none0,lan1""#,
        "ip -o addr show dev lan1 | grep -q ' 198.18.77.30/24 '",
    ),
    (
        "Samba",
        "samba",
        r#""interfaces": "198.18.77.30/255.255.255.0 198.18.77.31/255.255.255.0""#,
        "grep -q -- '--option=interfaces=198.18.77.30/255.255.255.0 198.18.77.31/255.255.255.0' /run/smbd.started && /usr/lib/failsafe/bin/ha_exec2 -s 0 -t smbd -D",
    ),
    (
        "Oracle_DB",
        "oracle",
        r#""start-command": "setsid -f /run/oracle 86400 >/dev/null 2>&1", "process": "/run/oracle 86400", "monitor-level": "2",
           "query": "/usr/lib/failsafe/common_scripts/monitor query 1 echo 1""#,
        "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t /run/oracle 86400",
    ),
    (
        "INFORMIX_DB",
        "informix",
        r#""start-command": "setsid -f /run/informix 86400 >/dev/null 2>&1", "process": "/run/informix",
           "stop-command": "killall informix""#,
        "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t /run/informix",
    ),
    (
        "Netscape_web",
        "netscape",
        r#""start-command": "setsid -f /run/netscape 86400 >/dev/null 2>&1", "process": "netscape 86400""#,
        "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t netscape",
    ),
    (
        "DMF",
        "dmf",
        r#""start-command": "setsid -f /run/dmf 86400 >/dev/null 2>&1", "process": "dmf""#,
        "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t dmf",
    ),
    (
        "TMF",
        "tmf",
        r#""start-command": "setsid -f /run/tmf 86400 >/dev/null 2>&1", "process": "tmf""#,
        "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t tmf",
    ),
    (
        "statd_unlimited",
        "locks",
        r#""state-directory": "/run/shop", "InterfaceAddress": "198.18.77.30""#,
        "test -e /run/failover-statd.locks && grep -q -- '-f -P /run/shop -v 198.18.77.30' /run/notified",
    ),
];

/// Programs that these hosts lack, each as a line or two of shell.
const STAND_INS: [(&str, &str); 6] = [
    ("lvchange", "case $1 in -ay) : >/run/vg0-mail ;; -an) rm /run/vg0-mail ;; esac"),
    (
        "exportfs",
        r#"case $1 in
-s) cat /run/exports 2>/dev/null; exit 0 ;;
-o) echo "${3#*:} ${3%:*}($2)" >>/run/exports ;;
-u) grep -v "^${2#*:} " /run/exports >/run/exports.new; mv /run/exports.new /run/exports ;;
esac"#,
    ),
    ("sm-notify", r#"echo "$*" >>/run/notified"#),
    // An NFS mount of this host's own export, and only of what is exported.
    ("mount.nfs", r#"grep -q "^${1#localhost:} " /run/exports && exec mount --bind "${1#localhost:}" "$2""#),
    ("ping", "echo \"$*\" >>/run/pings; [ ! -e /run/somebody ] || echo x >/dev/udp/198.18.77.1/9"),
    ("systemctl", "echo \"$*\" >>/run/systemctl"),
];

/// Stays in the foreground for whom it called itself, as smbd's child does.
const SMBD: &str = "#!/bin/bash
if [ -z \"$CHILD\" ]; then echo \"$*\" >/run/smbd.started; CHILD=1 exec setsid -f /usr/local/bin/smbd \"$@\"; fi
exec </dev/null >/dev/null 2>&1 3<> <(:)
read -r -u 3
";

/// A web server with one page.
const WEB: &str = "defaults
    mode http
    timeout connect 2s
    timeout client 2s
    timeout server 2s
frontend web
    bind 127.0.0.1:8080
    http-request return status 404 if { path /gone }
    http-request return status 200 content-type text/plain string page
";

fn furnish(host: &Host) -> Result<()> {
    compat::install(host)?;
    for (name, text) in STAND_INS {
        let place = format!("/etc/failover/{name}");
        host.write(&place, &format!("#!/bin/bash\n{text}\n"), 0o755)?;
        let folder = if name == "mount.nfs" { "/usr/sbin" } else { "/usr/local/bin" };
        host.run(&["cp", &place, &format!("{folder}/{name}")])?;
    }
    host.write("/etc/failover/smbd", SMBD, 0o755)?;
    host.run(&["cp", "/etc/failover/smbd", "/usr/local/bin/smbd"])?;
    for name in ["oracle", "informix", "netscape", "dmf", "tmf"] {
        host.run(&["cp", "/bin/sleep", &format!("/run/{name}")])?;
    }
    host.run(&["mkdir", "/run/shop"])?;
    // A network that nothing else depends on, with a neighbour that is silent unless it is asked something.
    let net = "ip netns add next && ip link add lan1 type veth peer name lan1 netns next && ip link set lan1 up && \
               ip addr add 198.18.77.2/24 broadcast + dev lan1 && ip -n next link set lan1 up && \
               ip -n next addr add 198.18.77.1/24 dev lan1";
    host.run(&["sh", "-c", net])?;
    Ok(())
}

fn pair(test: &str) -> Result<Option<Pair>> {
    let Some(pair) = Pair::install(test, &Setup::default())? else { return Ok(None) };
    for host in pair.lab.pair() {
        furnish(host)?;
    }
    Ok(Some(pair))
}

/// The names of the types whose resource runs on the host.
fn running(host: &Host) -> Vec<&'static str> {
    let runs = |question: &str| host.run(&["sh", "-c", question]).is_ok();
    RESOURCES.iter().filter(|(_, _, _, question)| runs(question)).map(|(kind, ..)| *kind).collect()
}

/// What a command line says and exits with, as a person at the host sees it.
fn said(host: &Host, line: &str) -> Result<String> {
    host.run(&["sh", "-c", &format!("{{ {line}; }} 2>&1; echo exit $?")])
}

/// Calls an action script for a resource with the attributes that were written, and gives all that was said.
fn action_script(host: &Host, kind: &str, name: &str, action: &str) -> Result<String> {
    let line = format!(
        "export FAILOVER_RESOURCE={name} FAILOVER_RESOURCE_TYPE={kind}; \
         export FAILOVER_ATTRIBUTES=\"$(cat /etc/failover/attributes)\"; \
         echo {name} >/run/in; : >/run/out; {TYPES}/{kind}/{action} /run/in /run/out; cat /run/out"
    );
    said(host, &line)
}

#[test]
fn the_resource_types_of_failsafe_move_over_and_back() -> Result<()> {
    let test = "the_resource_types_of_failsafe_move_over_and_back";
    let Some(mut pair) = pair(test)? else { return Ok(()) };
    let entry = |(kind, name, attributes, _): &(&str, &str, &str, &str)| {
        format!(
            "FailSafe2(name: \"{name}\", resource_type: \"{TYPES}/{kind}\", attributes: {{{attributes}}}, timeout: \"8s\"),"
        )
    };
    let check = |(_, name, ..): &(&str, &str, &str, &str)| {
        format!("Resource(name: \"{name}-runs\", resource: \"{name}\", every: \"2s\"),")
    };
    let entries: String = RESOURCES.iter().map(entry).collect();
    pair.use_resources(&format!("{entries}{}", own_service()), "", &RESOURCES.iter().map(check).collect::<String>())?;
    pair.come_up()?;
    let all: Vec<&str> = RESOURCES.iter().map(|(kind, ..)| *kind).collect();
    let none: Vec<&str> = Vec::new();
    let here = |role: Role| running(pair.host(role));
    assert_eq!((here(Role::Master), here(Role::Slave)), (all.clone(), none.clone()), "{}", pair.story());
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((here(Role::Master), here(Role::Slave)), (none.clone(), all.clone()), "{}", pair.story());
    pair.order(Role::Master, &["takeback"])?;
    pair.wait_active(Role::Master)?;
    assert_eq!((here(Role::Master), here(Role::Slave)), (all, none), "{}", pair.story());
    Ok(())
}

#[test]
fn each_resource_type_starts_twice_is_asked_restarts_and_stops_twice() -> Result<()> {
    let Some(pair) = pair("each_resource_type_starts_twice_is_asked_restarts_and_stops_twice")? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    for (kind, name, attributes, _) in RESOURCES {
        let lines: Vec<String> =
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&format!("{{{attributes}}}"))?
                .iter()
                .map(|(key, value)| format!("{key} {}", value.as_str().unwrap_or_default()))
                .collect();
        host.write("/etc/failover/attributes", &lines.join("\n"), 0o644)?;
        let ask = |action: &str| action_script(host, kind, name, action);
        for (action, status) in [
            ("exclusive", 0),
            ("monitor", 2),
            ("start", 0),
            ("start", 0),
            ("monitor", 0),
            ("exclusive", 2),
            ("restart", 0),
            ("monitor", 0),
            ("stop", 0),
            ("stop", 0),
            ("exclusive", 0),
        ] {
            let told = ask(action)?;
            ensure!(told.contains(&format!("{name} {status}\n")), "{kind}/{action}: not {status}: {told}");
        }
        if kind == "NFS" {
            continue;
        }
        host.write("/etc/failover/attributes", "", 0o644)?;
        let told = ask("start")?;
        ensure!(told.contains("has no attribute") && told.contains(&format!("{name} 4\n")), "{kind}: {told}");
    }
    let told = said(host, "grep -c . /sys/class/net/lan1/address; cat /sys/class/net/lan1/address")?;
    ensure!(!told.contains(HARDWARE_ADDRESS), "the interface did not get its own hardware address back: {told}");
    Ok(())
}

#[test]
fn samba_takes_its_interfaces_in_dotted_decimal_only() -> Result<()> {
    let Some(pair) = pair("samba_takes_its_interfaces_in_dotted_decimal_only")? else { return Ok(()) };
    for (interfaces, status) in [("198.18.77.30/24", 2), ("lan1", 2), ("198.18.77.30/255.255.255.0", 0)] {
        pair.lab.cfg1.write("/etc/failover/attributes", &format!("interfaces {interfaces}"), 0o644)?;
        let told = action_script(&pair.lab.cfg1, "Samba", "samba", "start")?;
        ensure!(told.contains(&format!("samba {status}\n")), "{interfaces}: {told}");
        ensure!(status == 0 || told.contains("both in dotted decimal"), "{told}");
    }
    Ok(())
}

#[test]
fn an_interface_that_hears_nobody_and_gets_no_answer_to_a_broadcast_is_bad() -> Result<()> {
    let test = "an_interface_that_hears_nobody_and_gets_no_answer_to_a_broadcast_is_bad";
    let Some(pair) = pair(test)? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    // The neighbour's own first packets (IPv6 finds out that it is alone) are over.
    host.run(&[
        "sh",
        "-c",
        "sysctl -qw net.ipv6.conf.lan1.disable_ipv6=1; ip netns exec next sysctl -qw net.ipv6.conf.lan1.disable_ipv6=1",
    ])?;
    let ask = |seconds: u8| said(host, &format!("{BIN}/ha_ifdadmin -t {seconds} lan1"));
    host.run(&["sh", "-c", ": >/run/pings"])?;
    let told = ask(1)?;
    ensure!(told.contains("lan1: bad: no packet in 1 seconds") && told.contains("exit 1"), "{told}");
    ensure!(
        host.run(&["cat", "/run/pings"])?.contains("-b -c 3 -w 1 198.18.77.255"),
        "its broadcast address was not asked"
    );
    // Somebody answers, but only because somebody asks.
    host.run(&["sh", "-c", "touch /run/somebody; : >/run/pings"])?;
    let told = ask(2)?;
    ensure!(told == "exit 0\n", "{told}");
    ensure!(!host.run(&["cat", "/run/pings"])?.is_empty(), "it was good without a question");
    // Somebody speaks by himself: nobody is asked.
    host.run(&["sh", "-c", "rm /run/somebody; : >/run/pings"])?;
    let speaks = "for i in 1 2 3 4 5 6 7 8 9; do echo x >/dev/udp/198.18.77.2/9; sleep 0.2; done";
    let speaker = host.spawn(&["ip", "netns", "exec", "next", "bash", "-c", speaks])?;
    let told = ask(5)?;
    ensure!(told == "exit 0\n" && host.run(&["cat", "/run/pings"])?.is_empty(), "{told}");
    drop(speaker);
    let told = said(host, &format!("{BIN}/ha_ifdadmin -t 1 none0; {BIN}/ha_ifdadmin -t soon"))?;
    ensure!(
        told.contains("none0: there is no such interface") && told.contains("usage: ") && told.contains("exit 2"),
        "{told}"
    );
    Ok(())
}

#[test]
fn the_tests_of_the_failsafe_guide_pass_and_fail_as_they_should() -> Result<()> {
    let Some(pair) = pair("the_tests_of_the_failsafe_guide_pass_and_fail_as_they_should")? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    host.write("/etc/failover/web", WEB, 0o644)?;
    let _web = host.spawn(&["haproxy", "-db", "-f", "/etc/failover/web"])?;
    let monitor = |line: &str| said(host, &format!("/usr/lib/failsafe/common_scripts/monitor {line}"));
    let setup = |line: &str| host.run(&["sh", "-c", line]).map(drop);
    setup("echo started >/run/a.log; setsid -f /run/dmf 86400 >/dev/null 2>&1")?;
    setup("mount -t tmpfs none /run/shop; echo '/run/shop *(rw)' >/run/exports")?;
    let up = "until echo 2>/dev/null >/dev/tcp/127.0.0.1/8080; do sleep 0.05; done";
    host.run(&["timeout", "20", "bash", "-c", up])?;
    for (line, ends) in [
        ("page 127.0.0.1 8080 /", "exit 0"),
        ("page 127.0.0.1 8080 /gone", "127.0.0.1 answered 404 for /gone\nexit 1"),
        ("query 1 echo 1", "exit 0"),
        ("query 1 echo 2", "echo said 2, not 1\nexit 1"),
        ("query 1 false", "exit 1"),
        ("nfs localhost:/run/shop", "exit 0"),
        ("nfs localhost:/run/other", "exit 1"),
        ("grows /run/a.log", "exit 0"),
        ("grows /run/a.log", "nothing was written to /run/a.log since the last look\nexit 1"),
        ("grows /run/b.log", "exit 1"),
        ("says /run/a.log started", "exit 0"),
        ("says /run/a.log ended", "exit 1"),
        ("silent /run/a.log error", "exit 0"),
        ("silent /run/a.log start", "/run/a.log says: started\nexit 1"),
        ("present /run/a.log /run/shop", "exit 0"),
        ("present /run/a.log /run/b.log", "/run/b.log is not there\nexit 1"),
        ("process dmf 86400", "exit 0"),
        ("process dmf 99", "exit 1"),
        ("page 127.0.0.1 8081 /", "exit 1"),
        ("coffee a", "exit 2"),
        ("page", "exit 2"),
    ] {
        let told = monitor(line)?;
        ensure!(told.trim_end().ends_with(ends), "monitor {line}: {told}");
    }
    setup("echo more >>/run/a.log")?;
    ensure!(monitor("grows /run/a.log")?.ends_with("exit 0\n"), "a log that grew is called silent");
    ensure!(host.run(&["sh", "-c", "mount | grep -c monitor-nfs || true"])?.trim() == "0", "a mount was left");
    Ok(())
}

#[test]
fn killall_with_signal_0_says_whether_a_process_of_the_name_is_there() -> Result<()> {
    let Some(pair) = pair("killall_with_signal_0_says_whether_a_process_of_the_name_is_there")? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    host.run(&["sh", "-c", "setsid -f /run/dmf 86400 >/dev/null 2>&1"])?;
    // As on a host without psmisc.
    host.run(&["rm", "-f", "/usr/bin/killall"])?;
    let ctl = program("failoverctl")?.display().to_string();
    host.run(&[ctl.as_str(), "compat", "install", "--root", "/"])?;
    for (line, ends) in [
        ("/usr/bin/killall -0 dmf", "exit 0"),
        ("/usr/bin/killall -0 dmfs", "exit 1"),
        ("/sbin/killall -0 dmf", "exit 0"),
        ("/sbin/killall -k1 -TERM dmf", "exit 0"),
        ("/usr/bin/killall -0 dmf", "exit 1"),
    ] {
        let told = said(host, line)?;
        ensure!(told.trim_end().ends_with(ends), "{line}: {told}");
    }
    Ok(())
}

#[test]
fn the_commands_of_the_old_systems_show_and_move_the_pair() -> Result<()> {
    let Some(mut pair) = pair("the_commands_of_the_old_systems_show_and_move_the_pair")? else { return Ok(()) };
    pair.come_up()?;
    let told = said(&pair.lab.cfg2, &format!("{BIN}/haStatus -a -c mail"))?;
    ensure!(told.contains("Cluster state is ACTIVE.") && told.contains("Owner: cfg1"), "{told}");
    let told = said(&pair.lab.cfg2, "clustat")?;
    ensure!(told.contains("started") && told.contains("(this host)"), "{told}");
    let told = said(
        &pair.lab.cfg2,
        &format!("{BIN}/cluster_mgr -c 'admin move resource_group mail in cluster mail to node cfg2'"),
    )?;
    ensure!(told.ends_with("exit 0\n"), "{told}");
    pair.wait_active(Role::Slave)?;
    // The end of the services on a node gives the groups of that node away first.
    pair.wait_for(Role::Master, "the master to be ready", |status| {
        status.not_ready.is_empty() && status.readiness_age_ms.is_some()
    })?;
    let told = said(&pair.lab.cfg2, &format!("echo 'stop ha_services on node cfg2 for cluster mail' | {BIN}/cmgr"))?;
    ensure!(told.ends_with("exit 0\n"), "{told}");
    let status = pair.wait_active(Role::Master)?;
    assert_eq!(status.duty, Duty::Active);
    assert_eq!(pair.lab.cfg2.run(&["cat", "/run/systemctl"])?, "stop failover-slave\n");
    let told = said(&pair.lab.cfg1, &format!("{BIN}/cmgr -c start ha_services on node cfg1"))?;
    ensure!(told.ends_with("exit 0\n"), "{told}");
    assert_eq!(pair.lab.cfg1.run(&["cat", "/run/systemctl"])?, "start failover-master\n");
    Ok(())
}

#[test]
fn a_host_whose_action_scripts_get_no_room_for_their_files_is_not_ready() -> Result<()> {
    let test = "a_host_whose_action_scripts_get_no_room_for_their_files_is_not_ready";
    let Some(mut pair) = pair(test)? else { return Ok(()) };
    let entry = format!(
        "FailSafe2(name: \"dmf\", resource_type: \"{TYPES}/DMF\", timeout: \"8s\", attributes: {{\"process\": \"dmf\", \
         \"start-command\": \"setsid -f /run/dmf 86400 >/dev/null 2>&1\"}}), {}",
        own_service()
    );
    pair.use_resources(&entry, "", "")?;
    pair.come_up()?;
    let told =
        |reasons: &[String]| reasons.iter().any(|reason| reason.contains("/tmp has ") && reason.contains("kB left"));
    pair.lab.cfg2.run(&["mount", "-t", "tmpfs", "-o", "size=1m", "none", "/tmp"])?;
    pair.wait_for(Role::Slave, "the full /tmp to be told", |status| told(&status.not_ready))?;
    pair.lab.cfg2.run(&["umount", "/tmp"])?;
    pair.wait_for(Role::Slave, "the room to be seen", |status| !told(&status.not_ready))?;
    Ok(())
}
