//! Local restarts: a resource whose monitor finds it failed is restarted on this host, so many times, before the
//! failure counts and the service is given away (FailSafe 2).

use std::collections::{BTreeMap, VecDeque};

use crate::config::{Config, Probe};
use crate::decision::Millis;
use crate::script::Script;

/// What may be restarted, and what is just being. Belongs to one turn of the service on this host.
pub(super) struct Restarts {
    rules: BTreeMap<String, Rule>,
    /// A restart that is longer ago does not count any more.
    forgotten_after: Millis,
    /// Checks whose resource is restarted, one after the other.
    waiting: VecDeque<String>,
    /// The first of them is at work.
    at_work: bool,
    /// Nothing is restarted: an operator works on the host.
    pub(super) paused: bool,
}

struct Rule {
    script: Script,
    allowed: usize,
    start_delay: Millis,
    /// When it was restarted, oldest first.
    done: VecDeque<Millis>,
}

impl Restarts {
    pub(super) fn of(config: &Config) -> Restarts {
        let rule = |probe: &Probe| match probe {
            Probe::Resource(resource) if resource.restarts > 0 => Some(Rule {
                script: resource.script.clone(),
                allowed: resource.restarts as usize,
                start_delay: millis(resource.start_delay),
                done: VecDeque::new(),
            }),
            _ => None,
        };
        let rules = config.checks.iter().filter_map(|check| Some((check.name.clone(), rule(&check.probe)?)));
        Restarts {
            rules: rules.collect(),
            forgotten_after: millis(config.hold_down),
            waiting: VecDeque::new(),
            at_work: false,
            paused: false,
        }
    }

    /// The check has failed. `Some((n, of))`: its resource is restarted first, for the n-th time.
    pub(super) fn claim(&mut self, now: Millis, check: &str) -> Option<(usize, usize)> {
        if self.paused || self.holds(check) {
            return None;
        }
        let rule = self.rules.get_mut(check)?;
        while rule.done.front().is_some_and(|at| now.since(*at) >= self.forgotten_after) {
            rule.done.pop_front();
        }
        if rule.done.len() >= rule.allowed {
            return None;
        }
        rule.done.push_back(now);
        self.waiting.push_back(check.to_owned());
        Some((rule.done.len(), rule.allowed))
    }

    /// Its verdict waits for the end of a restart.
    pub(super) fn holds(&self, check: &str) -> bool {
        self.waiting.iter().any(|waiting| waiting == check)
    }

    /// The restart that is to begin now: one at a time, as everything that works on the service.
    pub(super) fn begin(&mut self) -> Option<(String, Script)> {
        if self.at_work {
            return None;
        }
        let check = self.waiting.front()?;
        let script = self.rules.get(check)?.script.clone();
        self.at_work = true;
        Some((check.clone(), script))
    }

    /// The restart for this check has ended. How long its monitor is to wait now; `None`: it was not at work.
    pub(super) fn ended(&mut self, check: &str) -> Option<Millis> {
        if !self.at_work || self.waiting.front().is_none_or(|waiting| waiting != check) {
            return None;
        }
        self.at_work = false;
        self.waiting.pop_front();
        self.rules.get(check).map(|rule| rule.start_delay)
    }
}

fn millis(span: std::time::Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn restarts() -> Restarts {
        let text = r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (resources: [FailSafe2(resource_type: "/types/web"), FailSafe2(resource_type: "/types/db")]),
    checks: [
        Resource(name: "web-runs", resource: "web", restarts: 2, start_delay: "20s"),
        Resource(name: "db-runs", resource: "db", restarts: 1),
        Port(name: "port", port: 80),
    ],
    hold_down: "10min",
)
"#;
        let loaded = parse(text, Path::new("failover.ron"), Path::new("/"));
        Restarts::of(&loaded.unwrap_or_else(|wrong| panic!("{wrong}")).config)
    }

    #[test]
    fn a_resource_is_restarted_here_so_many_times_before_its_failure_counts() {
        let mut restarts = restarts();
        for time in [1, 2] {
            assert_eq!(restarts.claim(Millis(time), "web-runs"), Some((time as usize, 2)));
            assert!(restarts.holds("web-runs"));
            assert_eq!(
                restarts.begin().map(|(check, script)| (check, script.name)),
                Some(("web-runs".into(), "web".into()))
            );
            assert_eq!(restarts.ended("web-runs"), Some(Millis(20_000)));
        }
        assert_eq!(restarts.claim(Millis(3), "web-runs"), None, "a third time");
        assert!(!restarts.holds("web-runs"), "its failure is kept back");
        // What was long ago is forgotten.
        assert_eq!(restarts.claim(Millis(600_001), "web-runs"), Some((2, 2)));
    }

    #[test]
    fn two_restarts_never_run_at_once_and_the_second_begins_after_the_first() {
        let mut restarts = restarts();
        assert!(restarts.claim(Millis(1), "web-runs").is_some() && restarts.claim(Millis(1), "db-runs").is_some());
        assert_eq!(restarts.claim(Millis(2), "db-runs"), None, "it waits already");
        assert_eq!(restarts.begin().map(|(check, _)| check), Some("web-runs".into()));
        assert!(restarts.begin().is_none());
        assert_eq!(restarts.ended("db-runs"), None, "it was not at work");
        restarts.ended("web-runs");
        assert_eq!(restarts.begin().map(|(check, _)| check), Some("db-runs".into()));
    }

    #[test]
    fn nothing_is_restarted_that_is_not_allowed_to_be_or_while_an_operator_works() {
        let mut restarts = restarts();
        assert_eq!(restarts.claim(Millis(1), "port"), None);
        restarts.paused = true;
        assert_eq!(restarts.claim(Millis(1), "web-runs"), None);
    }
}
