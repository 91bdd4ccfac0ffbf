//! The thread that beats. It owns nothing but its buffer: stopping it at any moment loses one beat at most.
//!
//! A thread of its own, because a beat that is late by the daemon's slowest turn would make a healthy host look dead;
//! whether the daemon itself is stuck is told by the ages inside the beat.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use super::counters::Counters;
use super::outgoing::Outgoing;
use super::packet::PACKET_BYTES_MAX;
use super::privileges;

/// Enough for the loop many times over; the default of 2 MiB would be counted against the lock limit.
const STACK_BYTES: usize = 128 * 1024;

/// The running thread. Dropping it ends the thread at once and waits for it.
pub(super) struct Beater {
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    privileges: String,
}

impl Beater {
    pub(super) fn start(outgoing: Arc<Outgoing>, interval: Duration) -> io::Result<Beater> {
        let (end, ended) = UnixStream::pair()?;
        let (report, granted) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("heartbeat".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            // Signals are for the daemon's own handlers; here they would only make a beat late.
            let _ = SigSet::all().thread_block();
            let _ = report.send(privileges::ask());
            beat(&outgoing, interval, &ended);
        })?;
        let privileges = granted.recv().unwrap_or_else(|_| "the beating thread did not start".to_owned());
        Ok(Beater { end: Some(end), thread: Some(thread), privileges })
    }

    pub(super) fn privileges(&self) -> &str {
        &self.privileges
    }
}

impl Drop for Beater {
    fn drop(&mut self) {
        // The thread waits for this end to close.
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; if it did, there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// Beats at fixed points in time, so that a late beat does not shift those after it.
fn beat(outgoing: &Outgoing, interval: Duration, ended: &UnixStream) {
    let mut buffer = Vec::with_capacity(PACKET_BYTES_MAX);
    let mut next = Instant::now();
    while wait_until(next, ended) {
        outgoing.counters.note_lateness(next.elapsed());
        outgoing.send_round(&mut buffer);
        next += interval;
        let now = Instant::now();
        // Rounds that were missed altogether are not made up for: a burst of beats says no more than one.
        while next < now {
            next += interval;
            Counters::count(&outgoing.counters.skipped);
        }
    }
}

/// `false` if the thread is to end.
fn wait_until(point: Instant, ended: &UnixStream) -> bool {
    loop {
        let left = point.saturating_duration_since(Instant::now());
        match ppoll(&mut [PollFd::new(ended.as_fd(), PollFlags::POLLIN)], Some(TimeSpec::from_duration(left)), None) {
            Ok(0) => return true,
            Ok(_) => return false,
            Err(Errno::EINTR) => {}
            // Not possible with one good descriptor; a thread that spins at real-time priority would be the worst answer.
            Err(_) => return false,
        }
    }
}
