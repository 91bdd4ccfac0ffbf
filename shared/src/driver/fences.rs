//! Asks the fence devices from time to time whether they could be told, so that a dead one is known before it is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Input;
use crate::config::Loaded;
use crate::decision::{Millis, Role};
use crate::fence::{DeviceStatus, Fence, Power};
use crate::status::FenceSays;
use crate::telemetry::chain;

/// Between two rounds. Some boards keep a log of each login, and none is known to fail by the minute.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// The first round waits until the daemon has come up.
const FIRST_AFTER: Duration = Duration::from_secs(5);

/// While one lives, the devices are asked nothing by the way.
#[derive(Debug)]
pub(super) struct Quiet(watch::Sender<u32>);

/// What the devices say of the other host.
#[derive(Debug)]
pub(super) struct Fences {
    role: Role,
    inputs: mpsc::Sender<Input>,
    /// Each device by its name, in the configuration's order; and what it said when.
    devices: Vec<(String, Option<(FenceSays, Millis)>)>,
    stale_after: Millis,
    /// How many fences are under way.
    busy: watch::Sender<u32>,
    task: Option<JoinHandle<()>>,
}

impl Fences {
    /// Starts to ask, if there are devices.
    pub(super) fn start(loaded: &Arc<Loaded>, role: Role, inputs: mpsc::Sender<Input>) -> Fences {
        let (devices, stale_after) = (Vec::new(), Millis(0));
        let mut fences = Fences { role, inputs, devices, stale_after, busy: watch::Sender::new(0), task: None };
        fences.replace_config(loaded);
        fences
    }

    /// Asks the devices of this configuration from now on. What the same devices said before stays, with its age.
    pub(super) fn replace_config(&mut self, loaded: &Arc<Loaded>) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let fence = Fence::of(&loaded.config);
        let mut known: BTreeMap<_, _> = std::mem::take(&mut self.devices).into_iter().collect();
        self.devices = fence.names().map(|name| (name.to_string(), known.remove(name).flatten())).collect();
        let limit = loaded.config.fence_limit().saturating_add(EVERY);
        self.stale_after = Millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        if !fence.is_empty() {
            let work = ask_again_and_again(fence, self.role.peer(), self.busy.subscribe(), self.inputs.clone());
            self.task = Some(tokio::spawn(work));
        }
    }

    /// For a fence, from its beginning to its end: a question under way is given up, since many boards let in one at a
    /// time.
    pub(super) fn quiet(&self) -> Quiet {
        self.busy.send_modify(|fences| *fences += 1);
        Quiet(self.busy.clone())
    }

    /// What came of a round.
    pub(super) fn answered(&mut self, now: Millis, answers: Vec<(String, FenceSays)>) {
        for (device, said) in answers {
            if let Some((_, last)) = self.devices.iter_mut().find(|(name, _)| *name == device) {
                *last = Some((said, now));
            }
        }
    }

    /// Each device, and what it said when.
    pub(super) fn devices(&self) -> impl Iterator<Item = (&str, Option<&(FenceSays, Millis)>)> {
        self.devices.iter().map(|(name, last)| (name.as_str(), last.as_ref()))
    }

    /// When an answer is too old to count.
    pub(super) fn stale_after(&self) -> Millis {
        self.stale_after
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.send_modify(|fences| *fences = fences.saturating_sub(1));
    }
}

impl Drop for Fences {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Owns nothing but the call under way: ended anywhere, that call's process is killed, and nothing was switched.
async fn ask_again_and_again(fence: Fence, target: Role, mut busy: watch::Receiver<u32>, inputs: mpsc::Sender<Input>) {
    let mut pause = FIRST_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        pause = EVERY;
        let round = async {
            // The daemon is gone where this fails, and this task with it.
            busy.wait_for(|fences| *fences == 0).await.ok()?;
            let mut turned_busy = busy.clone();
            tokio::select! {
                biased;
                _ = turned_busy.wait_for(|fences| *fences > 0) => Some(None),
                answers = fence.status(target) => Some(Some(answers)),
            }
        };
        match round.await {
            None => return,
            // The fence went first; its own end says how the devices are. Asked again soon after it.
            Some(None) => pause = FIRST_AFTER,
            Some(Some(answers)) => {
                let answers = answers.into_iter().map(said).collect();
                if inputs.send(Input::Fences(answers)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn said(DeviceStatus { device, power }: DeviceStatus) -> (String, FenceSays) {
    let said = match power {
        Ok(Power::On) => FenceSays::On,
        Ok(Power::Off) => FenceSays::Off,
        Err(error) => FenceSays::Unknown(chain(&error)),
    };
    (device, said)
}

#[cfg(test)]
mod tests;
