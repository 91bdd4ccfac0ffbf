//! A daemon for tests: answers over a real control socket what the test tells it to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use failover_shared::control::{Reply, Request, serve, socket_path};
use failover_shared::decision::{Duty, Epoch, Role, StateName, Verdict};
use failover_shared::status::{BalancerStatus, CheckStatus, ConfigStatus, PathStatus, PeerStatus, Status};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::out::Out;

/// Answers until it is dropped.
pub(crate) struct Fake {
    path: PathBuf,
    /// Its run folder, if it made one.
    _folder: Option<tempfile::TempDir>,
    asked: Arc<Mutex<Vec<Request>>>,
    _tasks: Tasks,
}

/// Ended when dropped.
struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Fake {
    /// `answer` gives `None` for a question that is never answered.
    pub(crate) fn start(role: Role, answer: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> Fake {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::start_in(folder.path(), role, answer);
        Fake { _folder: Some(folder), ..fake }
    }

    /// The same in a run folder that is there already.
    pub(crate) fn start_in(
        run_dir: &Path,
        role: Role,
        mut answer: impl FnMut(&Request) -> Option<Reply> + Send + 'static,
    ) -> Fake {
        let (questions, mut incoming) = tokio::sync::mpsc::channel(8);
        let serving = serve(&socket_path(run_dir, role), questions).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let answering = tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(question) = incoming.recv().await {
                let failover_shared::control::Asked { request, reply } = question;
                seen.lock().unwrap().push(request.clone());
                match answer(&request) {
                    // Who asked may have gone.
                    Some(answer) => drop(reply.send(answer)),
                    None => unanswered.push(reply),
                }
            }
        });
        Fake { path: run_dir.to_path_buf(), _folder: None, asked, _tasks: Tasks(vec![serving, answering]) }
    }

    /// It, as the command finds it.
    pub(crate) fn daemon(&self) -> Daemon {
        Daemon::find(&self.path, None).unwrap()
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A value as an answer.
pub(crate) fn yes(value: impl serde::Serialize) -> Option<Reply> {
    Some(Ok(serde_json::to_value(value).unwrap()))
}

/// What a command prints, and what it returns.
pub(crate) async fn printed<T>(run: impl AsyncFnOnce(&mut Out<'_>) -> T) -> (T, String) {
    let mut bytes = Vec::new();
    let result = run(&mut Out::plain(&mut bytes)).await;
    (result, String::from_utf8(bytes).unwrap())
}

/// A journal entry.
pub(crate) fn entry(sequence: u64, utc: &str, kind: &str, text: &str, fields: Value) -> Value {
    json!({ "sequence": sequence, "utc": utc, "uptime_ms": sequence * 100, "kind": kind, "text": text, "fields": fields })
}

/// A pair that is well: the master cfg1 is active in epoch 7, the slave cfg2 stands by; as `role` sees it.
pub(crate) fn status(role: Role) -> Status {
    let host = |role: Role| if role == Role::Master { "cfg1" } else { "cfg2" }.to_string();
    let duty = |role: Role| if role == Role::Master { Duty::Active } else { Duty::Standby };
    let state = if role == Role::Master { StateName::Active } else { StateName::Standby };
    Status {
        version: "0.1.0".into(),
        pair: "mail".into(),
        host: host(role),
        role,
        utc: "2026-11-21T06:45:12Z".into(),
        state,
        state_age_ms: 183_000,
        way_out: state.way_out().into(),
        duty: duty(role),
        epoch: Epoch(7),
        owned: if role == Role::Master { Epoch(7) } else { Epoch(6) },
        proofs: vec!["Ack".into(), "Operator".into()],
        risk: None,
        withheld: None,
        locked: None,
        maintenance: false,
        frozen: false,
        isolated: false,
        tilt_for_ms: None,
        service: if role == Role::Master { Verdict::Passed } else { Verdict::Unknown },
        peer: PeerStatus {
            host: host(role.peer()),
            role: role.peer(),
            heard_age_ms: Some(120),
            silent: false,
            duty: Some(duty(role.peer())),
            epoch: Some(Epoch(7)),
            service: Some(if role == Role::Slave { Verdict::Passed } else { Verdict::Unknown }),
            ready: Some(true),
            paths: vec![PathStatus { name: "192.0.2.12 - 192.0.2.11".into(), heard_age_ms: Some(120) }],
            channel_open: true,
        },
        checks: vec![CheckStatus {
            name: "pop3".into(),
            vantage: "local".into(),
            verdict: Verdict::Passed,
            last: "message read in 2 ms".into(),
            age_ms: Some(900),
            failures: "0 of the last 3 failed, 3 are a failure".into(),
        }],
        not_ready: Vec::new(),
        readiness_age_ms: Some(4_000),
        balancer: BalancerStatus {
            kind: "haproxy".into(),
            wanted: None,
            view: Some("cfg1 up, cfg2 down".into()),
            age_ms: Some(2_000),
            diverged: None,
        },
        config: ConfigStatus { digest: "00ab12".into(), equal: Some(true), ..ConfigStatus::default() },
        timers: Default::default(),
        step: None,
        last_reason: Some("Nothing runs here and the peer is heard: standing by.".into()),
        pages_waiting: 0,
        troubles: Vec::new(),
        counters: Default::default(),
    }
}
