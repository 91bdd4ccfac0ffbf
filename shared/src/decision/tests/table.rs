//! The transition table, whole: each state with each kind of event, and every successor that a state declares.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::decision::{
    Answer, ArbiterReply, Command, Duty, Epoch, Event, Evidence, Incarnation, Millis, OperationId, Policy, Presence,
    Refusal, RequestId, Role, Rule, Sight, StartOutcome, StateName, StopMeans, Symptom, Verdict,
};

use super::place::{at, claimed, exclusivity, passive, requesting, starting, stopping, suspect};
use super::story::{Story, commanded, move_here, policy};

/// One event of each kind: a well-meant one that fits no state's own work. The compiler keeps the list whole by `kind`.
fn one_of_each(story: &Story) -> Vec<Event> {
    let nobody = RequestId { incarnation: Incarnation(1), number: 1 };
    let nothing = OperationId(9_999);
    let beat = story.node.peer().0.cloned().unwrap_or(Story::beat_of(Duty::Passive, 0, 0));
    vec![
        Event::TurnBegan,
        Event::TurnEnded,
        Event::LoopLate(Millis(10)),
        Event::Beat(beat),
        Event::LocalVerdict(Verdict::Passed),
        Event::RemoteVerdict(Verdict::Passed),
        Event::ThroughVerdict(Verdict::Passed),
        Event::References { answering: 2, of: 2, link_up: true },
        Event::Readiness(vec![]),
        Event::OldCopies(vec!["the copy \"users\" is old".into()]),
        Event::Preferred(Some(crate::decision::Role::Slave)),
        Event::Witness { direct: Sight::Serving, through: Sight::Serving },
        Event::DemandReceived(story.demand(commanded(), 2)),
        Event::DemandWithdrawn(nobody),
        Event::Answered { request: nobody, sent: Millis(0), answer: Answer::Refused(Refusal::Busy) },
        Event::StillStopping { request: nobody, step: 1 },
        Event::Unreachable { request: nobody, reason: "refused".into() },
        Event::RcmdDone { request: nobody, sent: Millis(0), result: Ok((Epoch(9), StopMeans::PostConditions, None)) },
        Event::TakeoverNotice(Epoch(1)),
        Event::StartPlease(Epoch(2)),
        Event::Persisted { operation: nothing, durable: false },
        Event::Looked { operation: nothing, presence: Presence::Runs("dovecot".into()) },
        Event::StartDone { operation: nothing, outcome: StartOutcome::Started },
        Event::StopDone {
            operation: nothing,
            outcome: crate::decision::StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None },
        },
        Event::Arbiter { operation: nothing, reply: ArbiterReply::Renewed },
        Event::Guarded { operation: nothing, result: Ok(()) },
        Event::GuardianEnded { epoch: Epoch(1) },
        Event::FenceDone { operation: nothing, result: Ok("pdu".into()) },
        Event::UnfenceDone { operation: nothing, result: Ok(()) },
        Event::ClocksDiffer(Millis(3)),
        Event::Ending,
        Event::ForeignStop { epoch: Epoch(2) },
        Event::PolicyChanged(story.node.policy().clone()),
        Event::Command { ticket: 77, command: Command::Acknowledge { by: "ann".into() } },
    ]
}

