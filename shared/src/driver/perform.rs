//! The core's actions, carried out. Everything that may take time is handed to a task or a thread.

use std::path::PathBuf;
use std::time::Duration;

use super::turn::Driver;
use super::{Input, entries};
use crate::balancer::Report;
use crate::decision::{Action, Answer, Demand, Event, Millis, OperationId, PageKind, RequestId, State, StopCause};
use crate::failpoint::failpoint;
use crate::fence::Fence;
use crate::notify::{Kind, Page as Letter};
use crate::provision::load_pair_key;
use crate::rcmd;
use crate::secret::Secret;
use crate::telemetry::chain;
use crate::wire::Message;

impl Driver {
    pub(super) fn perform(&mut self, now: Millis, action: Action) {
        match action {
            Action::Persist { operation, record } => {
                if !self.disk.persist(operation, record) {
                    self.send_later(Event::Persisted { operation, durable: false });
                }
            }
            Action::SendDemand { demand, sent } => self.send_demand(demand, sent),
            Action::Withdraw(request) => self.tell_peer(Message::ShutdownWithdraw { request }),
            Action::Rcmd { request, epoch, sent } => self.second_way(request, epoch, sent),
            Action::Answer { request, answer } => self.answer_demand(request, answer),
            Action::Look { operation } => self.service.look(operation),
            Action::Start { operation, epoch, resume, evidence } => {
                self.note_copies(now);
                self.service.start(operation, epoch, resume, &evidence.to_string());
            }
            Action::Stop { operation, epoch, resume, reason } => {
                // The start list ended half-way, so not everything can be there to be stopped.
                let failed_start = matches!(
                    self.node.state(),
                    State::Stopping {
                        cause: StopCause::StartFailed { .. } | StopCause::Overtaken | StopCause::Invariant,
                        ..
                    }
                );
                self.service.stop(operation, epoch, resume, failed_start, &reason);
            }
            Action::Arbiter { operation, request } => self.arbitration.ask(operation, request),
            Action::Guard { operation, lease } => {
                if let Err(why) = self.guarding.tell(operation, lease) {
                    self.send_later(Event::Guarded { operation, result: Err(why) });
                }
            }
            Action::Fence { operation } => self.fence_peer(operation),
            Action::Unfence { operation } => self.let_peer_back(operation),
            Action::Balance(balance) => self.balancing.wish(balance),
            Action::AskWitness => self.watch.ask_witness(&self.loaded, self.balancing.witness(), &self.inputs),
            Action::Notice(epoch) => self.tell_peer(Message::TakeoverNotice { epoch }),
            Action::StartPlease(epoch) => self.tell_peer(Message::StartPlease { epoch }),
            Action::Reply { ticket, result } => self.answer_ticket(ticket, result),
            Action::Note(note) => {
                tracing::info!(rule = ?note.rule, evidence = ?note.evidence, "{}", note.rule.sentence());
                self.facts.last_reason = Some(note.rule.sentence().to_string());
                self.disk.note(entries::decision(&note));
            }
            Action::Page(page) => {
                tracing::warn!(kind = ?page.kind, effect = page.effect, next = page.next, "{}", page.cause);
                self.disk.note(entries::page(&page));
                self.page(page.kind, &page.cause, &page.effect, &page.next);
                if page.kind == PageKind::ConfigDiffers {
                    self.fetch_peer_keys();
                }
            }
        }
    }

    /// Devices may take minutes; the core has a limit for all of them.
    fn fence_peer(&self, operation: OperationId) {
        let (loaded, inputs, target) = (self.loaded.clone(), self.inputs.clone(), self.settings.role.peer());
        let quiet = self.fences.quiet();
        tokio::spawn(async move {
            let result = match Fence::of(&loaded.config).off(target).await {
                Ok(fenced) => Ok(format!("{} ({})", fenced.device, fenced.read_back)),
                Err(error) => Err(chain(&error)),
            };
            drop(quiet);
            let _ = inputs.send(Input::Core(Event::FenceDone { operation, result })).await;
        });
    }

    fn let_peer_back(&self, operation: OperationId) {
        let (loaded, disk, target) = (self.loaded.clone(), self.disk.clone(), self.settings.role.peer());
        let inputs = self.inputs.clone();
        let quiet = self.fences.quiet();
        tokio::spawn(async move {
            let result = match Fence::of(&loaded.config).on(target).await {
                Ok(devices) => {
                    let by = if devices.is_empty() { "none had it cut off".to_owned() } else { devices.join(", ") };
                    disk.note(entries::entry("fence", &format!("the {target} is let back: {by}"), &[]));
                    Ok(())
                }
                Err(error) => Err(chain(&error)),
            };
            drop(quiet);
            let _ = inputs.send(Input::Core(Event::UnfenceDone { operation, result })).await;
        });
    }

    /// An event that comes with the next turn.
    fn send_later(&self, event: Event) {
        if self.inputs.try_send(Input::Core(event)).is_err() {
            tracing::error!("the input queue is full; an event was lost");
        }
    }

