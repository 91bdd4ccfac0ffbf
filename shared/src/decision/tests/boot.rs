//! Who starts after a boot, and how a restarted daemon goes on.

use alloc::vec;

use crate::decision::{
    Action, Answer, Attempt, Balance, Beat, BootId, Duty, Epoch, Event, Evidence, Incarnation, Millis, PageKind, Phase,
    Policy, Presence, Proof, Record, RequestId, Role, Rule, Sight, StartOutcome, State, StateName, StopCause,
    StopMeans, Symptom, Verdict,
};

use super::place::passive;
use super::story::{BOOT, Story, policy};

const EARLIER: BootId = BootId(1);

fn remembered(boot: BootId, phase: Phase, owned: u64) -> Record {
    Record { owned: Epoch(owned), highest: Epoch(owned), phase, ..Record::fresh(boot) }
}

fn attempt(began: u64) -> Attempt {
    let request = RequestId { incarnation: Incarnation(4), number: 3 };
    let evidence = Evidence::OwnVerdict(crate::decision::Symptom::Refused);
    Attempt { request, evidence, epoch: Epoch(1), began: Millis(began) }
}

fn proof() -> Proof {
    Proof::Ack { means: StopMeans::PostConditions, forced: None, by_rcmd: false }
}

/// Every phase that a record can hold, for a host that owned epoch 2.
fn phases() -> [Phase; 8] {
    let epoch = Epoch(2);
    let reason = || "exit 1".into();
    [
        Phase::Standby,
        Phase::Requesting(attempt(9_000)),
        Phase::Starting { epoch, attempt: attempt(9_000), proof: proof() },
        Phase::Active { epoch },
        Phase::Stopping { epoch, cause: StopCause::HigherEpoch(Epoch(3)) },
        Phase::Stopped { epoch, means: StopMeans::PostConditions, forced: None },
        Phase::FailedStart { epoch, reason: reason(), commanded: false },
        Phase::FailedStop { epoch, reason: reason() },
    ]
}

#[test]
fn both_hosts_boot_without_memory_and_the_master_starts_after_the_slave_let_it() {
    let mut story = passive(policy(Role::Master));
    story.hears(Duty::Standby, 0, 0);
    assert_eq!(story.state(), StateName::Standby);
    story.pass_heard(1_500);
    assert_eq!(story.state(), StateName::Requesting);
    story.written(true).acked(0).written(true).start_ends(StartOutcome::Started);
    assert_eq!(*story.node.state(), State::Active { epoch: Epoch(1) });
    assert!(!story.node.locked(), "the first start is no automatic move");
}

#[test]
fn the_other_host_starts_when_the_one_that_goes_first_is_not_ready() {
    let mut story = passive(policy(Role::Slave));
    story.tell(Event::Beat(Beat { ready: false, ..Story::beat_of(Duty::Standby, 0, 0) })).pass_heard(7_000);
    assert_eq!(story.state(), StateName::Standby, "a host that has just come up is not ready at first");
    story.pass_heard(2_000);
    assert_eq!(story.state(), StateName::Requesting);

    let mut unready = passive(policy(Role::Slave));
    unready.tell(Event::Readiness(vec!["no script".into()]));
    unready.tell(Event::Beat(Beat { ready: false, ..Story::beat_of(Duty::Standby, 0, 0) })).pass_heard(30_000);
    assert_eq!((unready.state(), unready.demands()), (StateName::Standby, 0));
}

#[test]
fn the_slave_waits_for_the_master_where_neither_remembers_an_epoch() {
    let mut story = passive(policy(Role::Slave));
    story.hears(Duty::Standby, 0, 0).pass_heard(30_000);
    assert_eq!((story.state(), story.demands()), (StateName::Standby, 0));
}

