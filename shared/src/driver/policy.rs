//! The failover policy, asked as long as this host lives: whether this host may run the service, and which is to be first.

use std::sync::Arc;

use super::Input;
use crate::config::Loaded;
use crate::decision::{Epoch, Event, Role};
use crate::script::{Choice, Environment, Operation};
use tokio::sync::mpsc;

/// What a policy is told of the pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Situation {
    /// Who runs the service.
    pub(super) owner: Option<Role>,
    /// The other host is heard.
    pub(super) peer_heard: bool,
}

/// One host's view of the policy.
pub(super) struct Asker {
    loaded: Arc<Loaded>,
    role: Role,
    /// The order of the last answer, and behind it the hosts that it left out: a policy that forgets a host once can
    /// still name it later.
    domain: Vec<Role>,
}

impl Asker {
    pub(super) fn new(loaded: Arc<Loaded>, role: Role) -> Asker {
        Asker { loaded, role, domain: vec![Role::Master, Role::Slave] }
    }

    /// Asks, and tells the loop who is first. Why this host may not run the service, if it may not.
    pub(super) async fn ask(&mut self, situation: Situation, inputs: &mpsc::Sender<Input>) -> Option<String> {
        let config = &self.loaded.config;
        let policy = config.service.failover_policy.as_ref()?;
        let up = |role: &Role| *role == self.role || situation.peer_heard;
        let possible = self.domain.iter().copied().filter(up).collect();
        let choice = Choice { owner: situation.owner, possible, domain: self.domain.clone() };
        let operation = Operation::start_of(self.role);
        let environment = Environment::of(&self.loaded, self.role, operation, Epoch(0), "the failover policy");
        let (preferred, reason) = match policy.ask(config, &choice, &environment).await {
            Ok(order) => {
                let left_out = (!order.contains(&self.role))
                    .then(|| format!("the failover policy {} does not name this host", policy.script.display()));
                let first = order.first().copied();
                let rest: Vec<Role> = self.domain.iter().copied().filter(|role| !order.contains(role)).collect();
                self.domain = order.into_iter().chain(rest).collect();
                (first, left_out)
            }
            Err(why) => (None, Some(why)),
        };
        // The loop is gone: so is who asked.
        let _ = inputs.send(Input::Core(Event::Preferred(preferred))).await;
        reason
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const CONFIG: &str = r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (
        resources: [FailSafe2(resource_type: "web")],
        failover_policy: FailoverPolicy(script: "./policy"),
    ),
    checks: [Port(name: "web", port: 80)],
)
"#;

    #[tokio::test]
    async fn a_host_that_the_failover_policy_leaves_out_is_not_ready_and_the_first_is_preferred() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("policy");
        // The possible owners in the order of the domain: what FailSafe's own `ordered` came to.
        let body = "#!/bin/sh\ntest -e fails && exit 3\ntest -z \"$3\" && echo cfg2 cfg1 || echo $5 | sed s/cfg1//\n";
        std::fs::write(&script, body).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let loaded = parse(CONFIG, Path::new("failover.ron"), folder.path()).unwrap_or_else(|wrong| panic!("{wrong}"));
        let mut asker = Asker::new(Arc::new(loaded), Role::Master);
        let (inputs, mut told) = mpsc::channel(4);
        let mut preferred = || match told.try_recv() {
            Ok(Input::Core(Event::Preferred(role))) => role,
            _ => panic!("nothing was told"),
        };
        let idle = Situation { owner: None, peer_heard: true };
        assert_eq!(asker.ask(idle, &inputs).await, None);
        assert_eq!((preferred(), asker.domain.as_slice()), (Some(Role::Slave), &[Role::Slave, Role::Master][..]));
        let busy = Situation { owner: Some(Role::Slave), peer_heard: true };
        let reason = asker.ask(busy, &inputs).await.unwrap();
        assert!(reason.ends_with("does not name this host"), "{reason}");
        assert_eq!((preferred(), asker.domain.len()), (Some(Role::Slave), 2));
        std::fs::write(folder.path().join("fails"), "").unwrap();
        let reason = asker.ask(busy, &inputs).await.unwrap();
        assert!(reason.contains("exited 3"), "{reason}");
        assert_eq!(preferred(), None);
    }
}
