//! From the death of the service's process to the beat that tells of it, on the wire between two hosts of a lab.
//!
//! The kernel takes a killed process down before it tells anybody: that part is measured by a bystander, who waits for the
//! same descriptor as the daemon does, and is taken off.

use std::io::IoSliceMut;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use failover_shared::decision::{Beat, Duty, Role, StateName, Verdict};
use failover_shared::process::pidfd_open;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use super::{Row, millis, no_lab};
use crate::judge::place::{finish, stand_on};
use crate::pair::{Pair, Setup};

const WHAT: &str = "a service process is dead → verdict → beat on the wire";
const BUDGET: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(30);
/// Longer than an Ethernet frame.
const FRAME_BYTES_MAX: usize = 2048;

/// When it happened, by the machine's clock.
struct Death {
    killed: SystemTime,
    dead: SystemTime,
    told: SystemTime,
}

/// Kills Dovecot `count` times, and takes the service back each time.
///
/// # Errors
/// When the pair does not do what it shall.
pub fn rows(count: u32) -> Result<Vec<Row>> {
    if let Some(why) = no_lab() {
        return Ok(vec![Row::not_run(WHAT, "2 ms", &why)]);
    }
    // A second between two regular beats: what is seen is the one sent for the verdict, not one that was due anyway.
    let setup = Setup::default()
        .with_timing("beat", "1s")
        .with_timing("suspect_after", "5s")
        .with_timing("restart_grace", "0ms");
    let pair = Pair::begin("bench", &setup)?.context("no lab")?;
    let (mut to_end, mut to_beat, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let Death { killed, dead, told } = one(&pair)?;
        // A wall clock that was set in between spoils one of many values.
        let span = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        to_end.push(span(killed, dead));
        to_beat.push(span(dead, told));
        whole.push(span(killed, told));
        pair.wait_active(Role::Slave)?;
        pair.wait_state(Role::Master, StateName::Standby)?;
        pair.order(Role::Slave, &["takeback", "--reason", "bench"])?;
        pair.wait_active(Role::Master)?;
        pair.wait_state(Role::Slave, StateName::Standby)?;
        pair.ctl(Role::Master, &["ack"])?;
    }
    whole.sort_unstable();
    let middle = whole.get(whole.len() / 2).copied().unwrap_or_default();
    let note = format!(
        "restart_grace 0; to the kernel's time stamp of the packet on the other host; regular beats 1 s apart; \
         {} from kill(2)",
        millis(middle)
    );
    Ok(vec![
        Row::of("Dovecot under SIGKILL → the kernel says that it is dead", None, to_end, "to a bystander with a pidfd"),
        Row::of(WHAT, Some(BUDGET), to_beat, &note),
    ])
}

fn one(pair: &Pair) -> Result<Death> {
    let processes = pair.lab.cfg1.processes()?;
    let dovecot = processes.iter().find(|process| process.name == "dovecot").context("no Dovecot on the master")?;
    let descriptor = pidfd_open(dovecot.outside.as_raw()).context("watch Dovecot")?;
    let bystander = std::thread::spawn(move || dead_at(&descriptor));
    let (listens, listening) = std::sync::mpsc::channel();
    let watcher = stand_on(&pair.lab.cfg2, move || {
        let observer = observer()?;
        listens.send(())?;
        first_failed(&observer)
    })?;
    // A watcher that could not begin tells why when it is joined.
    if listening.recv().is_err() {
        return finish(watcher).and_then(|_| bail!("nobody watched"));
    }
    let killed = kill_now(dovecot.outside)?;
    let told = finish(watcher)?;
    let dead = bystander.join().map_err(|_| anyhow!("the bystander panicked"))??;
    Ok(Death { killed, dead, told })
}

fn kill_now(victim: Pid) -> Result<SystemTime> {
    // Until the bystander's thread is asleep, its beginning would be in the figure.
    std::thread::sleep(Duration::from_millis(50));
    let killed = SystemTime::now();
    kill(victim, Signal::SIGKILL)?;
    Ok(killed)
}

fn dead_at(process: &OwnedFd) -> Result<SystemTime> {
    let limit = PollTimeout::try_from(LIMIT)?;
    loop {
        match poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], limit) {
            Ok(0) => bail!("the process did not end within {LIMIT:?}"),
            Ok(_) => return Ok(SystemTime::now()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sees every packet of the host's network (packet(7)), each with the kernel's time stamp.
fn observer() -> Result<OwnedFd> {
    let observer = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::EthIp)?;
    setsockopt(&observer, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&observer, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    Ok(observer)
}

fn first_failed(observer: &OwnedFd) -> Result<SystemTime> {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let mut bytes = [0; FRAME_BYTES_MAX];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
        let received = recvmsg::<()>(observer.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
        let (length, stamp) = match received {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|told| match told {
                    ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
                    _ => None,
                });
                (message.bytes, stamp.context("a packet without a time stamp")?)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if bytes.get(..length).and_then(beat).is_some_and(|beat| tells_failure(&beat)) {
            return Ok(SystemTime::UNIX_EPOCH + Duration::from(stamp));
        }
    }
    bail!("no beat told of the death within {LIMIT:?}")
}

/// The beat inside a packet, if it is one: its body is JSON in clear text.
fn beat(packet: &[u8]) -> Option<Beat> {
    const BEGIN: &[u8] = b"{\"boot\"";
    let begin = packet.windows(BEGIN.len()).position(|part| part == BEGIN)?;
    let mut values = serde_json::Deserializer::from_slice(packet.get(begin..)?).into_iter();
    values.next()?.ok()
}

fn tells_failure(beat: &Beat) -> bool {
    beat.duty == Duty::Active && matches!(beat.verdict, Verdict::Failed(_))
}
