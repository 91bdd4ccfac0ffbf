//! Tells one host a short story and remembers what it answered.

use alloc::string::String;
use alloc::vec::Vec;

use crate::decision::{
    Action, Answer, Beat, BootId, Command, Demand, Duty, Epoch, Event, Evidence, HeldLease, Incarnation, Millis, Node,
    OperationId, PageKind, Policy, Presence, Record, RequestId, Role, Rule, Sight, StartOutcome, State, StateName,
    StopMeans, StopOutcome, Symptom, Verdict,
};

pub(super) const BOOT: BootId = BootId(7);

pub(super) fn policy(role: Role) -> Policy {
    Policy {
        role,
        digest: 1,
        proof_ack: true,
        proof_operator: true,
        proof_timeout: false,
        proof_lease: false,
        proof_fence: false,
        lease: None,
        fence_delay_ms: Millis(0),
        fence_limit_ms: Millis(30_000),
        hold_failed_stop: false,
        rcmd: false,
        reverse_protection: true,
        suspect_after_ms: Millis(3_000),
        shutdown_timeout_ms: Millis(60_000),
        start_limit_ms: Millis(120_000),
        stop_limit_ms: Millis(90_000),
        boot_wait_ms: Millis(40_000),
        hold_down_ms: Millis(600_000),
    }
}

/// A demand of the peer's, with a number that no other demand has.
pub(super) const THEIRS: RequestId = RequestId { incarnation: Incarnation(99), number: 1 };

#[derive(Clone)]
pub(super) struct Story {
    pub(super) node: Node,
    pub(super) now: u64,
    /// What was asked for since the story was last cleared.
    pub(super) out: Vec<Action>,
    earlier: Vec<Action>,
    pub(super) rules: Vec<Rule>,
    pub(super) steps: Vec<(StateName, StateName)>,
    /// When the newest demand was sent, or the second way tried.
    pub(super) sent: Millis,
}

impl Story {
    /// A daemon starts with what the disk remembers.
    pub(super) fn boots(policy: Policy, record: Option<Record>) -> Story {
        Story::boots_at(policy, record, 10_000)
    }

    pub(super) fn boots_at(policy: Policy, record: Option<Record>, now: u64) -> Story {
        Story::boots_with(policy, record, None, now)
    }

    /// The same, and the guardian knows of a lease.
    pub(super) fn boots_with(policy: Policy, record: Option<Record>, held: Option<HeldLease>, now: u64) -> Story {
        let mut out = Vec::new();
        let node = Node::new(policy, BOOT, Incarnation(5), record, held, Millis(now), &mut out);
        let mut story =
            Story { node, now, out, earlier: Vec::new(), rules: Vec::new(), steps: Vec::new(), sent: Millis(0) };
        story.rules = story.notes();
        story
    }

    /// One event, now. Every change of state must leave a reason.
    pub(super) fn tell(&mut self, event: Event) -> &mut Story {
        let (before, already) = (self.state(), self.out.len());
        self.node.step(Millis(self.now), event, &mut self.out);
        let after = self.state();
        let rules = self.out[already..].iter().filter_map(rule_of).collect::<Vec<_>>();
        if before != after {
            assert!(!rules.is_empty(), "{before:?} became {after:?} and no rule says why");
            self.steps.push((before, after));
        }
        self.rules.extend(rules);
        for action in &self.out[already..] {
            if let Action::SendDemand { sent, .. } | Action::Rcmd { sent, .. } = action {
                self.sent = *sent;
            }
        }
        self
    }

    /// Time passes, with a turn at each deadline and one at the end. Nothing arrives meanwhile.
    pub(super) fn pass(&mut self, span_ms: u64) -> &mut Story {
        let until = self.now + span_ms;
        loop {
            let next = self.node.deadline().map_or(until, |Millis(at)| at.max(self.now + 1)).min(until);
            self.now = next;
            self.tell(Event::TurnBegan).tell(Event::TurnEnded);
            if next == until {
                return self;
            }
        }
    }

    /// Time passes while the peer goes on saying the same.
    pub(super) fn pass_heard(&mut self, span_ms: u64) -> &mut Story {
        let beat = self.node.peer().0.cloned().expect("the peer was heard");
        for _ in 0..span_ms / 500 {
            self.now += 500;
            self.tell(Event::TurnBegan).tell(Event::Beat(beat.clone())).tell(Event::TurnEnded);
        }
        self
    }

    pub(super) fn clear(&mut self) -> &mut Story {
        self.earlier.append(&mut self.out);
        self
    }

    pub(super) fn state(&self) -> StateName {
        self.node.state().name()
    }

    /// The peer's beat: ready, configured alike, with a verdict that passed.
    pub(super) fn beat_of(duty: Duty, epoch: u64, owned: u64) -> Beat {
        Beat {
            incarnation: Incarnation(99),
            duty,
            epoch: Epoch(epoch),
            owned: Epoch(owned),
            verdict: Verdict::Passed,
            verdict_age_ms: Millis(0),
            ready: true,
            maintenance: false,
            digest: 1,
            automatic: Epoch(0),
            acknowledged: Epoch(0),
            loop_lag_ms: Millis(0),
            fence: None,
            fence_answer: None,
        }
    }

    pub(super) fn hears(&mut self, duty: Duty, epoch: u64, owned: u64) -> &mut Story {
        self.now += 100;
        self.tell(Event::Beat(Story::beat_of(duty, epoch, owned)))
    }

