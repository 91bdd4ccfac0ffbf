//! One block of the store: a head line with kind, length and digest, the record's JSON, and blanks to the end. `cat` shows
//! it.
//!
//! Blocks are read and written past the page cache (`O_DIRECT`, open(2)) where the file system takes it: what another
//! client of the store wrote a moment ago must be seen, and `noac` alone does not do that (nfs(5), "Data and metadata
//! coherence").

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// One page, and a multiple of every disk's sector: what `O_DIRECT` may ask of memory, length and place.
pub(super) const BLOCK_BYTES: usize = 4096;

const MAGIC: &str = "failover-lease 1";
const LENGTH_DIGITS: usize = 8;

/// The bytes of a block, at an address that `O_DIRECT` takes.
#[derive(Clone)]
#[repr(C, align(4096))]
pub(super) struct Block([u8; BLOCK_BYTES]);

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<T> {
    /// Nothing was ever written there: beyond the end of the file, blanks, or zeros that a file system put in the place
    /// of what a crash took.
    Empty,
    /// A whole record.
    Whole(T),
    /// Anything else, and why.
    Broken(String),
}

impl Block {
    /// A block that was never written.
    pub(super) fn empty() -> Box<Block> {
        let mut block = Box::new(Block([b' '; BLOCK_BYTES]));
        if let Some(last) = block.0.last_mut() {
            *last = b'\n';
        }
        block
    }

    /// The block of a record. `None` if the record is too long: names in it are bounded, so it is not.
    pub(super) fn of<T: Serialize>(kind: &str, record: &T) -> Option<Box<Block>> {
        let text = serde_json::to_string(record).ok()?;
        let head = format!("{MAGIC} {kind} {:0LENGTH_DIGITS$} {}\n", text.len(), digest(kind, text.as_bytes()));
        let mut block = Block::empty();
        let front = head.len() + text.len();
        // The last byte stays a line end.
        let place = block.0.get_mut(..front).filter(|_| front < BLOCK_BYTES)?;
        let (first, second) = place.split_at_mut_checked(head.len())?;
        first.copy_from_slice(head.as_bytes());
        second.copy_from_slice(text.as_bytes());
        Some(block)
    }
}

/// Reads the first `count` blocks of a file in one go. A block that is being overwritten is broken, its neighbours are not.
pub(super) fn read<T: DeserializeOwned>(path: &Path, kind: &str, count: usize) -> io::Result<Vec<Content<T>>> {
    with_file(path, OpenOptions::new().read(true), |file| {
        let mut blocks = vec![Block([0; BLOCK_BYTES]); count];
        let mut length = fill(file, &mut blocks)?;
        Ok(blocks
            .iter()
            .map(|block| {
                let there = length.min(BLOCK_BYTES);
                length -= there;
                decode(kind, block.0.get(..there).unwrap_or_default())
            })
            .collect())
    })
}

/// Overwrites one block of a file that is there, and returns when the store says that it is durable.
pub(super) fn write(path: &Path, block: &Block, index: u64) -> io::Result<()> {
    with_file(path, OpenOptions::new().write(true), |file| {
        file.write_all_at(&block.0, index * BLOCK_BYTES as u64)?;
        file.sync_data()
    })
}

