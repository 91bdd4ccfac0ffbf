//! Tells cases one after the other. What a case has in common with the one before it is told once.

use super::schedule::Outcome;
use super::story::{Case, TOLD_MS};
use super::world::World;

/// The stories so far, without the faults that are still to come.
#[derive(Debug, Default)]
pub struct Teller {
    /// The story of the last case: without its faults, with the first of them, with the first two, and so on.
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// The story and the faults that are in it.
    case: Case,
    /// Not yet at the position of the next fault.
    world: World,
}

impl Teller {
    /// The same as [`Case::run`], sooner if the case before was of the same story and began with the same faults.
    #[must_use]
    pub fn tell(&mut self, case: &Case) -> Outcome {
        let Some(last) = case.put.first() else { return case.run(false) };
        let depth = case.put.len() - 1;
        for depth in 0..=depth {
            self.keep(case, depth);
        }
        let mut world = self.kept[depth].world.clone();
        world.put.insert(0, *last);
        Case::end(world)
    }

    /// Keeps the story with the case's first `depth` faults, as it is before the next one strikes.
    fn keep(&mut self, case: &Case, depth: usize) {
        let coming = case.put.len() - depth;
        let (next, put) = (case.put[coming - 1].0, &case.put[coming..]);
        let fits = |kept: &Kept| {
            (kept.case.story, kept.case.setup) == (case.story, case.setup)
                && kept.case.put == put
                && kept.world.moment < next
        };
        if !self.kept.get(depth).is_some_and(fits) {
            self.kept.truncate(depth);
            let world = match (self.kept.last(), put.first()) {
                (Some(before), Some(fault)) => {
                    let mut world = before.world.clone();
                    world.put.insert(0, *fault);
                    world
                }
                _ => case.begin(false),
            };
            self.kept.push(Kept { case: Case { put: put.to_vec(), ..*case }, world });
        }
        self.kept[depth].world.run_before(next);
    }
}

impl World {
    /// Runs up to the event in which this position passes, or to the story's end.
    fn run_before(&mut self, position: u32) {
        loop {
            let before = self.clone();
            if !self.run_one(TOLD_MS) {
                return;
            }
            if self.moment >= position {
                *self = before;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Setup;
    use super::super::story;
    use super::*;

    #[test]
    fn a_case_that_begins_where_another_left_it_is_the_case_told_from_its_begin() {
        let mut teller = Teller::default();
        let singles = story::singles(&[Setup::Storage, Setup::SecondWay]);
        let pairs = story::pairs(&[Setup::Etcd]);
        // Neighbours share the most; the steps reach every story.
        for case in singles.chunks(1_501).chain(pairs.chunks(12_007)).flat_map(|cases| cases.iter().take(30)) {
            let (told, run) = (teller.tell(case), case.run(false));
            assert_eq!((told.number, told.lasted_ms), (run.number, run.lasted_ms), "{case}");
            assert_eq!(told.seen, run.seen, "{case}");
        }
    }
}
