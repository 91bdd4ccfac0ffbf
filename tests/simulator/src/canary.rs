//! The planted bug that must be found. A judge that is never seen to object may have stopped looking.

use failover_shared::decision::Epoch;

use super::host::role;
use super::world::World;

/// How often, of ten thousand boots, the system starts the service by itself in a canary run.
pub const OFTEN: u64 = 60;
/// Schedules of a canary run that must fail, of a thousand: fewer, and the judge is blind; more, and it sees ghosts.
pub const FAILS_PER_MILLE: std::ops::RangeInclusive<u64> = 4..=25;

impl World {
    /// A host that boots starts the service as an enabled unit would, and nobody gave leave for that.
    pub(super) fn canary_sings(&mut self, index: usize) {
        if self.options.canary > 0 && self.random.below(10_000) < self.options.canary {
            self.tell(|| format!("{}: the canary starts the service", role(index)));
            self.hosts[index].service.running = Some(Epoch(0));
            self.judge.s1_one_writer(&self.hosts);
        }
    }
}
