//! The store as the protocol sees it: marker, names, claims, slots, each with what is wrong with it in words.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::block::{self, Block, Content};
use super::name::{self, Names};
use super::question::Place;
use super::record::{
    CLAIM_KIND, ClaimRecord, MARKER_FILE, MARKER_KIND, MARKER_VERSION, Marker, SLOT_KIND, SlotRecord, StoreId,
};
use super::words::unreachable;
use crate::decision::{ArbiterFailure, Epoch, Role};

/// The records of a slot file, written in turn. Two would do against a torn write. More keep a server that carries out a
/// repeated request a second time from replacing a record of which somebody may still need to know.
pub(super) const CELLS: usize = 8;

/// A slot file that vanishes between the list and the look was replaced by its owner; that happens once a daemon's start.
const LOOKS_MAX: u32 = 3;

/// A store whose marker was read.
pub(super) struct Folder<'a> {
    place: &'a Place,
    pub(super) id: StoreId,
}

impl<'a> Folder<'a> {
    /// Reads the marker.
    pub(super) fn open(place: &'a Place) -> Result<Folder<'a>, ArbiterFailure> {
        Ok(Folder { place, id: read_marker(&place.path, &place.pair)? })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path.join(name)
    }

    pub(super) fn names(&self) -> Result<Names, ArbiterFailure> {
        Names::read(&self.place.path).map_err(|error| self.failed("listing it", &error))
    }

    /// The record of a claim that was listed.
    pub(super) fn claim(&self, epoch: Epoch) -> Result<ClaimRecord, ArbiterFailure> {
        let name = name::claim(epoch);
        let path = self.path(&name);
        let mut content = block::read::<ClaimRecord>(&path, CLAIM_KIND, 1).map_err(|error| {
            let doing = format!("reading {name}, which is in the list; an NFS mount needs lookupcache=none");
            self.failed(&doing, &error)
        })?;
        let record = whole(content.pop().unwrap_or(Content::Empty), &path)?;
        if record.store != self.id || record.claim.epoch != epoch {
            let found = record.claim.epoch;
            return Err(damaged(&path, &format!("it is the claim of epoch {found} in the store {}", record.store)));
        }
        Ok(record)
    }

    /// Lists the folder and reads all whole records of these hosts' slots.
    pub(super) fn slots(&self, roles: &[Role]) -> Result<(Names, Vec<SlotRecord>), ArbiterFailure> {
        let mut looks = 1;
        loop {
            let names = self.names()?;
            let files = roles.iter().flat_map(|role| names.slots_of(*role).iter().map(|name| (*role, name)));
            let mut records = Vec::new();
            let mut vanished = None;
            for (role, name) in files {
                match self.slot(role, name) {
                    Ok(mut of_file) => records.append(&mut of_file),
                    Err(SlotError::Io(error)) if is_gone(&error) => vanished = Some((name.clone(), error)),
                    Err(SlotError::Io(error)) => return Err(self.failed(&format!("reading {name}"), &error)),
                    Err(SlotError::Damaged(failure)) => return Err(failure),
                }
            }
            match vanished {
                None => return Ok((names, records)),
                Some((name, error)) if looks >= LOOKS_MAX => {
                    return Err(self.failed(&format!("reading {name}, which is in the list"), &error));
                }
                Some(_) => looks += 1,
            }
        }
    }

    fn slot(&self, role: Role, name: &str) -> Result<Vec<SlotRecord>, SlotError> {
        let path = self.path(name);
        let cells = block::read::<SlotRecord>(&path, SLOT_KIND, CELLS).map_err(SlotError::Io)?;
        let (mut records, mut broken) = (Vec::new(), Vec::new());
        for cell in cells {
            match cell {
                Content::Empty => {}
                Content::Whole(record) => records.push(record),
                Content::Broken(why) => broken.push(why),
            }
        }
        if let Some(record) = records.iter().find(|record| record.store != self.id || record.role != role) {
            let why = format!("it is the slot of the {} in the store {}", record.role, record.store);
            return Err(SlotError::Damaged(damaged(&path, &why)));
        }
        // One broken cell is a write that was cut off: nobody relied on it. A file of which nothing else is whole is
        // such a write as well, if it was the first.
        match broken.first() {
            Some(why) if broken.len() > 1 => Err(SlotError::Damaged(damaged(&path, why))),
            _ => Ok(records),
        }
    }

    /// Makes a slot file with one record; durable, its name as well. It has all its space before it holds a record: a file
    /// that is removed for want of space must not be one whose record the other host has seen, to whom that would look
    /// like a store that was rolled back.
    pub(super) fn create_slot(&self, name: &str, record: &SlotRecord) -> Result<(), ArbiterFailure> {
        let (path, block) = (self.path(name), self.block(SLOT_KIND, record)?);
        let blank: Vec<Box<Block>> = (0..CELLS).map(|_| Block::empty()).collect();
        block::create(&path, &blank)
            .and_then(|()| block::write(&path, &block, cell_of(record)))
            .and_then(|()| block::sync_folder(&self.place.path))
            .map_err(|error| self.failed(&format!("making {name}"), &error))
    }

    /// Writes a record in its turn over the oldest one of a slot file; durable.
    pub(super) fn overwrite_slot(&self, name: &str, record: &SlotRecord) -> Result<(), ArbiterFailure> {
        block::write(&self.path(name), &*self.block(SLOT_KIND, record)?, cell_of(record))
            .map_err(|error| self.failed(&format!("writing {name}"), &error))
    }

    /// Makes an unfinished claim; durable, its name is not.
    pub(super) fn create_claim(&self, name: &str, record: &ClaimRecord) -> Result<(), ArbiterFailure> {
        block::create(&self.path(name), &[self.block(CLAIM_KIND, record)?])
            .map_err(|error| self.failed(&format!("making {name}"), &error))
    }

    /// Gives an unfinished claim its name. `false`: that name is taken. link(2) is the one exclusive operation that every
    /// version of NFS has.
    pub(super) fn link_claim(&self, unfinished: &str, epoch: Epoch) -> Result<bool, ArbiterFailure> {
        let name = name::claim(epoch);
        let (from, to) = (self.path(unfinished), self.path(&name));
        match fs::hard_link(&from, &to) {
            Ok(()) => {}
            // The first answer may have been lost, and the repeated request then finds its own work (open(2), O_EXCL).
            Err(_) if fs::metadata(&from).is_ok_and(|file| file.nlink() == 2) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(self.failed(&format!("making {name}"), &error)),
        }
        block::sync_folder(&self.place.path).map_err(|error| self.failed(&format!("making {name}"), &error))?;
        Ok(true)
    }

    /// Removes a file. One that is gone already is as good.
    pub(super) fn remove(&self, name: &str) -> Result<(), ArbiterFailure> {
        match fs::remove_file(self.path(name)) {
            Err(error) if !is_gone(&error) => Err(self.failed(&format!("removing {name}"), &error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, doing: &str, error: &io::Error) -> ArbiterFailure {
        unreachable(&self.place.path, doing, error)
    }

    fn block<T: serde::Serialize>(&self, kind: &str, record: &T) -> Result<Box<Block>, ArbiterFailure> {
        Block::of(kind, record).ok_or_else(|| {
            ArbiterFailure::Damaged(format!("the {kind} of {} does not fit into a block", self.place.host))
        })
    }
}

/// Which store it is, if it is one of this pair.
pub(super) fn read_marker(folder: &Path, expected: &str) -> Result<StoreId, ArbiterFailure> {
    let path = folder.join(MARKER_FILE);
    let shown = folder.display();
    let content = match block::read::<Marker>(&path, MARKER_KIND, 1) {
        Ok(mut content) => content.pop().unwrap_or(Content::Empty),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ArbiterFailure::Unreachable(format!(
                "{shown} holds no {MARKER_FILE}: the lease store is not mounted there, or was never initialised; next: \
                 mount {shown}; for a new store, once for both hosts: failoverctl arbiter-init {shown}"
            )));
        }
        Err(error) => return Err(unreachable(folder, &format!("reading {MARKER_FILE}"), &error)),
    };
    let Marker { pair, id, version } = whole(content, &path)?;
    if pair != expected {
        return Err(ArbiterFailure::Damaged(format!(
            "{shown} is the lease store of the pair {pair:?} and this pair is called {expected:?}; next: mount the right \
             export there, or write the right path"
        )));
    }
    if version != MARKER_VERSION {
        return Err(ArbiterFailure::Damaged(format!(
            "{shown} is a lease store of version {version} and this program knows version {MARKER_VERSION}; next: install \
             the same version on both hosts"
        )));
    }
    Ok(id)
}

enum SlotError {
    Io(io::Error),
    Damaged(ArbiterFailure),
}

/// Which cell's turn it is.
fn cell_of(record: &SlotRecord) -> u64 {
    record.slot.sequence % CELLS as u64
}

/// The file's owner removed it. An open file of NFS that was removed is stale.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE))
}

fn whole<T: DeserializeOwned>(content: Content<T>, path: &Path) -> Result<T, ArbiterFailure> {
    match content {
        Content::Whole(record) => Ok(record),
        Content::Empty => Err(damaged(path, "it is empty")),
        Content::Broken(why) => Err(damaged(path, &why)),
    }
}

fn damaged(path: &Path, why: &str) -> ArbiterFailure {
    let path = path.display();
    ArbiterFailure::Damaged(format!(
        "{path}: {why}; nobody may rely on it; next: look at it (cat {path}) and at the server; if it is beyond repair, \
         stop the service, remove all files of the store, and initialise it anew: failoverctl arbiter-init"
    ))
}
