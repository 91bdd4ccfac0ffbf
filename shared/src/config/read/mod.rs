//! From the tree to the model, key by key. Rules stand beside the keys they bind; those that bind several parts are in
//! `rules`.

mod balancer;
mod check;
mod host;
mod notify;
mod pair;
mod rules;
mod script;
mod security;
mod service;
mod timing;

pub(super) use pair::pair;
