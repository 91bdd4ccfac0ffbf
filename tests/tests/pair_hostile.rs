//! Strangers at the daemon's port: what they send is refused, counted and logged once a minute; neither memory nor beats
//! nor a move suffer from it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use failover_shared::channel::{ClientSettings, Counters, PeerClient, Refused};
use failover_shared::decision::{BootId, Incarnation, Role};
use failover_shared::key::KeyRing;
use failover_shared::provision;
use failover_shared::wire::{HeaderSource, Message, PROTOCOL_VERSION};
use failover_tests::judge::place::{finish, stand_on};
use failover_tests::pair::{LIMIT, Pair, Setup};
use failover_tests::wait::wait_until;
use sha2::{Digest as _, Sha256};

/// The port of the master's channel.
const CHANNEL_PORT: u16 = 7890;

const HALF_HANDSHAKES: usize = 1_000;
const CONNECTIONS: usize = 10_000;
const MEMORY_GROWTH_KIB_MAX: u64 = 8 * 1024;
/// A quarter of the lab's `suspect_after`.
const BEAT_LATE_US_MAX: u64 = 250_000;

/// The first bytes of a TLS greeting that never goes on.
const HALF_GREETING: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[test]
fn a_wrong_key_and_a_wrong_certificate_are_refused_and_counted_and_the_right_ones_are_not() -> Result<()> {
    let test = "a_wrong_key_and_a_wrong_certificate_are_refused_and_counted_and_the_right_ones_are_not";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let right = provision::load_pair_key(&pair.lab.folder().join("keys").join(provision::PAIR_KEY_FILE))?;
    let refused = ask_as_peer(&pair, vec![7; 32], "cfg1")?;
    ensure!(refused.is_err(), "a wrong key was let in: {refused:?}");
    let name = format!("channel.refused.{}", Refused::Key.as_str());
    ensure!(pair.status(Role::Master)?.counters.contains_key(&name), "nothing was counted as {name:?}");
    let refused = ask_as_peer(&pair, right.expose().to_vec(), "cfg2")?;
    ensure!(refused.is_err(), "a wrong certificate was talked to: {refused:?}");
    let answered = ask_as_peer(&pair, right.expose().to_vec(), "cfg1")?;
    ensure!(matches!(answered, Ok(Message::Reply { .. })), "the right key is refused too: {answered:?}");
    let lines = pair.log(Role::Master).lines().filter(|line| line.contains("refused")).count();
    ensure!(lines <= 2, "{lines} lines about refusals within a minute:\n{}", pair.story());
    Ok(())
}

#[test]
fn strangers_are_refused_and_counted_and_the_pair_moves_under_their_flood() -> Result<()> {
    let test = "strangers_are_refused_and_counted_and_the_pair_moves_under_their_flood";
    let Some(pair) = Pair::begin(test, &Setup::default())? else { return Ok(()) };
    let address = SocketAddr::new(pair.lab.cfg1.address().into(), CHANNEL_PORT);
    let before = memory_kib(&pair, "VmRSS:")?;
    let begun = Instant::now();

    ensure!(ask_as_peer(&pair, vec![7; 32], "cfg1")?.is_err(), "a stranger was answered");
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

    let most = memory_kib(&pair, "VmHWM:")?;
    println!("memory: {before} KiB before, {most} KiB at most");
    ensure!(most.saturating_sub(before) < MEMORY_GROWTH_KIB_MAX, "memory grew from {before} to {most} KiB");
    ensure!(counters["beats.late_max_us"] < BEAT_LATE_US_MAX, "a beat was late: {counters:?}");
    ensure!(!pair.history(Role::Slave)?.contains("PeerSilent"), "the master was taken for silent");
    Ok(())
}

/// Asks for the status as a peer would, with the given key and certificate; gives what came of it.
fn ask_as_peer(pair: &Pair, key: Vec<u8>, certificate_of: &str) -> Result<Result<Message, String>> {
    let certificate = provision::peer_certificate(&pair.lab.folder().join("keys"), certificate_of)?;
    let peer = SocketAddr::new(pair.lab.cfg1.address().into(), CHANNEL_PORT);
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

/// What `/proc/PID/status` says of the memory of the master's daemon, in KiB.
fn memory_kib(pair: &Pair, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", pair.daemon(Role::Master)?))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    value.split_whitespace().next().context("no number")?.parse().context("not a number")
}
