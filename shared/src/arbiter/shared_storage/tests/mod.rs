//! The protocol on a local folder: first as the child answers it, then through a child.

mod child;
mod claims;
mod late;
mod slots;

use std::path::Path;

use tempfile::TempDir;

use super::folder::CELLS;
use super::memory::Memory;
use super::question::{Place, Question};
use super::{initialise, protocol};
use crate::decision::{
    ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Claim, Epoch, Millis, Role, Slot, Stamp, Terms, View,
};

const TERMS: Terms = Terms { lease_ms: Millis(60_000), drift_permille: 10, digest: 7, version: 1 };

/// A store with nothing in it but its marker.
struct Store(TempDir);

impl Store {
    fn new() -> Store {
        let folder = tempfile::tempdir().unwrap();
        initialise(folder.path(), "mail").unwrap();
        Store(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A daemon that has just started.
    fn daemon(&self, role: Role, boot: u128) -> Daemon {
        let place = Place {
            path: self.path().to_owned(),
            pair: "mail".to_owned(),
            role,
            host: format!("host-{role}"),
            boot: BootId(boot),
        };
        Daemon { place, memory: Memory::default() }
    }

    fn names(&self, start: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(start))
            .collect();
        names.sort();
        names
    }
}

/// One process's view of the store, asked without a child.
#[derive(Clone)]
struct Daemon {
    place: Place,
    memory: Memory,
}

impl Daemon {
    fn ask(&mut self, request: ArbiterRequest) -> ArbiterReply {
        let answer = protocol::answer(self.question(request));
        self.memory = answer.memory;
        answer.reply
    }

    /// Asks, and never hears the answer: what the parent remembers then.
    fn ask_in_vain(&mut self, request: ArbiterRequest) {
        let question = self.question(request);
        self.memory.attempt(question.nonce);
        protocol::answer(question);
    }

    fn question(&self, request: ArbiterRequest) -> Question {
        let nonce = rand();
        Question { place: self.place.clone(), request, nonce, memory: self.memory.clone() }
    }

    fn observe(&mut self) -> View {
        match self.ask(ArbiterRequest::Observe) {
            ArbiterReply::Seen(view) => view,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, epoch: u64) -> ArbiterReply {
        self.ask(ArbiterRequest::Claim { epoch: Epoch(epoch), stamp: Stamp(0) })
    }

    fn renew(&mut self, epoch: u64) -> ArbiterReply {
        self.ask(renewal(epoch))
    }

    fn release(&mut self, epoch: u64) -> ArbiterReply {
        self.ask(ArbiterRequest::Release { epoch: Epoch(epoch), terms: TERMS })
    }
}

fn renewal(epoch: u64) -> ArbiterRequest {
    ArbiterRequest::Renew { epoch: Epoch(epoch), hold: false, terms: TERMS }
}

fn rand() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// The text of a failure of the named kind.
fn failure(reply: ArbiterReply, kind: fn(String) -> ArbiterFailure) -> String {
    match &reply {
        ArbiterReply::Failed(
            failure @ (ArbiterFailure::Unreachable(text)
            | ArbiterFailure::RolledBack(text)
            | ArbiterFailure::Cloned(text)
            | ArbiterFailure::Damaged(text)),
        ) if *failure == kind(text.clone()) => text.clone(),
        _ => panic!("expected {:?}, and it is {reply:?}", kind("…".to_owned())),
    }
}