    /// The active peer says that its own service failed.
    pub(super) fn hears_failure(&mut self, epoch: u64) -> &mut Story {
        self.now += 100;
        let verdict = Verdict::Failed(Symptom::ProcessGone);
        self.tell(Event::Beat(Beat { verdict, ..Story::beat_of(Duty::Active, epoch, epoch) }))
    }

    pub(super) fn last_write(&self) -> OperationId {
        self.find(|action| if let Action::Persist { operation, .. } = action { Some(*operation) } else { None })
    }

    /// The latest write ends.
    pub(super) fn written(&mut self, durable: bool) -> &mut Story {
        let operation = self.last_write();
        self.tell(Event::Persisted { operation, durable })
    }

    pub(super) fn looked(&mut self, presence: Presence) -> &mut Story {
        let operation =
            self.find(|action| if let Action::Look { operation } = action { Some(*operation) } else { None });
        self.tell(Event::Looked { operation, presence })
    }

    pub(super) fn start_ends(&mut self, outcome: StartOutcome) -> &mut Story {
        let operation =
            self.find(|action| if let Action::Start { operation, .. } = action { Some(*operation) } else { None });
        self.tell(Event::StartDone { operation, outcome })
    }

    pub(super) fn start_fails(&mut self) -> &mut Story {
        self.start_ends(StartOutcome::Failed { step: 2, reason: "exit 1".into() })
    }

    pub(super) fn stop_ends(&mut self, outcome: StopOutcome) -> &mut Story {
        let operation =
            self.find(|action| if let Action::Stop { operation, .. } = action { Some(*operation) } else { None });
        self.tell(Event::StopDone { operation, outcome })
    }

    pub(super) fn stops(&mut self) -> &mut Story {
        self.stop_ends(StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None })
    }

    pub(super) fn stop_is_not_verified(&mut self) -> &mut Story {
        self.stop_ends(StopOutcome::NotVerified { reason: "port 110 answers".into() })
    }

    pub(super) fn command(&mut self, command: Command) -> Result<String, String> {
        self.tell(Event::Command { ticket: 77, command });
        self.reply().expect("the command was answered at once")
    }

    /// The answer to the last command, if it came.
    pub(super) fn reply(&self) -> Option<Result<String, String>> {
        self.out.iter().rev().find_map(|action| match action {
            Action::Reply { ticket: 77, result } => Some(result.clone()),
            _ => None,
        })
    }

    pub(super) fn demanded(&mut self, evidence: Evidence, epoch: u64) -> &mut Story {
        self.tell(Event::DemandReceived(self.demand(evidence, epoch)))
    }

    pub(super) fn demand(&self, evidence: Evidence, epoch: u64) -> Demand {
        let from = self.node.policy().role.peer();
        Demand {
            request: THEIRS,
            from,
            epoch: Epoch(epoch),
            evidence,
            ready: true,
            lifetime_ms: Millis(60_000),
            prepare: false,
        }
    }

    /// The own demand that is under way.
    pub(super) fn request(&self) -> RequestId {
        match self.node.state() {
            State::Requesting { attempt, .. }
            | State::Proving { attempt, .. }
            | State::TakeoverBlocked { attempt, .. } => attempt.request,
            other => panic!("no demand is under way in {other:?}"),
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) -> &mut Story {
        let (request, sent) = (self.request(), self.sent);
        self.tell(Event::Answered { request, sent, answer })
    }

    pub(super) fn acked(&mut self, epoch: u64) -> &mut Story {
        self.answered(Answer::Acked { epoch: Epoch(epoch), means: StopMeans::PostConditions, forced: None })
    }

    pub(super) fn sees(&mut self, direct: Sight, through: Sight) -> &mut Story {
        self.tell(Event::Witness { direct, through })
    }

    /// The answers that were sent to the peer's demand.
    pub(super) fn answers(&self) -> Vec<Answer> {
        let answers = self.out.iter().filter_map(|action| match action {
            Action::Answer { request, answer } if *request == THEIRS => Some(answer.clone()),
            _ => None,
        });
        answers.collect()
    }

    pub(super) fn notes(&self) -> Vec<Rule> {
        self.out.iter().filter_map(rule_of).collect()
    }

    pub(super) fn pages(&self) -> Vec<PageKind> {
        self.out
            .iter()
            .filter_map(|action| if let Action::Page(page) = action { Some(page.kind) } else { None })
            .collect()
    }

    pub(super) fn asks_to_start(&self) -> bool {
        self.out.iter().any(|action| matches!(action, Action::Start { .. }))
    }

    pub(super) fn asks_to_stop(&self) -> bool {
        self.out.iter().any(|action| matches!(action, Action::Stop { .. }))
    }

    pub(super) fn demands(&self) -> usize {
        self.out.iter().filter(|action| matches!(action, Action::SendDemand { .. })).count()
    }

    /// The latest action of a kind.
    fn find<T>(&self, pick: impl Fn(&Action) -> Option<T>) -> T {
        self.out
            .iter()
            .rev()
            .chain(self.earlier.iter().rev())
            .find_map(pick)
            .unwrap_or_else(|| panic!("not asked for: {:#?}", self.out))
    }
}

fn rule_of(action: &Action) -> Option<Rule> {
    if let Action::Note(note) = action { Some(note.rule) } else { None }
}

pub(super) fn commanded() -> Evidence {
    Evidence::Command { by: "ann".into(), reason: "maintenance".into() }
}

pub(super) fn move_here() -> Command {
    Command::MoveHere {
        by: "ann".into(),
        reason: "maintenance".into(),
        despite_config_difference: false,
        despite_old_copy: false,
    }
}
