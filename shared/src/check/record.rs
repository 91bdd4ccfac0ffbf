//! What a round did so far: the step it is at, how long each took, and, if wanted, what was said.
//!
//! It lies outside the dialogue's future, so that a round that ran out of time can still be told by its step.

use std::time::{Duration, Instant};

use super::failure::{CheckFailure, printable};
use super::secret::Password;
use crate::decision::Symptom;

/// The most lines that a transcript holds; a dialogue of ours has about twenty.
const TRANSCRIPT_LINES_MAX: usize = 100;

/// How long one step of a round took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLatency {
    /// The step: `connect`, `greeting`, `login` ….
    pub step: &'static str,
    /// From the end of the step before it to its own end.
    pub latency: Duration,
}

/// The account of one round.
#[derive(Debug)]
pub struct Record {
    step: &'static str,
    began: Instant,
    steps: Vec<StepLatency>,
    transcript: Option<Vec<String>>,
}

impl Record {
    /// An account without a transcript, for the rounds of every day.
    #[must_use]
    pub fn brief() -> Record {
        Record { step: "connect", began: Instant::now(), steps: Vec::with_capacity(8), transcript: None }
    }

    /// An account with a transcript, for a round that an operator watches.
    #[must_use]
    pub fn full() -> Record {
        Record { transcript: Some(Vec::new()), ..Record::brief() }
    }

    /// The step that runs.
    #[must_use]
    pub fn step(&self) -> &'static str {
        self.step
    }

    /// The steps that ended, in order.
    #[must_use]
    pub fn steps(&self) -> &[StepLatency] {
        &self.steps
    }

    /// What was said: `C:` this side, `S:` the server; passwords are masked. Empty if not wanted.
    #[must_use]
    pub fn into_transcript(self) -> Vec<String> {
        self.transcript.unwrap_or_default()
    }

    /// A failure at the step that runs.
    pub(super) fn failure(&self, symptom: Symptom, detail: impl Into<String>) -> CheckFailure {
        CheckFailure::new(symptom, self.step, detail)
    }

    /// The failure of a round that ran out of time now. Without a connection the host did not answer at all.
    pub(super) fn out_of_time(&self, limit: Duration) -> CheckFailure {
        let limit_ms = limit.as_millis();
        if self.step == "connect" {
            let detail =
                format!("the connection was not answered within {limit_ms} ms: packets vanish, or the queue is full");
            self.failure(Symptom::Unreachable, detail)
        } else {
            self.failure(Symptom::TimedOut, format!("no full answer within {limit_ms} ms"))
        }
    }

    pub(super) fn begin(&mut self, step: &'static str) {
        self.step = step;
        self.began = Instant::now();
    }

    pub(super) fn end(&mut self) {
        let latency = self.began.elapsed();
        self.steps.push(StepLatency { step: self.step, latency });
    }

    pub(super) fn sent(&mut self, text: &str) {
        self.note(|| format!("C: {}", printable(text.as_bytes())));
    }

    pub(super) fn received(&mut self, line: &[u8], password: &Password) {
        self.note(|| password.mask(format!("S: {}", printable(line))));
    }

    /// A remark of our own.
    pub(super) fn remark(&mut self, text: impl FnOnce() -> String) {
        self.note(|| format!("   ({})", text()));
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut self.transcript
            && transcript.len() < TRANSCRIPT_LINES_MAX
        {
            transcript.push(line());
        }
    }
}