/// The event's column in the table.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::TurnBegan => "turn began",
        Event::TurnEnded => "turn ended",
        Event::LoopLate(_) => "loop late",
        Event::Beat(_) => "beat",
        Event::LocalVerdict(_) => "own verdict",
        Event::RemoteVerdict(_) => "remote verdict",
        Event::ThroughVerdict(_) => "through verdict",
        Event::References { .. } => "references",
        Event::Readiness(_) => "readiness",
        Event::OldCopies(_) => "old copies",
        Event::Preferred(_) => "preferred",
        Event::Witness { .. } => "witness",
        Event::DemandReceived(_) => "demand",
        Event::DemandWithdrawn(_) => "withdrawn",
        Event::Answered { .. } => "stale answer",
        Event::StillStopping { .. } => "stale progress",
        Event::Unreachable { .. } => "stale unreachable",
        Event::RcmdDone { .. } => "stale statement",
        Event::TakeoverNotice(_) => "notice",
        Event::StartPlease(_) => "start please",
        Event::Persisted { .. } => "stale write",
        Event::Looked { .. } => "stale look",
        Event::StartDone { .. } => "stale start",
        Event::StopDone { .. } => "stale stop",
        Event::Arbiter { .. } => "stale arbiter",
        Event::Guarded { .. } => "stale guard",
        Event::GuardianEnded { .. } => "guardian ended",
        Event::FenceDone { .. } => "stale fence",
        Event::UnfenceDone { .. } => "stale unfence",
        Event::ClocksDiffer(_) => "clocks",
        Event::Ending => "ending",
        Event::ForeignStop { .. } => "foreign stop",
        Event::PolicyChanged(_) => "policy",
        Event::Command { .. } => "ack",
    }
}

/// Where the events of `one_of_each` lead; what is not written here changes nothing.
fn leads(from: StateName, kind: &str) -> StateName {
    use StateName as S;
    match (from, kind) {
        (S::Stopping, "foreign stop") => S::Stopping,
        // The rest of the start list must be ended first.
        (S::Starting, "foreign stop") => S::Stopping,
        // The peer is heard as active in an epoch that this host does not own: there is nothing to wait for.
        (S::Standby | S::Requesting, "foreign stop") => S::Standby,
        (_, "foreign stop") => S::Stopped,
        // It killed what ran: the daemon's own stop verifies that.
        (S::Starting | S::Active, "guardian ended") => S::Stopping,
        (S::Passive, "beat") => S::Standby,
        // A verdict and a silent peer's beat bring it back; the demand is then withdrawn.
        (S::Suspect, "beat") => S::Standby,
        (S::Proving | S::TakeoverBlocked, "beat") => S::Standby,
        (S::Suspect, "witness") => S::Requesting,
        (S::Proving, "witness") => S::TakeoverBlocked,
        (S::Active, "demand") => S::Stopping,
        // A command goes before what a host decided itself.
        (S::Requesting, "demand") => S::Standby,
        (S::TakeoverBlocked, "demand") => S::Suspect,
        (S::Standby, "start please") => S::Requesting,
        (S::Suspect, "start please") => S::Requesting,
        (S::Stopped, "start please") => S::Requesting,
        (S::FailedStart, "ack") => S::Standby,
        (same, _) => same,
    }
}

