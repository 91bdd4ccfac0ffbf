//! What may happen next in a state of the model, and what it does.

use failover_shared::decision::{ArbiterRequest, Command, Event, StateName, Symptom, Verdict};

use super::arbiter::{Acted, Kind};
use super::bounds::Bounds;
use super::fault::Fault;
use super::host::{Host, Mood, Question, Stage};
use super::pair::Pair;

/// One move. Hosts are named by their index, 0 for the master; messages by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// Time goes on. Only when nothing is under way that is not late.
    Time,
    /// What a host has written becomes durable.
    Syncs(usize),
    /// A host's question to the arbiter goes one act further.
    Asks(usize),
    /// A request that was given up takes effect.
    StrayActs(usize),
    /// A message arrives.
    Arrives(usize),
    /// A host boots.
    Boots(usize),
    /// A daemon is started again.
    Restarts(usize),
    /// A daemon goes on.
    Thaws(usize),
    /// The link from a host works again.
    LinkHeals(usize),
    /// A host reaches the arbiter again.
    ArbiterHeals(usize),
    /// A fault, at a host or a message.
    Strikes(Fault, usize),
}

impl Pair {
    /// What may happen next.
    #[must_use]
    pub fn moves(&self, bounds: &Bounds) -> Vec<Move> {
        if self.time >= bounds.steps {
            return Vec::new();
        }
        let mut moves = self.ordinary_moves();
        if self.is_quiet() {
            moves.extend([0, 1].into_iter().flat_map(|index| self.repairs(index)));
        }
        if self.faults < bounds.faults {
            for fault in &bounds.may {
                let places = if is_of_messages(*fault) { self.messages.len() } else { 2 };
                let strikes = (0..places).filter(|place| self.can_strike(*fault, *place));
                moves.extend(strikes.map(|place| Move::Strikes(*fault, place)));
            }
        }
        moves
    }

