//! A daemon for tests: answers over a real control socket what the test tells it to.

mod well;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use failover_shared::control::{Reply, Request, serve, socket_path};
use failover_shared::decision::Role;
use serde_json::{Value, json};

pub(crate) use self::well::status;
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
