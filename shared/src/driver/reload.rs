//! SIGHUP: the configuration is read again. A bad new file leaves the old one in force and says so.

use std::sync::Arc;

use super::turn::Driver;
use super::{Input, entries, guarding, setup};
use crate::config::{self, Loaded, Problems};
use crate::decision::{Event, Millis};
use crate::guardian::Plan;
use crate::wire::Header;

impl Driver {
    /// Reads the file in a thread: names in it are looked up, which may take the resolver's time. So may the guardian's
    /// plan.
    pub(super) fn reload(&mut self) {
        let (path, inputs) = (self.settings.config.clone(), self.inputs.clone());
        tokio::spawn(async move {
            if let Ok(result) = tokio::task::spawn_blocking(move || config::load(&path)).await {
                let result = match result {
                    Ok(loaded) => {
                        let plan = guarding::plan(&loaded.config).await;
                        Ok((loaded, plan))
                    }
                    Err(problems) => Err(problems),
                };
                let _ = inputs.send(Input::Reloaded(Box::new(result))).await;
            }
        });
    }

    pub(super) fn reloaded(&mut self, now: Millis, result: Result<(Loaded, Plan), Problems>) {
        let (loaded, plan) = match result {
            Ok(both) => both,
            Err(problems) => return self.refuse_config(&problems.to_string()),
        };
        if let Some(why) = needs_restart(&self.loaded, &loaded) {
            return self.refuse_config(&why);
        }
        match setup::key_ring(&loaded.config) {
            Ok(keys) => {
                self.keys.replace_with(&keys);
                self.heartbeat.set_keys(&keys);
            }
            Err(error) => return self.refuse_config(&error.to_string()),
        }
        let role = self.settings.role;
        self.refused_config = None;
        self.loaded = Arc::new(loaded);
        self.header.set_digest(self.loaded.digest);
        self.facts.peer_keys = None;
        if let Err(why) = self.guarding.replace_config(&self.loaded.config, &plan) {
            tracing::error!("the guardian goes on with the old plan: {why}");
        }
        self.fences.replace_config(&self.loaded);
        self.service.replace_config(self.loaded.clone());
        self.watch.replace_config(&self.loaded);
        self.copies.replace_config(self.loaded.clone());
        let policy = setup::policy(&self.loaded, role);
        self.step(now, Event::PolicyChanged(policy));
        tracing::info!(digest = format!("{:016x}", self.loaded.digest), "a new configuration is in force");
        self.disk.note(entries::entry("config", "a new configuration is in force", &[]));
    }

    fn refuse_config(&mut self, why: &str) {
        tracing::error!("the new configuration is refused, the old one stays in force:\n{why}");
        let text = "the new configuration is refused; the old one stays in force";
        self.disk.note(entries::entry("config", text, &[("problems", serde_json::json!(why))]));
        self.refused_config = Some(why.lines().next().unwrap_or_default().to_string());
    }

    /// Every message tells the peer's digest; when it changes, its keys are asked for again.
    pub(super) fn header_seen(&mut self, header: &Header) {
        if header.digest == self.loaded.digest {
            self.facts.peer_keys = None;
        }
    }
}

/// Sockets are opened once; a change of what they hang on takes a restart of the daemon, which does not touch the
/// service.
fn needs_restart(old: &Loaded, new: &Loaded) -> Option<String> {
    let parts = |loaded: &Loaded| {
        let config = &loaded.config;
        (
            config.name.clone(),
            config.master.clone(),
            config.slave.clone(),
            (config.monitor_port, config.monitor_port_slave, config.heartbeat_port),
            config.timing.beat,
            config.balancer.clone(),
            config.notify.clone(),
            config.security.clone(),
            // Another place knows nothing of the claims so far.
            config.arbiter.as_ref().map(|arbiter| (arbiter.place.clone(), arbiter.guard.clone())),
        )
    };
    (parts(old) != parts(new)).then(|| {
        "hosts, ports, beat, balancer, notify, security and arbiter are taken over at a start only: restart the daemon (the service runs on)".to_string()
    })
}
