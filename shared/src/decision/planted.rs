//! Bugs put into the core on purpose, to see that each of them is found. Only with the feature `planted`, which no
//! release build takes; without it [`planted`] is a constant `false` and leaves no trace in the program.
//!
//! To plant one: a line in the list below, and `planted(Bug::Name)` where the code is to go wrong.

/// Makes the list of bugs.
macro_rules! bugs {
    ($($variant:ident = $name:literal, $sentence:literal;)*) => {
        /// One bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $sentence] $variant),*
        }

        #[cfg(feature = "planted")]
        impl Bug {
            /// All of them, in the order in which they are tried.
            pub const ALL: &[Bug] = &[$(Bug::$variant),*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name),* }
            }

            /// What it does.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Bug::$variant => $sentence),* }
            }
        }
    };
}

bugs! {
    TimeoutStarts = "timeout-starts", "Silence past the time-out is taken for a stop, though the configuration does not say so.";
    BootsActive = "boots-active", "What ran before the kernel's start is taken to run still.";
    AcksBeforeDurable = "acks-before-durable", "A stop is acknowledged before it is durable.";
}

#[cfg(feature = "planted")]
mod active {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::Bug;

    /// The number of the active bug, plus one; zero: none. For the whole process: one is tried at a time.
    static ACTIVE: AtomicUsize = AtomicUsize::new(0);

    /// From now on every core of this process has this bug and no other.
    pub fn plant(bug: Option<Bug>) {
        ACTIVE.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }

    pub(in crate::decision) fn planted(bug: Bug) -> bool {
        ACTIVE.load(Ordering::Relaxed) == bug as usize + 1
    }
}

#[cfg(feature = "planted")]
pub use active::plant;
#[cfg(feature = "planted")]
pub(super) use active::planted;

/// Whether this bug is active now.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(super) const fn planted(_: Bug) -> bool {
    false
}
