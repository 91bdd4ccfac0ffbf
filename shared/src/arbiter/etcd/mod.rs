//! The arbiter in etcd (3.4 and newer): plain keys and transactions.
//!
//! The lease is this program's arithmetic and none of etcd's: no key has a time to live, and no clock of etcd's decides
//! anything. A renewal compares the revisions at which the claim and the own slot were written last, and writes the slot; a
//! claim compares those of the claim and the *other* host's slot, and writes the claim. So a claim takes effect only if
//! no renewal did since its view, and a renewal only if no claim did since the holder's: whatever is late, lost or
//! repeated on the way. All reads are linearizable.

mod contents;
mod dial;
mod endpoint;
mod keys;
mod link;
mod record;
mod renewal;
mod settings;
mod tls;

use std::fmt;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetResponse, ResponseHeader, Txn, TxnOp, TxnResponse};
use tokio::time::{Instant, timeout_at};

use self::contents::{Contents, Kept};
use self::keys::Keys;
use self::link::Link;
use self::record::{Claims, RecordError};
use self::renewal::Own;
pub use self::settings::{ENDPOINTS_MAX, EtcdError, EtcdSettings, PREFIX_BYTES_MAX, PREFIX_DEFAULT};
use crate::decision::{ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Claim, Epoch, Role, Stamp};

/// A pair's records in etcd, as one of its hosts uses them.
///
/// It remembers what it saw and wrote. After [`ArbiterFailure::RolledBack`] it answers nothing else: what it waited for
/// while it looked may be from before and after. A new one, made by restarting the daemon, starts without memory.
pub struct Etcd {
    host: Host,
    keys: Keys,
    link: Link,
    attempt_limit: Duration,
    /// The store's identity and highest revision, as of its last answer.
    store: Option<Store>,
    /// What the keys held when they were last read or written; renewed by each, and compared with it.
    contents: Option<Contents>,
    /// Whether `contents` is sure to be of the last answer: a write that failed may have taken effect.
    current: bool,
    own: Own,
    rolled_back: Option<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Host {
    role: Role,
    boot: BootId,
}

#[derive(Clone, Copy, Debug)]
struct Store {
    cluster: u64,
    revision: i64,
}

impl Etcd {
    /// Prepares to ask for `pair` as the host of `role`, in the kernel start `boot`. Reads the files that `settings` name;
    /// connects to nobody.
    ///
    /// # Errors
    /// Settings that cannot work, or a file that cannot be used.
    pub fn new(settings: &EtcdSettings, pair: &str, role: Role, boot: BootId) -> Result<Etcd, EtcdError> {
        settings.check()?;
        Ok(Etcd {
            host: Host { role, boot },
            keys: Keys::new(&settings.prefix, pair),
            link: Link::new(settings)?,
            attempt_limit: settings.attempt_limit,
            store: None,
            contents: None,
            current: false,
            own: Own::default(),
            rolled_back: None,
        })
    }

    /// Asks, and answers within the attempt limit: connecting, signing in and a second look are all inside of it. Safe to
    /// drop half-way: whatever was on its way may take effect, and is found by the next question.
    pub async fn ask(&mut self, request: ArbiterRequest) -> ArbiterReply {
        if let Some(why) = &self.rolled_back {
            return ArbiterReply::Failed(ArbiterFailure::RolledBack(why.clone()));
        }
        let until = Instant::now() + self.attempt_limit;
        let reply = timeout_at(until, self.answer(request, until)).await;
        let failure = match reply {
            Ok(Ok(reply)) => return reply,
            Ok(Err(failure)) => failure,
            Err(_late) => ArbiterFailure::TimedOut,
        };
        if let ArbiterFailure::RolledBack(why) = &failure {
            self.rolled_back = Some(why.clone());
        }
        ArbiterReply::Failed(failure)
    }

    async fn answer(&mut self, request: ArbiterRequest, until: Instant) -> Result<ArbiterReply, ArbiterFailure> {
        match request {
            ArbiterRequest::Observe => {
                let role = self.host.role;
                self.read(until).await.map(|contents| ArbiterReply::Seen(contents.view(role)))
            }
            ArbiterRequest::Claim { epoch, stamp } => self.claim(epoch, stamp, until).await,
            ArbiterRequest::Renew { epoch, hold, terms } => self.renew(epoch, hold, terms, until).await,
            ArbiterRequest::Release { epoch, terms } => self.release(epoch, terms, until).await,
        }
    }

