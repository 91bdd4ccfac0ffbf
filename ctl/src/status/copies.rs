//! What the stand-by copies, in a line each: how old, and how much a take-over would lose.

use failover_shared::decision::Millis;
use failover_shared::status::CopyStatus;

/// A mark for a copy that is not as it should be, and the line.
pub(super) fn line(copy: &CopyStatus) -> (char, String) {
    let CopyStatus { name, is_original, is_old, age_ms, .. } = copy;
    let (max_age, worst) = (Millis(copy.max_age_ms), Millis(copy.worst_loss_ms));
    let last = match (&copy.last, copy.runs) {
        (_, true) => "; just being made".to_string(),
        (Some(last), false) => format!("; {last}"),
        (None, false) => String::new(),
    };
    if *is_original {
        return (' ', format!("{name}: the original is here, this host ran the service last{last}"));
    }
    let age = match (age_ms, &copy.current_at) {
        (Some(age), _) => format!("{} old, which is what a take-over would lose", Millis(*age)),
        (None, Some(utc)) => format!("of unknown age: made at {utc} by a clock that was ahead"),
        (None, None) => "never made on this host".to_string(),
    };
    let (mark, verdict) = match (is_old, copy.when_old.as_str()) {
        (false, _) => (' ', format!("at most {max_age} are wanted, {worst} are to be expected")),
        (true, "Blocked") => ('!', format!("OLD (max_age {max_age}): nothing is started here")),
        (true, "Asks") => ('!', format!("OLD (max_age {max_age}): a take-over needs --despite-old-copy")),
        (true, _) => ('!', format!("OLD (max_age {max_age}): a take-over goes on all the same")),
    };
    (if copy.failed { '!' } else { mark }, format!("{name}: {age}; {verdict}{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_copy_stands_beside_what_it_means() {
        let fresh = CopyStatus {
            name: "users".into(),
            is_original: false,
            current_at: Some("2026-11-21T06:00:00Z".into()),
            age_ms: Some(240_000),
            max_age_ms: 3_600_000,
            worst_loss_ms: 660_000,
            is_old: false,
            when_old: "Asks".into(),
            last: Some("made in 2s".into()),
            failed: false,
            runs: false,
        };
        let (mark, text) = line(&fresh);
        assert_eq!(mark, ' ');
        assert!(text.contains("4 min 0 s old") && text.contains("11 min 0 s are to be expected"), "{text}");
        let old = CopyStatus { is_old: true, age_ms: Some(7_200_000), failed: true, ..fresh.clone() };
        let (mark, text) = line(&old);
        assert!(mark == '!' && text.contains("2 h 0 min old") && text.contains("--despite-old-copy"), "{text}");
        let never =
            CopyStatus { is_old: true, age_ms: None, current_at: None, when_old: "Blocked".into(), ..fresh.clone() };
        assert!(line(&never).1.contains("never made on this host; OLD (max_age 1 h 0 min): nothing is started here"));
        let here = CopyStatus { is_original: true, ..fresh };
        assert!(line(&here).1.starts_with("users: the original is here"));
    }
}
