//! Several checks' verdicts folded into one.
//!
//! The first failed check, in the order of the configuration, names the failure. A refused login of the canary alone is no
//! failure of the service: a forgotten password change must not move anybody's mail. It is left out of the fold and
//! raised as an alarm; when nothing else is known, the whole is Unknown.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use super::types::{Symptom, Verdict};

/// What all checks of one vantage say together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Combined {
    /// Failed if any check failed; Unknown if any is not known yet, or nothing is known; else Passed.
    pub verdict: Verdict,
    /// The check that failed, if one did.
    pub failed: Option<String>,
    /// Checks whose own login was refused: an operator has to look at the canary's account.
    pub login_refused: Vec<String>,
}

impl Combined {
    /// Folds the verdicts of named checks, in the order in which they are to be named.
    pub fn of<'a>(checks: impl IntoIterator<Item = (&'a str, Verdict)>) -> Combined {
        let mut combined = Combined::default();
        let mut is_unknown = false;
        let mut has_passed = false;
        for (name, verdict) in checks {
            match verdict {
                Verdict::Failed(Symptom::LoginRefused) => combined.login_refused.push(String::from(name)),
                Verdict::Failed(symptom) => {
                    if combined.failed.is_none() {
                        combined.failed = Some(String::from(name));
                        combined.verdict = Verdict::Failed(symptom);
                    }
                }
                Verdict::Unknown => is_unknown = true,
                Verdict::Passed => has_passed = true,
            }
        }
        if combined.failed.is_none() && has_passed && !is_unknown {
            combined.verdict = Verdict::Passed;
        }
        combined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: Verdict = Verdict::Passed;
    const UNKNOWN: Verdict = Verdict::Unknown;
    const LOGIN: Verdict = Verdict::Failed(Symptom::LoginRefused);
    const REFUSED: Verdict = Verdict::Failed(Symptom::Refused);
    const CLOSED: Verdict = Verdict::Failed(Symptom::Closed);

    #[test]
    fn the_fold_is_as_the_table_says() {
        let table: &[(&[Verdict], Verdict, Option<&str>, usize)] = &[
            (&[], UNKNOWN, None, 0),
            (&[PASSED], PASSED, None, 0),
            (&[PASSED, PASSED], PASSED, None, 0),
            (&[PASSED, UNKNOWN], UNKNOWN, None, 0),
            (&[REFUSED, PASSED], REFUSED, Some("a"), 0),
            (&[UNKNOWN, REFUSED], REFUSED, Some("b"), 0),
            (&[PASSED, CLOSED, REFUSED], CLOSED, Some("b"), 0),
            (&[LOGIN], UNKNOWN, None, 1),
            (&[LOGIN, LOGIN], UNKNOWN, None, 2),
            (&[LOGIN, PASSED], PASSED, None, 1),
            (&[LOGIN, UNKNOWN, PASSED], UNKNOWN, None, 1),
            (&[LOGIN, REFUSED], REFUSED, Some("b"), 1),
        ];
        for (verdicts, verdict, failed, alarms) in table {
            let combined = Combined::of(["a", "b", "c"].into_iter().zip(verdicts.iter().copied()));
            assert_eq!(combined.verdict, *verdict, "{verdicts:?}");
            assert_eq!(combined.failed.as_deref(), *failed, "{verdicts:?}");
            assert_eq!(combined.login_refused.len(), *alarms, "{verdicts:?}");
        }
    }
}
