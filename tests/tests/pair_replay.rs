//! Somebody in the slave's place: its recorded beats, changed ones, and another certificate at its address.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use failover_shared::channel::Refused;
use failover_shared::decision::{Duty, Role, StateName};
use failover_shared::provision;
use failover_shared::status::Status;
use failover_tests::judge::place::{finish, stand_on};
use failover_tests::lab::{Cable, Host};
use failover_tests::pair::{LIMIT, Pair, Setup};
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, Socket, Type};

/// The port of the beats.
const BEAT_PORT: u16 = 7892;
/// The port of the slave's channel.
const SLAVE_CHANNEL_PORT: u16 = 7891;

#[test]
fn recorded_beats_keep_nobody_alive_and_an_impostor_is_not_believed() -> Result<()> {
    let test = "recorded_beats_keep_nobody_alive_and_an_impostor_is_not_believed";
    let Some(mut pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let recorded = record(&pair)?;
    pair.lab.cfg2.signal("failover-slave", Signal::SIGKILL)?;
    wait_until("the slave's daemon to be gone", LIMIT, || {
        Ok(pair.lab.cfg2.processes()?.iter().all(|process| process.name != "failover-slave"))
    })?;

    // Played again at once: signed rightly, but no later than what was heard.
    let replay = Replay::begin(&pair.lab.cfg2, recorded)?;
    pair.wait_for(Role::Master, "the slave's silence under its recorded beats", |status| {
        status.peer.silent && count(status, "beats.old") > 0
    })?;

    // The words by which the other test knows that nobody was taken for silent.
    ensure!(pair.history(Role::Master)?.contains("PeerSilent"));

    // And to a daemon that was started since: it has never heard the slave, and does not now.
    let pid = pair.daemon(Role::Master)?;
    pair.signal_daemon(Role::Master, Signal::SIGKILL)?;
    wait_until("the master's new daemon", LIMIT, || Ok(pair.daemon(Role::Master).is_ok_and(|now| now != pid)))?;
    let status = pair.wait_for(Role::Master, "recorded beats that prove nothing", |status| {
        count(status, "beats.unproven") > 20 && status.peer.silent
    })?;
    assert_eq!((status.state, status.peer.heard_age_ms), (StateName::Active, None), "{status:#?}");
    ensure!(count(&status, "beats.wrong_key") > 0, "changed beats were not counted: {:?}", status.counters);
    ensure!(count(&status, "beats.malformed") > 0, "rubbish was not counted: {:?}", status.counters);
    assert_eq!(count(&status, "beats.fresh"), 0, "a recorded beat counted as fresh");

    // Another certificate at the slave's address.
    let impostor = impostor(&pair)?;
    let name = format!("channel.refused.{}", Refused::Tls.as_str());
    let status = pair.wait_for(Role::Master, "an impostor's certificate", |status| count(status, &name) > 2)?;
    ensure!(!status.peer.channel_open, "the impostor was believed");
    impostor.end()?;
    replay.end()?;
    for line in pair.log(Role::Master).lines().filter(|line| line.contains("WARN")) {
        println!("{line}");
    }

    pair.start(Role::Slave)?;
    pair.wait_for(Role::Slave, "the real slave", |status| {
        status.not_ready.is_empty() && status.readiness_age_ms.is_some() && status.peer.duty == Some(Duty::Active)
    })?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    Ok(())
}

/// A beat of the slave as it came by, and where it was going.
#[derive(Clone, Debug)]
struct Recorded {
    from: SocketAddrV4,
    to: SocketAddrV4,
    bytes: Vec<u8>,
}

/// Two seconds of the slave's beats, as anyone on the wire can record them.
fn record(pair: &Pair) -> Result<Vec<Recorded>> {
    let slaves = pair.lab.cfg2.cables().iter().map(|cable| pair.lab.cfg2.address_on(*cable)).collect::<Vec<_>>();
    let work = stand_on(&pair.lab.cfg1, move || {
        // packet(7): the protocol's number in network order, and all packets of that kind come without a bind.
        let protocol = i32::from(u16::to_be(0x0800));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(protocol)))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let (begun, mut found, mut buffer) = (Instant::now(), Vec::new(), [0; 2048]);
        while begun.elapsed() < Duration::from_secs(2) {
            let Ok(length) = (&socket).read(&mut buffer) else { continue };
            found.extend(beat(&buffer[..length]).filter(|beat| slaves.contains(beat.from.ip())));
        }
        Ok(found)
    })?;
    let found: Vec<Recorded> = finish(work)?;
    ensure!(found.len() >= 20, "only {} beats were recorded", found.len());
    Ok(found)
}

/// An IPv4 packet (RFC 791) with a datagram (RFC 768) for the port of the beats.
fn beat(packet: &[u8]) -> Option<Recorded> {
    const UDP: u8 = 17;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let udp = packet.get(header..)?;
    if *packet.get(9)? != UDP || udp.len() < 8 {
        return None;
    }
    let number = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let length = usize::from(number(4));
    let (from, to) = (SocketAddrV4::new(address(12), number(0)), SocketAddrV4::new(address(16), number(2)));
    (to.port() == BEAT_PORT).then_some(Recorded { from, to, bytes: udp.get(8..length)?.to_vec() })
}

/// Work in the place of a host, until it is ended.
struct Replay {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Replay {
    /// Sends the recorded beats again and again from where they came from, and with them changed ones and rubbish.
    fn begin(host: &Host, recorded: Vec<Recorded>) -> Result<Replay> {
        Replay::work(host, move |stop| {
            let open = |from: SocketAddrV4| -> Result<(SocketAddrV4, UdpSocket)> { Ok((from, UdpSocket::bind(from)?)) };
            let mut sources: Vec<SocketAddrV4> = recorded.iter().map(|beat| beat.from).collect();
            sources.sort();
            sources.dedup();
            let sockets = sources.into_iter().map(open).collect::<Result<Vec<_>>>()?;
            while !stop.load(Ordering::Relaxed) {
                for beat in &recorded {
                    let Some((_, socket)) = sockets.iter().find(|(from, _)| *from == beat.from) else { continue };
                    let mut changed = beat.bytes.clone();
                    if let Some(last) = changed.last_mut() {
                        *last ^= 1;
                    }
                    for bytes in [&beat.bytes[..], &changed[..], b"rubbish"] {
                        // While the master's daemon is away, the kernel answers that nobody listens.
                        let _ = socket.send_to(bytes, beat.to);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Ok(())
        })
    }

    fn work(host: &Host, work: impl FnOnce(&AtomicBool) -> Result<()> + Send + 'static) -> Result<Replay> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = stand_on(host, move || work(&flag))?;
        Ok(Replay { stop, thread })
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        finish(self.thread)
    }
}

/// Listens at the slave's address with a certificate for its name that is not its own.
fn impostor(pair: &Pair) -> Result<Replay> {
    let folder = pair.lab.folder().join("impostor");
    std::fs::create_dir_all(&folder)?;
    provision::create_host_certificate(&folder, pair.lab.cfg2.name())?;
    let identity = provision::load_identity(&folder, pair.lab.cfg2.name())?;
    let address = SocketAddr::new(pair.lab.cfg2.address_on(Cable::Service).into(), SLAVE_CHANNEL_PORT);
    Replay::work(&pair.lab.cfg2, move |stop| {
        let acceptor = native_tls::TlsAcceptor::new(identity)?;
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        while !stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                    // The master breaks it off.
                    let _ = acceptor.accept(stream);
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Ok(())
    })
}

fn count(status: &Status, name: &str) -> u64 {
    status.counters.get(name).copied().unwrap_or(0)
}
