//! The host's processes by name, searched as seldom as can be: a search reads a file of each process, which on a stand-by
//! host, where nothing of the service runs, would be the most expensive thing that the daemon does.

use std::fs;
use std::io;

/// So many searches may be answered from memory before `/proc` is read all the same.
const SKIPS_MAX: u32 = 10;

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) pid: u32,
    /// As the kernel keeps it, at most 15 bytes.
    pub(super) name: Vec<u8>,
    /// When it started, in clock ticks since the boot.
    pub(super) started: u64,
}

impl Candidate {
    /// The process as it is now; `None` if it is gone, or dead and not yet reaped.
    pub(super) fn read(pid: u32) -> Option<Candidate> {
        parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }
}

/// What earlier searches saw.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The newest process number at the last two searches. A process is forked first and takes its name by exec(2) after
    /// that, so the search after the one that saw the number counts.
    newest: [Option<u32>; 2],
    skipped: u32,
}

impl Table {
    /// All living processes with one of these names; none if no process can have come up since a search that found none.
    pub(super) fn search(&mut self, names: &[&[u8]]) -> io::Result<Vec<Candidate>> {
        let newest = newest_process();
        let is_quiet = newest.is_some() && self.newest == [newest; 2];
        self.newest = [self.newest[1], newest];
        if is_quiet && self.skipped < SKIPS_MAX {
            self.skipped += 1;
            return Ok(Vec::new());
        }
        self.skipped = 0;
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok()) else { continue };
            // Most processes are told by their name alone, which is the cheaper file.
            let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
            if names.contains(&name.trim_ascii_end()) {
                found.extend(Candidate::read(pid));
            }
        }
        if !found.is_empty() {
            // The next search is for another process, or after a death.
            self.newest = [None; 2];
        }
        Ok(found)
    }
}

/// The number that was given last, from `/proc/loadavg` (proc_loadavg(5)). One small file instead of all.
fn newest_process() -> Option<u32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// Takes `/proc/PID/stat` apart: `pid (name) state ppid …`, the start being the 22nd field (proc_pid_stat(5)). The name may
/// hold anything, parentheses too, so the last one ends it.
fn parse(pid: u32, stat: &[u8]) -> Option<Candidate> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    let mut fields = std::str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    // Dead, but its parent has not asked for it yet: a pidfd of it would say so at once, again and again.
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // The state is the third field.
    let started = fields.nth(22 - 4)?.parse().ok()?;
    Some(Candidate { pid, name, started })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stat_line_is_taken_apart_whatever_the_name_holds() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let candidate = parse(7, format!("7 (odd) ( name) {fields}").as_bytes()).unwrap();
        assert_eq!(candidate, Candidate { pid: 7, name: b"odd) ( name".to_vec(), started: 4711 });
        assert_eq!(parse(7, format!("7 (dead) Z{}", &fields[1..]).as_bytes()), None);
        assert_eq!(parse(7, b"7 (short) S 1 2"), None);
        assert_eq!(parse(7, b""), None);
    }

    #[test]
    fn the_own_process_is_found_by_its_name() {
        let own = Candidate::read(std::process::id()).unwrap();
        let found = Table::default().search(&[&own.name]).unwrap();
        assert!(found.contains(&own), "{own:?} is not among {found:?}");
    }

    #[test]
    fn a_quiet_host_is_searched_only_now_and_then() {
        let newest = newest_process();
        let mut table = Table { newest: [newest; 2], skipped: SKIPS_MAX };
        let own = Candidate::read(std::process::id()).unwrap();
        assert!(!table.search(&[&own.name]).unwrap().is_empty(), "after {SKIPS_MAX} skips it looks all the same");
    }

    proptest! {
        #[test]
        fn no_stat_line_makes_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..120)) {
            parse(1, &line);
        }
    }
}
