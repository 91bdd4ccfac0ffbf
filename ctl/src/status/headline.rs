//! The state of the pair in one sentence, and what speaks against calm.

use failover_shared::decision::{Duty, Millis, Verdict};
use failover_shared::status::{MaintenanceStatus, Status};

use super::safety;
use crate::out::to_second;
use crate::views::Views;

/// Something that the operator should know before anything else on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// `!` unexpected, `?` unknown or stale, blank: only to be known.
    pub(crate) mark: char,
    /// One word.
    pub(crate) label: &'static str,
    /// Cause, effect, next command.
    pub(crate) text: String,
}

/// Who runs the service.
pub(crate) fn headline(status: &Status) -> String {
    let peer = &status.peer;
    let (here, there) = (&status.host, &peer.host);
    let heard = !peer.silent && peer.heard_age_ms.is_some();
    let judged = |verdict: Verdict| match verdict {
        Verdict::Passed => "its own checks pass".to_string(),
        Verdict::Failed(symptom) => format!("its own checks FAIL: {symptom}"),
        Verdict::Unknown => "its own checks have not answered yet".to_string(),
    };
    match (status.duty, heard.then_some(peer.duty).flatten()) {
        (Duty::Active, Some(Duty::Active)) => "BOTH hosts say that they run the service".to_string(),
        (Duty::Active, _) => format!("the service runs on {here}; {}", judged(status.service)),
        (_, Some(Duty::Active)) => {
            format!("the service runs on {there}; {}", judged(peer.service.unwrap_or_default()))
        }
        (Duty::Requesting, _) => format!("the service is to come to {here}, which waits for a proof of stop"),
        (Duty::Starting, _) => format!("the service is starting on {here}"),
        (Duty::Stopping, _) => format!("the service is stopping on {here}"),
        (_, Some(Duty::Requesting)) => {
            format!("the service is to come to {there}, which waits for a proof of stop")
        }
        (_, Some(Duty::Starting)) => format!("the service is starting on {there}"),
        (_, Some(Duty::Stopping)) => format!("the service is stopping on {there}"),
        (_, Some(_)) => "NOBODY runs the service".to_string(),
        (_, None) => match peer.heard_age_ms {
            Some(age) => format!("{here} does not run the service; {there} was last heard {} ago", Millis(age)),
            None => format!("{here} does not run the service; {there} was never heard since this daemon started"),
        },
    }
}

/// What has to be said, the worst first. The risk that the configuration accepts is on every screen.
pub(crate) fn remarks(views: &Views) -> Vec<Remark> {
    let status = &views.here;
    let mut list = Vec::new();
    let mut say = |mark, label, text: String| list.push(Remark { mark, label, text });
    for risk in &status.risks {
        say('!', "risk", risk.clone());
    }
    if status.duty == Duty::Held {
        say('!', "waits", format!("{:?}: {}", status.state, status.way_out));
    }
    if status.frozen {
        let what = "decisions are frozen: the program caught itself in a wrong belief; next: failoverctl why, then failoverctl ack";
        say('!', "frozen", what.to_string());
    }
    if let Some(there) = &views.there {
        conflicts(status, there, &mut say);
    }
    for Remark { mark, label, text } in safety::remarks(status) {
        say(mark, label, text);
    }
    if status.isolated {
        let what = "no reference point answers this host: it may be the one that is cut off; it decides nothing that rests on silence";
        say('!', "isolated", what.to_string());
    }
    if let Some(left) = status.tilt_for_ms {
        let what = "this host's own loop was late; silence is not trusted for another";
        say('!', "late", format!("{what} {}", Millis(left)));
    }
    if let Some(withheld) = &status.withheld {
        say('!', "withheld", withheld.clone());
    }
    if let Some(locked) = &status.locked {
        let end = match locked.ends_in_ms {
            Some(left) => format!("it ends by itself in {}, or with: failoverctl ack", Millis(left)),
            None => "it does not end by itself while a host is unwell; to end it: failoverctl ack".to_string(),
        };
        say('!', "locked", format!("no further automatic move after the one to epoch {}; {end}", locked.epoch));
    }
    if let Some(order) = &status.maintenance {
        say('!', "maintenance", maintenance(order));
    }
    if status.peer.maintenance == Some(true) {
        let there = views.there.as_ref().and_then(|there| there.maintenance.as_ref());
        let what = there.map_or_else(|| "was in maintenance when it was heard last".to_string(), maintenance);
        say('!', "maintenance", format!("{}: {what}", status.peer.host));
    }
    if !status.not_ready.is_empty() {
        let what = format!("a start on {} would fail: {}", status.host, status.not_ready.join("; "));
        say('!', "not ready", what);
    }
    if let Some(diverged) = &status.balancer.diverged {
        say('!', "balancer", format!("it does not do what it was told: {diverged}"));
    }
    if status.config.equal == Some(false) {
        let keys = match status.config.differing.as_slice() {
            [] => "the keys are not known yet".to_string(),
            keys => format!("differing: {}", keys.join(", ")),
        };
        let what = "the two configurations differ, so nothing moves by itself";
        say(
            '!',
            "config",
            format!("{what}; {keys}; next: copy the right file to the other host, reload it there (SIGHUP)"),
        );
    }
    if let Some(refused) = &status.config.refused {
        say('!', "config", format!("the file on disk was refused and the older one is in force: {refused}"));
    }
    for trouble in &status.troubles {
        say('!', "trouble", trouble.clone());
    }
    if status.pages_waiting > 0 {
        say('!', "pages", format!("{} not delivered yet", status.pages_waiting));
    }
    list
}

fn maintenance(order: &MaintenanceStatus) -> String {
    let MaintenanceStatus { by, reason, began_utc, left_ms } = order;
    let who = format!("by {by} since {}: {reason}", to_second(began_utc));
    format!(
        "{who}; no move, no demand is obeyed; it ends by itself in {}, or with: failoverctl maintenance off",
        Millis(*left_ms)
    )
}

/// Where the two hosts do not see the same.
fn conflicts(here: &Status, there: &Status, say: &mut impl FnMut(char, &'static str, String)) {
    if there.peer.silent {
        let age = there.peer.heard_age_ms.map_or("never".to_string(), |age| format!("{} ago", Millis(age)));
        let what = format!("{} is heard here, but it does not hear {}: last {age}", there.host, here.host);
        say('!', "one-way", what);
    }
    if there.version != here.version {
        say(' ', "versions", format!("{} runs {}, {} runs {}", here.host, here.version, there.host, there.version));
    }
    if !there.troubles.is_empty() {
        say('!', "trouble", format!("{}: {}", there.host, there.troubles.join("; ")));
    }
    if !there.not_ready.is_empty() {
        say('!', "not ready", format!("a start on {} would fail: {}", there.host, there.not_ready.join("; ")));
    }
    for risk in there.risks.iter().filter(|risk| !here.risks.contains(risk)) {
        say('!', "risk", format!("{}: {risk}", there.host));
    }
    for Remark { mark, label, text } in safety::remarks(there) {
        say(mark, label, format!("{}: {text}", there.host));
    }
    if there.isolated {
        say('!', "isolated", format!("no reference point answers {}", there.host));
    }
}
