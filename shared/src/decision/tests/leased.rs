//! One host with an arbiter that answers at once, for the stories of lease and fence.

use alloc::string::String;
use alloc::vec::Vec;

use crate::decision::{
    Action, ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Claim, Duty, Epoch, Event, GuardedLease, HeldLease,
    LeaseTimes, Millis, PageKind, Phase, Policy, Presence, Proof, Record, Role, Rule, Slot, StartOutcome, State,
    StateName, Terms, View,
};

use super::story::{BOOT, Story, policy};

pub(super) const MASTER_BOOT: BootId = BootId(8);

/// The profile `Standard`: L 60 s, W 61.2 s.
pub(super) const STANDARD: LeaseTimes = LeaseTimes {
    renew_ms: Millis(3_000),
    attempt_ms: Millis(2_000),
    stop_after_ms: Millis(12_000),
    scripts_ms: Millis(30_000),
    kill_ms: Millis(5_000),
    watchdog_ms: Millis(10_000),
    margin_ms: Millis(3_000),
    drift_permille: 10,
};

pub(super) fn leased(role: Role) -> Policy {
    Policy { proof_lease: true, lease: Some(STANDARD), ..policy(role) }
}

/// A story with an arbiter, a guardian and a disk that work unless told otherwise.
pub(super) struct Leased {
    pub(super) story: Story,
    pub(super) view: View,
    /// The arbiter does not answer.
    pub(super) lost: bool,
    pub(super) guards: bool,
    /// The guardian confirms nothing.
    pub(super) silent_guardian: bool,
    pub(super) guarded: Vec<GuardedLease>,
    pub(super) answered: usize,
}

impl Leased {
    pub(super) fn boots(policy: Policy, record: Option<Record>, view: View) -> Leased {
        Leased::boots_with(policy, record, None, view)
    }

    pub(super) fn boots_with(policy: Policy, record: Option<Record>, held: Option<HeldLease>, view: View) -> Leased {
        let story = Story::boots_with(policy, record, held, 100_000);
        let mut leased =
            Leased { story, view, lost: false, guards: true, silent_guardian: false, guarded: Vec::new(), answered: 0 };
        leased.story.tell(Event::Readiness(Vec::new()));
        leased.serve();
        leased
    }

    /// Does what the core asked for, until it asks for nothing more.
    pub(super) fn serve(&mut self) {
        while let Some(action) = self.story.out.get(self.answered).cloned() {
            self.answered += 1;
            match action {
                Action::Arbiter { operation, request } => {
                    let reply = self.reply(request);
                    self.story.tell(Event::Arbiter { operation, reply });
                }
                Action::Guard { lease, .. } if self.silent_guardian => self.guarded.push(lease),
                Action::Guard { operation, lease } => {
                    self.guarded.push(lease);
                    let result = if self.guards { Ok(()) } else { Err(String::from("no such device")) };
                    self.story.tell(Event::Guarded { operation, result });
                }
                Action::Persist { operation, .. } => {
                    self.story.tell(Event::Persisted { operation, durable: true });
                }
                Action::Look { operation } => {
                    self.story.tell(Event::Looked { operation, presence: Presence::NothingRuns });
                }
                Action::SendDemand { demand, .. } => {
                    self.story.tell(Event::Unreachable { request: demand.request, reason: "no route".into() });
                }
                _ => {}
            }
        }
    }

    pub(super) fn reply(&mut self, request: ArbiterRequest) -> ArbiterReply {
        if self.lost {
            return ArbiterReply::Failed(ArbiterFailure::TimedOut);
        }
        let role = self.story.node.policy().role;
        match request {
            ArbiterRequest::Observe => ArbiterReply::Seen(self.view.clone()),
            ArbiterRequest::Renew { epoch, hold, terms } => match self.view.claim.filter(|claim| claim.epoch > epoch) {
                Some(later) => ArbiterReply::Deposed(later),
                None => {
                    self.write(role, epoch, BOOT, false, hold, terms);
                    ArbiterReply::Renewed
                }
            },
            ArbiterRequest::Claim { epoch, .. } => {
                if self.view.claim.is_some_and(|claim| claim.epoch >= epoch && claim.owner != role) {
                    return ArbiterReply::NotClaimed;
                }
                self.claimed(epoch.0, role, BOOT);
                ArbiterReply::Claimed
            }
            ArbiterRequest::Release { epoch, terms } => {
                self.write(role, epoch, BOOT, true, false, terms);
                ArbiterReply::Released
            }
        }
    }

