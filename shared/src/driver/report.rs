//! The daemon's view, put together when somebody asks.

use std::collections::BTreeMap;

use super::turn::Driver;
use crate::channel::Link;
use crate::config::differing_keys;
use crate::decision::{Maintenance, Millis, State};
use crate::status::{ConfigStatus, Locked, MaintenanceStatus, PathStatus, PeerStatus, Status};

impl Driver {
    pub(super) fn status(&self, now: Millis) -> Status {
        let node = &self.node;
        let config = &self.loaded.config;
        let state = node.state().name();
        Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            pair: config.name.clone(),
            host: config.host(self.settings.role).name.clone(),
            role: self.settings.role,
            utc: jiff::Timestamp::now().to_string(),
            state,
            state_age_ms: now.since(node.entered()).0,
            way_out: self.way_out(),
            duty: node.state().duty(),
            epoch: node.record().highest,
            owned: node.record().owned,
            proofs: config.proof_of_stop.iter().map(|proof| format!("{proof:?}")).collect(),
            guarantee: config.guarantee(),
            risks: config.accepted_risks(),
            withheld: node.withheld().map(|rule| rule.sentence().to_string()),
            locked: node.locked().then(|| Locked {
                epoch: node.record().automatic,
                ends_in_ms: node.hold_down_ends().map(|at| at.since(now).0),
            }),
            maintenance: node.record().maintenance.as_ref().map(|order| maintenance(order, now)),
            frozen: node.is_frozen(),
            isolated: node.is_isolated(),
            tilt_for_ms: node.tilt_until().map(|until| until.since(now).0),
            service: node.local_verdict_now(),
            peer: self.peer_status(now),
            checks: self.watch.rows(now),
            not_ready: node.not_ready(),
            readiness_age_ms: self.facts.readiness.map(|at| now.since(at).0),
            copies: self.copies.status(now, node, config),
            arbiter: self.arbiter_status(now),
            guardian: self.guarding.status(config),
            fence: self.fence_status(now),
            fenced: self.fenced_status(now),
            clocks_differ_ms: self.clock_lag.0,
            clocks_beyond_drift: self.clocks_beyond_drift(now),
            balancer: self.balancing.status(),
            config: self.config_status(),
            timers: node.timers().into_iter().map(|(timer, at)| (format!("{timer:?}"), at.since(now).0)).collect(),
            step: self.facts.step.as_ref().map(|(since, step)| {
                let mut step = step.clone();
                step.age_ms = now.since(*since).0;
                step
            }),
            last_reason: self.facts.last_reason.clone(),
            pages_waiting: self.pager.status().waiting as u64,
            troubles: (self.troubles.values().cloned())
                .chain(self.canary_trouble())
                .chain(self.copies.troubles(now, node, config))
                .collect(),
            counters: self.counters(),
        }
    }

    /// A refused login of the canary is no failure of the service, but somebody has to look at the account.
    fn canary_trouble(&self) -> Option<String> {
        let refused = self.watch.login_refused();
        (!refused.is_empty()).then(|| {
            let checks = refused.join(", ");
            format!("the login of check {checks} is refused, so it says nothing about the service: is its password file right?")
        })
    }

    /// The state's way out, with this pair's own words where a person has to type them.
    fn way_out(&self) -> String {
        let way_out = self.node.state().name().way_out();
        match self.node.state() {
            State::TakeoverBlocked { reason, .. } => {
                let peer = &self.loaded.config.host(self.settings.role.peer()).name;
                format!("{reason} Next: {}", way_out.replace("HOST", peer))
            }
            State::FailedStart { reason, .. } => format!("{reason}. Next: {way_out}"),
            State::FailedStop { reason, .. } => {
                let own = &self.loaded.config.host(self.settings.role).name;
                format!("{reason}. Next: {}", way_out.replace("HOST", own))
            }
            State::ExclusivityError { reason, .. } => format!("{reason}. Next: {way_out}"),
            _ => way_out.to_string(),
        }
    }

    fn peer_status(&self, now: Millis) -> PeerStatus {
        let config = &self.loaded.config;
        let role = self.settings.role.peer();
        let (beat, heard_at, silent) = self.node.peer();
        let own = config.host(self.settings.role);
        let theirs = config.host(role);
        let paths = own.heartbeat.iter().zip(&theirs.heartbeat).enumerate().map(|(index, (from, to))| PathStatus {
            name: format!("{from} - {to}"),
            heard_age_ms: self.facts.paths.get(&index).map(|at| now.since(*at).0),
        });
        PeerStatus {
            host: theirs.name.clone(),
            role,
            heard_age_ms: heard_at.filter(|_| beat.is_some()).map(|at| now.since(at).0),
            silent,
            duty: beat.map(|beat| beat.duty),
            epoch: beat.map(|beat| beat.epoch),
            service: beat.map(|beat| beat.verdict),
            ready: beat.map(|beat| beat.ready),
            maintenance: beat.map(|beat| beat.maintenance),
            paths: paths.collect(),
            channel_open: *self.peer.link().borrow() == Link::Up,
        }
    }

    fn config_status(&self) -> ConfigStatus {
        let (beat, _, _) = self.node.peer();
        let equal = beat.map(|beat| beat.digest == self.loaded.digest);
        let differing = match (&self.facts.peer_keys, equal) {
            (Some(theirs), Some(false)) => differing_keys(&self.loaded.key_digests, theirs),
            _ => Vec::new(),
        };
        ConfigStatus {
            digest: format!("{:016x}", self.loaded.digest),
            equal,
            differing,
            refused: self.refused_config.clone(),
            key_digests: self.loaded.key_digests.clone(),
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = BTreeMap::new();
        let sources = [
            ("channel", serde_json::to_value(self.channel_counters.snapshot())),
            ("beats", serde_json::to_value(self.heartbeat.counters())),
        ];
        for (source, snapshot) in sources {
            if let Ok(snapshot) = snapshot {
                flatten(source, &snapshot, &mut counters);
            }
        }
        counters
    }

    pub(super) fn status_json(&self, now: Millis) -> serde_json::Value {
        // A status is plain data; should it ever not be, the reader sees null instead of losing the daemon.
        serde_json::to_value(self.status(now)).unwrap_or_default()
    }
}

fn maintenance(order: &Maintenance, now: Millis) -> MaintenanceStatus {
    let began = i64::try_from(order.began_utc_s).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    MaintenanceStatus {
        by: order.by.clone(),
        reason: order.reason.clone(),
        began_utc: began.map_or_else(String::new, |began| began.to_string()),
        left_ms: order.ends.since(now).0,
    }
}

/// Numbers by dotted names.
fn flatten(name: &str, value: &serde_json::Value, into: &mut BTreeMap<String, u64>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}.{field}"), value, into);
            }
        }
        other => into.extend(other.as_u64().map(|number| (name.to_string(), number))),
    }
}