    async fn claim(&mut self, epoch: Epoch, stamp: Stamp, until: Instant) -> Result<ArbiterReply, ArbiterFailure> {
        let wanted = Claim { epoch, owner: self.host.role, boot: self.host.boot };
        let contents = self.known(until).await?;
        if contents.stamp(self.host.role) == stamp && contents.claim().is_none_or(|latest| latest.epoch < epoch) {
            let claims = Claims { claim: wanted, before: contents.claim() };
            let value = claims.encode().map_err(unwritable)?;
            let peer = self.host.role.peer();
            let transaction = Txn::new()
                .when([
                    unchanged(self.keys.claim(), contents.claim_revision()),
                    unchanged(self.keys.slot(peer), contents.slot_revision(peer)),
                ])
                .and_then([TxnOp::put(self.keys.claim(), value.clone(), None)]);
            if let Some(revision) = self.write(transaction, until).await? {
                self.remember(|contents| contents.claims = Some(Kept { record: claims, value, revision }));
                return Ok(ArbiterReply::Claimed);
            }
        }
        // Perhaps the claim was made before, and only its answer was lost.
        let contents = self.read(until).await?;
        Ok(if contents.claim() == Some(wanted) { ArbiterReply::Claimed } else { ArbiterReply::NotClaimed })
    }

    /// What the keys held last, read now if that is not sure.
    async fn known(&mut self, until: Instant) -> Result<Contents, ArbiterFailure> {
        match &self.contents {
            Some(contents) if self.current => Ok(contents.clone()),
            _ => self.read(until).await,
        }
    }

    async fn read(&mut self, until: Instant) -> Result<Contents, ArbiterFailure> {
        let response = self.link.read(&self.keys, until).await?;
        self.check_store(response.header())?;
        let contents = self.check_contents(&response)?;
        self.contents = Some(contents.clone());
        self.current = true;
        Ok(contents)
    }

    fn check_contents(&self, response: &GetResponse) -> Result<Contents, ArbiterFailure> {
        let contents = Contents::of(response, &self.keys)?;
        match self.contents.as_ref().and_then(|earlier| contents.lost_since(earlier)) {
            Some(lost) => Err(ArbiterFailure::RolledBack(format!("in etcd {lost}"))),
            None => Ok(contents),
        }
    }

    /// Performs a transaction; gives the revision at which it wrote, or `None` if its comparisons did not hold.
    async fn write(&mut self, transaction: Txn, until: Instant) -> Result<Option<i64>, ArbiterFailure> {
        self.current = false;
        let response: TxnResponse = self.link.write(transaction, until).await?;
        let revision = self.check_store(response.header())?;
        Ok(response.succeeded().then_some(revision))
    }

    /// Takes over what a successful write changed.
    fn remember(&mut self, change: impl FnOnce(&mut Contents)) {
        change(self.contents.get_or_insert_default());
        self.current = true;
    }

    /// The revision of an answer. It never falls in one and the same store, whoever writes to it and whichever member
    /// answers: a fall shows a restored copy even if the keys of this pair look as they did.
    fn check_store(&mut self, header: Option<&ResponseHeader>) -> Result<i64, ArbiterFailure> {
        let header = header.ok_or_else(|| ArbiterFailure::Damaged("etcd answered without a header".to_owned()))?;
        let now = Store { cluster: header.cluster_id(), revision: header.revision() };
        if let Some(earlier) = self.store {
            if now.cluster != earlier.cluster {
                let why = format!("cluster {:x} answers for etcd, and {:x} did before", now.cluster, earlier.cluster);
                return Err(ArbiterFailure::RolledBack(why));
            }
            if now.revision < earlier.revision {
                let why = format!("etcd is at revision {}, and was at {}", now.revision, earlier.revision);
                return Err(ArbiterFailure::RolledBack(why));
            }
        }
        self.store = Some(now);
        Ok(now.revision)
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd")
            .field("keys", &self.keys)
            .field("endpoint", &self.link.endpoint())
            .finish_non_exhaustive()
    }
}

/// Holds if the key was written last at `revision`, or never if that is 0.
fn unchanged(key: &str, revision: i64) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, revision)
}

/// A record of ours always fits; a way out all the same, instead of a panic.
fn unwritable(error: RecordError) -> ArbiterFailure {
    ArbiterFailure::Unreachable(format!("a record for etcd cannot be written: {error}"))
}
