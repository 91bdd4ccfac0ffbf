//! Is it this host that is cut off? Reference points are asked often while the peer is silent, seldom otherwise.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Input;
use crate::check::ReferencePoint;
use crate::config::{Balancer, Config, Reference};
use crate::decision::{Event, Role};

/// Between two rounds while all is well.
const CALM: Duration = Duration::from_secs(5);
/// Between two rounds while the peer is silent.
const TENSE: Duration = Duration::from_millis(500);

/// Asks round after round. Owns nothing; stopping it anywhere loses one round.
pub(super) async fn watch(config: Arc<Config>, role: Role, tense: Arc<AtomicBool>, inputs: mpsc::Sender<Input>) {
    let address = config.host(role).address;
    let points: Vec<ReferencePoint> =
        config.references.iter().cloned().chain(balancer(&config)).map(ReferencePoint::new).collect();
    loop {
        let answers = futures_util::future::join_all(points.iter().map(ReferencePoint::answers)).await;
        let answering = u8::try_from(answers.iter().filter(|answer| **answer).count()).unwrap_or(u8::MAX);
        let of = u8::try_from(points.len()).unwrap_or(u8::MAX);
        let event = Event::References { answering, of, link_up: link_is_up(address) };
        if inputs.send(Input::Core(event)).await.is_err() {
            return;
        }
        let pause = if tense.load(Ordering::Relaxed) { TENSE } else { CALM };
        tokio::time::sleep(pause).await;
    }
}

/// The balancer's own address, which is a reference point by itself where it has one.
fn balancer(config: &Config) -> Option<Reference> {
    let address = match &config.balancer {
        Balancer::HaProxy { socket, .. } => socket,
        Balancer::Alteon { address, .. } => address,
        Balancer::None | Balancer::Command { .. } => return None,
    };
    address.parse().ok().map(Reference::Tcp)
}

/// Whether the interface that carries `address` has a carrier. Where that cannot be told it counts as up: doubt needs a
/// reason.
fn link_is_up(address: IpAddr) -> bool {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return true };
    let mut name = None;
    for interface in interfaces {
        let found = interface.address.as_ref().and_then(|socket| {
            socket
                .as_sockaddr_in()
                .map(|v4| IpAddr::V4(v4.ip()))
                .or_else(|| socket.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        });
        if found == Some(address) {
            name = Some(interface.interface_name);
            break;
        }
    }
    // An address that no interface carries any more: the link is gone with it.
    let Some(name) = name else { return address.is_loopback() };
    // Reading carrier of an interface that is set down gives EINVAL (sysfs-class-net): down.
    match std::fs::read_to_string(format!("/sys/class/net/{name}/carrier")) {
        Ok(text) => text.trim() == "1",
        Err(error) => error.kind() != std::io::ErrorKind::InvalidInput,
    }
}
