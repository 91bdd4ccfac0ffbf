//! Faults of the network of a host. Each is a packet filter table of its own, so that they can be mixed and healed alone.
//!
//! Filters sit before connection tracking and routing (priority -300): nothing else of the host sees the packets.

use anyhow::Result;

use super::{Cable, Host};

impl Host {
    /// Falls silent: every packet in and out is dropped, but for the loopback's. The host itself goes on.
    ///
    /// # Errors
    /// When the host is off.
    pub fn silence(&self) -> Result<()> {
        self.fault(
            "silence",
            "chain in { type filter hook input priority -300; iif != lo drop; }
             chain out { type filter hook output priority -300; oif != lo drop; }",
        )
    }

    /// Ends [`Host::silence`].
    ///
    /// # Errors
    /// When it was not silent.
    pub fn hear_again(&self) -> Result<()> {
        self.heal("silence")
    }

    /// Becomes deaf to `other` on every path; `other` still hears this host.
    ///
    /// # Errors
    /// When the host is off.
    pub fn deaf_to(&self, other: &Host) -> Result<()> {
        let addresses = other.cables().iter().map(|cable| other.address_on(*cable).to_string()).collect::<Vec<_>>();
        self.fault(
            &format!("deaf_to_{}", other.name()),
            &format!(
                "chain in {{ type filter hook input priority -300; ip saddr {{ {} }} drop; }}",
                addresses.join(", ")
            ),
        )
    }

    /// Ends [`Host::deaf_to`].
    ///
    /// # Errors
    /// When it was not deaf to it.
    pub fn listen_to(&self, other: &Host) -> Result<()> {
        self.heal(&format!("deaf_to_{}", other.name()))
    }

    /// Loses this share of the incoming packets at random (1 to 100 percent), on every path.
    ///
    /// # Errors
    /// When the host is off.
    pub fn lose(&self, percent: u8) -> Result<()> {
        self.fault(
            "loss",
            &format!(
                "chain in {{ type filter hook input priority -300; iif != lo numgen random mod 100 >= {} drop; }}",
                100_u8.saturating_sub(percent).min(99)
            ),
        )
    }

    /// Ends [`Host::lose`].
    ///
    /// # Errors
    /// When nothing was lost.
    pub fn lose_nothing(&self) -> Result<()> {
        self.heal("loss")
    }

    /// Refuses TCP connections to this port of the host, as a balancer does whose administration is closed.
    ///
    /// # Errors
    /// When the host is off.
    pub fn refuse_port(&self, port: u16) -> Result<()> {
        self.fault(
            &format!("refuse_{port}"),
            &format!("chain in {{ type filter hook input priority -300; tcp dport {port} reject with tcp reset; }}"),
        )
    }

    /// Ends [`Host::refuse_port`].
    ///
    /// # Errors
    /// When the port was open.
    pub fn accept_port(&self, port: u16) -> Result<()> {
        self.heal(&format!("refuse_{port}"))
    }

    /// Pulls all cables.
    ///
    /// # Errors
    /// When the host is off.
    pub fn link_down(&self) -> Result<()> {
        self.cables().iter().try_for_each(|cable: &Cable| self.cable_out(*cable))
    }

    /// Plugs all cables in.
    ///
    /// # Errors
    /// When the host is off.
    pub fn link_up(&self) -> Result<()> {
        self.cables().iter().try_for_each(|cable: &Cable| self.cable_in(*cable))
    }

    fn fault(&self, name: &str, chains: &str) -> Result<()> {
        self.packet_filter(&format!("table inet fault_{name} {{\n{chains}\n}}\n"))
    }

    fn heal(&self, name: &str) -> Result<()> {
        self.packet_filter(&format!("delete table inet fault_{name}\n"))
    }
}

/// Cuts the link between two hosts in both directions; everybody else still reaches both.
///
/// # Errors
/// When one of them is off.
pub fn cut(one: &Host, other: &Host) -> Result<()> {
    one.deaf_to(other)?;
    other.deaf_to(one)
}

/// Ends [`cut`].
///
/// # Errors
/// When they were not cut.
pub fn heal(one: &Host, other: &Host) -> Result<()> {
    one.listen_to(other)?;
    other.listen_to(one)
}
