//! The lab's addresses. Each lab has a switch namespace of its own that leads nowhere, so all labs use the same ones.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// The network that clients, balancer and hosts share.
pub const SERVICE_PREFIX: [u8; 3] = [10, 77, 0];
/// The second path of the heartbeats: the two hosts only.
pub const HEARTBEAT_PREFIX: [u8; 3] = [10, 78, 0];

/// A network cable of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    /// To the service network (`eth0`).
    Service,
    /// To the second heartbeat path (`eth1`).
    Heartbeat,
}

impl Cable {
    /// The interface's name on the host.
    #[must_use]
    pub const fn device(self) -> &'static str {
        match self {
            Cable::Service => "eth0",
            Cable::Heartbeat => "eth1",
        }
    }

    /// The bridge's name on the switch.
    #[must_use]
    pub const fn bridge(self) -> &'static str {
        match self {
            Cable::Service => "service",
            Cable::Heartbeat => "heartbeat",
        }
    }

    /// The address of the host with this last number.
    #[must_use]
    pub const fn address(self, number: u8) -> Ipv4Addr {
        let [a, b, c] = match self {
            Cable::Service => SERVICE_PREFIX,
            Cable::Heartbeat => HEARTBEAT_PREFIX,
        };
        Ipv4Addr::new(a, b, c, number)
    }
}

/// The machines of a lab: name, last number of the address, whether it has the second path.
pub const MACHINES: [(&str, u8, bool); 4] =
    [("cfg1", 11, true), ("cfg2", 12, true), ("balancer", 5, false), ("client", 9, false)];

/// `/etc/hosts` of each host.
#[must_use]
pub fn hosts_file() -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    for (name, number, _) in MACHINES {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {name}", Cable::Service.address(number));
    }
    text
}