    fn send_demand(&self, demand: Demand, sent: Millis) {
        failpoint("demand-before");
        let (peer, inputs) = (self.peer.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let request = demand.request;
            let limit = Duration::from_millis(demand.lifetime_ms.0.max(1_000));
            let (progress, mut told) = tokio::sync::mpsc::channel(16);
            let steps = inputs.clone();
            tokio::spawn(async move {
                while let Some(message) = told.recv().await {
                    if let Message::ShutdownProgress { request, step, .. } = message {
                        let event = Event::StillStopping { request, step };
                        if steps.send(Input::Core(event)).await.is_err() {
                            return;
                        }
                    }
                }
            });
            let asked = peer.request(Message::ShutdownYourService(demand), limit, Some(progress)).await;
            let event = match asked {
                Ok(Message::ShutdownAnswer { request, answer }) => Event::Answered { request, sent, answer },
                Ok(Message::Error { text }) => Event::Unreachable { request, reason: text },
                Ok(_) => Event::Unreachable { request, reason: "the peer answered something else".into() },
                Err(error) => Event::Unreachable { request, reason: error.to_string() },
            };
            failpoint("demand-answered");
            // The loop is gone: nothing waits for the answer.
            let _ = inputs.send(Input::Core(event)).await;
        });
        failpoint("demand-after");
    }

    fn answer_demand(&mut self, request: RequestId, answer: Answer) {
        failpoint("answer-before");
        match self.take_reply(request) {
            Some(reply) => {
                super::incoming::answer(&reply, Message::ShutdownAnswer { request, answer });
            }
            // The connection is gone; the peer sends the demand again and gets the same answer.
            None => tracing::info!(%request, "the demand's connection is gone; its repetition will be answered"),
        }
        failpoint("answer-after");
    }

    /// Something the peer ought to hear; it learns the same from the beats if this is lost.
    fn tell_peer(&self, message: Message) {
        let peer = self.peer.clone();
        failpoint("tell-before");
        tokio::spawn(async move {
            if let Err(error) = peer.request(message, Duration::from_secs(5), None).await {
                tracing::debug!(%error, "the peer was not told");
            }
            failpoint("tell-after");
        });
    }

    fn second_way(&self, request: RequestId, epoch: crate::decision::Epoch, sent: Millis) {
        let Some(rcmd) = self.loaded.config.rcmd.clone() else { return };
        let inputs = self.inputs.clone();
        let (config, role) = (self.loaded.clone(), self.settings.role);
        failpoint("rcmd-before");
        tokio::spawn(async move {
            let order = rcmd::StopOrder {
                pair: &config.config.name,
                role: role.peer(),
                host: config.config.host(role.peer()),
                request,
                epoch,
            };
            let result = match pair_keys(&config.config) {
                Ok(keys) => rcmd::stop_there(std::path::Path::new(rcmd::SSH), &rcmd, order, &keys)
                    .await
                    .map(|statement| (statement.epoch, statement.means, statement.forced))
                    .map_err(|error| chain(&error)),
                Err(error) => Err(error),
            };
            failpoint("rcmd-after");
            let _ = inputs.send(Input::Core(Event::RcmdDone { request, sent, result })).await;
        });
    }

    pub(super) fn page(&self, kind: PageKind, cause: &str, effect: &str, next: &str) {
        let host = &self.loaded.config.host(self.settings.role).name;
        let pair = &self.loaded.config.name;
        let subject = format!("[failover {pair}] {host}: {cause}");
        let text = format!("{cause}\n\nEffect: {effect}\nNext:   {next}\n");
        self.pager.page(Letter::new(letter_kind(kind), &subject, &text));
    }

    /// The peer's status holds the digests of its single keys, so that the ones that differ can be named.
    pub(super) fn fetch_peer_keys(&self) {
        let (peer, inputs) = (self.peer.clone(), self.inputs.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                if let Ok(Message::Reply { body }) = peer.request(Message::Status, Duration::from_secs(2), None).await
                    && let Ok(keys) = serde_json::from_value(body["config"]["key_digests"].clone())
                {
                    let _ = inputs.send(Input::PeerKeys(keys)).await;
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    pub(super) fn balancer_reported(&mut self, _now: Millis, report: Report) {
        let Some(told) = self.balancing.report(report) else { return };
        let fields = match told.took {
            Some(took) => vec![("took_ms", serde_json::json!(took.as_millis() as u64))],
            None => Vec::new(),
        };
        self.disk.note(entries::entry("balancer", &told.text, &fields));
        match told.diverged {
            None => tracing::info!("{}", told.text),
            Some(reason) => {
                tracing::warn!(reason, "{}", told.text);
                self.page(
                    PageKind::BalancerDiverged,
                    &format!("{}: {reason}", told.text),
                    "Clients may still be sent to the wrong host; the service itself is not touched. It is tried again and again.",
                    "Look at the balancer; failoverctl status shows what it says.",
                );
            }
        }
    }
}

/// The keys that a signed statement may be signed with: the pair's, and the old one while keys are changed.
fn pair_keys(config: &crate::config::Config) -> Result<Vec<Secret>, String> {
    let security = &config.security;
    let old = Some(&security.old_key_file).filter(|path| path.exists());
    let read = |path: &PathBuf| load_pair_key(path).map_err(|error| chain(&error));
    std::iter::once(&security.key_file).chain(old).map(read).collect()
}

fn letter_kind(kind: PageKind) -> Kind {
    match kind {
        PageKind::Moved => Kind::Move,
        PageKind::Blocked | PageKind::NobodyActive => Kind::Blocked,
        PageKind::StartFailed => Kind::FailedStart,
        PageKind::StopFailed => Kind::FailedStop,
        PageKind::Exclusivity | PageKind::TwoActives => Kind::BothActive,
        PageKind::NoTakeover => Kind::NotReady,
        PageKind::LinkCut | PageKind::PeerSilent | PageKind::Unreachable => Kind::Link,
        PageKind::ConfigDiffers => Kind::ConfigDiffers,
        PageKind::BalancerDiverged => Kind::BalancerDiverged,
        PageKind::Maintenance => Kind::Maintenance,
        PageKind::State | PageKind::Arbiter | PageKind::Fence | PageKind::Invariant => Kind::Internal,
    }
}
