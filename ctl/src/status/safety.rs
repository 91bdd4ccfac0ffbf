//! The lines of arbiter, lease, guardian and fence: what makes it safe to act on silence.

use failover_shared::decision::Millis;
use failover_shared::status::{
    ArbiterStatus, FenceSays, FenceStatus, GuardianStatus, OwnLease, PeerLease, SlotSays, Status,
};

use super::headline::Remark;

/// A look at the arbiter that is older than this is no fact any more; the shortest lease is renewed far more often.
const STALE_AFTER_MS: u64 = 60_000;

/// The lines of the screen, in their order.
pub(super) fn lines(status: &Status) -> Vec<Remark> {
    let mut lines = Vec::new();
    if let Some(arbiter) = &status.arbiter {
        lines.push(place(arbiter));
        lines.push(match &arbiter.own {
            Some(lease) => own(lease),
            None => holder(arbiter.seen.as_ref(), status),
        });
        lines.push(guardian(&status.guardian));
        let differ = Millis(status.clocks_differ_ms);
        let clocks = format!("this host's two clocks have come apart by {differ} since the daemon started");
        lines.push(Remark { mark: ' ', label: "clocks", text: clocks });
    }
    lines.extend(status.fence.iter().map(|device| fence(device, &status.peer.host)));
    lines
}

/// What of it speaks against calm.
pub(super) fn remarks(status: &Status) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |mark, label, text: String| remarks.push(Remark { mark, label, text });
    if let Some(failing) = status.arbiter.as_ref().and_then(|arbiter| arbiter.failing.as_ref()) {
        let effect = match status.arbiter.as_ref().and_then(|arbiter| arbiter.own).map(|own| own.stops_in_ms) {
            Some(Some(left)) => format!("if it is not back within {}, the service stops here", Millis(left)),
            Some(None) => "the lease that is held has no time limit".to_string(),
            None if failing.unusable => "nothing can be started: every start needs its claim".to_string(),
            None => "it is tried again".to_string(),
        };
        let mark = if failing.unusable { '!' } else { '?' };
        say(
            mark,
            "arbiter",
            format!("{}, for {}; {effect}; next: failoverctl check", failing.why, Millis(failing.age_ms)),
        );
    }
    if status.guardian.is_missing() {
        let why = status.guardian.trouble.as_deref().unwrap_or("it does not answer");
        let next = "next: restart the daemon without --no-guardian";
        say('!', "guardian", format!("missing: {why}; a lease that runs out would end nothing here; {next}"));
    } else if let Some(trouble) = &status.guardian.trouble {
        say('!', "guardian", trouble.clone());
    }
    if let Some(fenced) = &status.fenced {
        let host = &fenced.host;
        let what = format!(
            "{host} was cut off, {} ago or longer; it is let back when it says that its kernel was started since",
            Millis(fenced.at_least_ms)
        );
        say('!', "fenced", what);
    }
    if status.clocks_beyond_drift {
        let what = "this host's two clocks come apart faster than drift_permille allows: a time server that slews, or a pause of the machine; next: chronyc tracking";
        say('!', "clocks", what.to_string());
    }
    remarks
}

fn place(arbiter: &ArbiterStatus) -> Remark {
    let ArbiterStatus { kind, place, answered_age_ms, failing, .. } = arbiter;
    let (mark, answer) = match answered_age_ms {
        None => ('?', "has not answered since this daemon started".to_string()),
        Some(age) if *age > STALE_AFTER_MS => ('!', format!("answered last {} ago", Millis(*age))),
        Some(age) => (if failing.is_some() { '?' } else { ' ' }, format!("answered {} ago", Millis(*age))),
    };
    Remark { mark, label: "arbiter", text: format!("{kind} {place}: {answer}") }
}

fn own(lease: &OwnLease) -> Remark {
    let OwnLease { epoch, renewed_age_ms, stops_in_ms, hold } = *lease;
    let renewed = format!("held here, epoch {epoch}, renewed {} ago", Millis(renewed_age_ms));
    let (mark, left) = match (stops_in_ms, hold) {
        (_, true) => (' ', "without a time limit".to_string()),
        (Some(left), false) => (' ', format!("holds {} more", Millis(left))),
        (None, false) => ('!', "LOST: the service stops here".to_string()),
    };
    Remark { mark, label: "lease", text: format!("{renewed}; {left}") }
}

/// Who holds it, as far as the arbiter showed.
fn holder(seen: Option<&PeerLease>, status: &Status) -> Remark {
    let Some(PeerLease { age_ms, claim, slot }) = seen else {
        return Remark { mark: '?', label: "lease", text: "the arbiter's records have not been read yet".to_string() };
    };
    let age = Millis(*age_ms);
    let name = |role| if role == status.role { &status.host } else { &status.peer.host };
    let text = match claim {
        None => "nobody has made a claim yet".to_string(),
        Some((epoch, owner)) => {
            let owner = name(*owner);
            match slot {
                SlotSays::Held => format!("{owner} held epoch {epoch}"),
                SlotSays::HeldWithoutLimit => format!("{owner} held epoch {epoch} without a time limit"),
                SlotSays::Released => format!("{owner} had given epoch {epoch} back"),
                SlotSays::Nothing => format!("{owner} had claimed epoch {epoch} and not held it"),
            }
        }
    };
    let mark = if *age_ms > STALE_AFTER_MS { '?' } else { ' ' };
    Remark { mark, label: "lease", text: format!("{text}, when it was read {age} ago") }
}

fn guardian(guardian: &GuardianStatus) -> Remark {
    let Some(pid) = guardian.pid else {
        return Remark { mark: '!', label: "guardian", text: "there is none".to_string() };
    };
    let does = guardian.state.as_deref().unwrap_or("has said nothing yet");
    let (mark, age) = match guardian.answered_age_ms {
        None => ('?', "not heard since this daemon started".to_string()),
        Some(age) => (if guardian.is_missing() { '!' } else { ' ' }, format!("{} ago", Millis(age))),
    };
    let mark = if guardian.trouble.is_some() { '!' } else { mark };
    let device = guardian.device.as_deref().unwrap_or("nothing");
    Remark { mark, label: "guardian", text: format!("process {pid}: {does}, {age}; behind it: {device}") }
}

fn fence(device: &FenceStatus, target: &str) -> Remark {
    let age = device.age_ms.map_or("never".to_string(), |age| format!("{} ago", Millis(age)));
    let (mark, said) = match &device.said {
        None => ('?', "not asked yet".to_string()),
        Some(_) if device.is_stale() => ('?', format!("last asked {age}")),
        Some(FenceSays::On) => (' ', format!("{target} is on, {age}")),
        Some(FenceSays::Off) => ('!', format!("{target} is CUT OFF, {age}")),
        Some(FenceSays::Unknown(why)) => ('!', format!("{target} could not be fenced: {why}, {age}")),
    };
    Remark { mark, label: "fence", text: format!("{}: {said}", device.device) }
}
