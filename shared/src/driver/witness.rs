//! The witnesses: does the peer's service still answer, asked directly and through the balancer?

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Input, balancing};
use crate::balancer::{Driver, Reconciler};
use crate::config::{Config, Probe};
use crate::decision::{Event, Role, Sight};

/// How long one witness may take. A dead host does not answer at all, so this is paid in every take-over of a silent
/// host; a service that lives greets within a fraction of it.
const LIMIT: Duration = Duration::from_millis(1_000);

/// Asks all at once and reports once.
pub(super) async fn ask(
    config: Arc<Config>,
    peer: Role,
    balancer: Option<Arc<Reconciler<Driver>>>,
    inputs: mpsc::Sender<Input>,
) {
    let direct = sight_of(directly(&config, peer));
    let front = sight_of(through(&config));
    let device = async {
        match &balancer {
            Some(balancer) => match balancer.look_now(LIMIT).await {
                Ok(view) => balancing::sight(&view, peer),
                Err(_) => Sight::Unknown,
            },
            None => Sight::Unknown,
        }
    };
    let (direct, front, device) = tokio::join!(direct, front, device);
    // A dialogue through the balancer says more than the device's opinion, which may be a check interval old.
    let through = if front == Sight::Unknown { device } else { front };
    // The loop is gone: nothing waits for the answer.
    let _ = inputs.send(Input::Core(Event::Witness { direct, through })).await;
}

/// Where the peer's service answers directly, and whether it greets first.
fn directly(config: &Config, peer: Role) -> Option<(SocketAddr, bool)> {
    let address: IpAddr = config.host(peer).service_address;
    config.checks.iter().find_map(|check| match &check.probe {
        Probe::Pop3(mail) | Probe::Imap(mail) => {
            Some((SocketAddr::new(address, mail.port), mail.tls != crate::config::MailTls::Implicit))
        }
        Probe::Port { port } => Some((SocketAddr::new(address, *port), false)),
        Probe::Command(_) | Probe::Resource(_) => None,
    })
}

/// Where the service answers through the balancer.
fn through(config: &Config) -> Option<(SocketAddr, bool)> {
    config.checks.iter().find_map(|check| match &check.probe {
        Probe::Pop3(mail) | Probe::Imap(mail) => {
            mail.through.map(|address| (address, mail.tls != crate::config::MailTls::Implicit))
        }
        Probe::Port { .. } | Probe::Command(_) | Probe::Resource(_) => None,
    })
}

async fn sight_of(target: Option<(SocketAddr, bool)>) -> Sight {
    let Some((address, greets)) = target else { return Sight::Unknown };
    let look = async {
        let mut stream = TcpStream::connect(address).await?;
        if greets {
            // A balancer accepts even when nobody is behind it: only a greeting proves a service.
            let mut first = [0_u8; 1];
            stream.read_exact(&mut first).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    match tokio::time::timeout(LIMIT, look).await {
        Ok(Ok(())) => Sight::Serving,
        Ok(Err(_)) | Err(_) => Sight::NotServing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_accepts_but_never_greets_is_not_serving() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(sight_of(Some((address, true))).await, Sight::NotServing);
        assert_eq!(sight_of(Some((address, false))).await, Sight::Serving);
        assert_eq!(sight_of(None).await, Sight::Unknown);
    }
}
