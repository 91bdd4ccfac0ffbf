//! A text looked for in bytes that come in pieces.

/// A search that remembers just enough to find a text across the seams.
#[derive(Debug)]
pub(super) struct Search {
    wanted: Vec<u8>,
    /// The last bytes seen, shorter than what is wanted.
    tail: Vec<u8>,
    found: bool,
}

impl Search {
    /// Looks for `wanted`; nothing is found in everything.
    pub(super) fn new(wanted: &[u8]) -> Search {
        Search { wanted: wanted.to_vec(), tail: Vec::new(), found: wanted.is_empty() }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.found {
            return;
        }
        self.tail.extend_from_slice(piece);
        self.found = self.tail.windows(self.wanted.len()).any(|window| window == self.wanted);
        let excess = self.tail.len().saturating_sub(self.wanted.len() - 1);
        self.tail.drain(..excess);
    }

    pub(super) fn found(&self) -> bool {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_the_whole_holds_wherever_the_seams_are(
            pieces in prop::collection::vec("[ab]{0,6}", 0..8),
            wanted in "[ab]{0,5}",
        ) {
            let mut search = Search::new(wanted.as_bytes());
            pieces.iter().for_each(|piece| search.push(piece.as_bytes()));
            prop_assert_eq!(search.found(), pieces.concat().contains(&wanted));
        }
    }
}
