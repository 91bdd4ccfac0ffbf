//! Questions to the arbiter on their way: out, into effect, back; each part may be late, and each may be lost.

use failover_shared::decision::{
    ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Event, Incarnation, Millis, OperationId,
};

use super::arbiter::Kind;
use super::item::Item;
use super::network::Way;
use super::seen::Sight;
use super::world::World;

/// A question under way.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub host: usize,
    /// Which start of its daemon.
    pub incarnation: Incarnation,
    /// Which start of its kernel.
    pub boot: BootId,
    /// For the report.
    pub operation: OperationId,
    /// What is asked.
    pub request: ArbiterRequest,
    /// When it was sent, on the host's faster clock.
    pub sent: Millis,
}

impl World {
    /// A core asks the arbiter.
    pub fn ask_arbiter(&mut self, index: usize, operation: OperationId, request: ArbiterRequest) {
        let host = &self.hosts[index];
        let (Some(incarnation), Some(times)) = (host.incarnation(), self.options.policy.lease) else { return };
        self.judge.s8_fit_to_claim(host, &request);
        self.judge.s6_promises_what_is_kept(host, &request);
        let slow = host.clock.fast_ms(self.now).saturating_sub(host.clock.lag_ms(self.now));
        self.judge.s4_waited_first(host, Millis(slow), &request);
        let sent = Millis(host.clock.fast_ms(self.now));
        let limit = host.clock.when(sent.after(times.attempt_ms).0, self.now);
        let question = Question { host: index, incarnation, boot: host.boot, operation, request, sent };
        self.hosts[index].asked = Some(operation);
        self.plan(limit, Item::ArbiterTimesOut(index, incarnation, operation));
        let hangs = self.hosts[index].hanging;
        let storage = self.arbiter.as_ref().is_some_and(|arbiter| arbiter.kind() == Kind::Storage);
        if hangs && storage {
            // An earlier attempt still waits in the kernel: there is never a second one beside it.
            return self.judge.saw(Sight::ArbiterHangs);
        }
        let at = self.now + self.arbiter_span();
        self.hosts[index].hanging = true;
        self.plan(at, Item::ArbiterActs(Box::new(question)));
    }

    fn arbiter_span(&mut self) -> u64 {
        let slow = self.arbiter.as_ref().map_or(0, |arbiter| arbiter.slow_ms);
        1 + self.network.span(self.now, &mut self.random) / 2 + self.random.between(0, slow)
    }

    /// A question takes effect.
    pub fn arbiter_acts(&mut self, question: Question) {
        let index = question.host;
        let open = self.network.is_open(Way::Arbiter, index);
        let Some(arbiter) = &mut self.arbiter else { return };
        if arbiter.is_down || !open {
            // On storage the attempt hangs and takes effect whenever it can, its host dead or not; elsewhere it is lost.
            if arbiter.kind() == Kind::Storage && self.hosts[index].boot == question.boot {
                return self.after(200, 1_000, Item::ArbiterActs(Box::new(question)));
            }
            return self.hosts[index].hanging = false;
        }
        let age = self.random.between(0, arbiter.stale_most_ms());
        if age > 0 {
            self.judge.saw(Sight::StaleRead);
        }
        let answer = arbiter.act(self.now, index, question.boot, &question.request, age);
        let mute = self.random.percent(arbiter.mute_percent);
        let at = self.now + self.arbiter_span();
        match answer {
            Some(reply) if !mute => self.plan(at, Item::ArbiterReplies(Box::new((question, reply)))),
            Some(_) => {
                self.judge.saw(Sight::ArbiterAnswerLost);
                self.hosts[index].hanging = false;
            }
            None => self.plan(at, Item::ArbiterLooks(Box::new(question))),
        }
    }

    /// The second half of a renewal on storage.
    pub fn arbiter_looks(&mut self, question: Question) {
        let open = self.network.is_open(Way::Arbiter, question.host);
        let Some(arbiter) = &mut self.arbiter else { return };
        if arbiter.is_down || !open {
            return self.after(200, 1_000, Item::ArbiterLooks(Box::new(question)));
        }
        let age = self.random.between(0, arbiter.stale_most_ms());
        let ArbiterRequest::Renew { epoch, .. } = question.request else { return };
        let later = arbiter.stale_most_ms() == 0 && arbiter.has_later(epoch);
        let reply = arbiter.look_for_claim(self.now, question.host, question.boot, &question.request, age);
        self.judge.s2_no_later_claim(self.hosts[question.host].role, later, &reply);
        let at = self.now + self.arbiter_span();
        self.plan(at, Item::ArbiterReplies(Box::new((question, reply))));
    }

    /// The answer is back.
    pub fn arbiter_replies(&mut self, question: Question, reply: ArbiterReply) {
        let Question { host: index, incarnation, operation, sent, request, boot } = question;
        let host = &mut self.hosts[index];
        if host.boot == boot {
            host.hanging = false;
        }
        if host.incarnation() != Some(incarnation) || host.asked != Some(operation) {
            return self.judge.saw(Sight::ArbiterAnswerLate);
        }
        host.asked = None;
        if let (ArbiterRequest::Renew { epoch, hold, .. }, ArbiterReply::Renewed) = (&request, &reply) {
            self.judge.renewed(index, *epoch, sent, *hold);
        }
        match &reply {
            ArbiterReply::Deposed(_) => self.judge.saw(Sight::Deposed),
            ArbiterReply::Released => self.judge.saw(Sight::Released),
            ArbiterReply::NotClaimed => self.judge.saw(Sight::NotClaimed),
            ArbiterReply::Failed(ArbiterFailure::RolledBack(_)) => self.judge.saw(Sight::RolledBackArbiter),
            _ => {}
        }
        self.give(index, Event::Arbiter { operation, reply });
    }

    /// One attempt's time is over.
    pub fn arbiter_times_out(&mut self, index: usize, incarnation: Incarnation, operation: OperationId) {
        let host = &mut self.hosts[index];
        if host.incarnation() == Some(incarnation) && host.asked == Some(operation) {
            host.asked = None;
            self.judge.saw(Sight::ArbiterTimedOut);
            let reply = ArbiterReply::Failed(ArbiterFailure::TimedOut);
            self.give(index, Event::Arbiter { operation, reply });
        }
    }
}
