//! Strangers at the pair's doors: wrong keys and certificates, floods, endless lines, recorded beats.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use failover_shared::channel::{ClientSettings, Counters, PeerClient};
use failover_shared::decision::{BootId, Incarnation, Role, StateName};
use failover_shared::key::KeyRing;
use failover_shared::provision;
use failover_shared::wire::{HeaderSource, Message};
use failover_tests::judge::place::{finish, stand_on};
use failover_tests::pair::{LIMIT, Pair, Setup};
use failover_tests::wait::wait_until;

const CHANNEL_PORT: u16 = 7890;
const BEAT_PORT: u16 = 7892;

fn door(pair: &Pair) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(pair.lab.cfg1.address()), CHANNEL_PORT)
}

fn counter(pair: &Pair, role: Role, name: &str) -> Result<u64> {
    let status = pair.status(role)?;
    let value = status.counters.get(name).copied();
    value.with_context(|| format!("no counter {name} in {:?}", status.counters.keys().collect::<Vec<_>>()))
}

/// Resident memory of the daemon itself, in KiB.
fn memory_kib(pair: &Pair, role: Role) -> Result<u64> {
    let pid = pair.daemon(role)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

/// Asks for the status as a peer would, with the given key and certificate; gives what came of it.
fn ask_as_peer(pair: &Pair, key: Vec<u8>, certificate_of: &str) -> Result<Result<Message, String>> {
    let certificate = provision::peer_certificate(&pair.lab.folder().join("keys"), certificate_of)?;
    let peer = door(pair);
    let asked = stand_on(&pair.lab.client, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let headers = HeaderSource::new("lab", Role::Slave, BootId(1), Incarnation(1));
            let client = PeerClient::new(ClientSettings {
                peer,
                local: None,
                peer_certificate: certificate,
                headers: Arc::new(headers),
                keys: KeyRing::new(&key, None)?,
                counters: Arc::new(Counters::default()),
            })?;
            let answer = client.request(Message::Status, Duration::from_secs(4), None).await;
            Ok(answer.map_err(|error| error.to_string()))
        })
    })?;
    finish(asked)
}

#[test]
fn a_wrong_key_and_a_wrong_certificate_are_refused_and_counted_and_the_right_ones_are_not() -> Result<()> {
    let test = "a_wrong_key_and_a_wrong_certificate_are_refused_and_counted_and_the_right_ones_are_not";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let right = provision::load_pair_key(&pair.lab.folder().join("keys").join(provision::PAIR_KEY_FILE))?;
    let refused = ask_as_peer(&pair, vec![7; 32], "cfg1")?;
    ensure!(refused.is_err(), "a wrong key was let in: {refused:?}");
    ensure!(counter(&pair, Role::Master, "channel.refused.wrong key")? > 0);
    let refused = ask_as_peer(&pair, right.expose().to_vec(), "cfg2")?;
    ensure!(refused.is_err(), "a wrong certificate was talked to: {refused:?}");
    let answered = ask_as_peer(&pair, right.expose().to_vec(), "cfg1")?;
    ensure!(matches!(answered, Ok(Message::Reply { .. })), "the right key is refused too: {answered:?}");
    let lines = pair.log(Role::Master).lines().filter(|line| line.contains("refused")).count();
    ensure!(lines <= 2, "{lines} lines about refusals within a minute:\n{}", pair.story());
    Ok(())
}