#[test]
fn the_owner_of_the_highest_epoch_starts_whatever_its_role() {
    let record = remembered(EARLIER, Phase::Active { epoch: Epoch(2) }, 2);
    let mut slave = Story::boots(policy(Role::Slave), Some(record));
    slave.tell(Event::Readiness(vec![])).looked(Presence::NothingRuns);
    slave.hears(Duty::Standby, 2, 1).pass_heard(1_500);
    assert_eq!(slave.state(), StateName::Requesting);

    let record = remembered(EARLIER, Phase::Standby, 1);
    let mut master = Story::boots(policy(Role::Master), Some(record));
    master.tell(Event::Readiness(vec![])).looked(Presence::NothingRuns);
    master.hears(Duty::Standby, 2, 2).pass_heard(30_000);
    assert_eq!((master.state(), master.demands()), (StateName::Standby, 0));
}

#[test]
fn a_restarted_daemon_takes_the_clients_when_its_own_checks_pass_and_not_before() {
    let here = Action::Balance(Balance::Here(Epoch(2)));
    let record = remembered(BOOT, Phase::Active { epoch: Epoch(2) }, 2);
    let mut story = Story::boots(policy(Role::Master), Some(record));
    story.tell(Event::LocalVerdict(Verdict::Failed(Symptom::ProcessGone)));
    assert!(!story.out.contains(&here), "nothing runs here, and the peer may have taken it over");

    let record = remembered(BOOT, Phase::Active { epoch: Epoch(2) }, 2);
    let mut story = Story::boots(policy(Role::Master), Some(record));
    assert!(!story.out.contains(&here));
    story.tell(Event::LocalVerdict(Verdict::Passed));
    assert!(story.out.contains(&here));
}

#[test]
fn a_failover_policy_names_the_host_that_starts_first() {
    let mut slave = Story::boots(policy(Role::Slave), None);
    slave.tell(Event::Preferred(Some(Role::Slave))).tell(Event::Readiness(vec![])).looked(Presence::NothingRuns);
    slave.hears(Duty::Standby, 0, 0).pass_heard(1_500);
    assert_eq!(slave.state(), StateName::Requesting);

    let record = remembered(EARLIER, Phase::Active { epoch: Epoch(2) }, 2);
    let mut master = Story::boots(policy(Role::Master), Some(record));
    master.tell(Event::Preferred(Some(Role::Slave))).tell(Event::Readiness(vec![])).looked(Presence::NothingRuns);
    master.hears(Duty::Standby, 2, 1).pass_heard(30_000);
    assert_eq!((master.state(), master.demands()), (StateName::Standby, 0));
}

#[test]
fn a_master_that_reboots_answers_the_waiting_demand_that_it_has_rebooted() {
    let record = remembered(EARLIER, Phase::Active { epoch: Epoch(1) }, 1);
    let mut story = Story::boots(policy(Role::Master), Some(record));
    story.looked(Presence::NothingRuns).demanded(Evidence::Silence(Millis(30_000)), 1);
    assert!(story.answers().is_empty(), "it looks first");
    story.looked(Presence::NothingRuns);
    assert!(story.answers().is_empty(), "and makes it durable");
    story.written(true);
    let expected = Answer::Acked { epoch: Epoch(1), means: StopMeans::Rebooted, forced: None };
    assert_eq!(story.answers(), [expected]);
    assert_eq!(story.state(), StateName::Passive);
    // The peer has started: the old master stands by and never takes back by itself.
    story.hears(Duty::Active, 2, 2).pass_heard(600_000);
    assert_eq!(story.state(), StateName::Standby);
    assert!(!story.asks_to_start());
}

#[test]
fn a_host_that_boots_alone_starts_nothing_and_calls_a_person() {
    for role in [Role::Master, Role::Slave] {
        let record = remembered(EARLIER, Phase::Active { epoch: Epoch(2) }, 2);
        let all = Policy { proof_timeout: true, ..policy(role) };
        let mut story = Story::boots(all, Some(record));
        story.tell(Event::Readiness(vec![])).looked(Presence::NothingRuns);
        story.pass(40_000);
        assert_eq!(story.pages(), [PageKind::NobodyActive]);
        story.pass(3_600_000);
        assert_eq!(story.state(), StateName::Passive);
        assert!(!story.asks_to_start() && story.demands() == 0);
        assert_eq!(story.pages().len(), 1, "a person is called once");
        story.hears(Duty::Standby, 0, 0);
        assert_eq!(story.state(), StateName::Standby);
    }
}

