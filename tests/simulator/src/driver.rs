//! What the core asks for, done as the acting half does it: writes, messages, looks, orders to the balancer.

use failover_shared::decision::Sight as Seen;
use failover_shared::decision::{
    Action, Answer, Balance, Epoch, Event, Forced, Incarnation, Millis, Node, OperationId, Phase, Presence, Record,
    RequestId, State, StopMeans, StopOutcome,
};

use super::balancer::Wish;
use super::disk::Written;
use super::host::{Sending, role};
use super::item::Item;
use super::network::Way;
use super::seen::Sight;
use super::world::World;

/// Between two orders to a balancer that does not do as it was told.
const BALANCE_AGAIN_MS: u64 = 1_000;

impl World {
    /// Performs one action.
    pub fn act(&mut self, index: usize, action: Action) {
        let Some(incarnation) = self.hosts[index].incarnation() else { return };
        if self.trace.has_lines() && !matches!(action, Action::Note(_)) {
            self.tell(|| format!("{}    {action:?}", role(index)));
        }
        match action {
            Action::Persist { operation, record } => self.persist(index, operation, record),
            Action::SendDemand { demand, sent } => {
                self.judge.s9_demand_is_durable(&self.hosts[index], &demand);
                let request = demand.request;
                match self.send(index, Event::DemandReceived(demand)) {
                    Some(arrives) => self.hosts[index].note_sending(Sending { request, sent, arrives }),
                    None => {
                        let event = Event::Unreachable { request, reason: "no connection".into() };
                        self.after(2, 1_000, Item::result(index, incarnation, event));
                    }
                }
            }
            Action::Answer { request, answer } => self.answer(index, request, answer),
            Action::Withdraw(request) => {
                self.send(index, Event::DemandWithdrawn(request));
            }
            Action::Notice(epoch) => {
                self.send(index, Event::TakeoverNotice(epoch));
            }
            Action::StartPlease(epoch) => {
                self.judge.saw(Sight::RollBackAsked);
                self.send(index, Event::StartPlease(epoch));
            }
            Action::Rcmd { request, epoch, sent } => {
                self.after(50, 1_500, Item::SecondWay { from: index, incarnation, request, epoch, sent });
            }
            Action::Look { operation } => self.after(1, 20, Item::LookEnds(index, incarnation, operation)),
            Action::Start { operation, epoch, resume, .. } => {
                let local = Millis(self.hosts[index].clock.fast_ms(self.now));
                self.judge.starts(&self.hosts[index], local, epoch, resume);
                if let Some(arbiter) = &self.arbiter {
                    if !resume {
                        self.judge.s2_looked_since_its_claim(&self.hosts[index], epoch);
                    }
                    self.judge.s2_start_holds_the_claim(&self.hosts[index], epoch, arbiter.owner(epoch));
                }
                self.run_list(index, true, operation, epoch, resume);
            }
            Action::Stop { operation, epoch, resume, .. } => {
                self.run_list(index, false, operation, epoch, resume);
                self.progress(index);
            }
            Action::Arbiter { operation, request } => self.ask_arbiter(index, operation, request),
            Action::Guard { operation, lease } => self.guard(index, operation, lease),
            Action::Fence { operation } => self.fence(index, operation),
            Action::Unfence { operation } => self.unfence(index, operation),
            Action::Balance(balance) => self.balance(index, incarnation, balance),
            Action::AskWitness => self.witness(index, incarnation),
            Action::Page(page) => self.judge.paged(page.kind),
            Action::Note(note) => self.judge.seen.decided_by(note.rule),
            Action::Reply { .. } => {}
        }
    }

    /// A message to the peer, and when it arrives. `None`: its connection broke, or nobody listens there.
    fn send(&mut self, from: usize, event: Event) -> Option<u64> {
        let peer = &self.hosts[1 - from];
        if !peer.powered || peer.daemon.is_none() {
            return None;
        }
        let at = self.network.message(from, self.now, &mut self.random)?;
        if let Some(later) = self.network.replay(&mut self.random) {
            self.judge.saw(Sight::Replayed);
            self.plan(at + later, Item::arrives(1 - from, event.clone()));
        }
        self.plan(at, Item::arrives(1 - from, event));
        Some(at)
    }

