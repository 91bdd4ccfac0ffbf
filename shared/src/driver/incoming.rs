//! What the peer says over the channel, and the answers that wait for this host's decision.

use super::steps::{self, StepAt, StepProgress};
use super::turn::Driver;
use crate::channel::{Incoming, Replies};
use crate::decision::{Event, Millis, RequestId};
use crate::script::Direction;
use crate::status::StepStatus;
use crate::wire::Message;

/// How many demands of the peer may wait for their answer on open connections.
const REPLIES_MAX: usize = 16;

impl Driver {
    pub(super) fn incoming(&mut self, now: Millis, incoming: Incoming) {
        let Incoming { header, message, reply } = incoming;
        self.header_seen(&header);
        match message {
            Message::ShutdownYourService(demand) => {
                while self.replies.len() >= REPLIES_MAX {
                    self.replies.pop_first();
                }
                self.replies.insert(demand.request, reply);
                self.step(now, Event::DemandReceived(demand));
            }
            Message::ShutdownWithdraw { request } => {
                self.replies.remove(&request);
                answer(&reply, Message::Ok);
                self.step(now, Event::DemandWithdrawn(request));
            }
            Message::TakeoverNotice { epoch } => {
                answer(&reply, Message::Ok);
                self.step(now, Event::TakeoverNotice(epoch));
            }
            Message::StartPlease { epoch } => {
                answer(&reply, Message::Ok);
                self.step(now, Event::StartPlease(epoch));
            }
            Message::Command { command } => self.peers_command(now, command, reply),
            Message::Status => answer(&reply, Message::Reply { body: self.status_json(now) }),
            Message::History { count } => self.history_for_peer(count, reply),
            Message::ShutdownProgress { .. }
            | Message::ShutdownAnswer { .. }
            | Message::Reply { .. }
            | Message::Ok
            | Message::Error { .. } => {
                answer(&reply, Message::Error { text: "this is an answer, not a question".into() })
            }
        }
    }

    pub(super) fn take_reply(&mut self, request: RequestId) -> Option<Replies> {
        self.replies.remove(&request)
    }

    /// A step of the stop list: the demanding host is told, so that it knows it is obeyed.
    pub(super) fn step_progress(&mut self, now: Millis, progress: StepProgress) {
        let step = match progress {
            StepProgress::Begins(step) => step,
            // Of several at the same time, the one that began last is shown as long as it runs.
            StepProgress::Ended(index) => {
                return self.facts.step = self.facts.step.take().filter(|(_, running)| running.index != index);
            }
        };
        if step.direction == Direction::Stop {
            for (request, reply) in &self.replies {
                let text = step.command.chars().take(200).collect();
                answer(reply, Message::ShutdownProgress { request: *request, step: step.index, text });
            }
        }
        let StepAt { direction, index, of, command } = step;
        let running = StepStatus { list: steps::word(direction).into(), index, of, command, age_ms: 0 };
        self.facts.step = Some((now, running));
    }
}

/// Answers on a connection that may have ended meanwhile; then the peer asks again.
pub(super) fn answer(reply: &Replies, message: Message) {
    if let Err(error) = reply.send(message) {
        tracing::debug!(%error, "an answer was not sent");
    }
}
