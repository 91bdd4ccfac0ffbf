//! Calls that end by a look at what they have come to: a start counts if the thing runs then, a stop if it does not.
//!
//! The look is taken by the kind's `call.sh`, which ends with one of these where the two do not agree. The codes lie
//! outside of what any of the contracts uses.

/// The start said that all is well, and the thing does not run.
pub(super) const STARTED_AND_NOT_RUNNING: i32 = 121;
/// The stop said that all is well, and the thing runs.
pub(super) const STOPPED_AND_RUNNING: i32 = 122;
/// After the stop nobody can tell whether the thing runs.
pub(super) const STOPPED_AND_UNKNOWN: i32 = 123;

/// What such a code says.
pub(super) const fn meaning(code: i32) -> Option<&'static str> {
    match code {
        STARTED_AND_NOT_RUNNING => Some("it says that it has started, and asked whether it runs it does not say yes"),
        STOPPED_AND_RUNNING => Some("it says that it has stopped, and asked whether it runs it says yes"),
        STOPPED_AND_UNKNOWN => Some("it says that it has stopped, and asked whether it runs it cannot tell"),
        _ => None,
    }
}
