//! Where the lease is kept: the acting side of [`crate::decision::arbiter`], which has the words and the contract.
//!
//! Both kinds answer every question within the limit of one attempt that they were made with; what they could not find
//! out by then is [`ArbiterFailure::TimedOut`](crate::decision::ArbiterFailure::TimedOut).

#[cfg(feature = "etcd")]
pub mod etcd;
pub mod shared_storage;

use crate::decision::{ArbiterReply, ArbiterRequest};

#[cfg(feature = "etcd")]
pub use etcd::Etcd;
pub use shared_storage::SharedStorage;

/// The configured arbiter.
#[derive(Debug)]
// There is one in a process.
#[allow(clippy::large_enum_variant)]
pub enum Arbiter {
    /// A folder that both hosts have mounted.
    SharedStorage(SharedStorage),
    /// A cluster of etcd members.
    #[cfg(feature = "etcd")]
    Etcd(Etcd),
}

impl Arbiter {
    /// Asks one question. At most one is under way, which `&mut` holds. Dropping the answer half way is safe: it counts
    /// as a question whose end is not known.
    pub async fn ask(&mut self, request: ArbiterRequest) -> ArbiterReply {
        match self {
            Arbiter::SharedStorage(store) => store.ask(request).await,
            #[cfg(feature = "etcd")]
            Arbiter::Etcd(etcd) => etcd.ask(request).await,
        }
    }
}
