//! What must hold in every state, what must happen in some, and the run of the checker.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::bounds::Bounds;
use super::moves::Move;
use super::pair::Pair;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// States that differ.
    pub unique: usize,
    /// States that were come to, some of them again.
    pub generated: usize,
    /// The longest row of moves.
    pub depth: usize,
    /// Every state within the bounds was tried.
    pub is_complete: bool,
    /// How long it took.
    pub took: Duration,
    /// Laws that were broken, each with the way there.
    pub broken: Vec<(&'static str, Vec<String>)>,
    /// What was to happen in some state, and whether it did.
    pub happened: Vec<(&'static str, bool)>,
}

struct PairModel(Bounds);

/// Tries every state within the bounds, or until so many were generated, or so much time has passed.
#[must_use]
pub fn check(bounds: Bounds, states_most: Option<usize>, time_most: Duration, threads: usize) -> Checked {
    let began = Instant::now();
    // A single thread shares no work, and looks at the time only when it shares.
    let threads = threads.max(2);
    let builder =
        PairModel(bounds).checker().threads(threads).timeout(time_most).finish_when(HasDiscoveries::AnyFailures);
    let builder = match states_most {
        Some(most) => builder.target_state_count(most),
        None => builder,
    };
    // Depth first: the states that wait to be tried are few, and a run goes to its end.
    let checker = builder.spawn_dfs().join();
    let found = checker.discoveries();
    let mut broken = Vec::new();
    let mut happened = Vec::new();
    for property in checker.model().properties() {
        let path = found.get(property.name);
        match property.expectation {
            stateright::Expectation::Always | stateright::Expectation::Eventually => {
                broken.extend(path.map(|path| (property.name, describe(path.clone().into_vec()))));
            }
            stateright::Expectation::Sometimes => happened.push((property.name, path.is_some())),
        }
    }
    let took = began.elapsed();
    let stopped = states_most.is_some_and(|most| checker.state_count() >= most) || took >= time_most;
    Checked {
        unique: checker.unique_state_count(),
        generated: checker.state_count(),
        depth: checker.max_depth(),
        is_complete: !stopped && broken.is_empty(),
        took,
        broken,
        happened,
    }
}

impl Model for PairModel {
    type State = Pair;
    type Action = Move;

    fn init_states(&self) -> Vec<Pair> {
        Pair::begins(&self.0)
    }

    fn actions(&self, state: &Pair, actions: &mut Vec<Move>) {
        actions.extend(state.moves(&self.0));
    }

    fn next_state(&self, last: &Pair, next: Move) -> Option<Pair> {
        let mut pair = last.clone();
        if matches!(next, Move::Strikes(..)) {
            pair.counts_faults(&self.0, 1);
        }
        pair.goes(next);
        Some(pair)
    }

    fn properties(&self) -> Vec<Property<PairModel>> {
        vec![
            Property::always("never two writers", |_, pair: &Pair| !pair.has_two_writers()),
            Property::always("no core catches itself in a wrong belief", |_, pair: &Pair| !pair.has_broken_invariant()),
            Property::always("no loop spins", |_, pair: &Pair| !pair.spins),
            Property::sometimes("a takeover by lease", |_, pair: &Pair| pair.takes_over_by_lease()),
            Property::sometimes("a takeover by acknowledgement", |_, pair: &Pair| pair.takes_over_by_ack()),
            Property::sometimes("a claim waits", |_, pair: &Pair| pair.has_waiting_claim()),
            Property::sometimes("the service moves there and back", |_, pair: &Pair| pair.has_come_back()),
        ]
    }
}

/// The way to a state, a line a move.
fn describe(path: Vec<(Pair, Option<Move>)>) -> Vec<String> {
    let host = |pair: &Pair, index: usize| {
        let host = &pair.hosts[index];
        let state = host.node.as_ref().map_or_else(|| "-".to_string(), |node| format!("{:?}", node.state().name()));
        let writes = host.writes_as.map_or_else(String::new, |epoch| format!(" writes as {epoch}"));
        format!("{} {state}{writes}", host.clock)
    };
    let line = |(pair, next): &(Pair, Option<Move>)| {
        let next = next.map_or_else(String::new, |next| format!("{next:?}"));
        format!("{:2} | {} | {} | {next}", pair.time, host(pair, 0), host(pair, 1))
    };
    path.iter().map(line).collect()
}
