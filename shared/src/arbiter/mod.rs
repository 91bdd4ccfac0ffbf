//! Where the lease is kept: the acting side of [`crate::decision::arbiter`], which has the words and the contract.
//!
//! Both kinds answer every question within the limit of one attempt that they were made with; what they could not find
//! out by then is [`ArbiterFailure::TimedOut`](crate::decision::ArbiterFailure::TimedOut).

pub mod shared_storage;

use crate::decision::{ArbiterReply, ArbiterRequest};

pub use shared_storage::SharedStorage;

/// The configured arbiter.
#[derive(Debug)]
pub enum Arbiter {
    /// A folder that both hosts have mounted.
    SharedStorage(SharedStorage),
}

impl Arbiter {
    /// Asks one question. At most one is under way, which `&mut` holds. Dropping the answer half way is safe: it counts
    /// as a question whose end is not known.
    pub async fn ask(&mut self, request: ArbiterRequest) -> ArbiterReply {
        match self {
            Arbiter::SharedStorage(store) => store.ask(request).await,
        }
    }
}
