//! The lease as the one who contends for it sees it, told as stories of one host.

use crate::decision::{
    Action, ArbiterFailure, ArbiterRequest, Claim, Command, Duty, Epoch, Event, GuardedLease, LeaseProof, Millis,
    PageKind, Policy, Proof, Role, Rule, Slot, StateName, Terms, View,
};

use super::fencing::{fence, fencing};
use super::lease::leased_alone;
use super::leased::{Leased, MASTER_BOOT, STANDARD, leased, masters, standing_by};
use super::story::{BOOT, Story, move_here};

#[test]
fn a_silent_master_is_taken_over_when_its_lease_has_run_out_and_not_before() {
    let mut leased = standing_by();
    leased.pass(61_000);
    assert!(!leased.story.asks_to_start(), "the lease still runs: {:?}", leased.story.node.state());
    leased.pass(3_000);
    assert!(
        matches!(leased.proof(), Some(Proof::Lease(LeaseProof::Expired { unchanged_ms })) if unchanged_ms.0 >= 61_213)
    );
    assert_eq!(leased.state(), StateName::Starting);
    assert_eq!(leased.view.claim.map(|claim| (claim.epoch, claim.owner)), Some((Epoch(2), Role::Slave)));
    assert!(leased.view.slave.is_some_and(|slot| slot.epoch == Epoch(2)), "its own lease began");
    assert!(matches!(leased.guarded.first(), Some(GuardedLease::Held { epoch: Epoch(2), .. })));
    assert!(!leased.paged(PageKind::Blocked), "nobody is called while the lease runs out");
    leased.starts();
    leased.pass(60_000);
    assert_eq!(leased.state(), StateName::Active);
    assert!(leased.guarded.len() > 15, "each renewal reaches the guardian");
}

#[test]
fn the_wait_counts_on_the_slower_clock() {
    let mut leased = standing_by();
    leased.story.tell(Event::ClocksDiffer(Millis(5_000)));
    leased.pass(65_000);
    assert!(!leased.story.asks_to_start());
    leased.pass(5_000);
    assert!(leased.story.asks_to_start());
}

#[test]
fn the_longer_lease_of_the_two_decides() {
    let mut leased = standing_by();
    let long = Terms { lease_ms: Millis(100_000), ..STANDARD.terms(1) };
    leased.write(Role::Master, Epoch(1), MASTER_BOOT, false, false, long);
    leased.pass(100_000);
    assert!(!leased.story.asks_to_start());
    leased.pass(8_000);
    assert!(leased.story.asks_to_start());
}

#[test]
fn a_silent_master_that_renews_its_lease_is_cut_off_and_not_dead() {
    let mut leased = standing_by();
    for _ in 0..40 {
        leased.pass(3_000);
        leased.master_renews();
    }
    assert_eq!(leased.state(), StateName::Suspect);
    assert!(leased.saw(Rule::LeaseRenewing) && leased.paged(PageKind::LinkCut));
    assert_eq!(leased.story.demands(), 0, "no demand rests on a cut link");
    leased.pass(75_000);
    assert!(leased.story.asks_to_start(), "and when it dies then: {:?}", leased.story.node.state());
}

#[test]
fn a_released_lease_is_not_waited_for() {
    let mut leased = standing_by();
    leased.write(Role::Master, Epoch(1), MASTER_BOOT, true, false, STANDARD.terms(1));
    leased.pass(10_000);
    assert!(matches!(leased.proof(), Some(Proof::Lease(LeaseProof::Released))), "{:?}", leased.story.node.state());
}

#[test]
fn a_lease_held_for_maintenance_never_runs_out() {
    let mut leased = standing_by();
    leased.write(Role::Master, Epoch(1), MASTER_BOOT, false, true, STANDARD.terms(1));
    leased.pass(900_000);
    assert!(!leased.story.asks_to_start());
    assert!(leased.saw(Rule::WithheldMaintenance));
}

#[test]
fn a_renewal_that_lands_beside_the_claim_makes_the_wait_run_anew() {
    let mut leased = standing_by();
    leased.pass(58_000);
    // The claim's question is answered by hand: the master's late renewal becomes visible just behind it.
    let mut renewed = false;
    for _ in 0..6_000 {
        leased.story.now += 1;
        leased.story.tell(Event::TurnBegan).tell(Event::TurnEnded);
        let next = leased.story.out.get(leased.answered).cloned();
        if let Some(Action::Arbiter { operation, request: request @ ArbiterRequest::Claim { .. } }) = next {
            leased.answered += 1;
            let reply = leased.reply(request);
            leased.master_renews();
            renewed = true;
            leased.story.tell(Event::Arbiter { operation, reply });
        }
        if !renewed {
            let ahead = leased.story.out[leased.answered..]
                .iter()
                .any(|action| matches!(action, Action::Arbiter { request: ArbiterRequest::Claim { .. }, .. }));
            if !ahead {
                serve_until_claim(&mut leased);
            }
        } else {
            leased.serve();
        }
    }
    assert!(renewed && leased.saw(Rule::ClaimWaits), "{:?}", leased.story.node.state());
    assert!(!leased.story.asks_to_start());
    leased.pass(50_000);
    assert!(!leased.story.asks_to_start(), "the wait runs from the renewal");
    leased.pass(15_000);
    assert!(leased.story.asks_to_start(), "{:?}", leased.story.node.state());
}

