//! Reading the journal's files, line by line, however they end. Needs no [`super::Journal`]: the operator's tool reads
//! beside a running daemon, and without one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::file_name;
use super::line::{Entry, LINE_BYTES_MAX, decode};

/// More files than this are never looked for.
const FILES_MAX: u32 = 64;

/// What one file holds.
pub(super) struct Scan {
    /// Where its last whole line ends.
    pub(super) end: u64,
    /// The number of its newest entry.
    pub(super) newest: Option<u64>,
    /// Spoiled lines in front of its last whole one.
    pub(super) spoiled_lines: u64,
}

/// The newest `count` entries of the journal at `path`, oldest first. A journal that is not there has none.
///
/// # Errors
/// A file is there and cannot be read.
pub fn tail(path: &Path, count: usize) -> io::Result<Vec<Entry>> {
    let mut kept = VecDeque::new();
    for age in 0..FILES_MAX {
        let Some(file) = open(&file_name(path, age))? else { break };
        let wanted = count - kept.len();
        let mut newest = VecDeque::new();
        each_line(file, |_, entry| {
            newest.extend(entry);
            if newest.len() > wanted {
                newest.pop_front();
            }
        })?;
        newest.extend(kept);
        kept = newest;
        if kept.len() >= count {
            break;
        }
    }
    Ok(kept.into())
}

/// The oldest `count` entries with a number above `sequence`, oldest first.
///
/// # Errors
/// A file is there and cannot be read.
pub fn since(path: &Path, sequence: u64, count: usize) -> io::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for age in 0..FILES_MAX {
        let Some(file) = open(&file_name(path, age))? else { break };
        files.push(file);
    }
    let mut found = Vec::new();
    for file in files.into_iter().rev() {
        each_line(file, |_, entry| {
            found.extend(entry.filter(|entry| entry.sequence > sequence && found.len() < count))
        })?;
    }
    Ok(found)
}

pub(super) fn scan(file: &File) -> io::Result<Scan> {
    let mut scan = Scan { end: 0, newest: None, spoiled_lines: 0 };
    let mut spoiled_since = 0;
    each_line(file.try_clone()?, |end, entry| match entry {
        Some(entry) => {
            scan.end = end;
            scan.newest = Some(entry.sequence);
            scan.spoiled_lines += spoiled_since;
            spoiled_since = 0;
        }
        None => spoiled_since += 1,
    })?;
    Ok(scan)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Calls with where each line ends, and its entry if it is whole. Never holds more than one line.
fn each_line(file: File, mut seen: impl FnMut(u64, Option<Entry>)) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut end = 0;
    let mut continued = false;
    loop {
        line.clear();
        let bytes = reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            return Ok(());
        }
        end += bytes as u64;
        let content = line.strip_suffix(b"\n");
        seen(end, content.filter(|_| !continued).and_then(decode));
        // A piece without an end is the front of a longer line, whose rest is no line of its own.
        continued = content.is_none();
    }
}
