//! A turn of a daemon, and its actions done as the acting half does them.

use failover_shared::decision::{Action, Event, Millis, Node, Presence, Sight, State};

use super::bounds::Bounds;
use super::host::{List, Mood, Question, Stage};
use super::pair::{Message, Pair};

/// Turns at one and the same time until it counts as spinning.
const TURNS_MOST: usize = 12;

/// Messages that may be under way; more are lost.
const MESSAGES_MOST: usize = 4;

impl Pair {
    /// A host gets power.
    pub fn boots(&mut self, index: usize) {
        let host = self.host(index);
        host.powered = true;
        host.boots += 1;
        self.daemon_starts(index);
    }

    /// A host's daemon is started.
    pub fn daemon_starts(&mut self, index: usize) {
        let host = self.host(index);
        host.starts += 1;
        let (boot, incarnation, held) = (host.boot(), host.incarnation(), host.held());
        let mut out = Vec::new();
        let policy = Bounds::policy(host.role);
        let node = Node::new(policy, boot, incarnation, host.disk.clone(), held, host.clock, &mut out);
        host.node = Some(node);
        let mut due = self.performs(index, out);
        due.push(Event::Readiness(Vec::new()));
        self.turns(index, due);
    }

    /// Turns of a daemon's loop, until nothing more is due at this time.
    pub fn turns(&mut self, index: usize, mut due: Vec<Event>) {
        for _ in 0..TURNS_MOST {
            let host = self.host(index);
            let now = host.clock;
            let Some(node) = &mut host.node else { return };
            let mut out = Vec::new();
            node.step(now, Event::TurnBegan, &mut out);
            due.drain(..).for_each(|event| node.step(now, event, &mut out));
            node.step(now, Event::TurnEnded, &mut out);
            let deadline = node.deadline();
            due = self.performs(index, out);
            let late = deadline.is_some_and(|at| at <= now);
            if due.is_empty() && !late {
                return self.ends_if_told(index);
            }
        }
        self.spins = true;
    }

    /// The orderly end of a daemon that was told to.
    fn ends_if_told(&mut self, index: usize) {
        if self.hosts[index].told && self.node(index).is_some_and(Node::may_end) {
            self.host(index).daemon_dies();
        }
    }

    /// Performs actions in order. What ends at once on the own host is reported in the next turn.
    fn performs(&mut self, index: usize, actions: Vec<Action>) -> Vec<Event> {
        let mut due = Vec::new();
        for action in actions {
            match action {
                Action::Persist { operation, record } if self.may_crash => {
                    self.host(index).writes.push((operation, record));
                }
                Action::Persist { operation, record } => {
                    self.host(index).disk = Some(record);
                    due.push(Event::Persisted { operation, durable: true });
                }
                Action::SendDemand { demand, .. } => {
                    let request = demand.request;
                    if !self.sends(index, Event::DemandReceived(demand)) {
                        due.push(Event::Unreachable { request, reason: String::new() });
                    }
                }
                Action::Answer { request, answer } => {
                    let sent = self.hosts[1 - index].node.as_ref().and_then(newest_sending).unwrap_or_default();
                    self.sends(index, Event::Answered { request, sent, answer });
                }
                Action::Withdraw(request) => {
                    self.sends(index, Event::DemandWithdrawn(request));
                }
                Action::Notice(epoch) => {
                    self.sends(index, Event::TakeoverNotice(epoch));
                }
                Action::StartPlease(epoch) => {
                    self.sends(index, Event::StartPlease(epoch));
                }
                Action::Look { operation } => {
                    let presence = match self.hosts[index].writes_as {
                        Some(_) => Presence::Runs(String::new()),
                        None => Presence::NothingRuns,
                    };
                    due.push(Event::Looked { operation, presence });
                }
                Action::Start { operation, epoch, .. } => {
                    let host = self.host(index);
                    host.writes_as = Some(epoch);
                    host.list = Some(List { operation, starts: true, mood: Mood::Works });
                }
                Action::Stop { operation, .. } => {
                    self.host(index).list = Some(List { operation, starts: false, mood: Mood::Works });
                }
                Action::Arbiter { operation, request } => {
                    let stage = if self.has_hanging_attempt(index) { Stage::Dead } else { Stage::Asked };
                    let host = self.host(index);
                    host.question = Some(Question { operation, request, at: host.clock, stage, is_late: false });
                }
                Action::Guard { operation, lease } => {
                    self.host(index).guards(lease);
                    due.push(Event::Guarded { operation, result: Ok(()) });
                }
                Action::AskWitness => {
                    let reached = !self.hosts[0].link_cut && !self.hosts[1].link_cut;
                    let serves = reached && self.hosts[1 - index].writes_as.is_some();
                    let direct = if serves { Sight::Serving } else { Sight::NotServing };
                    due.push(Event::Witness { direct, through: Sight::Unknown });
                }
                // Not configured here, or of no effect on who may write.
                Action::Rcmd { .. }
                | Action::Fence { .. }
                | Action::Unfence { .. }
                | Action::Balance(_)
                | Action::Reply { .. }
                | Action::Note(_)
                | Action::Page(_) => {}
            }
        }
        due
    }

    /// A message to the peer. False: it could not be handed over.
    fn sends(&mut self, from: usize, event: Event) -> bool {
        let to = 1 - from;
        if self.hosts[from].link_cut || self.hosts[to].node.is_none() {
            return false;
        }
        if self.messages.len() < MESSAGES_MOST {
            self.messages.push(Message { to, event, is_late: false });
        }
        true
    }

    /// What was written becomes durable.
    pub fn syncs(&mut self, index: usize) {
        let host = self.host(index);
        let mut due = Vec::new();
        for (operation, record) in std::mem::take(&mut host.writes) {
            host.disk = Some(record);
            due.push(Event::Persisted { operation, durable: true });
        }
        self.turns(index, due);
    }

    /// A daemon that stood still goes on: it is late by as long.
    pub fn thaws(&mut self, index: usize) {
        let host = self.host(index);
        let Some(since) = host.frozen.take() else { return };
        let late = host.clock.since(since);
        self.turns(index, if late > Millis(0) { vec![Event::LoopLate(late)] } else { Vec::new() });
    }
}

/// When the demand under way was sent last.
fn newest_sending(node: &Node) -> Option<Millis> {
    match node.state() {
        State::Requesting { progress, .. } => progress.sent,
        State::TakeoverBlocked { sent, .. } => Some(*sent),
        State::Proving { attempt, .. } => Some(attempt.began),
        _ => None,
    }
}
