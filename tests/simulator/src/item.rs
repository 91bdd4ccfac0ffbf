//! What can be due in a simulated world.

use failover_shared::decision::{
    ArbiterReply, Beat, BootId, Epoch, Event, Incarnation, Millis, OperationId, RequestId,
};

use super::fault::Fault;
use super::lease::Question;

/// Something that is due. Large parts lie in boxes: a plan moves what it holds, and most of what is due is small.
#[derive(Clone, Debug)]
pub enum Item {
    /// The loop of a daemon comes round.
    Turn(usize),
    /// A beat leaves.
    BeatDue(usize, Incarnation),
    /// A beat arrives, with the daemon start whose nonce it echoes.
    BeatArrives { to: usize, from: Incarnation, echo: Option<Incarnation>, beat: Box<Beat> },
    /// A host's checks ask.
    ProbeDue(usize),
    /// Over the control channel, for whichever daemon runs then.
    Arrives(usize, Box<Event>),
    /// A result for the daemon that asked.
    Result(usize, Incarnation, Box<Event>),
    /// A look at the own host ends.
    LookEnds(usize, Incarnation, OperationId),
    /// The first write in a disk's queue ends.
    WriteEnds(usize, u64),
    /// A step of a script list ends.
    StepEnds(usize, u64),
    /// A host's order reaches the balancer.
    Balance(usize, Incarnation),
    /// A question reaches the arbiter.
    ArbiterActs(Box<Question>),
    /// The second half of a renewal on shared storage.
    ArbiterLooks(Box<Question>),
    /// The arbiter's answer is back.
    ArbiterReplies(Box<(Question, ArbiterReply)>),
    /// One attempt's time is over.
    ArbiterTimesOut(usize, Incarnation, OperationId),
    /// The guardian of this kernel start looks at the time.
    GuardLooks(usize, BootId),
    /// The watchdog resets this kernel start.
    DogBites(usize, BootId),
    /// A dead guardian must have been noticed.
    GuardianMissed(usize, BootId),
    /// A fence device acts for this host.
    FenceActs(usize, Incarnation, OperationId),
    /// The second way reaches the other host.
    SecondWay { from: usize, incarnation: Incarnation, request: RequestId, epoch: Epoch, sent: Millis },
    /// A host gets power.
    PowerOn(usize),
    /// A host's daemon is started.
    DaemonStarts(usize),
    /// A stopped daemon goes on.
    Thaws(usize),
    /// A machine that stood goes on.
    GoesOn(usize),
    /// The next fault of the mix.
    FaultDue,
    /// A fault at once, beside a change of state.
    Strike,
    /// One fault, planned by a story.
    StrikeThis(Fault, usize),
    /// A fault is mended.
    FaultEnds(Fault, usize),
    /// A person looks at both hosts.
    Person,
    /// A person acts in a story: the service is to move to this host.
    MoveHere(usize),
}

impl Item {
    /// A message for a host.
    #[must_use]
    pub fn arrives(host: usize, event: Event) -> Item {
        Item::Arrives(host, Box::new(event))
    }

    /// A result for the daemon that asked.
    #[must_use]
    pub fn result(host: usize, incarnation: Incarnation, event: Event) -> Item {
        Item::Result(host, incarnation, Box::new(event))
    }

    /// The host on which it happens: it waits there while that machine stands still.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        match self {
            Item::Turn(host)
            | Item::BeatDue(host, _)
            | Item::BeatArrives { to: host, .. }
            | Item::ProbeDue(host)
            | Item::Arrives(host, _)
            | Item::Result(host, ..)
            | Item::LookEnds(host, ..)
            | Item::WriteEnds(host, _)
            | Item::StepEnds(host, _)
            | Item::ArbiterTimesOut(host, ..)
            | Item::GuardLooks(host, _)
            | Item::DogBites(host, _)
            | Item::GuardianMissed(host, _)
            | Item::DaemonStarts(host) => Some(*host),
            // The wire goes on without its sender, and what is done to a host from outside does not wait for it.
            Item::Balance(..)
            | Item::ArbiterActs(_)
            | Item::ArbiterLooks(_)
            | Item::ArbiterReplies(..)
            | Item::FenceActs(..)
            | Item::SecondWay { .. }
            | Item::PowerOn(_)
            | Item::Thaws(_)
            | Item::GoesOn(_)
            | Item::FaultDue
            | Item::Strike
            | Item::StrikeThis(..)
            | Item::FaultEnds(..)
            | Item::Person
            | Item::MoveHere(_) => None,
        }
    }
}
