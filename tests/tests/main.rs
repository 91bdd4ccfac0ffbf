//! The end-to-end tests. One program, because each would link the whole product: a file here is a module, and nextest runs
//! every test in a process of its own all the same.

mod arbiter_etcd;
mod arbiter_etcd_access;
mod chaos;
mod configurations;
mod demo;
mod demo_parts;
mod docs;
mod guardian;
mod judges;
mod lab;
mod lease_store;
mod pair_balancer;
mod pair_boot;
mod pair_config;
mod pair_copies;
mod pair_crash;
mod pair_failsafe1;
mod pair_failsafe2;
mod pair_fence;
mod pair_hostile;
mod pair_kinds;
mod pair_lease;
mod pair_moves;
mod pair_ocf;
mod pair_old_commands;
mod pair_replay;
mod pair_resource_types;
mod pair_scripts;
mod pair_service;
mod pair_silence;
mod systemd_user;
mod templates;
