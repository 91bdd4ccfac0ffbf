//! One way to the operators, at its own speed.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use lettre::message::Mailbox;

use super::mail::{self, Mailer};
use super::queue::{Entry, Way};
use super::{NotifyError, Pace, Place, Shared};
use crate::child::{self, Run};
use crate::config::{Notify, Step};

/// Delivers pages by one way, the oldest first.
pub(super) struct Lane {
    way: Way,
    by: By,
    host: String,
    pair: String,
}

enum By {
    Mail { mailer: Arc<Mailer>, to: Mailbox },
    Command { step: Step, folder: PathBuf },
}

impl Lane {
    /// One lane for each configured receiver, and one for the command.
    pub(super) fn all(notify: &Notify, place: Place<'_>) -> Result<Vec<Lane>, NotifyError> {
        let lane = |way, by| Lane { way, by, host: place.host.to_owned(), pair: place.pair.to_owned() };
        let mut lanes: Vec<Lane> = Vec::new();
        if let Some(settings) = &notify.mail {
            let mailer = Arc::new(Mailer::new(settings, place.host)?);
            for address in &settings.to {
                let way = Way::Mail(address.clone());
                if lanes.iter().all(|lane| lane.way != way) {
                    let to = mail::mailbox(address)?;
                    lanes.push(lane(way, By::Mail { mailer: Arc::clone(&mailer), to }));
                }
            }
        }
        if let Some(step) = &notify.command {
            lanes.push(lane(Way::Command, By::Command { step: step.clone(), folder: place.folder.to_owned() }));
        }
        Ok(lanes)
    }

    /// The way.
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Delivers until told to stop.
    pub(super) async fn run(self, shared: &Shared, pace: Pace) {
        let mut signals = shared.signal.subscribe();
        let mut stop = shared.signal.subscribe();
        let stopped = stop.wait_for(|signal| signal.stop);
        let deliver = async {
            let mut pause = pace.retry_min;
            loop {
                signals.mark_unchanged();
                // On disk before it is on its way.
                shared.save();
                let taken = shared.lock().queue.take(&self.way, Instant::now());
                let entry = match taken {
                    Ok(entry) => entry,
                    Err(due) => {
                        let due = async {
                            match due {
                                Some(due) => tokio::time::sleep_until(due.into()).await,
                                None => std::future::pending().await,
                            }
                        };
                        tokio::select! {
                            changed = signals.changed() => if changed.is_err() { return },
                            () = due => {}
                        }
                        continue;
                    }
                };
                let outcome = self.deliver(&entry).await;
                let delivered = outcome.is_ok();
                self.note(shared, &entry, outcome);
                if delivered {
                    pause = pace.retry_min;
                } else {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(pace.retry_max);
                }
            }
        };
        tokio::select! {
            _ = stopped => {}
            () = deliver => {}
        }
    }

    async fn deliver(&self, entry: &Entry) -> Result<(), Box<dyn Error>> {
        match &self.by {
            By::Mail { mailer, to } => mailer.send(entry, to, &self.pair).await?,
            By::Command { step, folder } => {
                let subject = mail::subject(entry, &self.pair, &self.host);
                let text = format!("{subject}\n\n{}", mail::body(entry, &self.pair, &self.host));
                let mut run = Run::shell(&step.command, step.timeout);
                run.folder = Some(folder.clone());
                run.input = text.into_bytes();
                run.environment = vec![
                    ("FAILOVER_EVENT", OsString::from(entry.page.kind().name())),
                    ("FAILOVER_PAIR", OsString::from(&self.pair)),
                    ("FAILOVER_HOST", OsString::from(&self.host)),
                ];
                child::run(run).await?.succeeded()?;
            }
        }
        Ok(())
    }

    /// Writes the outcome down, and says it when the way starts or ceases to fail.
    fn note(&self, shared: &Shared, entry: &Entry, outcome: Result<(), Box<dyn Error>>) {
        let mut state = shared.lock();
        state.queue.ended(entry.id, &self.way, outcome.is_ok());
        let status = state.ways.entry(self.way.clone()).or_default();
        match outcome {
            Ok(()) => {
                if status.failing.take().is_some() {
                    tracing::info!(way = ?self.way, "pages go out again");
                }
                status.delivered += 1;
                status.last_delivery = Some(Timestamp::now());
            }
            Err(error) => {
                let mut reason = error.to_string();
                if let Some(cause) = error.source() {
                    reason = format!("{reason}: {cause}");
                }
                let since = status.failing.as_ref().map(|(_, since)| *since);
                if since.is_none() {
                    tracing::warn!(way = ?self.way, %reason, "a page did not go out; it is tried again");
                }
                status.failing = Some((reason, since.unwrap_or_else(Timestamp::now)));
            }
        }
        drop(state);
        shared.changed();
    }
}
