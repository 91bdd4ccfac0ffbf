//! The control groups whose emptiness will say something: those in which the service was seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{Postcondition, Service};
use crate::process;
use crate::script::cgroup;

use super::verify::LOOK_LIMIT;

/// The service's control groups that hold processes now, as the configuration names them: its own, in which its steps are
/// started, and those of the post-conditions, into which systemd puts its units. To be asked while the service runs.
/// Bounded: two seconds. A group that cannot be looked at is left out.
pub async fn populated_groups(service: &Service) -> BTreeSet<PathBuf> {
    let mut groups: BTreeSet<PathBuf> = service.cgroup.iter().cloned().collect();
    groups.extend(service.stopped_when.iter().filter_map(|condition| match condition {
        Postcondition::CgroupEmpty(group) => Some(group.clone()),
        _ => None,
    }));
    let look = move || groups.into_iter().filter(|group| is_populated(group)).collect();
    process::aside(LOOK_LIMIT, look).await.unwrap_or_default()
}

fn is_populated(group: &Path) -> bool {
    cgroup::folder(group).is_ok_and(|folder| matches!(cgroup::populated(&folder), Ok(Some(true))))
}