fn serve_until_claim(leased: &mut Leased) {
    while let Some(action) = leased.story.out.get(leased.answered) {
        if matches!(action, Action::Arbiter { request: ArbiterRequest::Claim { .. }, .. }) {
            return;
        }
        let kept = leased.story.out.split_off(leased.answered + 1);
        leased.serve_one();
        leased.story.out.extend(kept);
    }
}

impl Leased {
    /// Serves up to the next question to the arbiter of this kind, which waits.
    fn serve_until(&mut self, wanted: impl Fn(&ArbiterRequest) -> bool) {
        for _ in 0..1_000 {
            let next = self.story.out.get(self.answered);
            match next {
                Some(Action::Arbiter { request, .. }) if wanted(request) => return,
                Some(_) => self.serve_one(),
                None => {
                    self.story.now += 1;
                    self.story.tell(Event::TurnBegan).tell(Event::TurnEnded);
                }
            }
        }
        panic!("that was never asked: {:?}", self.story.node.state());
    }

    /// Serves what is there now; what that asks for waits.
    fn serve_one(&mut self) {
        let Some(action) = self.story.out.get(self.answered).cloned() else { return };
        self.answered += 1;
        match action {
            Action::Arbiter { operation, request } => {
                let reply = self.reply(request);
                self.story.tell(Event::Arbiter { operation, reply });
            }
            Action::Persist { operation, .. } => {
                self.story.tell(Event::Persisted { operation, durable: true });
            }
            Action::SendDemand { demand, .. } => {
                self.story.tell(Event::Unreachable { request: demand.request, reason: "no route".into() });
            }
            _ => {}
        }
    }
}

/// A look that is a little out of date shows each side what was a moment ago: the peer, whose wait for this host's claim
/// ends, and this host, whose first renewal comes just then, would each miss the other.
#[test]
fn a_claim_that_grew_old_before_its_first_renewal_is_made_anew() {
    // The time counts from when the look was asked for.
    for (look_ms, stands_still_ms, epoch, anew) in
        [(0, 11_000, 2, false), (0, 12_000, 3, true), (1_000, 11_000, 3, true)]
    {
        let mut leased = standing_by();
        leased.story.command(move_here()).expect("accepted");
        leased.story.written(true).acked(1);
        leased.serve_until(|request| matches!(request, ArbiterRequest::Observe));
        leased.story.now += look_ms;
        leased.serve_until(|request| matches!(request, ArbiterRequest::Renew { .. }));
        // The daemon gets no processor time; the renewal is validated meanwhile.
        leased.story.now += stands_still_ms;
        leased.serve();
        leased.pass(1);
        assert!(leased.story.asks_to_start(), "{:?}", leased.story.node.state());
        assert_eq!(leased.view.claim.map(|claim| claim.epoch), Some(Epoch(epoch)), "after {stands_still_ms} ms");
        assert_eq!(leased.saw(Rule::ClaimTooOld), anew);
        assert!(matches!(leased.guarded.first(), Some(GuardedLease::Held { epoch: held, .. }) if held.0 == epoch));
    }
}

#[test]
fn a_claim_that_is_made_anew_again_and_again_is_given_up() {
    let mut leased = standing_by();
    leased.story.command(move_here()).expect("accepted");
    leased.story.written(true).acked(1);
    for _ in 0..100 {
        leased.serve_until(|request| matches!(request, ArbiterRequest::Renew { .. }));
        leased.story.now += 12_000;
        leased.serve_one();
        leased.story.tell(Event::TurnBegan).tell(Event::TurnEnded);
        if leased.state() != StateName::Claimed {
            break;
        }
    }
    assert!(leased.saw(Rule::ClaimTooOld) && leased.saw(Rule::ClaimLost), "{:?}", leased.story.node.state());
    assert!(leased.state() != StateName::Claimed && !leased.story.asks_to_start(), "{:?}", leased.state());
}

#[test]
fn every_start_needs_the_claim_whatever_the_proof() {
    let mut leased = standing_by();
    leased.story.command(move_here()).expect("accepted");
    leased.lost = true;
    leased.story.written(true).acked(1);
    leased.serve();
    leased.pass(20_000);
    assert_eq!(leased.state(), StateName::Claimed);
    assert!(!leased.story.asks_to_start() && leased.paged(PageKind::Arbiter));
    leased.lost = false;
    leased.pass(5_000);
    assert!(leased.story.asks_to_start());
    assert_eq!(leased.view.claim.map(|claim| claim.owner), Some(Role::Slave));
}

#[test]
fn an_acknowledgement_that_was_long_under_way_does_not_cover_a_later_claim_of_the_peer() {
    let mut leased = standing_by();
    leased.story.command(move_here()).expect("accepted");
    leased.story.written(true);
    leased.claimed(3, Role::Master, MASTER_BOOT);
    leased.write(Role::Master, Epoch(3), MASTER_BOOT, false, false, STANDARD.terms(1));
    leased.story.acked(1);
    leased.serve();
    leased.pass(1_000);
    assert!(leased.saw(Rule::ClaimLost) && !leased.story.asks_to_start(), "{:?}", leased.story.node.state());
    assert_eq!(leased.view.claim.map(|claim| claim.owner), Some(Role::Master));
}

