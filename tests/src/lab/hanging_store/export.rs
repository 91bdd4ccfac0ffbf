//! The requests of one mount, each through the gate: what the kernel's FUSE client asks (fuse(4), libfuse's
//! `fuse_lowlevel.h`).
//!
//! They are served by one thread, so behind one that waits all wait, as behind a dead server.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::disk::{Disk, FOLDER};
use super::gate::{Gate, Need};
use super::lock;

const BLOCK_BYTES: u32 = 4096;
/// Nothing may be remembered: the other host changes it.
const NO_TIME: Duration = Duration::ZERO;
const ONCE: Generation = Generation(0);
const NO_HANDLE: FileHandle = FileHandle(0);

/// One mount's view of the server.
pub(super) struct Export {
    disk: Arc<Mutex<Disk>>,
    gate: Arc<Gate>,
}

impl Export {
    pub(super) fn new(disk: Arc<Mutex<Disk>>, gate: Arc<Gate>) -> Export {
        Export { disk, gate }
    }

    fn carry_out<T>(&self, need: Need, work: impl FnOnce(&mut Disk) -> Result<T, Errno>) -> Result<T, Errno> {
        self.gate.enter(need)?;
        let done = work(&mut lock(&self.disk));
        self.gate.leave()?;
        done
    }

    fn empty(&self, need: Need, reply: ReplyEmpty, work: impl FnOnce(&mut Disk) -> Result<(), Errno>) {
        match self.carry_out(need, work) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }
}

fn attributes(disk: &Disk, number: u64) -> Result<FileAttr, Errno> {
    let (kind, perm, nlink, size) = match number {
        FOLDER => (FileType::Directory, 0o755, 2, 0),
        _ => {
            let file = disk.file(number)?;
            (FileType::RegularFile, 0o600, file.links, file.bytes.len() as u64)
        }
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

fn place(offset: u64) -> Result<usize, Errno> {
    usize::try_from(offset).map_err(|_| Errno::EFBIG)
}

impl Filesystem for Export {
    fn lookup(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.carry_out(Need::Read, |disk| attributes(disk, disk.number(name)?)) {
            Ok(attributes) => reply.entry(&NO_TIME, &attributes, ONCE),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.carry_out(Need::Read, |disk| attributes(disk, number.0)) {
            Ok(attributes) => reply.attr(&NO_TIME, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = self.carry_out(Need::Write, |disk| {
            if let Some(size) = size {
                disk.resize(number.0, place(size)?)?;
            }
            attributes(disk, number.0)
        });
        match done {
            Ok(attributes) => reply.attr(&NO_TIME, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.carry_out(Need::Read, |_| Ok(())) {
            Ok(()) => reply.opened(NO_HANDLE, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.carry_out(Need::Read, |disk| {
            let names = disk.names().map(|(name, number)| (name.clone(), number));
            Ok(names.collect::<Vec<_>>())
        });
        let names = match listed {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (name, number)) in (1..).zip(names).skip(skip) {
            if reply.add(INodeNo(number), index, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.empty(Need::Write, reply, |_| Ok(()));
    }

    fn create(
        &self,
        _: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        // A full disk has room for the name of an empty file.
        let made = self.carry_out(Need::Write, |disk| {
            let number = disk.create(name)?;
            attributes(disk, number)
        });
        match made {
            Ok(attributes) => reply.created(&NO_TIME, &attributes, ONCE, NO_HANDLE, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.carry_out(Need::Read, |disk| disk.file(number.0).map(drop)) {
            Ok(()) => reply.opened(NO_HANDLE, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.carry_out(Need::Read, |disk| {
            let bytes = &disk.file(number.0)?.bytes;
            let start = place(offset)?.min(bytes.len());
            let end = start.saturating_add(place(size.into())?).min(bytes.len());
            Ok(bytes.get(start..end).unwrap_or_default().to_vec())
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let end = offset.saturating_add(data.len() as u64);
        let there = lock(&self.disk).file(number.0).is_ok_and(|file| end <= file.bytes.len() as u64);
        let need = if there { Need::Write } else { Need::Space };
        match self.carry_out(need, |disk| disk.write(number.0, place(offset)?, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.empty(Need::Read, reply, |_| Ok(()));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.empty(Need::Write, reply, |_| Ok(()));
    }

    fn link(&self, _: &Request, number: INodeNo, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.carry_out(Need::Write, |disk| {
            disk.link(number.0, name)?;
            attributes(disk, number.0)
        });
        match linked {
            Ok(attributes) => reply.entry(&NO_TIME, &attributes, ONCE),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Need::Write, reply, |disk| disk.unlink(name));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCKS: u64 = 1024;
        const NAME_BYTES: u32 = 255;
        match self.carry_out(Need::Read, |_| Ok(())) {
            Ok(()) => reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, NAME_BYTES, BLOCK_BYTES),
            Err(error) => reply.error(error),
        }
    }
}
