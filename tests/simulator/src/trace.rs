//! What happened, as one number for comparing two runs, and as lines for a person.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::random::mix;

/// How many lines a violation is shown with.
pub const LINES: usize = 60;

/// The record of one schedule.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    digest: Digest,
    /// Written only when a schedule is run again to be shown: most of its time would go into these.
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// Keeps the last lines, if they are wanted.
    #[must_use]
    pub fn new(with_lines: bool) -> Trace {
        Trace { digest: Digest::default(), lines: with_lines.then(VecDeque::new) }
    }

    /// Whether lines are kept.
    #[must_use]
    pub fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// Something happened: it goes into the number.
    pub fn mix<T: Hash + ?Sized>(&mut self, thing: &T) {
        thing.hash(&mut self.digest);
    }

    /// A line for a person, made only if somebody reads it.
    pub fn tell(&mut self, now: u64, line: impl FnOnce() -> String) {
        let Some(lines) = &mut self.lines else { return };
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(format!("{now:>7} {}", line()));
    }

    /// The number: two runs that differ anywhere differ here.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.digest.finish()
    }

    /// The last lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }
}

/// A fast digest of everything that is hashed into it, in order. Not for strangers: nobody chooses its input.
#[derive(Clone, Debug, Default)]
struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.word(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.word(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.word(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.word(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.word(word as u64);
    }
}
