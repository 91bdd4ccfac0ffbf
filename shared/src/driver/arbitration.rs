//! The arbiter's questions, asked aside: the loop never waits for a store or a server that may hang.

use tokio::sync::mpsc;

use super::Input;
use crate::arbiter::shared_storage::Place;
use crate::arbiter::{Arbiter, SharedStorage};
use crate::config::{self, ArbiterPlace, Config};
use crate::decision::{ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Event, OperationId, Role};

/// The core asks one question at a time; a second waits only after the core has given the first one up.
const WAITING_MAX: usize = 4;

/// The way to the arbiter, if there is one.
#[derive(Debug)]
pub(super) struct Arbitration {
    questions: Option<mpsc::Sender<(OperationId, ArbiterRequest)>>,
    inputs: mpsc::Sender<Input>,
}

impl Arbitration {
    /// Starts the task that asks. It owns the arbiter, and ends with the daemon; a question that is cut off counts as one
    /// whose end is not known. The trouble, if the arbiter cannot be used as configured.
    pub(super) fn start(
        config: &Config,
        role: Role,
        boot: BootId,
        inputs: mpsc::Sender<Input>,
    ) -> (Arbitration, Option<String>) {
        let (mut arbiter, trouble) = match &config.arbiter {
            None => return (Arbitration { questions: None, inputs }, None),
            Some(settings) => match open(config, settings, role, boot) {
                Ok(arbiter) => (Ok(arbiter), None),
                Err(why) => (Err(why.clone()), Some(why)),
            },
        };
        let (questions, mut asked) = mpsc::channel::<(OperationId, ArbiterRequest)>(WAITING_MAX);
        let answers = inputs.clone();
        tokio::spawn(async move {
            while let Some((operation, request)) = asked.recv().await {
                let reply = match &mut arbiter {
                    Ok(arbiter) => arbiter.ask(request).await,
                    Err(why) => ArbiterReply::Failed(ArbiterFailure::Unreachable(why.clone())),
                };
                if answers.send(Input::Core(Event::Arbiter { operation, reply })).await.is_err() {
                    return;
                }
            }
        });
        (Arbitration { questions: Some(questions), inputs }, trouble)
    }

    pub(super) fn ask(&self, operation: OperationId, request: ArbiterRequest) {
        let refused = match &self.questions {
            Some(questions) => questions.try_send((operation, request)).err().map(|_| ArbiterFailure::TimedOut),
            None => Some(ArbiterFailure::Unreachable("no arbiter is configured".into())),
        };
        if let Some(failure) = refused {
            let event = Event::Arbiter { operation, reply: ArbiterReply::Failed(failure) };
            if self.inputs.try_send(Input::Core(event)).is_err() {
                tracing::error!("the input queue is full; the core will take the arbiter's question for unanswered");
            }
        }
    }
}

fn open(config: &Config, settings: &config::Arbiter, role: Role, boot: BootId) -> Result<Arbiter, String> {
    let limit = std::time::Duration::from_millis(settings.times.attempt_ms.0);
    match &settings.place {
        ArbiterPlace::SharedStorage { path } => {
            let (pair, host) = (config.name.clone(), config.host(role).name.clone());
            let place = Place { path: path.clone(), pair, role, host, boot };
            Ok(Arbiter::SharedStorage(SharedStorage::new(place, limit)))
        }
        #[cfg(feature = "etcd")]
        ArbiterPlace::Etcd(etcd) => {
            let settings = crate::arbiter::etcd::EtcdSettings {
                endpoints: etcd.endpoints.clone(),
                prefix: etcd.prefix.clone(),
                user: etcd.user.clone(),
                password_file: etcd.password_file.clone(),
                ca_file: etcd.ca_file.clone(),
                client_certificate_file: etcd.client_certificate_file.clone(),
                client_key_file: etcd.client_key_file.clone(),
                attempt_limit: limit,
            };
            crate::arbiter::Etcd::new(&settings, &config.name, role, boot)
                .map(Arbiter::Etcd)
                .map_err(|error| crate::telemetry::chain(&error))
        }
        #[cfg(not(feature = "etcd"))]
        ArbiterPlace::Etcd(_) => {
            Err("this program was built without etcd: build it with --features etcd, or use SharedStorage".into())
        }
    }
}