#[test]
fn a_torn_record_is_an_unknown_epoch_and_the_peer_that_remembers_goes_first() {
    let mut story = passive(policy(Role::Master));
    story.hears(Duty::Standby, 4, 4).pass_heard(30_000);
    assert_eq!((story.state(), story.demands()), (StateName::Standby, 0));
    assert_eq!(story.node.record().highest, Epoch(4));
    // What was learned is durable: a later start alone must not claim an epoch below it.
    story.written(true);
    assert!(story.out.iter().any(|action| matches!(action,
        Action::Persist { record, .. } if record.highest == Epoch(4))));
}

#[test]
fn what_runs_on_a_passive_host_is_neither_used_nor_stopped_nor_acknowledged() {
    for presence in [Presence::Runs("dovecot".into()), Presence::CannotTell("no process list".into())] {
        let mut story = Story::boots(policy(Role::Master), None);
        story.looked(presence);
        assert_eq!((story.state(), story.pages()), (StateName::ExclusivityError, vec![PageKind::Exclusivity]));
        story.demanded(Evidence::NobodyActive, 0);
        assert!(matches!(story.answers()[..], [Answer::AckedFailed { .. }]));
        assert!(!story.asks_to_start() && !story.asks_to_stop());
    }
}

#[test]
fn a_phase_of_an_earlier_kernel_start_is_history() {
    for phase in phases() {
        let story = Story::boots(policy(Role::Slave), Some(remembered(EARLIER, phase.clone(), 2)));
        assert_eq!(story.state(), StateName::Passive, "{phase:?}");
        assert!(!story.asks_to_start() && !story.asks_to_stop(), "{phase:?}");
        assert_eq!((story.node.record().boot, &story.node.record().phase), (BOOT, &Phase::Standby));
        assert_eq!(story.node.record().owned, Epoch(2), "epochs are kept");
    }
}

#[test]
fn a_restarted_daemon_goes_on_where_it_was() {
    for phase in phases() {
        let mut story = Story::boots(policy(Role::Slave), Some(remembered(BOOT, phase.clone(), 2)));
        let (state, starts, stops) = (story.state(), story.asks_to_start(), story.asks_to_stop());
        let expected = match phase {
            Phase::Standby | Phase::Stopped { .. } => (StateName::Passive, false, false),
            Phase::Requesting(_) => (StateName::Requesting, false, false),
            Phase::Starting { .. } => (StateName::Starting, true, false),
            Phase::Active { .. } => (StateName::Active, false, false),
            Phase::Stopping { .. } => (StateName::Stopping, false, true),
            Phase::FailedStart { .. } => (StateName::FailedStart, false, false),
            Phase::FailedStop { .. } => (StateName::FailedStop, false, false),
        };
        assert_eq!((state, starts, stops), expected, "{phase:?}");
        let resumes = |action: &Action| match action {
            Action::Start { resume, .. } | Action::Stop { resume, .. } => *resume,
            _ => true,
        };
        assert!(story.out.iter().all(resumes), "{phase:?} begins a list anew");
        story.pass(10);
        assert!(!story.node.is_frozen(), "{phase:?}");
    }
}

#[test]
fn a_resumed_demand_keeps_its_name_and_is_sent_again() {
    let record = remembered(BOOT, Phase::Requesting(attempt(9_000)), 0);
    let mut story = Story::boots(policy(Role::Slave), Some(record));
    story.tell(Event::Readiness(vec![])).pass(1);
    let sent = story.out.iter().filter_map(|action| match action {
        Action::SendDemand { demand, .. } => Some(demand.request),
        _ => None,
    });
    assert_eq!(sent.collect::<vec::Vec<_>>(), [attempt(0).request]);
}

