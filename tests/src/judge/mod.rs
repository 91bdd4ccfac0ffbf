//! Judges: they watch a pair from outside and know the rules on their own. Nothing here uses the code under test.
//!
//! Each keeps its raw log in the lab's folder, and each is shown to find a violation that was made on purpose
//! (`tests/tests/judges.rs`): a judge that cannot fail proves nothing.

pub mod actives;
pub mod clock;
pub mod line;
pub mod lmtp;
pub mod mail;
pub mod place;
pub mod pop3;
pub mod traffic;