#[test]
fn floods_and_endless_lines_cost_little_and_hold_up_neither_beats_nor_moves() -> Result<()> {
    let test = "floods_and_endless_lines_cost_little_and_hold_up_neither_beats_nor_moves";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let before = memory_kib(&pair, Role::Master)?;
    let peer = door(&pair);
    finish(stand_on(&pair.lab.client, move || endless_line(peer))?)?;
    let flood = stand_on(&pair.lab.client, move || {
        // A thousand half handshakes, kept open as long as the server lets them.
        let mut half = Vec::new();
        for _ in 0..1_000 {
            if let Ok(mut stream) = TcpStream::connect_timeout(&peer, Duration::from_secs(2)) {
                // The first bytes of a ClientHello that never comes whole.
                let _ = stream.write_all(&[0x16, 0x03, 0x01]);
                half.push(stream);
                if half.len() > 400 {
                    half.remove(0);
                }
            }
        }
        for _ in 0..10_000 {
            let _ = TcpStream::connect_timeout(&peer, Duration::from_secs(2));
        }
        Ok(())
    })?;
    pair.order(Role::Slave, &["takeover"])?;
    pair.wait_active(Role::Slave)?;
    finish(flood)?;
    let refused: u64 = pair
        .status(Role::Master)?
        .counters
        .iter()
        .filter(|(name, _)| name.starts_with("channel.refused"))
        .map(|(_, number)| number)
        .sum();
    ensure!(refused >= 1_000, "only {refused} refusals are counted");
    let grown = memory_kib(&pair, Role::Master)?.saturating_sub(before);
    ensure!(grown < 8 * 1024, "the daemon has grown by {grown} KiB");
    // δ is one second in the lab.
    let late_us = counter(&pair, Role::Master, "beats.late_max_us")?;
    ensure!(late_us < 250_000, "a beat left {late_us} µs late");
    let lines = pair.log(Role::Master).lines().filter(|line| line.contains("refused")).count();
    ensure!(lines <= 4, "{lines} lines about refusals:\n{}", pair.story());
    pair.order(Role::Master, &["takeback"])?;
    pair.wait_active(Role::Master)?;
    Ok(())
}

/// A mebibyte without a line end, through a TLS session that anybody may open.
fn endless_line(peer: SocketAddr) -> Result<()> {
    let connector = native_tls::TlsConnector::builder()
        .danger_accept_invalid_certs(true)
        .danger_accept_invalid_hostnames(true)
        .build()?;
    let stream = TcpStream::connect_timeout(&peer, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut stream = connector.connect("cfg1", stream).map_err(|error| anyhow::anyhow!("{error}"))?;
    for _ in 0..256 {
        if stream.write_all(&[b'x'; 4096]).is_err() {
            return Ok(());
        }
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!("the server keeps the connection open"),
        // Reset: closed in our face, as it should be.
        Err(_) => Ok(()),
    }
}

/// Beats of the master, recorded on the slave's place while its daemon is down, keep nobody alive when they are played
/// back to the slave after the master is gone.
#[test]
fn recorded_beats_keep_nobody_alive() -> Result<()> {
    let Some(mut pair) = Pair::begin("recorded_beats_keep_nobody_alive", &Setup::default())? else { return Ok(()) };
    pair.guardian(Role::Slave)?.signal(nix::sys::signal::Signal::SIGTERM)?;
    wait_until("the slave's daemon to end", LIMIT, || Ok(!pair.guardian(Role::Slave)?.is_running()?))?;
    let (from, to) = (pair.lab.cfg1.address(), pair.lab.cfg2.address());
    let record = stand_on(&pair.lab.cfg2, move || {
        let socket = UdpSocket::bind((to, BEAT_PORT))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut packets = Vec::new();
        let mut packet = [0_u8; 2048];
        while packets.len() < 30 {
            let length = socket.recv(&mut packet)?;
            packets.push(packet[..length].to_vec());
        }
        Ok(packets)
    })?;
    let packets = finish(record)?;
    pair.lab.cfg1.power_cut()?;
    pair.lab.cfg1.boot()?;
    pair.start(Role::Slave)?;
    pair.wait_state(Role::Slave, StateName::Passive)?;
    let replay = stand_on(&pair.lab.cfg1, move || {
        let socket = UdpSocket::bind((from, BEAT_PORT))?;
        for packet in packets.iter().cycle().take(300) {
            socket.send_to(packet, (to, BEAT_PORT))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    })?;
    finish(replay)?;
    let status = pair.status(Role::Slave)?;
    assert_eq!(status.peer.heard_age_ms, None, "recorded beats were believed: {:?}", status.peer);
    assert_eq!(status.state, StateName::Passive);
    let dropped: u64 = ["unproven", "old"]
        .iter()
        .filter_map(|name| status.counters.iter().find(|(key, _)| key.starts_with("beats") && key.ends_with(name)))
        .map(|(_, number)| number)
        .sum();
    ensure!(dropped >= 250, "the recorded beats are not counted: {:?}", status.counters);
    Ok(())
}