#[test]
fn a_resumed_demand_is_not_sent_before_the_own_readiness_is_known() {
    let record = remembered(BOOT, Phase::Requesting(attempt(9_000)), 0);
    let all = Policy { rcmd: true, ..policy(Role::Slave) };
    let mut story = Story::boots(all.clone(), Some(record.clone()));
    story.pass(30_000);
    let tried = |story: &Story| story.out.iter().any(|action| matches!(action, Action::Rcmd { .. }));
    assert_eq!((story.state(), story.demands(), tried(&story)), (StateName::Requesting, 0, false));
    story.tell(Event::Readiness(vec![])).pass(10);
    assert_eq!((story.demands(), tried(&story)), (1, true));
    let ready = story.out.iter().any(|action| matches!(action, Action::SendDemand { demand, .. } if demand.ready));
    assert!(ready, "the peer refuses a host that is not ready");

    let mut never = Story::boots(all, Some(record));
    never.pass(60_000);
    assert_eq!((never.state(), never.demands()), (StateName::TakeoverBlocked, 0));
}

#[test]
fn a_resumed_demand_on_a_peer_that_never_answers_ends_in_the_time_out_that_is_configured() {
    let record = remembered(BOOT, Phase::Requesting(attempt(9_000)), 0);
    let mut story = Story::boots(Policy { proof_timeout: true, ..policy(Role::Slave) }, Some(record));
    story.tell(Event::Readiness(vec![])).pass(60_000);
    assert_eq!(story.state(), StateName::Proving);
    story.sees(Sight::NotServing, Sight::NotServing);
    assert_eq!(story.state(), StateName::Claimed);
}

#[test]
fn a_start_that_was_interrupted_for_longer_than_a_proof_keeps_is_taken_back() {
    let phase = Phase::Starting { epoch: Epoch(2), attempt: attempt(10_000), proof: proof() };
    let record = remembered(BOOT, phase, 2);
    let soon = Story::boots_at(policy(Role::Slave), Some(record.clone()), 69_999);
    assert_eq!((soon.state(), soon.asks_to_start()), (StateName::Starting, true));
    let mut late = Story::boots_at(policy(Role::Slave), Some(record), 70_000);
    assert_eq!((late.state(), late.asks_to_start(), late.asks_to_stop()), (StateName::Stopping, false, true));
    assert!(late.notes().contains(&Rule::StartOvertaken));
    late.stops().written(true);
    assert_eq!(late.state(), StateName::Stopped);
}

#[test]
fn the_proof_counts_from_its_arrival_and_not_from_the_demand() {
    let mut story = super::place::blocked(policy(Role::Slave));
    story.pass(3_600_000).clear().acked(1);
    let began = story.out.iter().find_map(|action| match action {
        Action::Persist { record: Record { phase: Phase::Starting { attempt, .. }, .. }, .. } => Some(attempt.began),
        _ => None,
    });
    assert_eq!(began, Some(Millis(story.now)));
}

#[test]
fn a_resumed_stop_still_answers_the_demand_that_asked_for_it() {
    let phase = Phase::Stopping { epoch: Epoch(2), cause: StopCause::Demand(super::story::THEIRS) };
    let mut story = Story::boots(policy(Role::Slave), Some(remembered(BOOT, phase, 2)));
    story.stops().written(true);
    assert!(matches!(story.answers()[..], [Answer::Acked { epoch: Epoch(2), .. }]));
}

#[test]
fn a_resumed_active_host_that_hears_nobody_says_so() {
    let record = remembered(BOOT, Phase::Active { epoch: Epoch(2) }, 2);
    let mut story = Story::boots(policy(Role::Slave), Some(record));
    story.pass(3_000);
    assert_eq!((story.state(), story.pages()), (StateName::Active, vec![PageKind::PeerSilent]));
}
