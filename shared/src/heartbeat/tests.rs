//! Two hosts' heartbeats on loopback, with a relay between them that can record, hold back and play again.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::decision::{Duty, Epoch, FenceAnswer, FenceId, FenceNotice, OperationId, Verdict};

const KEY: [u8; 32] = [1; 32];
const NEW_KEY: [u8; 32] = [2; 32];
/// Long enough for the slowest machine; nothing here waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(5);
const FENCE: FenceId = FenceId { by: Incarnation(u64::MAX), operation: OperationId(u64::MAX) };

fn beat(incarnation: u64, duty: Duty) -> Beat {
    Beat {
        incarnation: Incarnation(incarnation),
        duty,
        epoch: Epoch(u64::MAX),
        owned: Epoch(u64::MAX),
        verdict: Verdict::Failed(crate::decision::Symptom::CommandFailed),
        verdict_age_ms: Millis(u64::MAX),
        ready: false,
        maintenance: false,
        digest: u64::MAX,
        automatic: Epoch(u64::MAX),
        acknowledged: Epoch(u64::MAX),
        loop_lag_ms: Millis(u64::MAX),
        fence: Some(FenceNotice { id: FENCE, ago_ms: Millis(u64::MAX) }),
        fence_answer: Some(FenceAnswer { id: FENCE, booted_since: true }),
    }
}

/// One host: its heartbeats, and what it has heard.
struct Host {
    heartbeat: Heartbeat,
    heard: Vec<Heard>,
    started: Instant,
}

impl Host {
    fn start(role: Role, incarnation: u64, keys: KeyRing, paths: Vec<(SocketAddr, SocketAddr)>) -> Host {
        let pair = "mail".to_owned();
        let incarnation = Incarnation(incarnation);
        let settings = HeartbeatSettings { paths, interval: INTERVAL, pair, role, keys, incarnation };
        let heartbeat = Heartbeat::start(settings).unwrap();
        heartbeat.publish(&beat(incarnation.0, Duty::Standby), false).unwrap();
        Host { heartbeat, heard: Vec::new(), started: Instant::now() }
    }

    fn drain(&mut self) {
        let now = Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap());
        self.heartbeat.drain(now, &mut self.heard);
    }

    fn heard_on(&self, path: usize) -> bool {
        self.heard.iter().any(|heard| heard.path == path)
    }
}

/// Stands between the hosts on one path: each believes it to be the other.
struct Relay {
    to_master: UdpSocket,
    to_slave: UdpSocket,
    master: Option<SocketAddr>,
    slave: Option<SocketAddr>,
    from_master: Vec<Vec<u8>>,
    passes: bool,
}

impl Relay {
    fn new() -> Relay {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (to_master, to_slave) = (socket(), socket());
        Relay { to_master, to_slave, master: None, slave: None, from_master: Vec::new(), passes: true }
    }

    fn master(&mut self, incarnation: u64, keys: &KeyRing) -> Host {
        let path = ("127.0.0.1:0".parse().unwrap(), self.to_master.local_addr().unwrap());
        let host = Host::start(Role::Master, incarnation, keys.clone(), vec![path]);
        self.master = host.heartbeat.local_addresses().unwrap().first().copied();
        host
    }

    fn slave(&mut self, incarnation: u64, keys: &KeyRing) -> Host {
        let path = ("127.0.0.1:0".parse().unwrap(), self.to_slave.local_addr().unwrap());
        let host = Host::start(Role::Slave, incarnation, keys.clone(), vec![path]);
        self.slave = host.heartbeat.local_addresses().unwrap().first().copied();
        host
    }

    fn pump(&mut self) {
        let mut bytes = [0; 2_000];
        while let Ok((length, from)) = self.to_master.recv_from(&mut bytes) {
            if Some(from) == self.master {
                self.from_master.push(bytes[..length].to_vec());
                if let Some(slave) = self.slave.filter(|_| self.passes) {
                    let _ = self.to_slave.send_to(&bytes[..length], slave);
                }
            }
        }
        while let Ok((length, from)) = self.to_slave.recv_from(&mut bytes) {
            if let Some(master) = self.master.filter(|_| self.passes && Some(from) == self.slave) {
                let _ = self.to_master.send_to(&bytes[..length], master);
            }
        }
    }