/// Makes a file of these blocks, durable itself; its name is not: see [`sync_folder`]. What could not be written as a whole
/// is removed: a full store has room for names, and each further attempt would leave one.
pub(super) fn create(path: &Path, blocks: &[Box<Block>]) -> io::Result<()> {
    // Not with O_DIRECT: where that is refused, open(2) may leave the file behind and yet fail.
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?);
    let written = with_file(path, OpenOptions::new().write(true), |file| {
        for (index, block) in (0..).zip(blocks) {
            file.write_all_at(&block.0, index * BLOCK_BYTES as u64)?;
        }
        file.sync_all()
    });
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether the file system takes `O_DIRECT` for this file.
pub(super) fn takes_direct(path: &Path) -> io::Result<bool> {
    let mut block = [Block([0; BLOCK_BYTES])];
    let read = open(path, OpenOptions::new().read(true), libc::O_DIRECT).and_then(|file| fill(&file, &mut block));
    match read {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Works on the file with `O_DIRECT`; where that is refused (`EINVAL`, at once or at the first transfer), once more
/// without.
fn with_file<T>(path: &Path, options: &OpenOptions, work: impl Fn(&File) -> io::Result<T>) -> io::Result<T> {
    match open(path, options, libc::O_DIRECT).and_then(|file| work(&file)) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => work(&open(path, options, 0)?),
        done => done,
    }
}

fn open(path: &Path, options: &OpenOptions, flags: i32) -> io::Result<File> {
    options.clone().custom_flags(flags).open(path)
}

/// Fills the blocks from the start of a file that was just opened. The number of bytes there were.
fn fill(mut file: &File, blocks: &mut [Block]) -> io::Result<usize> {
    let mut slices: Vec<IoSliceMut<'_>> = blocks.iter_mut().map(|block| IoSliceMut::new(&mut block.0)).collect();
    let (mut rest, mut length) = (slices.as_mut_slice(), 0);
    while !rest.is_empty() {
        match file.read_vectored(rest) {
            Ok(0) => break,
            Ok(more) => {
                length += more;
                IoSliceMut::advance_slices(&mut rest, more);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn decode<T: DeserializeOwned>(kind: &str, bytes: &[u8]) -> Content<T> {
    let blank = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b' ' | b'\n' | 0));
    if blank(bytes) {
        return Content::Empty;
    }
    let text = match text(kind, bytes) {
        Ok(text) => text,
        Err(why) => return Content::Broken(why.to_owned()),
    };
    match serde_json::from_slice(text) {
        Ok(record) => Content::Whole(record),
        Err(error) => Content::Broken(format!("it is whole and not understood: {error}")),
    }
}

fn text<'a>(kind: &str, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no head line")?;
    let (head, rest) = bytes.split_at_checked(end + 1).ok_or("it has no head line")?;
    let head = std::str::from_utf8(head).map_err(|_| "its head line is no text")?.trim_end();
    let head = head.strip_prefix(MAGIC).and_then(|head| head.strip_prefix(' ')).ok_or("it is of another program")?;
    let mut words = head.split(' ');
    if words.next() != Some(kind) {
        return Err("it is a record of another kind");
    }
    let length: usize = words.next().and_then(|word| word.parse().ok()).ok_or("it has no length")?;
    let text = rest.get(..length).ok_or("it is shorter than it says")?;
    if words.next() != Some(digest(kind, text).as_str()) {
        return Err("its digest does not match");
    }
    Ok(text)
}

fn digest(kind: &str, text: &[u8]) -> String {
    let sum = Sha256::new().chain_update(kind).chain_update(b" ").chain_update(text).finalize();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_each_block_and_is_readable_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let blocks = ["one", "two"].map(|word| Block::of("word", &word).unwrap());
        create(&path, &blocks).unwrap();
        assert_eq!(
            read::<String>(&path, "word", 3).unwrap(),
            [Content::Whole("one".into()), Content::Whole("two".into()), Content::Empty]
        );
        write(&path, &Block::of("word", &"three").unwrap(), 0).unwrap();
        assert_eq!(read::<String>(&path, "word", 1).unwrap(), [Content::Whole("three".into())]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("failover-lease 1 word 00000007 "), "{text}");
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_seen() {
        let block = Block::of("word", &"some text").unwrap();
        let used = block.0.iter().rposition(|byte| *byte != b' ' && *byte != b'\n').unwrap() + 1;
        assert_eq!(decode::<String>("word", &block.0), Content::Whole("some text".into()));
        for bit in 0..used * 8 {
            let mut torn = block.clone();
            torn.0[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode::<String>("word", &torn.0), Content::Broken(_)), "bit {bit} was not missed");
        }
        for length in 1..used {
            assert!(matches!(decode::<String>("word", &block.0[..length]), Content::Broken(_)), "{length} bytes pass");
        }
        assert!(matches!(decode::<String>("other", &block.0), Content::Broken(_)));
        assert!(matches!(decode::<u64>("word", &block.0), Content::Broken(_)));
    }

    #[test]
    fn a_block_that_was_never_written_is_empty_and_not_broken() {
        assert_eq!(decode::<String>("word", &Block::empty().0), Content::Empty);
        assert_eq!(decode::<String>("word", &[0; BLOCK_BYTES]), Content::Empty);
        assert_eq!(decode::<String>("word", b""), Content::Empty);
    }

    #[test]
    fn a_record_that_does_not_fit_is_refused() {
        assert!(Block::of("word", &"x".repeat(BLOCK_BYTES)).is_none());
    }

    #[test]
    fn a_file_system_without_direct_access_is_read_all_the_same() {
        // proc(5) refuses O_DIRECT.
        let path = Path::new("/proc/sys/kernel/ostype");
        assert!(!takes_direct(path).unwrap(), "this kernel takes O_DIRECT where the test needs a refusal");
        assert!(matches!(read::<String>(path, "word", 1).unwrap()[..], [Content::Broken(_)]));
    }
}
