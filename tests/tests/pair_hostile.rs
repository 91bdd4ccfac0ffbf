//! Strangers at the daemon's ports: what they send is refused, counted and logged once a minute; neither memory nor beats
//! nor a move suffer from it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use failover_shared::channel::{ClientSettings, Counters, PeerClient, Refused};
use failover_shared::decision::{BootId, Duty, Incarnation, Role, StateName};
use failover_shared::key::KeyRing;
use failover_shared::provision;
use failover_shared::status::Status;
use failover_shared::wire::{HeaderSource, Message, PROTOCOL_VERSION};
use failover_tests::judge::place::{finish, stand_on};
use failover_tests::lab::{Cable, Host};
use failover_tests::pair::{LIMIT, Pair, Setup};
use failover_tests::wait::wait_until;
use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};
use socket2::{Domain, Protocol, Socket, Type};

/// The port of the master's channel, and of the beats.
const CHANNEL_PORT: u16 = 7890;
const BEAT_PORT: u16 = 7892;
/// The port of the slave's channel.
const SLAVE_CHANNEL_PORT: u16 = 7891;

const HALF_HANDSHAKES: usize = 1_000;
const CONNECTIONS: usize = 10_000;
const MEMORY_GROWTH_KIB_MAX: u64 = 8 * 1024;
/// A quarter of the lab's `suspect_after`.
const BEAT_LATE_US_MAX: u64 = 250_000;

/// The first bytes of a TLS greeting that never goes on.
const HALF_GREETING: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[test]
fn strangers_are_refused_and_counted_and_the_pair_moves_under_their_flood() -> Result<()> {
    let test = "strangers_are_refused_and_counted_and_the_pair_moves_under_their_flood";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let address = SocketAddr::new(pair.lab.cfg1.address().into(), CHANNEL_PORT);
    let before = memory_kib(&pair, Role::Master, "VmRSS:")?;
    let begun = Instant::now();

    wrong_key(&pair, address)?;
    long_line_of_a_key_holder(&pair, address)?;
    let flood = stand_on(&pair.lab.client, move || flood(address))?;
    let mut moves = 0;
    while moves < 2 || !flood.is_finished() {
        let (command, role) = if moves % 2 == 0 { ("takeover", Role::Slave) } else { ("takeback", Role::Master) };
        pair.order(Role::Slave, &[command]).with_context(|| pair.story())?;
        pair.wait_active(role)?;
        moves += 1;
    }
    let connected = finish(flood)?;
    pair.wait_readable()?;

    let counters = pair.status(Role::Master)?.counters;
    let refused: u64 =
        counters.iter().filter(|(name, _)| name.starts_with("channel.refused.")).map(|(_, count)| count).sum();
    println!("{moves} moves during the flood; {connected} connections of strangers; {counters:#?}");
    ensure!(connected >= CONNECTIONS + HALF_HANDSHAKES, "the flood was no flood: {connected}");
    ensure!(counters["channel.accepted"] >= connected as u64, "not every connection was counted");
    ensure!(refused >= connected as u64, "{refused} were refused of {connected}");
    for kind in [Refused::Key, Refused::LongLine, Refused::Tls, Refused::NoRoom, Refused::HandshakeUnfinished] {
        let name = format!("channel.refused.{}", kind.as_str());
        ensure!(counters.get(&name).is_some_and(|count| *count > 0), "nothing was counted as {name:?}");
    }

    let log = pair.log(Role::Master);
    let lines = log.lines().filter(|line| line.contains("refused a connection")).count();
    let minutes = usize::try_from(begun.elapsed().as_secs() / 60)?;
    ensure!((1..=minutes + 1).contains(&lines), "{lines} lines of refusals in {minutes} whole minutes\n{log}");

    let most = memory_kib(&pair, Role::Master, "VmHWM:")?;
    println!("memory: {before} KiB before, {most} KiB at most");
    ensure!(most.saturating_sub(before) < MEMORY_GROWTH_KIB_MAX, "memory grew from {before} to {most} KiB");
    ensure!(counters["beats.late_max_us"] < BEAT_LATE_US_MAX, "a beat was late: {counters:?}");
    ensure!(!pair.history(Role::Slave)?.contains("PeerSilent"), "the master was taken for silent");
    Ok(())
}

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
    let pid = daemon(&pair, Role::Master)?;
    pair.signal_daemon(Role::Master, Signal::SIGKILL)?;
    wait_until("the master's new daemon", LIMIT, || Ok(daemon(&pair, Role::Master).is_ok_and(|now| now != pid)))?;
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

/// A client that holds everything but the key.
fn wrong_key(pair: &Pair, address: SocketAddr) -> Result<()> {
    let certificate = provision::peer_certificate(&pair.lab.folder().join("keys"), pair.lab.cfg1.name())?;
    let work = stand_on(&pair.lab.client, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let counters = Arc::new(Counters::default());
            let client = PeerClient::new(ClientSettings {
                peer: address,
                local: None,
                peer_certificate: certificate,
                headers: Arc::new(HeaderSource::new("lab", Role::Slave, BootId(1), Incarnation(1))),
                keys: KeyRing::new(&[7; 32], None)?,
                counters: Arc::clone(&counters),
            })?;
            let answer = client.request(Message::Status, Duration::from_secs(5), None).await;
            ensure!(answer.is_err(), "a stranger was answered: {answer:?}");
            ensure!(counters.refused(Refused::Key) > 0, "it was not told that its key is wrong: {answer:?}");
            Ok(())
        })
    })?;
    finish(work)
}

