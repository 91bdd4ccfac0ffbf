//! What an operator is told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 160;
/// Longest text, in characters. A page is read on a telephone.
const TEXT_CHARS_MAX: usize = 8_000;

/// What a page is about. Commands see the name as `FAILOVER_EVENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The service moved, or is about to.
    Move,
    /// A take-over waits for a person.
    Blocked,
    /// The service could not be started.
    FailedStart,
    /// The service could not be stopped, or the stop not be verified.
    FailedStop,
    /// The service runs, or may run, on both hosts.
    BothActive,
    /// The balancer does not do what it is told.
    BalancerDiverged,
    /// The two configurations differ.
    ConfigDiffers,
    /// Only the link between the hosts is cut, or only the way through the balancer.
    Link,
    /// A take-over would not work now.
    NotReady,
    /// A host is in maintenance, or its maintenance is over.
    Maintenance,
    /// This host doubts itself: cut off, or its own loop is late.
    SelfDoubt,
    /// A rule of the program itself was broken.
    Internal,
    /// Something that was told before is well again.
    Recovered,
    /// A test by the operator.
    Test,
}

impl Kind {
    /// The name that commands see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Move => "move",
            Kind::Blocked => "blocked",
            Kind::FailedStart => "failed-start",
            Kind::FailedStop => "failed-stop",
            Kind::BothActive => "both-active",
            Kind::BalancerDiverged => "balancer-diverged",
            Kind::ConfigDiffers => "config-differs",
            Kind::Link => "link",
            Kind::NotReady => "not-ready",
            Kind::Maintenance => "maintenance",
            Kind::SelfDoubt => "self-doubt",
            Kind::Internal => "internal",
            Kind::Recovered => "recovered",
            Kind::Test => "test",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One page. Its parts are bounded and hold nothing that a mail header could be broken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Raw")]
pub struct Page {
    kind: Kind,
    subject: String,
    text: String,
}

impl Page {
    /// A page; control characters in the subject become blanks, and what is too long is cut.
    #[must_use]
    pub fn new(kind: Kind, subject: &str, text: &str) -> Page {
        let subject = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT_CHARS_MAX);
        let text = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take(TEXT_CHARS_MAX);
        Page { kind, subject: subject.collect(), text: text.collect() }
    }

    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One line.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Cause, effect, next command.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A page as it lies in the spool, where anything may have happened to it.
#[derive(Deserialize)]
struct Raw {
    kind: Kind,
    subject: String,
    text: String,
}

impl From<Raw> for Page {
    fn from(raw: Raw) -> Page {
        Page::new(raw.kind, &raw.subject, &raw.text)
    }
}
