//! The resource types of FailSafe, in a pair that moves. What these hosts do not have (LVM, an NFS server, Samba) has a
//! stand-in that keeps a file in its place.

use anyhow::{Result, ensure};
use failover_shared::decision::Role;
use failover_tests::lab::Host;
use failover_tests::lab::service::compat::{self, said};
use failover_tests::pair::{Pair, Setup, own_service};

const TYPES: &str = "/usr/lib/failsafe/resource_types";
const HARDWARE_ADDRESS: &str = "02:00:5e:00:53:01";

/// A resource of a type.
struct Sample {
    kind: &'static str,
    name: &'static str,
    attributes: &'static str,
    /// A command line that succeeds where it runs.
    runs: &'static str,
}

/// One of each type.
const SAMPLES: [Sample; 12] = [
    Sample {
        kind: "volume",
        name: "vg",
        attributes: r#""volume": "vg0/mail", "device": "/run/vg0-mail", "devname-owner": "daemon", "devname-mode": "640""#,
        runs: "test \"$(stat -c %U:%a /run/vg0-mail)\" = daemon:640",
    },
    Sample {
        kind: "filesystem",
        name: "fs",
        attributes: r#""mount-point": "/run/shop", "volume-name": "shop", "type": "tmpfs", "mount-options": "size=1m", "monitor-level": "2""#,
        runs: "mountpoint -q /run/shop",
    },
    Sample {
        kind: "NFS",
        name: "export",
        attributes: r#""export-point": "/run/shop", "export-info": "rw", "clients": "198.18.77.0/24", "monitor-level": "2""#,
        runs: "grep -q '^/run/shop 198.18.77.0/24(rw)' /run/exports",
    },
    Sample {
        kind: "MAC_address",
        name: "mac",
        attributes: r#""interface-name": "lan1", "mac-address": "02:00:5e:00:53:01""#,
        runs: "grep -q 02:00:5e:00:53:01 /sys/class/net/lan1/address",
    },
    Sample {
        kind: "IP_address",
        name: "198.18.77.30",
        attributes: r#""NetworkMask": "255.255.255.0", "interfaces": "none0,lan1""#,
        runs: "ip -o addr show dev lan1 | grep -q ' 198.18.77.30/24 '",
    },
    Sample {
        kind: "Samba",
        name: "samba",
        attributes: r#""interfaces": "198.18.77.30/255.255.255.0 198.18.77.31/255.255.255.0""#,
        runs: "grep -q -- '--option=interfaces=198.18.77.30/255.255.255.0 198.18.77.31/255.255.255.0' /run/smbd.started && /usr/lib/failsafe/bin/ha_exec2 -s 0 -t smbd -D",
    },
    Sample {
        kind: "Oracle_DB",
        name: "oracle",
        attributes: r#""start-command": "setsid -f /run/oracle 86400 >/dev/null 2>&1", "process": "/run/oracle 86400", "monitor-level": "2",
           "query": "/usr/lib/failsafe/common_scripts/monitor query 1 echo 1""#,
        runs: "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t /run/oracle 86400",
    },
    Sample {
        kind: "INFORMIX_DB",
        name: "informix",
        attributes: r#""start-command": "setsid -f /run/informix 86400 >/dev/null 2>&1", "process": "/run/informix",
           "stop-command": "killall informix""#,
        runs: "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t /run/informix",
    },
    Sample {
        kind: "Netscape_web",
        name: "netscape",
        attributes: r#""start-command": "setsid -f /run/netscape 86400 >/dev/null 2>&1", "process": "netscape 86400""#,
        runs: "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t netscape",
    },
    Sample {
        kind: "DMF",
        name: "dmf",
        attributes: r#""start-command": "setsid -f /run/dmf 86400 >/dev/null 2>&1", "process": "dmf""#,
        runs: "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t dmf",
    },
    Sample {
        kind: "TMF",
        name: "tmf",
        attributes: r#""start-command": "setsid -f /run/tmf 86400 >/dev/null 2>&1", "process": "tmf""#,
        runs: "/usr/lib/failsafe/bin/ha_exec2 -s 0 -t tmf",
    },
    Sample {
        kind: "statd_unlimited",
        name: "locks",
        attributes: r#""state-directory": "/run/shop", "InterfaceAddress": "198.18.77.30""#,
        runs: "test -e /run/failover-statd.locks && grep -q -- '-f -P /run/shop -v 198.18.77.30' /run/notified",
    },
];

/// Programs that these hosts lack.
const STAND_INS: [(&str, &str); 5] = [
    ("/usr/local/bin/lvchange", "case $1 in -ay) : >/run/vg0-mail ;; -an) rm /run/vg0-mail ;; esac"),
    (
        "/usr/local/bin/exportfs",
        r#"case $1 in
-s) cat /run/exports 2>/dev/null; exit 0 ;;
-o) echo "${3#*:} ${3%:*}($2)" >>/run/exports ;;
-u) grep -v "^${2#*:} " /run/exports >/run/exports.new; mv /run/exports.new /run/exports ;;
esac"#,
    ),
    ("/usr/local/bin/sm-notify", r#"echo "$*" >>/run/notified"#),
    ("/usr/sbin/mount.nfs", compat::MOUNT_OWN_EXPORT),
    // Calls itself once more, as a process of its own: smbd -D does that too.
    (
        "/usr/local/bin/smbd",
        r#"if [ -z "$CHILD" ]; then echo "$*" >/run/smbd.started; CHILD=1 exec setsid -f /usr/local/bin/smbd "$@"; fi
exec </dev/null >/dev/null 2>&1 3<> <(:)
read -r -u 3"#,
    ),
];

fn pair(test: &str) -> Result<Option<Pair>> {
    let Some(pair) = Pair::install(test, &Setup::default())? else { return Ok(None) };
    for host in pair.lab.pair() {
        compat::furnish(host, &STAND_INS, &["oracle", "informix", "netscape", "dmf", "tmf"])?;
        compat::quiet_network(host)?;
    }
    Ok(Some(pair))
}

/// The names of the types whose resource runs on the host.
fn running(host: &Host) -> Vec<&'static str> {
    let here = SAMPLES.iter().filter(|sample| host.run(&["sh", "-c", sample.runs]).is_ok());
    here.map(|sample| sample.kind).collect()
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
    let entry = |Sample { kind, name, attributes, .. }: &Sample| {
        format!(
            "FailSafe2(name: \"{name}\", resource_type: \"{TYPES}/{kind}\", attributes: {{{attributes}}}, timeout: \"8s\"),"
        )
    };
    let check =
        |Sample { name, .. }: &Sample| format!("Resource(name: \"{name}-runs\", resource: \"{name}\", every: \"2s\"),");
    let entries: String = SAMPLES.iter().map(entry).collect();
    pair.use_resources(&format!("{entries}{}", own_service()), "", &SAMPLES.iter().map(check).collect::<String>())?;
    pair.come_up()?;
    let all: Vec<&str> = SAMPLES.iter().map(|sample| sample.kind).collect();
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
    for Sample { kind, name, attributes, .. } in SAMPLES {
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
