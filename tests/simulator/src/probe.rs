//! What the hosts see of each other: beats with their echoes, and the checks.

use failover_shared::decision::{Beat, Bug, Duty, Event, Incarnation, Millis, Symptom, Verdict, planted};

use super::daemon::BEAT_EVERY_MS;
use super::host::role;
use super::item::Item;
use super::network::Way;
use super::seen::Sight;
use super::world::World;

const PROBE_EVERY_MS: u64 = 400;

impl World {
    /// A beat leaves, from a thread of its own; but a stopped process has no threads that run.
    pub fn beat(&mut self, index: usize, incarnation: Incarnation) {
        let host = &self.hosts[index];
        let Some(daemon) = host.daemon.as_ref().filter(|daemon| daemon.incarnation == incarnation) else { return };
        let (from, echo) = (daemon.incarnation, daemon.echoes);
        if !host.frozen {
            let local = Millis(host.clock.fast_ms(self.now));
            let beat = Box::new(daemon.node.beat(local, Millis(0), Millis(0)));
            let firm = matches!(beat.duty, Duty::Active | Duty::Starting);
            self.judge.s3_beats_never_decrease(index, beat.owned, firm);
            for at in self.network.beat(index, self.now, &mut self.random).into_iter().flatten() {
                self.plan(at, Item::BeatArrives { to: 1 - index, from, echo, beat: beat.clone() });
            }
        }
        self.plan(self.now + BEAT_EVERY_MS, Item::BeatDue(index, incarnation));
    }

    /// A beat proves its sender alive only if it echoes the nonce of this very daemon start.
    pub fn beat_arrives(&mut self, to: usize, from: Incarnation, echo: Option<Incarnation>, beat: Beat) {
        let Some(daemon) = &mut self.hosts[to].daemon else { return };
        daemon.echoes = Some(from);
        if echo == Some(daemon.incarnation) || planted(Bug::EchoIgnored) {
            let incarnation = daemon.incarnation;
            self.judge.s13_beats_echo(echo == Some(incarnation));
            self.give(to, Event::Beat(beat));
        } else {
            self.judge.saw(Sight::BeatWithoutEcho);
        }
    }

    /// The checks: of the own service, of the peer's, and through the balancer. Told only when they change.
    pub fn probe(&mut self, index: usize) {
        self.plan(self.now + PROBE_EVERY_MS, Item::ProbeDue(index));
        self.judge.s16_store_epochs_in_order(&self.hosts[index]);
        if !self.hosts[index].listens() {
            return;
        }
        let peer = 1 - index;
        let own = match (self.hosts[index].service.running, self.hosts[index].serves()) {
            (None, _) => Verdict::Failed(Symptom::ProcessGone),
            (Some(_), false) => Verdict::Failed(Symptom::TimedOut),
            (Some(_), true) => Verdict::Passed,
        };
        let reached = self.network.is_open(Way::Checks, index)
            && self.network.is_open(Way::Checks, peer)
            && self.hosts[peer].powered
            && !self.hosts[peer].stands;
        let remote = match (reached, self.hosts[peer].serves()) {
            (false, _) => Verdict::Failed(Symptom::Unreachable),
            (true, false) => Verdict::Failed(Symptom::Refused),
            (true, true) => Verdict::Passed,
        };
        let seen = (0..2).any(|host| self.network.balancer_sees[host] && self.hosts[host].serves());
        let through = match (self.network.is_open(Way::Balancer, index), seen) {
            (false, _) => Verdict::Unknown,
            (true, false) => Verdict::Failed(Symptom::Closed),
            (true, true) => Verdict::Passed,
        };
        self.verdict(index, 0, own, Event::LocalVerdict(own));
        self.verdict(index, 1, remote, Event::RemoteVerdict(remote));
        self.verdict(index, 2, through, Event::ThroughVerdict(through));
    }

    fn verdict(&mut self, index: usize, which: usize, verdict: Verdict, event: Event) {
        if self.hosts[index].verdicts[which] != verdict {
            self.hosts[index].verdicts[which] = verdict;
            self.tell(|| format!("{} {event:?}", role(index)));
            self.give(index, event);
        }
    }
}
