//! Is a commanded move done, ended otherwise, or still going on? From what both hosts say.

use std::time::{Duration, Instant};

use failover_shared::decision::{Duty, Epoch, Role, Rule, StateName};
use failover_shared::status::Status;

use crate::entry::Entry;
use crate::views::Views;

/// How long after a failed start the other host may take to begin the roll-back.
const ROLL_BACK_BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// How the move stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    GoesOn,
    Done { epoch: String },
    Ended(String),
}

/// One host during the move.
#[derive(Clone, Debug)]
pub(super) struct Side {
    host: String,
    duty: Option<Duty>,
    /// Known when the host's own view is at hand; the beats carry only the duty.
    state: Option<StateName>,
    epoch: Option<Epoch>,
    /// The state in a word.
    pub(super) word: String,
    reason: Option<String>,
}

impl Side {
    pub(super) fn of(views: &Views, role: Role) -> Side {
        if let Some(view) = views.own_view(role) {
            return Side {
                host: view.host.clone(),
                duty: Some(view.duty),
                state: Some(view.state),
                epoch: Some(view.owned),
                word: format!("{:?}", view.state),
                reason: view.last_reason.clone(),
            };
        }
        let peer = &views.here.peer;
        // What a silent host said last is no news.
        let duty = if peer.silent { None } else { peer.duty };
        Side {
            host: peer.host.clone(),
            duty,
            state: None,
            epoch: peer.epoch,
            word: duty.map_or("not heard".to_string(), |duty| duty.to_string()),
            reason: None,
        }
    }
}

/// Watches one move.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    to: Role,
    /// The highest epoch before the command. Only a higher one is the move's.
    before: Epoch,
    /// The target has begun.
    began: bool,
    /// The target's journal says that the demand came to nothing.
    given_up: Option<String>,
    /// Why the target cannot go on, as its journal says.
    cause: Option<String>,
    /// When the failed start of the target was seen.
    failed_at: Option<Instant>,
    target: String,
}

impl Judge {
    pub(super) fn new(to: Role, here: &Status) -> Judge {
        let target = if here.role == to { here.host.clone() } else { here.peer.host.clone() };
        Judge {
            to,
            before: here.epoch.max(here.peer.epoch.unwrap_or_default()),
            began: false,
            given_up: None,
            cause: None,
            failed_at: None,
            target,
        }
    }

    pub(super) fn to(&self) -> Role {
        self.to
    }

    /// A new entry of one of the journals: a demand that is refused at once is back before the next look.
    pub(super) fn hear(&mut self, entry: &Entry) {
        if entry.host != self.target {
            return;
        }
        let told = |rule: Rule| format!("{} {}", rule.sentence(), entry.detail()).trim().to_string();
        match entry.rule() {
            Some(rule @ (Rule::PeerRefused | Rule::Withdrawn | Rule::YieldedToPeer)) => {
                self.given_up = Some(told(rule))
            }
            Some(rule @ (Rule::NoProof | Rule::PeerNotVerified | Rule::TimeoutVetoed)) => self.cause = Some(told(rule)),
            Some(Rule::StartFailed) => self.cause = Some(entry.detail()),
            _ => {}
        }
    }

    pub(super) fn judge(&mut self, views: &Views, now: Instant) -> Judgement {
        let target = Side::of(views, self.to);
        let source = Side::of(views, self.to.peer());
        let newly =
            |side: &Side| side.duty == Some(Duty::Active) && side.epoch.is_some_and(|epoch| epoch > self.before);
        if newly(&target) {
            return Judgement::Done { epoch: target.epoch.unwrap_or_default().to_string() };
        }
        if matches!(target.duty, Some(Duty::Requesting | Duty::Starting | Duty::Stopping)) {
            self.began = true;
        }
        if target.state == Some(StateName::FailedStart) {
            return self.judge_roll_back(&target, &source, newly(&source), now);
        }
        match target.duty {
            Some(Duty::Held) => {
                let state = target.state.map_or("waits for a person".to_string(), |state| format!("is in {state:?}"));
                let reason = self.cause.clone().or(target.reason).map_or(String::new(), |reason| format!(": {reason}"));
                Judgement::Ended(format!("{} {state}{reason}", target.host))
            }
            Some(Duty::Standby) if self.began || self.given_up.is_some() => {
                let why = self.given_up.clone().or(target.reason).unwrap_or_else(|| "no reason is known".to_string());
                Judgement::Ended(format!("the move to {} was given up: {why}", target.host))
            }
            _ => Judgement::GoesOn,
        }
    }

    /// A commanded move whose start fails is rolled back once, to the host that was healthy.
    fn judge_roll_back(&mut self, target: &Side, source: &Side, rolled_back: bool, now: Instant) -> Judgement {
        let since = *self.failed_at.get_or_insert(now);
        let why = self.cause.clone().or(target.reason.clone()).unwrap_or_else(|| "see failoverctl history".to_string());
        let failed = format!("the start on {} failed ({why})", target.host);
        if rolled_back {
            let epoch = source.epoch.unwrap_or_default();
            return Judgement::Ended(format!("{failed}; the service is back on {}, in epoch {epoch}", source.host));
        }
        let under_way = matches!(source.duty, Some(Duty::Requesting | Duty::Starting));
        if under_way || now.duration_since(since) < ROLL_BACK_BEGINS_WITHIN {
            return Judgement::GoesOn;
        }
        Judgement::Ended(format!("{failed}, and {} did not take the service back: NOBODY runs it", source.host))
    }

    /// What the operator types next.
    pub(super) fn way_out(&self, views: &Views) -> String {
        let own_view =
            [Some(&views.here), views.there.as_ref()].into_iter().flatten().find(|view| view.role == self.to);
        match own_view {
            Some(view) if view.duty == Duty::Held => format!("on {}: {}", view.host, view.way_out),
            Some(_) => "mend the cause, then give the command again".to_string(),
            None => format!("failoverctl status, on {}", self.target),
        }
    }
}
