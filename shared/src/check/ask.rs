//! One round of any check, under its time limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_native_tls::TlsConnector;

use super::failure::CheckFailure;
use super::record::{Record, StepLatency};
use super::schedule::Vantage;
use super::secret::Password;
use super::tls::{Encryption, connector};
use super::{command, imap, pop3, port, resource};
use crate::config::{Check, MailProbe, MailTls, Probe};
use crate::decision::Symptom;
use crate::script::Environment;

/// Reads a password file, or says in words why not (and judges its mode).
pub type PasswordLoader = Arc<dyn Fn(&Path) -> Result<Password, String> + Send + Sync>;

/// Holds rounds. Shared by all checks of a daemon; cheap to keep when no check is encrypted.
pub struct Asker {
    /// Where relative commands start.
    directory: PathBuf,
    load: PasswordLoader,
    /// Read once, so that a round does not wait for a disk; forgotten when the server refuses one, so that a changed file
    /// is read again.
    passwords: Mutex<BTreeMap<PathBuf, Password>>,
    /// Servers that refused the canary's login and have not let it in since.
    refused_at: Mutex<BTreeSet<IpAddr>>,
    /// Made at the first use: OpenSSL's context costs more memory than all checks together.
    connector: OnceLock<TlsConnector>,
    /// What resources are told.
    environment: Option<Environment>,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The step of a round that had no password to send.
const NO_PASSWORD: &str = "password";

/// A round that an operator asked for.
#[derive(Clone, Debug)]
pub struct Run {
    /// How long the service took, or how it failed.
    pub result: Result<Duration, CheckFailure>,
    /// The steps that ended, in order.
    pub steps: Vec<StepLatency>,
    /// What was said, passwords masked.
    pub transcript: Vec<String>,
}

impl Asker {
    /// `directory` is where relative commands start; `load` reads password files.
    #[must_use]
    pub fn new(directory: PathBuf, load: PasswordLoader) -> Asker {
        Asker {
            directory,
            load,
            passwords: Mutex::default(),
            refused_at: Mutex::default(),
            connector: OnceLock::new(),
            environment: None,
        }
    }

    /// The same, and resources can be asked.
    #[must_use]
    pub fn telling(self, environment: Environment) -> Asker {
        Asker { environment: Some(environment), ..self }
    }

    /// One round with a transcript, for an operator; it feeds no verdict. Ends within the check's time limit. Dropping the
    /// future ends the round.
    pub async fn run(&self, check: &Check, vantage: Vantage, target: IpAddr) -> Run {
        let mut record = Record::full();
        let result = self.round(check, vantage, target, &mut record).await;
        Run { result, steps: record.steps().to_vec(), transcript: record.into_transcript() }
    }

    /// One round under the check's time limit.
    ///
    /// # Errors
    /// [`CheckFailure`]; [`Symptom::Stale`] when this host could not ask.
    pub async fn round(
        &self,
        check: &Check,
        vantage: Vantage,
        target: IpAddr,
        record: &mut Record,
    ) -> Result<Duration, CheckFailure> {
        let began = Instant::now();
        let round = self.unlimited_round(&check.probe, vantage, target, record);
        let result = match tokio::time::timeout(check.timeout, round).await {
            Ok(Ok(())) => Ok(began.elapsed()),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(record.out_of_time(check.timeout)),
        };
        match &check.probe {
            Probe::Pop3(mail) | Probe::Imap(mail) => {
                self.after_login(mail, address_of(mail, vantage, target).ip(), result)
            }
            Probe::Port { .. } | Probe::Command(_) | Probe::Resource(_) => result,
        }
    }