    fn answer(&mut self, index: usize, request: RequestId, answer: Answer) {
        self.judge.s5_acknowledged_is_stopped(&self.hosts[index], request, &answer);
        if matches!(answer, Answer::Refused(_)) {
            self.judge.saw(Sight::RefusedDemand);
        }
        let sent = self.hosts[1 - index].sending_answered(request, self.now);
        if self.send(index, Event::Answered { request, sent, answer }).is_none() {
            self.judge.saw(Sight::AckLost);
            let event = Event::Unreachable { request, reason: "the connection broke".into() };
            self.after(5, 2_000, Item::arrives(1 - index, event));
        }
    }

    /// The daemon says over the demand's connection that it obeys and is still at it.
    pub fn progress(&mut self, index: usize) {
        if let Some(State::Stopping { answer_to: Some(request), .. }) = self.hosts[index].node().map(Node::state) {
            let event = Event::StillStopping { request: *request, step: 1 };
            self.send(index, event);
        }
    }

    fn persist(&mut self, index: usize, operation: OperationId, record: Record) {
        let disk = &mut self.hosts[index].disk;
        disk.writes.push_back((operation, record));
        if disk.writes.len() == 1 {
            self.next_write(index);
        }
    }

    fn next_write(&mut self, index: usize) {
        let generation = self.hosts[index].disk.generation;
        let stalls = !self.healed && self.random.percent(self.options.slow_disk_percent);
        let (low, high) = if stalls { (500, 14_000) } else { (1, 15) };
        self.after(low, high, Item::WriteEnds(index, generation));
    }

    /// The first write in the queue ends.
    pub fn write_ends(&mut self, index: usize, generation: u64) {
        let disk = &mut self.hosts[index].disk;
        if disk.generation != generation {
            return;
        }
        let Some((operation, written)) = disk.write_ends() else { return };
        let more = !disk.writes.is_empty();
        match written {
            Written::Durable => {}
            Written::Refused => self.judge.saw(Sight::WriteRefused),
            Written::SyncFailed => self.judge.saw(Sight::SyncFailed),
        }
        self.give(index, Event::Persisted { operation, durable: written == Written::Durable });
        if more {
            self.next_write(index);
        }
    }

    /// What a look finds is true when it ends.
    pub fn look_ends(&mut self, index: usize, incarnation: Incarnation, operation: OperationId) {
        let blind = !self.healed && self.random.percent(self.options.blind_percent);
        let presence = match (self.hosts[index].service.may_write(), blind) {
            (_, true) => Presence::CannotTell("the process list could not be read".into()),
            (true, false) => Presence::Runs("the service".into()),
            (false, false) => Presence::NothingRuns,
        };
        self.hosts[index].foreign_unseen = false;
        self.plan(self.now, Item::result(index, incarnation, Event::Looked { operation, presence }));
    }

    fn witness(&mut self, index: usize, incarnation: Incarnation) {
        let peer = 1 - index;
        let serves = self.hosts[peer].serves();
        let reached = self.network.is_open(Way::Checks, index) && self.network.is_open(Way::Checks, peer);
        let sight = |reached: bool| if reached && serves { Seen::Serving } else { Seen::NotServing };
        let through = if self.network.is_open(Way::Balancer, index) {
            sight(self.network.balancer_sees[peer])
        } else {
            Seen::Unknown
        };
        let event = Event::Witness { direct: sight(reached), through };
        if self.healed || !self.random.percent(self.options.blind_percent) {
            self.after(1, 50, Item::result(index, incarnation, event));
        }
    }

    fn balance(&mut self, index: usize, incarnation: Incarnation, balance: Balance) {
        let wish = match balance {
            Balance::Here(epoch) => {
                self.judge.s10_balancer_epoch(&self.hosts[index], epoch);
                Wish::Here(epoch)
            }
            Balance::Nowhere(epoch) => Wish::Nowhere(epoch),
            Balance::Leave => Wish::Nothing,
        };
        let host = &mut self.hosts[index];
        host.wish = wish;
        host.wish_done = wish == Wish::Nothing;
        if !host.wish_done {
            let span = self.network.span(self.now, &mut self.random);
            self.plan(self.now + span, Item::Balance(index, incarnation));
        }
    }

