//! The arbiter: a place that both hosts can reach and that keeps the claims and the slots of
//! [`crate::decision::ArbiterRequest`].

#[cfg(feature = "etcd")]
pub mod etcd;