#[test]
fn every_state_answers_every_kind_of_event_as_the_table_says() {
    let mut wrong: Vec<String> = Vec::new();
    for &from in StateName::ALL {
        for index in 0..one_of_each(&at(from)).len() {
            let mut story = at(from);
            assert_eq!(story.state(), from, "the way to {from:?} ends elsewhere");
            story.now += 1;
            let event = one_of_each(&story).swap_remove(index);
            let (column, expected) = (kind(&event), leads(from, kind(&event)));
            story.clear().tell(event);
            let (to, frozen) = (story.state(), story.node.is_frozen());
            if to != expected || frozen {
                wrong.push(format!("{from:?} + {column} -> {to:?} (frozen: {frozen}), expected {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_that_is_stale_asks_for_a_start_a_stop_or_an_answer() {
    for &from in StateName::ALL {
        for index in 0..one_of_each(&at(from)).len() {
            let mut story = at(from);
            let event = one_of_each(&story).swap_remove(index);
            let column = kind(&event);
            story.clear().tell(event);
            if column.starts_with("stale") {
                let asked = story.asks_to_start() || story.asks_to_stop() || !story.answers().is_empty();
                assert!(!asked, "{from:?} + {column}: {:?}", story.out);
            }
        }
    }
}

/// One way along each arrow of the diagram.
fn arrows() -> Vec<(StateName, StateName, Story)> {
    use StateName as S;
    let slave = || policy(Role::Slave);
    let mut rows: Vec<(StateName, StateName, Story)> = Vec::new();
    let mut row = |from, to, mut story: Story, tell: &dyn Fn(&mut Story)| {
        assert_eq!(story.state(), from);
        tell(&mut story);
        assert_eq!(story.state(), to, "from {from:?}: {:?}", story.node.state());
        rows.push((from, to, story));
    };
    let stopped_elsewhere = |story: &mut Story| {
        story.tell(Event::ForeignStop { epoch: Epoch(2) });
    };
    let found = |story: &mut Story| {
        story.demanded(Evidence::NobodyActive, 2).looked(Presence::Runs("dovecot".into()));
    };
    let start_alone =
        Command::StartAlone { by: "ann".into(), reason: "the master burnt".into(), despite_old_copy: false };

    row(S::Passive, S::Standby, passive(slave()), &|story| {
        story.hears(Duty::Passive, 0, 0);
    });
    row(S::Passive, S::Claimed, passive(slave()), &|story| {
        let _ = story.command(start_alone.clone());
    });
    row(S::Passive, S::ExclusivityError, passive(slave()), &found);
    for from in [S::Passive, S::Suspect, S::Proving, S::TakeoverBlocked, S::Claimed] {
        row(from, S::Stopped, at(from), &stopped_elsewhere);
    }
    for from in [S::Standby, S::Requesting] {
        row(from, S::Stopped, at(from), &|story| {
            story.hears(Duty::Held, 1, 1);
            stopped_elsewhere(story);
        });
    }
    for from in [S::Active, S::FailedStart, S::FailedStop, S::ExclusivityError] {
        row(from, S::Stopped, at(from), &stopped_elsewhere);
    }
    for from in [S::Standby, S::Suspect, S::FailedStart, S::Stopped] {
        row(from, S::ExclusivityError, at(from), &found);
        row(from, S::Requesting, at(from), &|story| {
            let _ = story.command(move_here());
        });
    }
    row(S::Standby, S::Suspect, at(S::Standby), &|story| {
        story.pass(3_000);
    });
    row(S::Suspect, S::Standby, at(S::Suspect), &|story| {
        story.hears(Duty::Active, 1, 1);
    });
    row(S::Requesting, S::Standby, at(S::Requesting), &|story| {
        story.hears(Duty::Active, 1, 1);
    });
    row(S::Requesting, S::Claimed, at(S::Requesting), &|story| {
        story.acked(1);
    });
    row(S::Requesting, S::TakeoverBlocked, at(S::Requesting), &|story| {
        story.answered(Answer::AckedFailed { reason: "port 110 answers".into() });
    });
    let timeout = Policy { proof_timeout: true, ..slave() };
    let silent = super::place::requesting_a_silent_peer(timeout.clone());
    row(S::Requesting, S::Proving, silent, &|story| {
        story.pass(60_000);
    });
    row(S::Proving, S::Standby, at(S::Proving), &|story| {
        story.hears(Duty::Active, 1, 1);
    });
    row(S::Proving, S::TakeoverBlocked, at(S::Proving), &|story| {
        story.sees(Sight::Serving, Sight::Unknown);
    });
    row(S::Proving, S::Claimed, at(S::Proving), &|story| {
        story.sees(Sight::NotServing, Sight::NotServing);
    });
    row(S::TakeoverBlocked, S::Standby, at(S::TakeoverBlocked), &|story| {
        story.hears(Duty::Active, 1, 1);
    });
    row(S::TakeoverBlocked, S::Claimed, at(S::TakeoverBlocked), &|story| {
        story.acked(1);
    });
    row(S::Claimed, S::Starting, claimed(slave()), &|story| {
        story.written(true);
    });
    row(S::Claimed, S::FailedStart, claimed(slave()), &|story| {
        story.written(false);
    });
    row(S::Claimed, S::Standby, claimed(slave()), &|story| {
        story.hears(Duty::Active, 3, 3);
    });
    row(S::Starting, S::Active, starting(slave()), &|story| {
        story.start_ends(StartOutcome::Started);
    });
    row(S::Starting, S::Stopping, starting(slave()), &|story| {
        story.start_fails();
    });
    row(S::Active, S::Stopping, at(S::Active), &|story| {
        story.hears(Duty::Active, 3, 3);
    });
    row(S::Stopping, S::Stopped, stopping(slave()), &|story| {
        story.stops();
    });
    row(S::Stopping, S::FailedStop, stopping(slave()), &|story| {
        story.stop_is_not_verified();
    });
    let mut taken_back = starting(slave());
    taken_back.start_fails();
    row(S::Stopping, S::FailedStart, taken_back, &|story| {
        story.stops();
    });
    row(S::Stopped, S::Standby, at(S::Stopped), &|story| {
        story.hears(Duty::Active, 3, 3);
    });
    let mut not_durable = stopping(slave());
    not_durable.stops();
    row(S::Stopped, S::FailedStop, not_durable, &|story| {
        story.written(false);
    });
    row(S::FailedStart, S::Standby, at(S::FailedStart), &|story| {
        story.command(Command::Acknowledge { by: "ann".into() }).expect("accepted");
    });
    row(S::ExclusivityError, S::Passive, exclusivity(slave()), &|story| {
        story.command(Command::Acknowledge { by: "ann".into() }).expect("accepted");
        story.looked(Presence::NothingRuns);
    });
    rows
}

#[test]
fn every_declared_successor_is_reached_and_none_besides() {
    let reached: BTreeSet<(StateName, StateName)> = arrows().into_iter().map(|(from, to, _)| (from, to)).collect();
    let declared: BTreeSet<(StateName, StateName)> =
        StateName::ALL.iter().flat_map(|from| from.successors().iter().map(|to| (*from, *to))).collect();
    let unreached: Vec<_> = declared.difference(&reached).collect();
    let undeclared: Vec<_> = reached.difference(&declared).collect();
    assert!(unreached.is_empty() && undeclared.is_empty(), "not reached {unreached:?}, not declared {undeclared:?}");
}

#[test]
fn a_host_that_may_run_the_service_says_so_in_its_beats() {
    for &name in StateName::ALL {
        let story = at(name);
        let duty = story.node.beat(Millis(0), Millis(0), Millis(0)).duty;
        let idle = matches!(duty, Duty::Passive | Duty::Standby | Duty::Requesting | Duty::Stopped);
        assert!(!(idle && story.node.state().may_run_service()), "{name:?} says {duty}");
        assert!(!name.way_out().is_empty());
    }
}

#[test]
fn a_turn_leaves_no_timer_behind_that_is_due_and_does_nothing() {
    for &name in StateName::ALL {
        let mut story = at(name);
        for withheld in
            [Event::Readiness(vec!["no store".into()]), Event::References { answering: 0, of: 2, link_up: true }]
        {
            story.tell(withheld);
            for _ in 0..300 {
                story.pass(1_000);
                let due = story.node.timers().into_iter().find(|(_, at)| at.0 <= story.now);
                assert!(due.is_none(), "{name:?} came to {:?}: {due:?} is due and does nothing", story.state());
            }
        }
    }
}

#[test]
fn a_late_verdict_of_the_time_before_the_start_is_no_reason_to_move() {
    let mut story = suspect(policy(Role::Slave));
    story.tell(Event::RemoteVerdict(Verdict::Failed(Symptom::Refused)));
    story.hears(Duty::Starting, 3, 3).hears(Duty::Active, 3, 3);
    assert_eq!(story.state(), StateName::Standby);
    // It never passed, for longer than any check needs: then it is believed.
    story.pass_heard(31_000);
    assert_eq!(story.state(), StateName::Requesting);

    let mut story = requesting(policy(Role::Slave));
    story.answered(Answer::Refused(Refusal::Healthy));
    assert_eq!(story.node.withheld(), Some(Rule::WithheldRefused));
}