    async fn unlimited_round(
        &self,
        probe: &Probe,
        vantage: Vantage,
        target: IpAddr,
        record: &mut Record,
    ) -> Result<(), CheckFailure> {
        match probe {
            Probe::Port { port } => port::connect(SocketAddr::new(target, *port), record).await.map(drop),
            Probe::Pop3(mail) => {
                let password = self.password(mail)?;
                let encryption = self.encryption(mail.tls)?;
                let stream = port::connect(address_of(mail, vantage, target), record).await?;
                let expect = mail.expect.as_deref();
                let request = pop3::Request { user: &mail.user, password: &password, encryption, expect };
                pop3::dialogue(stream, &request, record).await.map(drop)
            }
            Probe::Imap(mail) => {
                let password = self.password(mail)?;
                let encryption = self.encryption(mail.tls)?;
                let stream = port::connect(address_of(mail, vantage, target), record).await?;
                let expect = mail.expect.as_deref();
                let request = imap::Request { user: &mail.user, password: &password, encryption, expect };
                imap::dialogue(stream, &request, record).await
            }
            Probe::Command(step) => command::run(step, &self.directory, record).await,
            Probe::Resource(probe) => {
                resource::ask(&probe.script, self.environment.as_ref(), &self.directory, record).await
            }
        }
    }

    fn password(&self, mail: &MailProbe) -> Result<Password, CheckFailure> {
        let mut passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(password) = passwords.get(&mail.password_file) {
            return Ok(password.clone());
        }
        // The canary's account is at fault, not the service: the same class as a refused login.
        let password = (self.load)(&mail.password_file)
            .map_err(|why| CheckFailure::new(Symptom::LoginRefused, NO_PASSWORD, why))?;
        passwords.insert(mail.password_file.clone(), password.clone());
        Ok(password)
    }

    /// What a login says about the account.
    ///
    /// A server delays its answers to someone whose password it has just refused (Dovecot: `auth_failure_delay`, and a
    /// penalty for the address on top, together beyond 4 s), so a wrong password is seen once as refused and from then on as
    /// silence. That silence is still the account's matter: until the canary is let in again it counts as refused, or a
    /// forgotten password change would move the mail. What else is wrong shows at every other step and check.
    fn after_login<T>(
        &self,
        mail: &MailProbe,
        server: IpAddr,
        result: Result<T, CheckFailure>,
    ) -> Result<T, CheckFailure> {
        let mut refused_at = self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(passed) => {
                refused_at.remove(&server);
                Ok(passed)
            }
            Err(failure) if failure.symptom == Symptom::LoginRefused => {
                self.passwords.lock().unwrap_or_else(PoisonError::into_inner).remove(&mail.password_file);
                if failure.at != NO_PASSWORD {
                    refused_at.insert(server);
                }
                Err(failure)
            }
            Err(failure) if is_silent_login(&failure) && refused_at.contains(&server) => {
                let detail =
                    format!("{}; the server refused this login before and delays its answers since", failure.detail);
                Err(CheckFailure { symptom: Symptom::LoginRefused, detail, ..failure })
            }
            Err(failure) => Err(failure),
        }
    }

    fn encryption(&self, tls: MailTls) -> Result<Encryption<'_>, CheckFailure> {
        match tls {
            MailTls::None => Ok(Encryption::None),
            MailTls::Implicit => self.connector().map(Encryption::Implicit),
            MailTls::StartTls => self.connector().map(Encryption::StartTls),
        }
    }

    fn connector(&self) -> Result<&TlsConnector, CheckFailure> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector);
        }
        // OpenSSL of this host fails: nothing is known of the service.
        let made = connector().map_err(|error| CheckFailure::new(Symptom::Stale, "tls", error.to_string()))?;
        Ok(self.connector.get_or_init(|| made))
    }
}

/// The server took the password and said nothing: POP3's step is `pass`, IMAP's `login`.
fn is_silent_login(failure: &CheckFailure) -> bool {
    failure.symptom == Symptom::TimedOut && matches!(failure.at, "pass" | "login")
}

/// Where a mail check connects to.
fn address_of(mail: &MailProbe, vantage: Vantage, target: IpAddr) -> SocketAddr {
    match (vantage, mail.through) {
        (Vantage::ThroughBalancer, Some(through)) => through,
        (Vantage::Local | Vantage::Direct | Vantage::ThroughBalancer, _) => SocketAddr::new(target, mail.port),
    }
}
