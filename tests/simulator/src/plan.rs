//! What is due when. Things due at the same moment happen in the order in which they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue of things to come.
#[derive(Clone, Debug)]
pub struct Plan<T> {
    /// When, in which order, and where the thing itself lies: things are large, and a heap moves what it holds.
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    planned: u64,
}

impl<T> Default for Plan<T> {
    fn default() -> Plan<T> {
        Plan { heap: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), planned: 0 }
    }
}

impl<T> Plan<T> {
    /// Plans a thing.
    pub fn at(&mut self, at: u64, thing: T) {
        let place = match self.free.pop() {
            Some(place) => {
                self.things[place] = Some(thing);
                place
            }
            None => {
                self.things.push(Some(thing));
                self.things.len() - 1
            }
        };
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, place)));
    }

    /// The next thing that is due at `until` or before, and when.
    pub fn next(&mut self, until: u64) -> Option<(u64, T)> {
        let Reverse((at, _, place)) = *self.heap.peek()?;
        if at > until {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        self.things[place].take().map(|thing| (at, thing))
    }
}
