//! The cables between a host and the switch, and the tools that work on a host's network.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use super::host::Host;
use super::network::Cable;

impl Host {
    /// Runs `ip` with these arguments in the host's network, with the machine's view of everything else.
    pub(super) fn network(&self, arguments: &[&str]) -> Result<()> {
        in_network(self.first()?, "ip", arguments, None)
    }

    /// Runs `nft -f -` with this text in the host's network.
    pub(super) fn packet_filter(&self, rules: &str) -> Result<()> {
        in_network(self.first()?, "nft", &["-f", "-"], Some(rules))
    }

    /// Pulls a cable: the host sees the carrier go.
    ///
    /// # Errors
    /// When the host is off.
    pub fn cable_out(&self, cable: Cable) -> Result<()> {
        self.at_switch(&["link", "set", &self.port(cable), "down"])
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// When the host is off.
    pub fn cable_in(&self, cable: Cable) -> Result<()> {
        self.at_switch(&["link", "set", &self.port(cable), "up"])
    }

    /// Lays the cable: one end in the host, the other on the switch's bridge.
    pub(super) fn connect(&self, cable: Cable) -> Result<()> {
        let first = self.first()?.to_string();
        let (port, device) = (self.port(cable), cable.device());
        // A machine keeps its hardware address over a boot; with a new one each time the others' ARP caches would lie.
        let hardware = format!("02:00:00:{:02x}:00:{:02x}", u8::from(cable == Cable::Heartbeat), self.number);
        let end = ["peer", "name", device, "address", &hardware, "netns", &first];
        self.at_switch(&[&["link", "add", &port, "type", "veth"][..], &end].concat())?;
        self.at_switch(&["link", "set", &port, "master", cable.bridge(), "up"])?;
        let address = format!("{}/24", self.address_on(cable));
        self.network(&["address", "add", &address, "dev", device])?;
        self.network(&["link", "set", device, "up"])
    }

    /// The switch's end of the cable. Named by the boot too: the kernel takes the old pair away some time after the power
    /// cut, not at once.
    fn port(&self, cable: Cable) -> String {
        let boot = self.first().map_or(0, Pid::as_raw);
        format!("p{}{}b{boot}", self.number, if cable == Cable::Service { 's' } else { 'h' })
    }

    fn at_switch(&self, arguments: &[&str]) -> Result<()> {
        in_network(self.switch.context("the switch itself has no cable")?, "ip", arguments, None)
    }
}

/// Runs a tool of the machine in the network of the process `target`.
fn in_network(target: Pid, tool: &str, arguments: &[&str], input: Option<&str>) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(target.to_string()).args(["--net", "--", tool]).args(arguments);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {tool}"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{tool} {} ended with {:?}: {}{}",
        arguments.join(" "),
        output.status.code().or(output.status.signal()),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
