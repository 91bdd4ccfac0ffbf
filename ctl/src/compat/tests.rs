//! What is laid out, and that scripts written by the contract run on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::install;
use crate::exit::Exit;
use crate::out::Out;

fn installed(root: &Path) -> anyhow::Result<String> {
    let mut text = Vec::new();
    assert_eq!(install::run(root, &mut Out::plain(&mut text))?, Exit::Ok);
    Ok(String::from_utf8(text)?)
}

#[test]
fn everything_that_failover_scripts_expect_is_laid_out() {
    let folder = tempfile::tempdir().unwrap();
    installed(folder.path()).unwrap();
    for place in ["var/ha/actions", "var/ha/resources", "var/ha/logs", "usr/lib/failsafe", "usr/lib/clumanager"] {
        assert!(folder.path().join(place).is_dir(), "{place}");
    }
    assert_eq!(fs::read_link(folder.path().join("sbin/sh")).unwrap(), Path::new("/bin/sh"));
    for program in
        ["sbin/killall", "usr/lib/failsafe/ha_cfginfo", "usr/lib/failsafe/ha_cfgsum", "var/ha/resources/appclass"]
    {
        let mode = fs::metadata(folder.path().join(program)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{program}");
    }
    for place in ["common_scripts/scriptlib", "policies/ordered", "bin/ha_exec2", "bin/ha_cilog"] {
        assert!(folder.path().join("usr/lib/failsafe").join(place).is_file(), "{place}");
    }
    for script in ["exclusive", "start", "stop", "restart", "monitor"] {
        let path = folder.path().join("usr/lib/failsafe/resource_types/template").join(script);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o755, "{script}");
    }
    for place in ["common_scripts", "policies", "resource_types"] {
        let link = fs::read_link(folder.path().join("var/cluster/ha").join(place)).unwrap();
        assert_eq!(link, Path::new("/usr/lib/failsafe").join(place));
    }
    assert!(folder.path().join("usr/lib/clumanager/services").is_dir());
    assert!(folder.path().join("usr/lib/clumanager/library.sh").is_file());
    let vars = fs::read_to_string(folder.path().join("var/ha/actions/common.vars")).unwrap();
    for name in ["LOGGER", "TESTING", "CFG_INFO", "CFG_SEP", "CFG_SUM", "T_SERVER", "T_BACKUP", "HA_DIR"] {
        assert!(vars.lines().any(|line| line.starts_with(&format!("{name}="))), "{name} is not set");
    }
}

#[test]
fn every_command_of_the_old_systems_is_there_and_runs_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    installed(folder.path()).unwrap();
    for command in [
        "usr/bin/killall",
        "usr/sbin/clustat",
        "usr/sbin/sgicm-config-cluster-cmd",
        "usr/lib/failsafe/bin/cmgr",
        "usr/lib/failsafe/bin/cluster_mgr",
        "usr/lib/failsafe/bin/haStatus",
        "usr/lib/failsafe/bin/ha_cilog",
        "usr/lib/failsafe/bin/ha_exec2",
        "usr/lib/failsafe/bin/ha_ifdadmin",
        "usr/lib/failsafe/bin/ha_macconfig2",
        "usr/lib/failsafe/bin/ha_statd2",
    ] {
        let mode = fs::metadata(folder.path().join(command)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{command}");
    }
    let statd = Command::new(folder.path().join("usr/lib/failsafe/bin/ha_statd2")).output().unwrap();
    let said = String::from_utf8(statd.stderr).unwrap();
    assert!(!statd.status.success() && said.contains("rpc.statd -P") && said.contains("next: "), "{said}");
}

#[test]
fn every_resource_type_of_failsafe_is_a_folder_with_five_scripts_and_its_functions() {
    let folder = tempfile::tempdir().unwrap();
    installed(folder.path()).unwrap();
    let types = folder.path().join("usr/lib/failsafe/resource_types");
    for name in [
        "DMF",
        "INFORMIX_DB",
        "IP_address",
        "MAC_address",
        "NFS",
        "Netscape_web",
        "Oracle_DB",
        "Samba",
        "TMF",
        "filesystem",
        "statd_unlimited",
        "volume",
    ] {
        for script in ["exclusive", "start", "stop", "restart", "monitor", "functions"] {
            assert!(types.join(name).join(script).is_file(), "{name}/{script}");
        }
        let functions = fs::read_to_string(types.join(name).join("functions")).unwrap();
        for function in ["NEEDS=\"", "runs() ", "begin() ", "end() "] {
            assert!(functions.lines().any(|line| line.starts_with(function)), "{name} has no {function}");
        }
    }
    // IRIS had the same folder elsewhere, and one for messages between its daemons.
    assert!(folder.path().join("var/cluster/ha/comm").is_dir());
}

#[test]
fn nothing_that_is_there_is_overwritten_and_a_second_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sbin")).unwrap();
    fs::write(folder.path().join("sbin/killall"), "mine").unwrap();
    // A dangling link is something too.
    symlink("/nonexistent", folder.path().join("sbin/sh")).unwrap();
    let first = installed(folder.path()).unwrap();
    assert!(first.lines().any(|line| line.starts_with("kept") && line.ends_with("/sbin/killall")), "{first}");
    let second = installed(folder.path()).unwrap();
    assert!(!second.lines().any(|line| line.starts_with("made")), "{second}");
    assert_eq!(fs::read_to_string(folder.path().join("sbin/killall")).unwrap(), "mine");
    assert_eq!(fs::read_link(folder.path().join("sbin/sh")).unwrap(), Path::new("/nonexistent"));
}

#[test]
fn a_killall_that_is_the_hosts_own_does_not_call_itself() {
    let folder = tempfile::tempdir().unwrap();
    // One folder, as some distributions have it, and no psmisc.
    fs::create_dir_all(folder.path().join("usr/bin")).unwrap();
    symlink("usr/bin", folder.path().join("sbin")).unwrap();
    installed(folder.path()).unwrap();
    let [own, hosts] = ["sbin/killall", "usr/bin/killall"].map(|name| folder.path().join(name));
    let text = fs::read_to_string(&own).unwrap();
    // In this root, and with the name of what would be done in place of doing it.
    let program = std::env::current_exe().unwrap();
    let text = text.replace("/usr/bin/killall", &hosts.display().to_string());
    fs::write(&own, text.replace(&format!("exec '{}'", program.display()), "echo")).unwrap();
    let said = Command::new("timeout").arg("10").arg(&own).args(["-0", "named"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "compat killall -- -0 named\n", "{said:?}");
    // The host's own, if it is another file.
    fs::rename(&own, folder.path().join("killall")).unwrap();
    fs::write(&hosts, "#!/bin/sh\necho own \"$@\"\n").unwrap();
    fs::set_permissions(&hosts, fs::Permissions::from_mode(0o755)).unwrap();
    let said = Command::new(folder.path().join("killall")).args(["-0", "named"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "own -0 named\n", "{said:?}");
}

#[test]
fn a_link_that_leads_out_of_the_root_is_not_followed() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(other.path(), folder.path().join("sbin")).unwrap();
    let refusal = installed(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("which is not below"), "{refusal}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    // A link that stays inside is how Debian has it.
    fs::remove_file(folder.path().join("sbin")).unwrap();
    fs::create_dir_all(folder.path().join("usr/sbin")).unwrap();
    symlink("usr/sbin", folder.path().join("sbin")).unwrap();
    installed(folder.path()).unwrap();
    assert!(folder.path().join("usr/sbin/killall").exists());
}
