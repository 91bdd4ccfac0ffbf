//! The real services of a lab: Dovecot on both hosts, HAProxy before them, sshd for the second way, and the ordered
//! scripts that start and stop the service.

pub mod compat;
pub mod dovecot;
pub mod haproxy;
pub mod scripts;
pub mod ssh;