/// The proof as docs/protocol.md has it, by the key itself, and then a line without end.
fn long_line_of_a_key_holder(pair: &Pair, address: SocketAddr) -> Result<()> {
    const SLAVE: u8 = 2;
    let key = provision::load_pair_key(&pair.lab.folder().join("keys").join(provision::PAIR_KEY_FILE))?;
    let ring = KeyRing::new(key.expose(), None)?;
    let work = stand_on(&pair.lab.client, move || {
        let mut stream = tls(address)?;
        let [current, old] = ring.held();
        let mut hello = b"FOCH".to_vec();
        hello.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
        hello.extend_from_slice(&[SLAVE, 0]);
        hello.extend_from_slice(&Sha256::digest(b"lab")[..8]);
        hello.extend_from_slice(&current.0);
        hello.extend_from_slice(&old.0);
        hello.extend_from_slice(&[5; 32]);
        stream.write_all(&hello)?;
        let mut theirs = vec![0; 1 + hello.len()];
        stream.read_exact(&mut theirs).context("the master's greeting")?;

        let end_point = stream.tls_server_end_point()?.context("no end point")?;
        let mut signed = b"failover channel proof 1\0".to_vec();
        signed.push(SLAVE);
        signed.extend_from_slice(&hello);
        signed.extend_from_slice(&theirs[1..]);
        for part in [&b"lab"[..], &end_point] {
            signed.extend_from_slice(&(part.len() as u64).to_be_bytes());
            signed.extend_from_slice(part);
        }
        stream.write_all(&current.0)?;
        stream.write_all(&ring.sign(current, &[&signed]).context("no key")?)?;
        let mut accepted = [1; 1 + 4 + 32];
        stream.read_exact(&mut accepted).context("the master's proof")?;
        ensure!(accepted[0] == 0, "the proof was refused: {}", accepted[0]);

        // The master closes the connection while this is under way.
        let _ = stream.write_all(&long_line());
        ensure!(stream.read(&mut [0; 64]).unwrap_or(0) == 0, "the line was answered");
        Ok(())
    })?;
    finish(work)
}

fn long_line() -> Vec<u8> {
    vec![b'x'; 1 << 20]
}

/// A TLS connection of somebody who believes every certificate.
fn tls(address: SocketAddr) -> Result<native_tls::TlsStream<TcpStream>> {
    let mut tls = native_tls::TlsConnector::builder();
    let tls = tls.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true).build()?;
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    tls.connect("cfg1", stream).map_err(|error| anyhow::anyhow!("no TLS: {error}"))
}

/// Half handshakes that stay open, long lines, and connections without end; gives how many connected.
fn flood(address: SocketAddr) -> Result<usize> {
    let mut connected = 0;
    // One that is reset before this thread has looked at it was connected, too.
    let mut connect = || match TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            Err(error).context("connect to the master")
        }
        stream => {
            connected += 1;
            Ok(stream.ok())
        }
    };
    let mut held = Vec::new();
    for _ in 0..HALF_HANDSHAKES {
        let Some(mut stream) = connect()? else { continue };
        // The master may have closed it already: that is its right.
        let _ = stream.write_all(HALF_GREETING);
        held.push(stream);
    }
    let line = long_line();
    for _ in 0..20 {
        let Some(mut stream) = connect()? else { continue };
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let _ = stream.write_all(&line);
    }
    for round in 0..CONNECTIONS {
        drop(connect()?);
        // The flood lasts as long as a move does.
        if round % 100 == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    long_line_inside_tls(address, &line)?;
    drop(held);
    Ok(connected)
}

/// The long line where a proof is expected, until one gets as far as that: strangers have few places.
fn long_line_inside_tls(address: SocketAddr, line: &[u8]) -> Result<()> {
    wait_until("a stranger's TLS handshake", LIMIT, || {
        let mut stream = tls(address)?;
        let _ = stream.write_all(line);
        // It is told why, or the connection is gone: nothing else comes.
        let answered = stream.read(&mut [0; 64]).unwrap_or(0);
        ensure!(answered <= 1, "{answered} bytes were said to a stranger");
        Ok(true)
    })
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

/// The daemon under its guardian: the younger of the two processes.
fn daemon(pair: &Pair, role: Role) -> Result<i32> {
    let name = format!("failover-{role}");
    let of_name = pair.host(role).processes()?.into_iter().filter(|process| process.name == name);
    let mut found: Vec<i32> = of_name.map(|process| process.outside.as_raw()).collect();
    found.sort_unstable();
    found.get(1).copied().with_context(|| format!("no daemon under a guardian on the {role}"))
}

/// What `/proc/PID/status` says of the daemon's memory, in KiB.
fn memory_kib(pair: &Pair, role: Role, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon(pair, role)?))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    value.split_whitespace().next().context("no number")?.parse().context("not a number")
}
