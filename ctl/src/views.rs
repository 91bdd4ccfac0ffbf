//! The pair as seen from this host: its daemon's view, and the other's own where it answers at once.

use failover_shared::control::Request;
use failover_shared::decision::Role;
use failover_shared::status::Status;

use crate::daemon::{Daemon, DaemonError, PEER_LOOK_LIMIT};

/// Both hosts' views of the pair.
pub(crate) struct Views {
    pub(crate) here: Status,
    /// Missing when the other host does not answer at once.
    pub(crate) there: Option<Status>,
}

impl Views {
    /// Asks the daemon, then its peer through it, but only a peer that is there: a dead one must not cost time.
    pub(crate) async fn look(daemon: &Daemon) -> Result<Views, DaemonError> {
        let here = daemon.status().await?;
        let there = if here.peer.channel_open && !here.peer.silent {
            daemon.ask(&Request::PeerStatus, PEER_LOOK_LIMIT).await.ok()
        } else {
            None
        };
        Ok(Views { here, there })
    }

    /// What the host of this role says of itself.
    pub(crate) fn own_view(&self, role: Role) -> Option<&Status> {
        [Some(&self.here), self.there.as_ref()].into_iter().flatten().find(|view| view.role == role)
    }

    /// The name of the host of this role.
    pub(crate) fn host(&self, role: Role) -> &str {
        if self.here.role == role { &self.here.host } else { &self.here.peer.host }
    }
}
