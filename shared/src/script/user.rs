//! The user that a script runs as.
//!
//! The change of user is made by setpriv(1) of util-linux, which becomes the script by execve(2): user, group and the
//! supplementary groups of that user (initgroups(3)), in the child and nowhere else. The daemon itself forks nothing
//! that it would have to prepare by hand, and enters the control group of the service before the change, while the
//! step still may.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Uid, User};

use crate::process;

/// How long the user database (which may be a directory server) may take to answer.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// A user as the host knows it.
#[derive(Clone, Debug)]
pub(crate) struct RunAs(User);

impl RunAs {
    /// Asks the host's user database; `name` may also be a number.
    ///
    /// # Errors
    /// As a sentence: there is no such user, or this daemon may not become it.
    pub(crate) async fn look_up(name: &str) -> Result<RunAs, String> {
        let asked = name.to_owned();
        process::aside(LOOK_UP_LIMIT, move || find(&asked))
            .await
            .unwrap_or_else(|| Err(format!("the user database did not say within {LOOK_UP_LIMIT:?} who {name:?} is")))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Its home.
    pub(crate) fn home(&self) -> &Path {
        &self.0.dir
    }

    /// What goes in front of the script's own command line.
    pub(crate) fn prefix(&self) -> Vec<OsString> {
        if self.0.uid == Uid::effective() {
            return Vec::new();
        }
        let (uid, gid) = (self.0.uid.to_string(), self.0.gid.to_string());
        ["setpriv", "--reuid", &uid, "--regid", &gid, "--init-groups", "--"].map(OsString::from).into()
    }

    /// What login(1) would set for that user, and scripts go by.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("HOME", text(&self.0.dir)),
            ("SHELL", text(&self.0.shell)),
            ("USER", self.0.name.clone()),
            ("LOGNAME", self.0.name.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// The user that this program runs as; may block.
///
/// # Errors
/// The user database does not know it, as a sentence.
pub(crate) fn own() -> Result<RunAs, String> {
    find(&Uid::effective().to_string())
}

/// As [`RunAs::look_up`]; may block.
pub(crate) fn find(name: &str) -> Result<RunAs, String> {
    let found = match name.parse::<u32>() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    let user = match found {
        Ok(Some(user)) => user,
        Ok(None) => return Err(format!("run_as: this host has no user {name:?}: create it, or mend `run_as`")),
        Err(error) => return Err(format!("run_as: the user {name:?} could not be looked up: {error}")),
    };
    let own = Uid::effective();
    if own != user.uid && !own.is_root() {
        return Err(format!("run_as: this program runs as user {own} and may not become {name:?}: run it as root"));
    }
    Ok(RunAs(user))
}
