//! What may go wrong in the model.

/// A kind of fault. Each one that happens counts against the bound of the run; its end is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A daemon dies; its service runs on. What it had written and not synced is lost.
    DaemonDies,
    /// A daemon is told to end, and does once its core lets it; its service runs on.
    DaemonTold,
    /// A host loses its power, and what was not synced. A write to the arbiter that was under way may arrive later.
    PowerFails,
    /// A daemon gets no processor time for a while.
    DaemonFreezes,
    /// A host's guardian does nothing for the rest of this kernel start: only the watchdog is left.
    GuardianFails,
    /// Nothing leaves a host for the other.
    LinkCut,
    /// A host does not reach the arbiter.
    ArbiterCut,
    /// A question is late: it takes effect at any later time, or never.
    QuestionLate,
    /// The arbiter's answer is late.
    AnswerLate,
    /// The arbiter's answer is lost.
    AnswerLost,
    /// A message is lost.
    MessageLost,
    /// A message arrives at any later time, or never.
    MessageLate,
    /// A message arrives now, and again at any later time.
    MessageTwice,
    /// The service fails where it runs.
    ServiceFails,
    /// A script list hangs.
    ListHangs,
    /// A start list fails.
    StartFails,
    /// No fault of the pair's, but as rare: a person moves the service.
    Command,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 17] = [
        Fault::DaemonDies,
        Fault::DaemonTold,
        Fault::PowerFails,
        Fault::DaemonFreezes,
        Fault::GuardianFails,
        Fault::LinkCut,
        Fault::ArbiterCut,
        Fault::QuestionLate,
        Fault::AnswerLate,
        Fault::AnswerLost,
        Fault::MessageLost,
        Fault::MessageLate,
        Fault::MessageTwice,
        Fault::ServiceFails,
        Fault::ListHangs,
        Fault::StartFails,
        Fault::Command,
    ];
}
