//! The lease in a folder on shared storage, usually an NFS export that both hosts have mounted all the time.
//!
//! # Files
//!
//! | name | what | written |
//! |---|---|---|
//! | `lease.id` | marker: which pair's store this is, and a random number | once, by [`initialise`] |
//! | `claim.EPOCH` | who owns an epoch | once, by link(2) from an unfinished file; never changed |
//! | `slot.ROLE.NONCE` | the last renewals of one host: eight cells, written in turn | by one process, in place |
//! | `unfinished.ROLE.NONCE` | a claim before it has its name | once |
//!
//! A record is one block of 4096 bytes with a digest, readable with `cat`. Of a host's records the one with the highest
//! (epoch, released, sequence) counts. Writing in place needs no space, so a lease that is kept goes on being renewed on a
//! full store. A file of its own does, 32 KiB: a daemon that is started there, or one of whose writes was not answered,
//! cannot renew or release until there is room, and its lease runs out.
//!
//! # Why no two hosts hold the lease
//!
//! A *renewal* writes the own slot, makes it durable, and then lists the folder. It counts only if the list shows the
//! own claim, no later claim, and no other slot file of this host. A *contender* observes the slots at o, waits, links
//! the next claim, and then reads the slots again.
//!
//! Take a renewal that counts and whose write took effect after o. Its list came before the contender's link, or it would
//! have shown the claim. So the contender's second look comes after its write, and must differ from the first one. It
//! does: the list showed one file F of this host, so every record that the contender saw at o was in F, which holds a newer
//! one now, or in a file that is gone; and a record that counts is numbered above all that those files can have held. So an
//! unchanged slot proves that the last renewal that counts is older than o, and the arithmetic of the lease does the
//! rest. All of this leans on one server that keeps the order of what it was asked, and on lists and `O_DIRECT` reads that
//! it answers itself; which mount options that takes, [`examine`] tells.
//!
//! Numbers: a process reads all of its host's records and writes the highest number and one. A write of before whose end
//! is not known has then at most this same number. That is why the first record of a new file does not count: the files
//! of before are removed after it, and only the second one, numbered one more, is a renewal.
//!
//! # Why late writes are harmless
//!
//! A question that is not answered in time leaves requests behind that the server may carry out at any later time.
//!
//! - *A slot record.* After a write whose end is not known (no answer, an error, a new daemon) its file is never written
//!   again: the next write makes a new file and removes all others. So a late record never takes the place of a newer
//!   one. It arrives in a file that has no name any more; or in one that appears now, which is older in the order, and
//!   keeps renewals from counting until it is read and removed. A renewal that arrives after the release of its epoch is
//!   older than the release, by the order. Cells are eight so that a server that carries out an answered write a second
//!   time does no harm either, unless it is eight renewals late.
//! - *A link.* Its unfinished file is removed before the next one is made, after which it finds nothing to link. If it was
//!   faster, the claim is this host's, which the next question tells. A claim that nobody acts on costs time, not safety.
//! - *A removal.* Names are never used twice: epochs only grow, and nonces are random.
//!
//! # The I/O child
//!
//! All of it is done by a child process, [`serve`], which can hang on a dead server for as long as the kernel likes. It is
//! asked one question at a time. If the answer is late it is killed; as long as it is not gone, further questions are
//! `TimedOut` at once, so no more than one process of a daemon ever hangs. The next question after that starts another.

mod block;
mod examine;
mod folder;
mod helper;
mod initialise;
mod memory;
mod mount;
mod name;
mod protocol;
mod question;
mod record;
mod serve;
mod words;

use std::process::Command;
use std::time::Duration;

use self::helper::Helper;
use self::memory::Memory;
use self::question::Question;
use crate::decision::{ArbiterFailure, ArbiterReply, ArbiterRequest};

pub use examine::{MOUNT_OPTIONS, examine};
pub use initialise::{InitialiseError, initialise};
pub use question::Place;
pub use record::StoreId;
pub use serve::{is_child, serve};

/// A store, asked through a child process.
#[derive(Debug)]
pub struct SharedStorage {
    place: Place,
    /// The limit of one question (I).
    limit: Duration,
    /// Builds the command of each child.
    program: fn() -> Command,
    memory: Memory,
    helper: Option<Helper>,
}

impl SharedStorage {
    /// Asks nothing yet. `limit` is the time of one attempt (I). The program that runs must begin by asking [`is_child`].
    #[must_use]
    pub fn new(place: Place, limit: Duration) -> SharedStorage {
        SharedStorage::with_program(place, limit, || {
            // The very program that runs now, even when an upgrade has put another in its place: both ends of the socket
            // must be of one version.
            let mut command = Command::new("/proc/self/exe");
            command.arg(serve::CHILD_ARGUMENT);
            command
        })
    }

    /// The same with another program as the child, which must call [`serve`] by itself.
    #[must_use]
    pub fn with_program(place: Place, limit: Duration, program: fn() -> Command) -> SharedStorage {
        SharedStorage { place, limit, program, memory: Memory::default(), helper: None }
    }

    /// Asks, and answers within the limit. Must be called on the thread that lives as long as the daemon: the child ends
    /// with the thread that started it (`PR_SET_PDEATHSIG`, prctl(2)).
    ///
    /// Safe to drop half way: the child is thrown away, and the question counts as one whose end is not known.
    pub async fn ask(&mut self, request: ArbiterRequest) -> ArbiterReply {
        match self.exchange(request).await {
            Ok(reply) => reply,
            Err(failure) => ArbiterReply::Failed(failure),
        }
    }

    async fn exchange(&mut self, request: ArbiterRequest) -> Result<ArbiterReply, ArbiterFailure> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| no_child("the kernel gave no random numbers", &error))?;
        let question = Question {
            place: self.place.clone(),
            request,
            nonce: u64::from_le_bytes(nonce),
            memory: self.memory.clone(),
        };
        let limit = self.limit;
        let helper = ready(&mut self.helper, self.program)?;
        // For as long as there is no answer, the worst is remembered.
        let writes = matches!(question.request, ArbiterRequest::Renew { .. } | ArbiterRequest::Release { .. });
        if writes {
            self.memory.attempt(question.nonce);
        }
        match tokio::time::timeout(limit, helper.ask(&question)).await {
            Ok(Ok(answer)) => {
                self.memory = answer.memory;
                Ok(answer.reply)
            }
            Ok(Err(error)) => {
                helper.kill();
                Err(no_child(
                    "the process that asks the lease store has ended; the next question starts another",
                    &error,
                ))
            }
            Err(_) => {
                helper.kill();
                Err(ArbiterFailure::TimedOut)
            }
        }
    }
}

/// The child that waits for a question; a new one if there is none. `TimedOut` while the last one hangs.
fn ready(helper: &mut Option<Helper>, program: fn() -> Command) -> Result<&mut Helper, ArbiterFailure> {
    if let Some(old) = helper.as_mut()
        && !old.is_ready()
    {
        old.kill();
        if !old.is_gone() {
            return Err(ArbiterFailure::TimedOut);
        }
        *helper = None;
    }
    match helper {
        Some(helper) => Ok(helper),
        None => {
            let started = Helper::start(program());
            let started =
                started.map_err(|error| no_child("no process could be started to ask the lease store", &error))?;
            Ok(helper.insert(started))
        }
    }
}

fn no_child(what: &str, error: &dyn std::fmt::Display) -> ArbiterFailure {
    ArbiterFailure::Unreachable(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests;
