//! The configuration: one RON text, the same on both hosts.

mod model;

pub use model::{
    Balancer, Check, Config, Host, MailNotify, MailProbe, MailTls, Notify, OnStopFailure, Postcondition, Probe, Proof,
    Rcmd, Reference, Security, Service, Step, Timing,
};
