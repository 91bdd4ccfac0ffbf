//! What the scripts of the types answer where they can look, and where they cannot. They speak to stand-ins; the lab has
//! the real programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::install;
use super::FOLDER;
use crate::out::Out;

/// Prints what the test wants, and ends as it wants.
const STAND_IN: &str = "#!/bin/sh\n[ -z \"$PRINTS\" ] || echo \"$PRINTS\"\nexit $ENDS\n";
/// What the scripts ask.
const ASKED: [&str; 4] = ["ip", "exportfs", "ha_exec2", "ha_macconfig2"];

/// A root with all types, and the stand-ins.
struct Laid(TempDir);

/// What an action script wrote for its resource, or how it ended if it wrote nothing.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Status(String),
    Ended(Option<i32>),
}

fn status(number: u8) -> Told {
    Told::Status(number.to_string())
}

impl Laid {
    fn out() -> Laid {
        let laid = Laid(tempfile::tempdir().unwrap());
        install::run(laid.0.path(), &mut Out::plain(&mut Vec::new())).unwrap();
        for (name, text) in ASKED.map(|name| (name, STAND_IN)).into_iter().chain([("ha_cilog", "#!/bin/sh\n")]) {
            let path = laid.path("bin").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        laid
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name.trim_start_matches('/'))
    }

    /// Asks the resource 198.51.100.7 of this type; the stand-ins print and end so.
    fn asked(&self, (kind, attributes): (&str, &str), action: &str, (prints, ends): (&str, u8)) -> Told {
        let (given, written) = (self.path("in"), self.path("out"));
        fs::write(&given, "198.51.100.7\n").unwrap();
        fs::write(&written, "").unwrap();
        let ended = self.call(kind, attributes, action, [&given, &written], (prints, ends));
        match fs::read_to_string(written).unwrap().trim().strip_prefix("198.51.100.7 ") {
            Some(status) => Told::Status(status.to_owned()),
            None => Told::Ended(ended),
        }
    }

    fn call(
        &self,
        kind: &str,
        attributes: &str,
        action: &str,
        files: [&Path; 2],
        (prints, ends): (&str, u8),
    ) -> Option<i32> {
        let script = self.path(FOLDER).join(kind).join(action);
        let bin = self.path("bin").display().to_string();
        let call = Command::new(script)
            .args(files)
            .env_clear()
            .env("PATH", format!("{bin}:/usr/bin:/bin"))
            .env("HA_CMDSPATH", bin)
            .env("HA_SCRIPTLIB", self.path("/usr/lib/failsafe/common_scripts/scriptlib"))
            .envs([("FAILOVER_RESOURCE", "198.51.100.7"), ("FAILOVER_RESOURCE_TYPE", kind)])
            .envs([("FAILOVER_ATTRIBUTES", attributes), ("PRINTS", prints), ("ENDS", &ends.to_string())])
            .output()
            .unwrap();
        call.status.code()
    }
}

const NFS: (&str, &str) = ("NFS", "export-point /run/shop\nexport-info rw");
const ADDRESS: (&str, &str) = ("IP_address", "NetworkMask 24\ninterfaces none0");
const SAMBA: (&str, &str) = ("Samba", "interfaces 198.51.100.7/255.255.255.0");
const DMF: (&str, &str) = ("DMF", "process dmf\nstart-command true");
const HARDWARE: (&str, &str) = ("MAC_address", "interface-name none0\nmac-address 02:00:5E:00:53:0a");
const TEMPLATE: (&str, &str) = ("template", "command /usr/sbin/mydaemon");

#[test]
fn a_type_says_that_it_does_not_run_only_where_it_could_look() {
    let laid = Laid::out();
    for (kind, runs, does_not) in [
        (NFS, ("/run/shop  *(rw)", 0), ("/run/other  *(rw)", 0)),
        (ADDRESS, ("2: eth0    inet 198.51.100.7/24 scope global eth0", 0), ("", 0)),
        (HARDWARE, ("02:00:5e:00:53:0a", 0), ("02:00:5e:00:53:0b", 0)),
        (SAMBA, ("", 0), ("", 1)),
        (DMF, ("", 0), ("", 1)),
        (TEMPLATE, ("", 0), ("", 1)),
    ] {
        assert_eq!(laid.asked(kind, "exclusive", runs), status(2), "{kind:?} runs");
        assert_eq!(laid.asked(kind, "exclusive", does_not), status(0), "{kind:?} does not run");
        if kind != TEMPLATE {
            assert_eq!(laid.asked(kind, "stop", does_not), status(0), "{kind:?}: there is nothing to stop");
        }
        // 127: it is not there.
        for cannot in [2, 127] {
            assert_eq!(laid.asked(kind, "exclusive", ("", cannot)), status(120), "{kind:?} cannot look");
            for action in ["start", "stop", "monitor", "restart"] {
                assert_eq!(laid.asked(kind, action, ("", cannot)), status(2), "{action} of {kind:?} cannot look");
            }
        }
    }
}

#[test]
fn a_file_system_is_looked_for_in_the_kernels_table_and_without_that_nobody_can_tell() {
    let laid = Laid::out();
    let link = laid.path("link").display().to_string();
    symlink("/proc", &link).unwrap();
    let asked = |point: &str, action: &str| {
        let attributes = format!("mount-point {point}\nvolume-name none");
        laid.asked(("filesystem", &attributes), action, ("", 0))
    };
    for (point, told) in [
        ("/proc", 2),
        ("/proc/", 2),
        (link.as_str(), 2),
        ("/nonexistent", 0),
        ("/nonexistent/a b/c", 0),
        ("/usr/bin", 0),
    ] {
        assert_eq!(asked(point, "exclusive"), status(told), "{point}");
    }
    assert_eq!(asked("/nonexistent", "stop"), status(0));
    let functions = laid.path(FOLDER).join("filesystem/functions");
    let text = fs::read_to_string(&functions).unwrap();
    assert!(text.contains("/proc/self/mountinfo"));
    fs::write(&functions, text.replace("/proc/self/mountinfo", "/nonexistent/mountinfo")).unwrap();
    assert_eq!(asked("/nonexistent", "exclusive"), status(120));
    assert_eq!(asked("/nonexistent", "stop"), status(2));
}

#[test]
fn a_status_for_which_there_is_no_room_is_the_scripts_exit() {
    let laid = Laid::out();
    fs::write(laid.path("in"), "198.51.100.7\n").unwrap();
    for (ends, exit) in [(0, 2), (1, 0), (127, 120)] {
        let files = [&*laid.path("in"), Path::new("/dev/full")];
        assert_eq!(laid.call(DMF.0, DMF.1, "exclusive", files, ("", ends)), Some(exit));
    }
}
