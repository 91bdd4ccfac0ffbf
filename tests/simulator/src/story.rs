//! The base stories, and every single fault and every pair of grave faults at their positions.
//!
//! A story runs without chance; its *positions* are the actions that the cores ask for and the changes of their states,
//! counted from its begin. A case is a story with faults put at positions; afterwards the pair is healed and must serve.

use std::fmt;

use super::corpus;
use super::fault::Fault;
use super::item::Item;
use super::options::{Options, Setup};
use super::schedule::{self, Outcome};
use super::world::World;

/// A pair's usual days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Both hosts boot and the service starts.
    Boot,
    /// It is moved by a command.
    Move,
    /// It is moved and brought home again.
    ThereAndBack,
    /// It dies on the active host.
    ServiceDies,
    /// The active host loses power and comes back.
    HostDies,
    /// The link between the hosts is cut and mended.
    LinkCut,
    /// The active host's daemon is started anew.
    DaemonDies,
    /// The active host's daemon is told to end, and started again.
    DaemonEnds,
    /// A commanded start fails, and the service goes back.
    StartFails,
}

impl Story {
    /// All of them.
    pub const ALL: &[Story] = &[
        Story::Boot,
        Story::Move,
        Story::ThereAndBack,
        Story::ServiceDies,
        Story::HostDies,
        Story::LinkCut,
        Story::DaemonDies,
        Story::DaemonEnds,
        Story::StartFails,
    ];

    /// Those in which the service moves while something is wrong: pairs are tried in them.
    pub const MOVES: &[Story] = &[Story::Move, Story::ServiceDies, Story::HostDies];

    fn plan(self, world: &mut World) {
        match self {
            Story::Boot => {}
            Story::Move => world.plan(AT_MS, Item::MoveHere(1)),
            Story::ThereAndBack => {
                world.plan(AT_MS, Item::MoveHere(1));
                world.plan(AT_MS + 4_000, Item::MoveHere(0));
            }
            Story::ServiceDies => world.plan(AT_MS, Item::StrikeThis(Fault::ServiceDies, 0)),
            Story::HostDies => world.plan(AT_MS, Item::StrikeThis(Fault::PowerCut, 0)),
            Story::LinkCut => world.plan(AT_MS, Item::StrikeThis(Fault::LinkCut, 0)),
            Story::DaemonDies => world.plan(AT_MS, Item::StrikeThis(Fault::DaemonCrashes, 0)),
            Story::DaemonEnds => world.plan(AT_MS, Item::StrikeThis(Fault::DaemonTold, 0)),
            Story::StartFails => {
                world.plan(AT_MS - 1, Item::StrikeThis(Fault::StartGoesWrong, 1));
                world.plan(AT_MS, Item::MoveHere(1));
            }
        }
    }
}

/// When a story's turn comes: the service has started by then.
const AT_MS: u64 = 7_000;
/// When a story has been told, and healing begins.
pub(super) const TOLD_MS: u64 = 16_000;
/// After the first fault of a pair, the second comes so many positions later.
const GAPS: [u32; 2] = [1, 4];

/// A story with faults put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Which story.
    pub story: Story,
    /// By which rules.
    pub setup: Setup,
    /// At which position which fault strikes which host, the last one first.
    pub put: Vec<(u32, Fault, usize)>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.story, self.setup)?;
        self.put.iter().rev().try_for_each(|(at, fault, host)| write!(f, ", {fault:?} on host {host} at {at}"))
    }
}

impl Case {
    /// Tells the story.
    #[must_use]
    pub fn run(&self, with_lines: bool) -> Outcome {
        let mut world = self.begin(with_lines);
        world.put.clone_from(&self.put);
        Case::end(world)
    }

    /// How many positions the story has, without the faults.
    #[must_use]
    pub fn positions(&self) -> u32 {
        let mut world = self.begin(false);
        world.run(TOLD_MS);
        world.moment
    }

    /// The story's begin, before anything has happened, without the faults.
    pub(super) fn begin(&self, with_lines: bool) -> World {
        let mut world = World::new(Options::calm(1, self.setup), with_lines);
        for host in 0..2 {
            world.plan(1_000 + host as u64 * 150, Item::PowerOn(host));
            world.plan(1_000 + host as u64 * 70, Item::ProbeDue(host));
        }
        self.story.plan(&mut world);
        world
    }

    /// Tells the rest of a story, heals, and lets the pair come to rest.
    pub(super) fn end(mut world: World) -> Outcome {
        world.run(TOLD_MS);
        world.heal();
        schedule::settle(&mut world);
        world.outcome()
    }

    /// The case again, for a person.
    #[must_use]
    pub fn show(&self, number: usize) -> String {
        corpus::explain(&self.to_string(), &self.run(true), &format!("scripts/simulate.sh --case {number}"))
    }
}

/// Every single fault at every position of every story.
#[must_use]
pub fn singles(setups: &[Setup]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (story, setup) in each(Story::ALL, setups) {
        let positions = Case { story, setup, put: Vec::new() }.positions();
        for at in 1..=positions {
            for (fault, host) in variants(Fault::ALL, setup) {
                cases.push(Case { story, setup, put: vec![(at, fault, host)] });
            }
        }
    }
    cases
}

/// Every ordered pair of grave faults, the first at every position of the stories in which the service moves, the second
/// soon after it.
#[must_use]
pub fn pairs(setups: &[Setup]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (story, setup) in each(Story::MOVES, setups) {
        let positions = Case { story, setup, put: Vec::new() }.positions();
        for at in 1..=positions {
            for first in variants(Fault::GRAVE, setup) {
                for gap in GAPS {
                    for second in variants(Fault::GRAVE, setup) {
                        let put = vec![(at + gap, second.0, second.1), (at, first.0, first.1)];
                        cases.push(Case { story, setup, put });
                    }
                }
            }
        }
    }
    cases
}

fn each<'a>(stories: &'a [Story], setups: &'a [Setup]) -> impl Iterator<Item = (Story, Setup)> + 'a {
    stories.iter().flat_map(move |story| setups.iter().map(move |setup| (*story, *setup)))
}

fn variants(faults: &[Fault], setup: Setup) -> impl Iterator<Item = (Fault, usize)> {
    let faults = faults.iter().filter(move |fault| fault.can_strike(setup));
    faults.flat_map(|fault| (0..if fault.is_of_both() { 1 } else { 2 }).map(move |host| (*fault, host)))
}