    /// A host's newest wish reaches the device; it is repeated until the device says the same.
    pub fn order_arrives(&mut self, index: usize, incarnation: Incarnation) {
        let host = &self.hosts[index];
        if host.incarnation() != Some(incarnation) || host.wish_done {
            return;
        }
        let before = self.balancer.target;
        let reached = self.network.is_open(Way::Balancer, index);
        let told = if reached { self.balancer.ordered(index, host.wish) } else { None };
        if self.balancer.target != before {
            self.other_reconciles(1 - index);
        }
        match told {
            Some(true) => return self.hosts[index].wish_done = true,
            Some(false) => self.judge.saw(Sight::BalancerRefused),
            None if self.balancer.is_mute => self.judge.saw(Sight::BalancerTookLate),
            None => {}
        }
        self.plan(self.now + BALANCE_AGAIN_MS, Item::Balance(index, incarnation));
    }

    /// The other host reads the device back now and then, and finds that it does not do what it wants any more.
    fn other_reconciles(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if let (Some(incarnation), true, true) = (host.incarnation(), host.wish_done, host.wish != Wish::Nothing) {
            host.wish_done = false;
            self.after(BALANCE_AGAIN_MS, BALANCE_AGAIN_MS * 2, Item::Balance(index, incarnation));
        }
    }

    /// The second way's end: `stop-here` has run on the other host, or could not.
    pub fn second_way_arrives(
        &mut self,
        from: usize,
        incarnation: Incarnation,
        request: RequestId,
        epoch: Epoch,
        sent: Millis,
    ) {
        let result = self.stop_here(1 - from, epoch);
        if result.is_ok() {
            self.judge.states(request);
        }
        let at = self.now + self.random.between(5, 100);
        self.plan(at, Item::result(from, incarnation, Event::RcmdDone { request, sent, result }));
    }

    /// `stop-here` on a host, come by the second way: it keeps the daemon out, stops, verifies and writes.
    fn stop_here(&mut self, index: usize, epoch: Epoch) -> Result<(Epoch, StopMeans, Option<Forced>), String> {
        let host = &mut self.hosts[index];
        if !self.network.is_open(Way::Second, 1 - index) || !host.powered || host.stands {
            return Err("ssh: exit 255".into());
        }
        let record = host.disk.open();
        let running = match record.as_ref().filter(|record| record.boot == host.boot).map(|record| &record.phase) {
            Some(Phase::Starting { epoch, .. } | Phase::Active { epoch } | Phase::Stopping { epoch, .. }) => *epoch,
            _ => Epoch(0),
        };
        if running > epoch {
            return Err("a newer epoch runs here".into());
        }
        // A daemon whose stop list is ended from outside sees its processes go, and verifies.
        let ended = host.service.run.as_ref().filter(|run| !run.starts && !host.service.stuck);
        if let Some((operation, incarnation)) = ended.and_then(|run| Some((run.operation, run.incarnation?))) {
            let outcome = StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None };
            self.plan(self.now + 1, Item::result(index, incarnation, Event::StopDone { operation, outcome }));
        }
        let host = &mut self.hosts[index];
        host.service.run = None;
        host.service.kill();
        if host.service.is_there() {
            return Err("not everything could be stopped".into());
        }
        let record = record.unwrap_or_else(|| Record::fresh(host.boot));
        let epoch = epoch.max(record.highest);
        let means = StopMeans::PostConditions;
        let phase = Phase::Stopped { epoch, means, forced: None };
        // What the daemon was about to write is void, and it reads the new state before it does anything else.
        if !host.disk.overwrite(Record { boot: host.boot, highest: epoch, phase, gave_leave: Some(epoch), ..record }) {
            return Err("stopped, but not durable".into());
        }
        host.foreign_stop = Some(epoch);
        self.judge.saw(Sight::StopHere);
        self.give(index, Event::LoopLate(Millis(0)));
        Ok((epoch, means, None))
    }
}