    /// What happens without faults, the passing of time last.
    #[must_use]
    pub fn ordinary_moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            if !host.writes.is_empty() && host.listens() {
                moves.push(Move::Syncs(index));
            }
            if host.question.as_ref().is_some_and(|question| goes_on(host, question)) {
                moves.push(Move::Asks(index));
            }
            if host.stray.is_some() && !host.arbiter_cut {
                moves.push(Move::StrayActs(index));
            }
        }
        let arrive = |place: &usize| self.hosts[self.messages[*place].to].listens();
        moves.extend((0..self.messages.len()).filter(arrive).map(Move::Arrives));
        if self.is_quiet() {
            moves.push(Move::Time);
        }
        moves
    }

    /// Nothing is under way that has to end within the step.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let busy = |host: &Host| {
            let asks = |question: &Question| !question.is_late && goes_on(host, question);
            (!host.writes.is_empty() && host.listens()) || host.question.as_ref().is_some_and(asks)
        };
        let arrives = |to: usize| self.hosts[to].listens();
        !self.hosts.iter().any(|host| busy(host))
            && !self.messages.iter().any(|message| !message.is_late && arrives(message.to))
    }

    fn repairs(&self, index: usize) -> Vec<Move> {
        let host = &self.hosts[index];
        let all = [
            (!host.powered, Move::Boots(index)),
            (host.powered && host.node.is_none(), Move::Restarts(index)),
            (host.frozen.is_some(), Move::Thaws(index)),
            (host.link_cut, Move::LinkHeals(index)),
            (host.arbiter_cut, Move::ArbiterHeals(index)),
        ];
        all.into_iter().filter_map(|(applies, repair)| applies.then_some(repair)).collect()
    }

    /// A fault can happen there, and would change something. Crashes and delays come at any moment; what lasts longer
    /// than a step begins between steps.
    fn can_strike(&self, fault: Fault, place: usize) -> bool {
        if is_of_messages(fault) {
            return !self.messages[place].is_late && self.hosts[self.messages[place].to].listens();
        }
        let host = &self.hosts[place];
        let state = host.node.as_ref().filter(|_| host.listens()).map(|node| node.state().name());
        // A look that is late or lost tells nothing, which a silent arbiter does as well; but it may tell old things.
        let question = host.question.as_ref().filter(|question| !question.is_late && !host.arbiter_cut);
        let writes = question.filter(|question| question.request != ArbiterRequest::Observe);
        match fault {
            Fault::DaemonDies => host.node.is_some(),
            Fault::DaemonTold => host.listens() && !host.told,
            Fault::PowerFails => host.powered,
            Fault::DaemonFreezes => host.listens() && host.writes.is_empty(),
            Fault::GuardianFails => self.is_quiet() && !host.unguarded && host.lease_age().is_some(),
            Fault::LinkCut => self.is_quiet() && !host.link_cut,
            Fault::ArbiterCut => !host.arbiter_cut && (self.is_quiet() || question.is_some()),
            Fault::QuestionLate => writes.is_some_and(|question| question.stage == Stage::Asked),
            Fault::AnswerLate => {
                question.is_some_and(|question| matches!(question.stage, Stage::Looks(_) | Stage::Answered(_)))
            }
            Fault::AnswerLost => writes.is_some_and(|question| matches!(question.stage, Stage::Answered(_))),
            Fault::ServiceFails => self.is_quiet() && state == Some(StateName::Active),
            Fault::ListHangs => host.list.is_some_and(|list| list.mood == Mood::Works),
            Fault::StartFails => host.list.is_some_and(|list| list.starts && list.mood == Mood::Works),
            Fault::Command => self.is_quiet() && state == Some(StateName::Standby),
            Fault::MessageLost | Fault::MessageLate | Fault::MessageTwice => false,
        }
    }

    /// Does a move that is not a fault.
    pub fn goes(&mut self, next: Move) {
        match next {
            Move::Time => self.steps(),
            Move::Syncs(index) => self.syncs(index),
            Move::Asks(index) => self.asks(index),
            Move::StrayActs(index) => {
                let host = self.host(index);
                let (role, boot) = (host.role, host.boot());
                if let Some(request) = host.stray.take() {
                    self.arbiter.act(role, boot, &request);
                }
            }
            Move::Arrives(place) => {
                let message = self.messages.remove(place);
                self.turns(message.to, vec![message.event]);
            }
            Move::Boots(index) => self.boots(index),
            Move::Restarts(index) => self.daemon_starts(index),
            Move::Thaws(index) => self.thaws(index),
            Move::LinkHeals(index) => self.host(index).link_cut = false,
            Move::ArbiterHeals(index) => self.host(index).arbiter_cut = false,
            Move::Strikes(fault, place) => self.strikes(fault, place),
        }
    }

    fn asks(&mut self, index: usize) {
        let host = &self.hosts[index];
        let (role, boot) = (host.role, host.boot());
        let Some(question) = self.host(index).question.clone() else { return };
        let next = match question.stage {
            Stage::Asked => {
                if self.arbiter.kind() == Kind::Compare && writes_slot(&question.request) {
                    // A write compares the slot's revision, so that an earlier one took effect before this or never does.
                    self.host(index).stray.take_if(|earlier| writes_slot(earlier));
                }
                match self.arbiter.act(role, boot, &question.request) {
                    Acted::Answers(reply) => Stage::Answered(reply),
                    Acted::Looks(epoch) => Stage::Looks(epoch),
                }
            }
            Stage::Looks(epoch) => Stage::Answered(self.arbiter.look(epoch)),
            Stage::Answered(reply) => {
                self.host(index).question = None;
                return self.turns(index, vec![Event::Arbiter { operation: question.operation, reply }]);
            }
            Stage::Dead => return,
        };
        self.host(index).question = Some(Question { stage: next, ..question });
    }

    fn strikes(&mut self, fault: Fault, place: usize) {
        match fault {
            Fault::DaemonDies => self.host(place).daemon_dies(),
            Fault::DaemonTold => {
                self.host(place).told = true;
                self.turns(place, vec![Event::Ending]);
            }
            Fault::PowerFails => self.host(place).power_fails(),
            Fault::DaemonFreezes => {
                let host = self.host(place);
                host.frozen = Some(host.clock);
            }
            Fault::GuardianFails => self.host(place).unguarded = true,
            Fault::LinkCut => self.host(place).link_cut = true,
            Fault::ArbiterCut => self.host(place).arbiter_cut = true,
            Fault::QuestionLate | Fault::AnswerLate => {
                if let Some(question) = &mut self.host(place).question {
                    question.is_late = true;
                }
            }
            Fault::AnswerLost => {
                if let Some(question) = &mut self.host(place).question {
                    question.stage = Stage::Dead;
                }
            }
            Fault::MessageLost => {
                self.messages.remove(place);
            }
            Fault::MessageLate => self.messages[place].is_late = true,
            Fault::MessageTwice => {
                let message = self.messages[place].clone();
                self.messages[place].is_late = true;
                self.turns(message.to, vec![message.event]);
            }
            Fault::ServiceFails => {
                let failed = Verdict::Failed(Symptom::Refused);
                self.turns(place, vec![Event::LocalVerdict(failed)]);
            }
            Fault::ListHangs => self.sets_mood(place, Mood::Hangs),
            Fault::StartFails => self.sets_mood(place, Mood::Fails),
            Fault::Command => {
                let command = Command::MoveHere {
                    by: String::new(),
                    reason: String::new(),
                    despite_config_difference: false,
                    despite_old_copy: false,
                };
                self.turns(place, vec![Event::Command { ticket: 1, command }]);
            }
        }
    }

    fn sets_mood(&mut self, index: usize, mood: Mood) {
        if let Some(list) = &mut self.host(index).list {
            list.mood = mood;
        }
    }
}

/// A question can go one act further.
fn goes_on(host: &Host, question: &Question) -> bool {
    match question.stage {
        Stage::Asked | Stage::Looks(_) => !host.arbiter_cut,
        // On shared storage and in etcd alike the answer is back in the host's kernel already.
        Stage::Answered(_) => host.listens(),
        Stage::Dead => false,
    }
}

fn is_of_messages(fault: Fault) -> bool {
    matches!(fault, Fault::MessageLost | Fault::MessageLate | Fault::MessageTwice)
}

fn writes_slot(request: &ArbiterRequest) -> bool {
    matches!(request, ArbiterRequest::Renew { .. } | ArbiterRequest::Release { .. })
}
