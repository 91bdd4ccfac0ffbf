//! The first configuration of a pair: the questions, the answers, and the files that come of them.

mod questions;
mod write;

pub use questions::{Answers, Choice, QUESTIONS, Question, Silence};
pub use write::{Written, configuration, write_pair};

#[cfg(test)]
mod tests;