    pub(super) fn claimed(&mut self, epoch: u64, owner: Role, boot: BootId) {
        self.view.before = self.view.claim;
        self.view.claim = Some(Claim { epoch: Epoch(epoch), owner, boot });
    }

    pub(super) fn write(&mut self, role: Role, epoch: Epoch, boot: BootId, released: bool, hold: bool, terms: Terms) {
        let slot = match role {
            Role::Master => &mut self.view.master,
            Role::Slave => &mut self.view.slave,
        };
        let sequence = slot.map_or(1, |slot| slot.sequence + 1);
        *slot = Some(Slot { epoch, sequence, boot, released, hold, terms });
    }

    /// The master renews.
    pub(super) fn master_renews(&mut self) {
        let epoch = self.view.master.map_or(Epoch(1), |slot| slot.epoch);
        self.write(Role::Master, epoch, MASTER_BOOT, false, false, STANDARD.terms(1));
    }

    /// Time passes in turns; the acting half keeps up.
    pub(super) fn pass(&mut self, span_ms: u64) {
        let until = self.story.now + span_ms;
        while self.story.now < until {
            let next = self.story.node.deadline().map_or(until, |Millis(at)| at);
            self.story.now = next.clamp(self.story.now + 1, until);
            self.story.tell(Event::TurnBegan);
            self.serve();
            self.story.tell(Event::TurnEnded);
            self.serve();
            if matches!(self.story.node.state(), State::Suspect { asked: Some(_), .. }) {
                self.story.sees(crate::decision::Sight::Unknown, crate::decision::Sight::Unknown);
                self.serve();
            }
        }
    }

    /// Time passes until a renewal has just been validated.
    pub(super) fn renews(&mut self) {
        let renewed = |leased: &Leased| leased.story.node.lease().map(|(_, since, _)| since);
        let before = renewed(self);
        while renewed(self) == before {
            self.pass(10);
        }
    }

    pub(super) fn hears(&mut self, duty: Duty, epoch: u64) {
        self.story.hears(duty, epoch, epoch);
        self.serve();
    }

    pub(super) fn starts(&mut self) {
        self.story.start_ends(StartOutcome::Started);
        self.serve();
    }

    pub(super) fn state(&self) -> StateName {
        self.story.state()
    }

    pub(super) fn saw(&self, rule: Rule) -> bool {
        self.story.rules.contains(&rule)
    }

    pub(super) fn paged(&self, kind: PageKind) -> bool {
        self.story.pages().contains(&kind)
    }

    pub(super) fn proof(&self) -> Option<Proof> {
        match self.story.node.state() {
            State::Claimed { proof, .. } | State::Starting { proof, .. } => Some(proof.clone()),
            _ => None,
        }
    }
}

/// The master owns epoch 1 and renewed it once.
pub(super) fn masters() -> View {
    let claim = Some(Claim { epoch: Epoch(1), owner: Role::Master, boot: MASTER_BOOT });
    let slot = Slot {
        epoch: Epoch(1),
        sequence: 7,
        boot: MASTER_BOOT,
        released: false,
        hold: false,
        terms: STANDARD.terms(1),
    };
    View { claim, master: Some(slot), ..View::default() }
}

/// A slave that stands by while the master is active and renews.
pub(super) fn standing_by() -> Leased {
    let mut leased = Leased::boots(leased(Role::Slave), None, masters());
    leased.hears(Duty::Active, 1);
    assert_eq!(leased.state(), StateName::Standby);
    leased
}

/// A slave that took over by the lease.
pub(super) fn active() -> Leased {
    let mut leased = standing_by();
    leased.pass(75_000);
    assert_eq!(leased.state(), StateName::Starting, "{:?}", leased.story.node.state());
    leased.starts();
    assert_eq!(leased.state(), StateName::Active);
    leased
}

pub(super) fn record(phase: Phase, epoch: u64) -> Record {
    let epoch = Epoch(epoch);
    Record { highest: epoch, owned: epoch, arbiter: epoch, phase, ..Record::fresh(BOOT) }
}