    /// Plays to the slave again all that the master has ever said.
    fn replay(&self) {
        for packet in &self.from_master {
            let _ = self.to_slave.send_to(packet, self.slave.unwrap());
        }
    }
}

fn ring() -> KeyRing {
    KeyRing::new(&KEY, None).unwrap()
}

/// Runs `turn` until it says that what was waited for has come.
#[track_caller]
fn until(what: &str, mut turn: impl FnMut() -> bool) {
    let started = Instant::now();
    while !turn() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn until_both_hear(relay: &mut Relay, master: &mut Host, slave: &mut Host) {
    master.heard.clear();
    slave.heard.clear();
    until("both hosts hear each other", || {
        relay.pump();
        master.drain();
        slave.drain();
        master.heard.len() > 2 && slave.heard.len() > 2
    });
}

/// Two free ports on loopback addresses of their own. Whoever takes one in between makes the test fail, not lie.
fn addresses(host: u8) -> (SocketAddr, SocketAddr) {
    let free = |address: String| UdpSocket::bind(address).unwrap().local_addr().unwrap();
    (free(format!("127.0.{host}.1:0")), free(format!("127.0.{host}.2:0")))
}

#[tokio::test]
async fn two_hosts_hear_each_other_on_every_path_and_wake_up_for_it() {
    let (first, second) = (addresses(11), addresses(12));
    let mut master = Host::start(Role::Master, 1, ring(), vec![first, second]);
    let mut slave = Host::start(Role::Slave, 2, ring(), vec![(first.1, first.0), (second.1, second.0)]);
    let heard = async {
        while !(master.heard_on(0) && master.heard_on(1) && slave.heard_on(0) && slave.heard_on(1)) {
            tokio::select! {
                () = master.heartbeat.readable() => {}
                () = slave.heartbeat.readable() => {}
            }
            master.drain();
            slave.drain();
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("both paths carry beats");
    assert_eq!(slave.heard[0].beat, beat(1, Duty::Standby));
    assert!(!master.heartbeat.privileges().is_empty());
}

#[tokio::test]
async fn a_drained_socket_is_waited_for_without_spinning() {
    let mut relay = Relay::new();
    let slave = relay.slave(2, &ring());
    let stranger = relay.to_slave.local_addr().unwrap();
    relay.to_slave.send_to(b"not a beat", relay.slave.unwrap()).unwrap();
    tokio::time::timeout(PATIENCE, slave.heartbeat.readable()).await.expect("a packet is there");
    until("the packet is read", || {
        slave.heartbeat.drain(Millis(0), &mut Vec::new());
        slave.heartbeat.counters().malformed == 1
    });
    let again = tokio::time::timeout(Duration::from_millis(20), slave.heartbeat.readable()).await;
    assert!(again.is_err(), "nothing more came from {stranger}");
}

#[tokio::test]
async fn recorded_beats_keep_nobody_alive_neither_at_once_nor_after_a_restart() {
    let mut relay = Relay::new();
    let (mut master, mut slave) = (relay.master(1, &ring()), relay.slave(2, &ring()));
    until_both_hear(&mut relay, &mut master, &mut slave);
    drop(master);
    relay.pump();
    slave.drain();

    // The master is dead. Everything it ever said is said again to the slave that heard it…
    slave.heard.clear();
    let before = slave.heartbeat.counters();
    relay.replay();
    until("the slave has read the recorded beats", || {
        slave.drain();
        let now = slave.heartbeat.counters();
        now.old + now.unproven >= before.old + before.unproven + relay.from_master.len() as u64
    });
    assert_eq!(slave.heard, []);

    // … and to a slave that has started anew.
    let mut slave = relay.slave(3, &ring());
    relay.replay();
    until("the restarted slave has read the recorded beats", || {
        slave.drain();
        slave.heartbeat.counters().unproven >= relay.from_master.len() as u64
    });
    assert_eq!(slave.heard, []);

    // The real master, restarted, is heard: what was played changed nothing.
    let mut master = relay.master(4, &ring());
    until_both_hear(&mut relay, &mut master, &mut slave);
    // And with two starts of the master on record, the first one still counts for nothing.
    drop(master);
    relay.pump();
    slave.drain();
    slave.heard.clear();
    for _ in 0..3 {
        relay.replay();
        slave.drain();
    }
    assert_eq!(slave.heard, []);
}

#[tokio::test]
async fn a_replay_flood_does_not_take_the_right_echo_out_of_the_beats() {
    let mut relay = Relay::new();
    let (mut master, mut slave) = (relay.master(1, &ring()), relay.slave(2, &ring()));
    until_both_hear(&mut relay, &mut master, &mut slave);
    drop(master);
    let mut master = relay.master(3, &ring());
    until_both_hear(&mut relay, &mut master, &mut slave);
    // Beats of the first start are played to the slave all the time: the second start must go on hearing the slave.
    let recorded = relay.from_master.clone();
    master.heard.clear();
    until("the master hears the slave all the same", || {
        for packet in recorded.iter().take(20) {
            let _ = relay.to_slave.send_to(packet, relay.slave.unwrap());
        }
        relay.pump();
        master.drain();
        slave.drain();
        master.heard.len() > 50
    });
    assert!(slave.heartbeat.counters().unproven > 0, "the recorded beats did arrive");
}

#[tokio::test]
async fn keys_are_changed_host_by_host_without_a_silence() {
    let mut relay = Relay::new();
    let (master_keys, slave_keys) = (ring(), ring());
    let (mut master, mut slave) = (relay.master(1, &master_keys), relay.slave(2, &slave_keys));
    until_both_hear(&mut relay, &mut master, &mut slave);

    master.heartbeat.set_keys(&KeyRing::new(&NEW_KEY, Some(&KEY)).unwrap());
    until_both_hear(&mut relay, &mut master, &mut slave);
    slave.heartbeat.set_keys(&KeyRing::new(&NEW_KEY, Some(&KEY)).unwrap());
    until_both_hear(&mut relay, &mut master, &mut slave);
    master.heartbeat.set_keys(&KeyRing::new(&NEW_KEY, None).unwrap());
    until_both_hear(&mut relay, &mut master, &mut slave);
    let counters = (master.heartbeat.counters(), slave.heartbeat.counters());
    assert_eq!((counters.0.wrong_key, counters.1.wrong_key), (0, 0), "no beat was lost over it: {counters:?}");

    // A host that starts in the middle of the change, with both keys, finds the one that is common.
    drop(slave);
    slave_keys.replace(&KEY, Some(&NEW_KEY)).unwrap();
    let mut slave = relay.slave(3, &slave_keys);
    until_both_hear(&mut relay, &mut master, &mut slave);
}

#[tokio::test]
async fn a_wrong_key_another_pair_and_the_own_role_are_counted_and_not_heard() {
    let mut relay = Relay::new();
    let mut slave = relay.slave(2, &ring());
    let mut stranger = relay.master(1, &KeyRing::new(&NEW_KEY, None).unwrap());
    until("the wrong key is counted", || {
        relay.pump();
        stranger.drain();
        slave.drain();
        slave.heartbeat.counters().wrong_key > 2
    });
    assert_eq!(slave.heard, []);
    assert_eq!(slave.heartbeat.counters().answered, 0, "a stranger gets no answer");

    // The slave's own beats, reflected to it.
    until("the own role is counted", || {
        let mut bytes = [0; 2_000];
        while let Ok((length, from)) = relay.to_slave.recv_from(&mut bytes) {
            let _ = relay.to_slave.send_to(&bytes[..length], from);
        }
        slave.drain();
        slave.heartbeat.counters().wrong_role > 2
    });
    assert_eq!(slave.heard, []);
}

#[tokio::test]
async fn an_urgent_beat_leaves_at_once_and_a_farewell_is_the_last() {
    let mut relay = Relay::new();
    let (mut master, mut slave) = (relay.master(1, &ring()), relay.slave(2, &ring()));
    until_both_hear(&mut relay, &mut master, &mut slave);

    let sent = master.heartbeat.counters().sent;
    master.heartbeat.publish(&beat(1, Duty::Stopped), true).unwrap();
    assert!(master.heartbeat.counters().sent > sent);
    until("the news arrives", || {
        relay.pump();
        slave.drain();
        slave.heard.iter().any(|heard| heard.beat.duty == Duty::Stopped && heard.newest && !heard.farewell)
    });

    master.heartbeat.farewell();
    master.heartbeat.publish(&beat(1, Duty::Active), true).unwrap();
    let sent = master.heartbeat.counters().sent;
    until("the farewell arrives", || {
        relay.pump();
        slave.drain();
        slave.heard.iter().any(|heard| heard.farewell)
    });
    // The slave beats on, so waiting for its beats waits for time in which the master says nothing.
    let before = slave.heartbeat.counters().sent;
    until("the slave has beaten on", || slave.heartbeat.counters().sent > before + 5);
    // One round may have been on its way out while the farewell was said.
    assert!(master.heartbeat.counters().sent <= sent + 1, "nothing after the farewell");
    relay.pump();
    slave.drain();
    assert!(slave.heard.last().is_some_and(|last| last.farewell && last.beat.duty == Duty::Stopped));
}

#[tokio::test]
async fn a_flood_of_garbage_is_read_in_bounded_pieces_and_beats_go_on_leaving() {
    let mut relay = Relay::new();
    let (mut master, mut slave) = (relay.master(1, &ring()), relay.slave(2, &ring()));
    until_both_hear(&mut relay, &mut master, &mut slave);

    let flooder = relay.to_slave.try_clone().unwrap();
    let (target, stop) = (relay.slave.unwrap(), Arc::new(AtomicBool::new(false)));
    let flood = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut number = 0_u32;
            while !stop.load(Ordering::Relaxed) && number < 2_000_000 {
                let _ = flooder.send_to(&[b'x'; 200], target);
                number += 1;
            }
        }
    });
    until("the flood has arrived", || {
        slave.drain();
        slave.heartbeat.counters().malformed > 10_000
    });
    let before = slave.heartbeat.counters();
    slave.drain();
    let read = slave.heartbeat.counters().malformed - before.malformed;
    assert!(read <= PACKETS_MAX as u64, "one call read {read} packets");

    master.heard.clear();
    slave.heard.clear();
    until("both still hear each other", || {
        relay.pump();
        master.drain();
        slave.drain();
        master.heard.len() > 20 && !slave.heard.is_empty()
    });
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

#[tokio::test]
async fn the_longest_beat_fits_into_a_packet() {
    let longest = beat(u64::MAX, Duty::Requesting);
    let length = serde_json::to_vec(&longest).unwrap().len();
    // Half is left for the fields of later versions.
    assert!(length <= BODY_BYTES_MAX / 2, "{length} bytes");
}

#[tokio::test]
async fn a_peer_whose_port_is_closed_is_no_packet_from_a_foreign_address() {
    let keys = ring();
    let (closed, _) = addresses(14);
    let mut host = Host::start(Role::Master, 1, keys, vec![("127.0.0.1:0".parse().unwrap(), closed)]);
    let end = Instant::now() + PATIENCE;
    while host.heartbeat.counters().unreachable == 0 {
        assert!(Instant::now() < end, "nothing was counted: {:?}", host.heartbeat.counters());
        host.drain();
        tokio::task::yield_now().await;
    }
    assert_eq!(host.heartbeat.counters().wrong_address, 0);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let settings = |paths, interval| HeartbeatSettings {
        paths,
        interval,
        pair: "mail".to_owned(),
        role: Role::Master,
        keys: ring(),
        incarnation: Incarnation(1),
    };
    let path = addresses(13);
    assert!(matches!(Heartbeat::start(settings(vec![], INTERVAL)), Err(HeartbeatError::Paths(0))));
    let often = Duration::from_micros(999);
    assert!(matches!(Heartbeat::start(settings(vec![path], often)), Err(HeartbeatError::Interval(_))));
    let taken = UdpSocket::bind(path.0).unwrap();
    assert!(matches!(Heartbeat::start(settings(vec![path], INTERVAL)), Err(HeartbeatError::Socket { .. })));
    drop(taken);
    assert!(Heartbeat::start(settings(vec![path], INTERVAL)).is_ok());
}
