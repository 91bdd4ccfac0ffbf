//! What would start the service at boot without being asked: enabled systemd units and System V init links.
//!
//! systemd keeps an enabled unit as a link in `TARGET.wants/` or `TARGET.requires/` (systemd.unit(5), "[Install]");
//! System V init keeps a start link `S##name` in `rc?.d` (and systemd runs those through its generator).

use std::collections::BTreeSet;
use std::fs::{DirEntry, read_dir, read_to_string};
use std::path::{Path, PathBuf};

use failover_shared::config::{Config, Postcondition};
use failover_shared::script::kind::AnyKind;
use nix::unistd::{Uid, User};

/// Where a user's own systemd has its units, in that user's home.
const OF_HOME: &str = ".config/systemd/user";
/// A unit file is a few lines; a larger file is none.
const UNIT_BYTES_MAX: u64 = 64 * 1024;

/// Something that starts the service by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AutoStart {
    /// `systemd` or `init`.
    pub(super) manager: &'static str,
    /// The unit's or the script's name.
    pub(super) name: String,
    /// The link that does it.
    pub(super) link: PathBuf,
    /// What to type.
    pub(super) remedy: String,
}

/// Everything below `root` that starts a process or a unit of the service.
pub(super) fn find(root: &Path, config: &Config) -> Vec<AutoStart> {
    let names = names_of(config);
    let mut found = Vec::new();
    let places = [("etc/systemd/system".into(), "systemctl"), ("etc/systemd/user".into(), "systemctl --global")];
    let of_users = homes_of_units(config).into_iter().map(|home| (home.join(OF_HOME), "systemctl --user"));
    for (place, systemctl) in places.into_iter().chain(of_users) {
        for folder in entries(&root.join(place)) {
            let folder = folder.path();
            if matches!(folder.extension().and_then(|ending| ending.to_str()), Some("wants" | "requires")) {
                found.extend(entries(&folder).iter().filter_map(|link| unit(root, &link.path(), &names, systemctl)));
            }
        }
    }
    for base in ["etc", "etc/rc.d"] {
        for folder in entries(&root.join(base)) {
            let name = folder.file_name();
            let level = name.to_str().and_then(|name| name.strip_prefix("rc")).and_then(|rest| rest.strip_suffix(".d"));
            // Levels 0 and 6 shut down and reboot: their S links are run, but start no service.
            if level.is_some_and(|level| matches!(level, "1" | "2" | "3" | "4" | "5" | "S")) {
                found.extend(entries(&folder.path()).iter().filter_map(|link| init_link(&link.path(), &names)));
            }
        }
    }
    found.sort_by(|one, other| one.link.cmp(&other.link));
    found
}

/// The homes, below a root, of the users whose own systemd starts a part of the service.
fn homes_of_units(config: &Config) -> BTreeSet<PathBuf> {
    let scripts = config.service.lists.tasks().map(|(_, task)| &task.script);
    let of_users = scripts.filter(|script| matches!(&script.kind, AnyKind::Systemd(unit) if unit.is_of_user()));
    let homes = of_users.filter_map(|script| match &script.run_as {
        Some(name) => User::from_name(name).ok().flatten(),
        None => User::from_uid(Uid::effective()).ok().flatten(),
    });
    homes.map(|user| user.dir.strip_prefix("/").map_or_else(|_| user.dir.clone(), Path::to_path_buf)).collect()
}

/// The processes, units and init scripts that the configuration names as the service.
fn names_of(config: &Config) -> BTreeSet<String> {
    let service = &config.service;
    let mut names: BTreeSet<String> = service.watch_processes.iter().map(|name| base(name)).collect();
    for condition in &service.stopped_when {
        if let Postcondition::NoProcess(name) = condition {
            names.insert(base(name));
        }
    }
    let groups = service.stopped_when.iter().filter_map(|condition| match condition {
        Postcondition::CgroupEmpty(group) => Some(group),
        _ => None,
    });
    for group in groups.chain(&service.cgroup) {
        if let Some(unit) = group.file_name().and_then(|name| name.to_str()) {
            names.insert(stem(unit).to_string());
        }
    }
    for (operation, task) in service.lists.tasks() {
        names.extend(started_by(&task.title(operation)));
    }
    names
}

/// `systemctl start X.service`, `service X start`, `/etc/init.d/X start`.
fn started_by(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_verb = |word: &str| matches!(word, "start" | "stop" | "restart");
    let mut names = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let behind = || words.get(at + 1..).unwrap_or_default().iter().filter(|word| !word.starts_with('-'));
        match base(word).as_str() {
            "systemctl" => {
                names.extend(behind().skip_while(|word| !is_verb(word)).skip(1).map(|unit| stem(unit).to_string()))
            }
            "service" | "invoke-rc.d" => names.extend(behind().take(1).map(|name| name.to_string())),
            name if word.contains("/init.d/") => names.push(name.to_string()),
            _ => {}
        }
    }
    names
}

/// An enabled unit: by its own name, or by the program that it runs.
fn unit(root: &Path, link: &Path, names: &BTreeSet<String>, systemctl: &str) -> Option<AutoStart> {
    let name = link.file_name()?.to_str()?.to_string();
    // A socket, timer or path unit starts the service of the same name.
    let known = stem(&name);
    let plain = known.split('@').next().unwrap_or(known);
    let matches = names.contains(known)
        || names.contains(plain)
        || runs(root, link).is_some_and(|program| names.contains(&program));
    let remedy = format!("{systemctl} disable {name}");
    matches.then(|| AutoStart { manager: "systemd", name, link: link.to_path_buf(), remedy })
}

/// The program in the unit's `ExecStart=`.
fn runs(root: &Path, link: &Path) -> Option<String> {
    let target = std::fs::read_link(link).ok()?;
    // An absolute link means the root that was asked for.
    let file = match target.strip_prefix("/") {
        Ok(below) => root.join(below),
        Err(_) => link.parent()?.join(target),
    };
    if std::fs::metadata(&file).ok()?.len() > UNIT_BYTES_MAX {
        return None;
    }
    let text = read_to_string(&file).ok()?;
    let command = text.lines().find_map(|line| line.trim().strip_prefix("ExecStart="))?;
    // systemd.service(5): special characters may stand in front of the path.
    let program = command.trim_start_matches(['@', '-', ':', '+', '!', '|']).split_whitespace().next()?;
    Some(base(program))
}

fn init_link(link: &Path, names: &BTreeSet<String>) -> Option<AutoStart> {
    let file = link.file_name()?.to_str()?;
    let name = file.strip_prefix('S')?.trim_start_matches(|letter: char| letter.is_ascii_digit()).to_string();
    let remedy = format!("update-rc.d {name} disable, or chkconfig {name} off");
    names.contains(&name).then(|| AutoStart { manager: "init", name, link: link.to_path_buf(), remedy })
}

/// A folder that is not there holds nothing.
fn entries(folder: &Path) -> Vec<DirEntry> {
    read_dir(folder).into_iter().flatten().flatten().collect()
}

fn base(word: &str) -> String {
    word.rsplit('/').next().unwrap_or(word).to_string()
}

fn stem(unit: &str) -> &str {
    let endings = [".service", ".socket", ".timer", ".path", ".target"];
    endings.iter().find_map(|ending| unit.strip_suffix(ending)).unwrap_or(unit)
}
