//! Where systemd has its units, and who may stay without being logged in.

use std::path::{Path, PathBuf};

/// systemd.unit(5), "System Unit Search Path".
const OF_SYSTEM: [&str; 11] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// systemd.unit(5), "User Unit Search Path": those that lie in the user's home.
const IN_HOME: [&str; 3] = [".config/systemd/user.control", ".config/systemd/user", ".local/share/systemd/user"];
/// And those that all users share.
const OF_USERS: [&str; 5] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "/lib/systemd/user",
];
/// A file for each user whose systemd runs from the boot on (loginctl(1), "enable-linger").
const LINGER: &str = "/var/lib/systemd/linger";

pub(super) fn of_system() -> Vec<PathBuf> {
    OF_SYSTEM.map(PathBuf::from).into()
}

pub(super) fn of_user(home: &Path) -> Vec<PathBuf> {
    IN_HOME.iter().map(|folder| home.join(folder)).chain(OF_USERS.iter().map(PathBuf::from)).collect()
}

/// What to do if the user's systemd runs only while that user is logged in.
pub(super) fn not_lingering(user: &str) -> Option<String> {
    (!Path::new(LINGER).join(user).exists()).then(|| {
        format!(
            "the systemd of user {user} runs only while {user} is logged in, and ends all units with it: run \
             `loginctl enable-linger {user}`"
        )
    })
}
