//! From the tree to the model, key by key. Rules stand beside the keys they bind; those that bind several parts are in
//! `rules`.

mod arbiter;
mod balancer;
mod check;
mod copy;
mod etcd;
mod fence;
mod host;
mod notify;
mod order;
mod pair;
mod proofs;
mod rules;
mod script;
mod security;
mod service;
mod timing;

pub(super) use pair::pair;
