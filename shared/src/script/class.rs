//! The classes of resources that SGI Cluster Manager knew, and their fixed order.

use serde::Serialize;

/// What a resource is. Where one of them has a class, the classes alone decide the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Class {
    /// Devices, local XVM volumes among them.
    Device,
    /// File systems, CXFS among them.
    Filesystem,
    /// NFS exports.
    Nfs,
    /// IP addresses.
    Ip,
    /// Samba shares.
    Samba,
    /// Everything else.
    UserApplication,
}

impl Class {
    /// The order in which they start.
    pub const START: [Class; 6] =
        [Class::Device, Class::Filesystem, Class::Nfs, Class::Ip, Class::Samba, Class::UserApplication];
    /// The order in which they stop. It is not the reverse of the start: NFS stops before Samba, and the address before
    /// both, so that no client is told that its files are gone.
    pub const STOP: [Class; 6] =
        [Class::UserApplication, Class::Ip, Class::Nfs, Class::Samba, Class::Filesystem, Class::Device];
}