#[test]
fn an_own_epoch_proves_nothing_beside_a_claim_that_the_last_look_could_not_see() {
    let own = View {
        claim: Some(Claim { epoch: Epoch(2), owner: Role::Slave, boot: BOOT }),
        slave: masters().master.map(|slot| Slot { epoch: Epoch(2), boot: BOOT, released: true, ..slot }),
        ..View::default()
    };
    let mut leased = Leased::boots(leased(Role::Slave), None, own);
    leased.hears(Duty::Standby, 1);
    assert_eq!(leased.state(), StateName::Standby);
    // The master starts now, and is heard to; the command comes before the next look.
    leased.claimed(3, Role::Master, MASTER_BOOT);
    leased.write(Role::Master, Epoch(3), MASTER_BOOT, false, false, STANDARD.terms(1));
    leased.story.hears(Duty::Starting, 3, 3);
    leased.story.command(move_here()).expect("accepted");
    leased.story.written(true);
    let until = leased.story.now + 60_000;
    while leased.state() == StateName::Requesting && leased.story.now < until {
        leased.story.pass(10);
    }
    assert_eq!(leased.proof(), Some(Proof::Lease(LeaseProof::Own)));
    leased.serve();
    leased.pass(1_000);
    assert!(leased.saw(Rule::ClaimLost) && !leased.story.asks_to_start(), "{:?}", leased.story.node.state());
    assert_eq!(leased.view.claim.map(|claim| claim.owner), Some(Role::Master));
}

#[test]
fn a_claim_that_does_not_come_about_is_given_up_in_time() {
    let mut leased = standing_by();
    leased.story.command(move_here()).expect("accepted");
    leased.lost = true;
    leased.story.written(true).acked(1);
    leased.serve();
    for _ in 0..400 {
        leased.pass(500);
        leased.story.tell(Event::Beat(Story::beat_of(Duty::Stopped, 1, 1)));
        leased.serve();
    }
    assert!(leased.saw(Rule::ClaimLost));
    assert!(!matches!(leased.state(), StateName::Claimed | StateName::Starting), "{:?}", leased.state());
}

#[test]
fn an_arbiter_that_shows_less_than_before_was_rolled_back() {
    let mut leased = standing_by();
    leased.claimed(5, Role::Master, MASTER_BOOT);
    leased.pass(4_000);
    leased.view = masters();
    leased.pass(90_000);
    assert!(!leased.story.asks_to_start());
    assert!(matches!(leased.story.node.arbiter_failure(), Some((ArbiterFailure::RolledBack(_), _))));
}

#[test]
fn an_own_claim_that_was_never_held_proves_nothing() {
    // The daemon died while it waited for the master's lease to end; the master goes on renewing an older epoch.
    let mut view = masters();
    view.before = view.claim;
    view.claim = Some(Claim { epoch: Epoch(2), owner: Role::Slave, boot: BOOT });
    let mut leased = Leased::boots(leased_alone(), None, view);
    leased.pass(60_000);
    assert!(!leased.story.asks_to_start());
    leased.pass(6_000);
    assert!(leased.story.asks_to_start(), "{:?}", leased.story.node.state());
}

#[test]
fn a_persons_word_is_refused_while_the_other_renews() {
    let mut leased = standing_by();
    leased.story.tell(Event::PolicyChanged(Policy { proof_lease: false, ..leased_alone() }));
    leased.story.command(move_here()).expect("accepted");
    leased.serve();
    for _ in 0..25 {
        leased.pass(3_000);
        leased.master_renews();
    }
    leased.pass(3_000);
    assert_eq!(leased.state(), StateName::TakeoverBlocked);
    let word = |epoch| Command::ConfirmStopped {
        host: Role::Master,
        by: "ann".into(),
        reason: "it burns".into(),
        epoch,
        port_answers: false,
    };
    let refusal = leased.story.command(word(None)).expect_err("it renews");
    assert!(refusal.contains("renewed its lease"), "{refusal}");
    assert!(leased.story.command(word(Some(Epoch(1)))).is_ok(), "typed, it is recorded");
}

#[test]
fn a_host_in_doubt_of_itself_neither_fences_nor_claims() {
    let mut fencing = fencing();
    fencing.pass(3_500);
    fencing.story.tell(Event::References { answering: 0, of: 2, link_up: true });
    fencing.pass(60_000);
    assert_eq!(fence(&fencing), None);

    let mut leased = standing_by();
    leased.pass(40_000);
    leased.story.tell(Event::References { answering: 0, of: 2, link_up: true });
    leased.pass(100_000);
    assert!(!leased.story.asks_to_start());
    leased.story.tell(Event::References { answering: 1, of: 2, link_up: true });
    leased.pass(5_000);
    assert!(leased.story.asks_to_start());
}
