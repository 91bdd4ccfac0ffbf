//! The commands of FailSafe and Cluster Manager, and the tests for monitors that FailSafe's guide gives, on the hosts of a
//! pair. What these hosts do not have (systemd, ping, an NFS server, a syslog) has a stand-in.

use anyhow::{Result, ensure};
use failover_shared::decision::{Duty, Role};
use failover_tests::lab::Lab;
use failover_tests::lab::service::compat::{self, said};
use failover_tests::pair::{Pair, Setup};
use failover_tests::program::program;

const BIN: &str = "/usr/lib/failsafe/bin";

/// Programs that these hosts lack.
const STAND_INS: [(&str, &str); 4] = [
    ("/usr/sbin/mount.nfs", compat::MOUNT_OWN_EXPORT),
    ("/usr/local/bin/ping", "echo \"$*\" >>/run/pings; [ ! -e /run/somebody ] || echo x >/dev/udp/198.18.77.1/9"),
    ("/usr/local/bin/systemctl", "echo \"$*\" >>/run/systemctl"),
    ("/usr/local/bin/logger", "echo \"$*\" >>/run/syslog"),
];

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

fn pair(test: &str) -> Result<Option<Pair>> {
    let Some(pair) = Pair::install(test, &Setup::default())? else { return Ok(None) };
    for host in pair.lab.pair() {
        compat::furnish(host, &STAND_INS, &["dmf"])?;
    }
    Ok(Some(pair))
}

#[test]
fn an_interface_that_hears_nobody_and_gets_no_answer_to_a_broadcast_is_bad() -> Result<()> {
    let test = "an_interface_that_hears_nobody_and_gets_no_answer_to_a_broadcast_is_bad";
    let Some(pair) = pair(test)? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    compat::quiet_network(host)?;
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
    // Without ping nothing can be told, and that is seen at once.
    let told = said(host, &format!("mv /usr/local/bin/ping /run; rm -f /usr/bin/ping; {BIN}/ha_ifdadmin -t 1 lan1"))?;
    ensure!(told.starts_with("ping is not installed") && told.ends_with("exit 2\n"), "{told}");
    host.run(&["mv", "/run/ping", "/usr/local/bin/ping"])?;
    // Without a name it is each interface that is up.
    let told = said(host, &format!("{BIN}/ha_ifdadmin -t 1"))?;
    ensure!(told.contains("lan1: bad") && !told.contains("lo: "), "{told}");
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
fn a_look_at_an_export_that_was_killed_or_could_not_unmount_it_leaves_one_mount_until_the_next() -> Result<()> {
    let test = "a_look_at_an_export_that_was_killed_or_could_not_unmount_it_leaves_one_mount_until_the_next";
    let Some(pair) = pair(test)? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    let setup = |line: &str| host.run(&["sh", "-c", line]).map(drop);
    setup("mount -t tmpfs none /run/shop; echo '/run/shop *(rw)' >/run/exports")?;
    for (name, lines) in [
        ("stat", "[ ! -e /run/kills ] || kill -KILL $PPID; exec /usr/bin/stat \"$@\""),
        ("umount", "[ ! -e /run/busy ] || exit 32; exec /usr/bin/umount \"$@\""),
    ] {
        host.write("/etc/failover/stand-in", &format!("#!/bin/sh\n{lines}\n"), 0o755)?;
        setup(&format!("cp /etc/failover/stand-in /usr/local/bin/{name}"))?;
    }
    let look = || said(host, "/usr/lib/failsafe/common_scripts/monitor nfs localhost:/run/shop");
    let mounts = || Ok::<_, anyhow::Error>(host.run(&["cat", "/proc/self/mountinfo"])?.matches("monitor-nfs").count());
    for (state, ends) in [("/run/kills", "exit 137\n"), ("/run/busy", "cannot be unmounted\nexit 1\n")] {
        setup(&format!("touch {state}"))?;
        for _ in 0..3 {
            let told = look()?;
            ensure!(told.ends_with(ends), "{state}: {told}");
            assert_eq!(mounts()?, 1, "{state}: {told}");
        }
        setup(&format!("rm {state}"))?;
        let told = look()?;
        ensure!(told == "exit 0\n", "{state}: {told}");
        assert_eq!(mounts()?, 0, "{state}");
    }
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
fn a_disk_that_is_full_leaves_no_piece_that_was_cut() -> Result<()> {
    let test = "a_disk_that_is_full_leaves_no_piece_that_was_cut";
    let Some(lab) = Lab::new(test)? else { return Ok(()) };
    let (host, ctl) = (&lab.cfg1, program("failoverctl")?.display().to_string());
    host.run(&["mkdir", "/run/whole", "/run/small"])?;
    host.run(&["mount", "-t", "tmpfs", "-o", "size=64k", "none", "/run/small"])?;
    host.run(&[ctl.as_str(), "compat", "install", "--root", "/run/whole"])?;
    let told = said(host, &format!("{ctl} compat install --root /run/small"))?;
    ensure!(told.contains("could not be made") && !told.ends_with("exit 0\n"), "the disk was not full: {told}");
    // With room made for it, a second run lays out all that the first one lacks.
    host.run(&["mount", "-o", "remount,size=16m", "/run/small"])?;
    let told = said(host, &format!("{ctl} compat install --root /run/small"))?;
    ensure!(told.contains("kept") && told.ends_with("exit 0\n"), "{told}");
    let differs = said(host, "diff -r --no-dereference /run/whole /run/small")?;
    ensure!(differs == "exit 0\n", "{differs}");
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
fn what_old_scripts_log_reaches_syslog_and_their_own_output() -> Result<()> {
    let Some(pair) = pair("what_old_scripts_log_reaches_syslog_and_their_own_output")? else { return Ok(()) };
    let host = &pair.lab.cfg1;
    let by_failsafe_1 = ". /var/ha/actions/common.vars; ${LOGGER} named is started";
    for (line, text) in [(by_failsafe_1, "named is started"), (&format!("{BIN}/ha_cilog web1 runs"), "web1 runs")] {
        let told = said(host, line)?;
        assert_eq!(told, format!("{text}\nexit 0\n"), "{line}");
        let syslog = host.run(&["cat", "/run/syslog"])?;
        ensure!(syslog.contains(&format!("-t failsafe -- {text}\n")), "{line}: {syslog}");
    }
    Ok(())
}

#[test]
fn a_user_script_that_is_called_wrongly_fails_and_says_how_it_is_called() -> Result<()> {
    let test = "a_user_script_that_is_called_wrongly_fails_and_says_how_it_is_called";
    let Some(pair) = pair(test)? else { return Ok(()) };
    let call = |arguments: &str| {
        let line = format!("cd /usr/lib/clumanager; . ./library.sh; . ./template; myapp {arguments}");
        said(&pair.lab.cfg1, &format!("bash -c '{line}'"))
    };
    let usage = "usage: myapp start|stop|status ID";
    for (arguments, text) in
        [("start", usage), ("start 7 7", usage), ("restart 7", "restart is none of start, stop, status")]
    {
        let told = call(arguments)?;
        ensure!(told.ends_with(&format!("{text}\nexit 1\n")), "myapp {arguments}: {told}");
    }
    ensure!(call("start 7")?.ends_with("exit 0\n"), "a right call fails: {}", call("start 7")?);
    Ok(())
}
