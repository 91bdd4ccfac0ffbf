//! How a host comes to each of its states, as short stories of a slave whose peer runs epoch 1.

use crate::decision::{Answer, Duty, Event, Policy, Presence, Role, Sight, StartOutcome, StateName};

use super::story::{Story, commanded, policy};

/// A slave in the state.
pub(super) fn at(name: StateName) -> Story {
    let slave = policy(Role::Slave);
    match name {
        StateName::Passive => passive(slave),
        StateName::Standby => standby(slave),
        StateName::Suspect => suspect(slave),
        StateName::Requesting => requesting(slave),
        StateName::Proving => proving(slave),
        StateName::TakeoverBlocked => blocked(slave),
        StateName::Claimed => claimed(slave),
        StateName::Starting => starting(slave),
        StateName::Active => active(slave),
        StateName::Stopping => stopping(slave),
        StateName::Stopped => stopped(slave),
        StateName::FailedStart => failed_start(slave),
        StateName::FailedStop => failed_stop(slave),
        StateName::ExclusivityError => exclusivity(slave),
    }
}

pub(super) fn passive(policy: Policy) -> Story {
    let mut story = Story::boots(policy, None);
    story.tell(Event::Readiness(alloc::vec![])).looked(Presence::NothingRuns);
    story
}

pub(super) fn standby(policy: Policy) -> Story {
    let mut story = passive(policy);
    story.hears(Duty::Active, 1, 1);
    story
}

pub(super) fn suspect(policy: Policy) -> Story {
    let mut story = standby(policy);
    story.pass(3_000);
    story
}

/// The active peer said that its service failed; the demand is durable and sent.
pub(super) fn requesting(policy: Policy) -> Story {
    let mut story = standby(policy);
    story.hears_failure(1).written(true);
    story
}

/// The peer fell silent, and so did the witnesses; the demand is durable and sent.
pub(super) fn requesting_a_silent_peer(policy: Policy) -> Story {
    let mut story = suspect(policy);
    story.sees(Sight::NotServing, Sight::NotServing).written(true);
    story
}

pub(super) fn proving(policy: Policy) -> Story {
    let mut story = requesting_a_silent_peer(Policy { proof_timeout: true, ..policy });
    story.pass(60_000);
    story
}

pub(super) fn blocked(policy: Policy) -> Story {
    let mut story = requesting_a_silent_peer(policy);
    story.pass(60_000);
    story
}

pub(super) fn claimed(policy: Policy) -> Story {
    let mut story = requesting(policy);
    story.acked(1);
    story
}

pub(super) fn starting(policy: Policy) -> Story {
    let mut story = claimed(policy);
    story.written(true);
    story
}

/// Active in epoch 2, after an automatic take-over.
pub(super) fn active(policy: Policy) -> Story {
    let mut story = starting(policy);
    story.start_ends(StartOutcome::Started).written(true);
    story.hears(Duty::Standby, 2, 1);
    story
}

pub(super) fn stopping(policy: Policy) -> Story {
    let mut story = active(policy);
    story.demanded(commanded(), 2);
    story
}

pub(super) fn stopped(policy: Policy) -> Story {
    let mut story = stopping(policy);
    story.stops().written(true);
    assert!(matches!(story.answers()[..], [Answer::Acked { .. }]));
    story
}

pub(super) fn failed_start(policy: Policy) -> Story {
    let mut story = starting(policy);
    story.start_fails().stops().hears(Duty::Stopped, 2, 1);
    story
}

pub(super) fn failed_stop(policy: Policy) -> Story {
    let mut story = stopping(policy);
    story.stop_is_not_verified();
    story
}

pub(super) fn exclusivity(policy: Policy) -> Story {
    let mut story = Story::boots(policy, None);
    story.tell(Event::Readiness(alloc::vec![])).looked(Presence::Runs("dovecot".into()));
    story
}
