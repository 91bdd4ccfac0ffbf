//! The questions of the tests, for hosts of the pair `mail`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use failover_shared::arbiter::etcd::{Etcd, EtcdSettings, PREFIX_DEFAULT};
use failover_shared::decision::{
    ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Epoch, Millis, Role, Stamp, Terms, View,
};

use super::Cluster;

/// What the slots say.
pub const TERMS: Terms = Terms { lease_ms: Millis(60_000), drift_permille: 10, digest: 0x00fe_dcba, version: 1 };

/// Long enough for a machine that is busy: most tests wait for answers, not for time-outs.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// How long etcd may take to be of use again after a member was lost.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);

/// No user, no TLS, a long attempt.
#[must_use]
pub fn settings(endpoints: Vec<String>) -> EtcdSettings {
    EtcdSettings {
        endpoints,
        prefix: PREFIX_DEFAULT.to_owned(),
        user: None,
        password_file: None,
        ca_file: None,
        client_certificate_file: None,
        client_key_file: None,
        attempt_limit: ATTEMPT_LIMIT,
    }
}

/// The kernel start of a host.
#[must_use]
pub fn boot(role: Role) -> BootId {
    BootId(match role {
        Role::Master => 0xaaaa << 96,
        Role::Slave => 0xbbbb << 96,
    })
}

/// A host that asks all members.
///
/// # Errors
/// The settings are refused.
pub fn host(cluster: &Cluster, role: Role) -> Result<Etcd> {
    host_with(&settings(cluster.endpoints()), role)
}

/// A host with settings of its own.
///
/// # Errors
/// They are refused.
pub fn host_with(settings: &EtcdSettings, role: Role) -> Result<Etcd> {
    Ok(Etcd::new(settings, "mail", role, boot(role))?)
}

/// What the arbiter holds.
///
/// # Errors
/// Any other answer.
pub async fn observe(etcd: &mut Etcd) -> Result<View> {
    match etcd.ask(ArbiterRequest::Observe).await {
        ArbiterReply::Seen(view) => Ok(view),
        other => bail!("asked to observe: {other:?}"),
    }
}

/// The answer to a claim.
pub async fn claim(etcd: &mut Etcd, epoch: u64, stamp: Stamp) -> ArbiterReply {
    etcd.ask(ArbiterRequest::Claim { epoch: Epoch(epoch), stamp }).await
}

/// The answer to a renewal.
pub async fn renew(etcd: &mut Etcd, epoch: u64) -> ArbiterReply {
    etcd.ask(ArbiterRequest::Renew { epoch: Epoch(epoch), hold: false, terms: TERMS }).await
}

/// The answer to a release.
pub async fn release(etcd: &mut Etcd, epoch: u64) -> ArbiterReply {
    etcd.ask(ArbiterRequest::Release { epoch: Epoch(epoch), terms: TERMS }).await
}

/// Looks and claims.
///
/// # Errors
/// It is not this host's then.
pub async fn claim_now(etcd: &mut Etcd, epoch: u64) -> Result<()> {
    let stamp = observe(etcd).await?.stamp;
    let reply = claim(etcd, epoch, stamp).await;
    ensure!(reply == ArbiterReply::Claimed, "claim of epoch {epoch}: {reply:?}");
    Ok(())
}

/// Renews.
///
/// # Errors
/// Any answer but `Renewed`.
pub async fn renew_now(etcd: &mut Etcd, epoch: u64) -> Result<()> {
    let reply = renew(etcd, epoch).await;
    ensure!(reply == ArbiterReply::Renewed, "renewal of epoch {epoch}: {reply:?}");
    Ok(())
}

/// Renews until it works: a time-out that an election or a busy machine brings is no failure of the code.
///
/// # Errors
/// Any other answer, or the limit is over.
pub async fn renew_within(etcd: &mut Etcd, epoch: u64) -> Result<()> {
    let begin = Instant::now();
    loop {
        match renew(etcd, epoch).await {
            ArbiterReply::Renewed => return Ok(()),
            ArbiterReply::Failed(ArbiterFailure::TimedOut | ArbiterFailure::Unreachable(_))
                if begin.elapsed() < RECOVERY_LIMIT => {}
            other => bail!("renewal of epoch {epoch}, after {:?}: {other:?}", begin.elapsed()),
        }
    }
}
