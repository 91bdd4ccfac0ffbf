//! Maintenance: a person told this host to leave the service alone, for a time that has an end.
//!
//! The end counts on the own clock. That clock ends with the kernel, so at a reboot the wall clock is asked, once, and
//! may only shorten ([`Maintenance::shortened`]): what was left when the record was written last, at each nag at the
//! latest, is the most that is left afterwards. A wall clock that was set back, or that began in 1970, prolongs by the
//! time that the host was off and one nag's interval for each reboot, and by nothing else.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::{Action, PageKind};
use super::node::Node;
use super::policy::Policy;
use super::rule::Rule;
use super::timer::Timer;
use super::types::Millis;

/// Longest name and longest reason: the record has to fit into its slot.
const WORDS_CHARACTERS_MAX: usize = 200;

/// Who keeps the service where it is, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Maintenance {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it began, in seconds since 1970, UTC. For people.
    pub began_utc_s: u64,
    /// When it ends, the same. For people, and after a reboot.
    pub ends_utc_s: u64,
    /// When it ends, on the own clock of the record's kernel start. This decides.
    pub ends: Millis,
    /// What was left when this was written.
    pub left_ms: Millis,
}

impl Maintenance {
    /// For a record of an earlier kernel start, before a node begins with it: the time that the host was off counts as
    /// well, by the wall clock, in seconds since 1970.
    #[must_use]
    pub fn shortened(self, now_utc_s: u64) -> Maintenance {
        let by_wall_clock = Millis(self.ends_utc_s.saturating_sub(now_utc_s).saturating_mul(1_000));
        Maintenance { left_ms: self.left_ms.min(by_wall_clock), ..self }
    }
}

impl Node {
    pub(super) fn in_maintenance(&self) -> bool {
        self.record.maintenance.is_some()
    }

    /// A new order takes the place of the one before it.
    pub(super) fn begin_maintenance(
        &mut self,
        now: Millis,
        (by, reason): (String, String),
        span_ms: Millis,
        now_utc_s: u64,
        out: &mut Vec<Action>,
    ) -> Result<String, String> {
        if span_ms == Millis(0) || span_ms > Policy::MAINTENANCE_MAX_MS {
            return Err(format!("maintenance lasts up to {}; to prolong it, give the command again", days()));
        }
        let short = |text: String| text.chars().take(WORDS_CHARACTERS_MAX).collect::<String>();
        let (by, reason) = (short(by), short(reason));
        self.note(now, Rule::MaintenanceChanged, &format!("begins for {span_ms}, by {by}: {reason}"), out);
        self.record.maintenance = Some(Box::new(Maintenance {
            by,
            reason,
            began_utc_s: now_utc_s,
            ends_utc_s: now_utc_s.saturating_add(span_ms.0 / 1_000),
            ends: now.after(span_ms),
            left_ms: span_ms,
        }));
        self.nag_at = now.after(Policy::NAG_EVERY_MS);
        self.told.remove(&PageKind::Maintenance);
        self.persist(self.record.phase.clone(), out);
        Ok(format!("maintenance begins, and ends by itself in {span_ms}"))
    }

    pub(super) fn end_maintenance(&mut self, now: Millis, by: &str, reason: &str, out: &mut Vec<Action>) -> String {
        if self.record.maintenance.take().is_none() {
            return String::from("this host is not in maintenance");
        }
        self.told.remove(&PageKind::Maintenance);
        self.persist(self.record.phase.clone(), out);
        self.note(now, Rule::MaintenanceChanged, &format!("ends, by {by}: {reason}"), out);
        String::from("maintenance ends")
    }

    /// After a start of the daemon. The clock of another kernel start says nothing any more.
    pub(super) fn resume_maintenance(&mut self, now: Millis, same_start: bool) {
        let Some(maintenance) = &mut self.record.maintenance else { return };
        let left = if same_start { maintenance.ends.since(now) } else { maintenance.left_ms };
        maintenance.left_ms = left.min(Policy::MAINTENANCE_MAX_MS);
        maintenance.ends = now.after(maintenance.left_ms);
        // After a reboot whoever ordered it should know at once that it goes on.
        self.nag_at = if same_start { now.after(Policy::NAG_EVERY_MS) } else { now };
    }

    /// It ends by itself; until then a person is reminded.
    pub(super) fn judge_maintenance(&mut self, now: Millis, out: &mut Vec<Action>) {
        let role = self.policy.role;
        let Some(maintenance) = &mut self.record.maintenance else { return };
        let Maintenance { by, reason, ends, .. } = Maintenance::clone(maintenance);
        if now >= ends {
            self.record.maintenance = None;
            self.persist(self.record.phase.clone(), out);
            self.note(now, Rule::MaintenanceOver, &format!("ordered by {by}: {reason}"), out);
            self.told.remove(&PageKind::Maintenance);
            self.page(
                PageKind::Maintenance,
                format!("The maintenance of the {role}, ordered by {by} ({reason}), is over."),
                "The pair watches over the service again: what has failed is moved.",
                "If the work is not done: failoverctl maintenance on --for 2h --reason …",
                out,
            );
            self.told.remove(&PageKind::Maintenance);
        } else if now >= self.nag_at {
            let left = ends.since(now);
            maintenance.left_ms = left;
            self.nag_at = now.after(Policy::NAG_EVERY_MS);
            self.persist(self.record.phase.clone(), out);
            self.told.remove(&PageKind::Maintenance);
            self.page(
                PageKind::Maintenance,
                format!("The {role} is in maintenance for another {left}, ordered by {by}: {reason}"),
                "Nothing moves by itself, and no demand is obeyed.",
                "When the work is done: failoverctl maintenance off",
                out,
            );
        }
    }

    pub(super) fn maintenance_timers(&self, each: &mut dyn FnMut(Timer, Millis)) {
        if let Some(maintenance) = &self.record.maintenance {
            each(Timer::MaintenanceEnd, maintenance.ends);
            each(Timer::MaintenanceNag, self.nag_at);
        }
    }
}

fn days() -> String {
    format!("{} days", Policy::MAINTENANCE_MAX_MS.0 / 86_400_000)
}
