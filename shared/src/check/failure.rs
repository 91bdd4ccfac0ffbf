//! How a check failed.

use crate::decision::Symptom;

/// How a check failed: the class, the step of the dialogue, and what was seen there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{symptom} at {at}: {detail}")]
pub struct CheckFailure {
    /// The class.
    pub symptom: Symptom,
    /// The step.
    pub at: &'static str,
    /// What was seen. Never holds a password.
    pub detail: String,
}

impl CheckFailure {
    /// From an input or output error at a step.
    pub(super) fn io(at: &'static str, error: &std::io::Error) -> CheckFailure {
        use std::io::ErrorKind as Kind;
        let symptom = match error.kind() {
            Kind::ConnectionRefused => Symptom::Refused,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Symptom::Unreachable,
            Kind::TimedOut => Symptom::TimedOut,
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => Symptom::Closed,
            Kind::InvalidData => Symptom::WrongAnswer,
            _ => Symptom::Unreachable,
        };
        CheckFailure { symptom, at, detail: error.to_string() }
    }

    /// An answer that is not the expected one. Only its printable start is shown.
    pub(super) fn wrong(at: &'static str, answer: &str) -> CheckFailure {
        let shown: String = answer.chars().filter(|letter| !letter.is_control()).take(120).collect();
        CheckFailure { symptom: Symptom::WrongAnswer, at, detail: format!("answered {shown:?}") }
    }
}
