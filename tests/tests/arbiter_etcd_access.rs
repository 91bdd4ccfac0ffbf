//! Who may ask a real etcd, and whom the arbiter believes to be one.
#![cfg(feature = "etcd")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use failover_shared::arbiter::etcd::{Etcd, EtcdError, EtcdSettings};
use failover_shared::decision::{ArbiterFailure, ArbiterReply, ArbiterRequest, Role};
use failover_tests::etcd::ask::{boot, claim_now, host_with, renew_now, settings};
use failover_tests::etcd::{Authority, Cluster};

#[tokio::test]
async fn a_user_needs_the_right_password_and_the_right_to_the_keys() -> Result<()> {
    let test = "a_user_needs_the_right_password_and_the_right_to_the_keys";
    let Some(cluster) = Cluster::start(test, 1)? else { return Ok(()) };
    for user in ["root", "pair", "stranger"] {
        cluster.control(&["user", "add", user, "--interactive=false"], "geheim\n")?;
    }
    allow_pair_and_enable(&cluster)?;

    let folder = tempfile::tempdir()?;
    let as_user = |user: &str, password: &str| -> Result<EtcdSettings> {
        let file = folder.path().join(format!("{user}-{password}"));
        fs::write(&file, format!("{password}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        Ok(EtcdSettings { user: Some(user.to_owned()), password_file: Some(file), ..settings(cluster.endpoints()) })
    };
    let right = as_user("pair", "geheim")?;
    let mut master = host_with(&right, Role::Master)?;
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    for (wrong, word) in [
        (as_user("pair", "falsches-wort")?, "authentication failed"),
        (as_user("stranger", "geheim")?, "permission denied"),
        (settings(cluster.endpoints()), "user name is empty"),
    ] {
        let mut etcd = host_with(&wrong, Role::Slave)?;
        let reply = etcd.ask(ArbiterRequest::Observe).await;
        let shown = format!("{reply:?} {etcd:?}");
        ensure!(
            matches!(reply, ArbiterReply::Failed(ArbiterFailure::Unreachable(_))) && shown.contains(word),
            "{shown}"
        );
        ensure!(!shown.contains("geheim") && !shown.contains("wort"), "a password is shown: {shown}");
    }
    fs::set_permissions(folder.path().join("pair-geheim"), fs::Permissions::from_mode(0o640))?;
    let error = host_with(&right, Role::Master).err().context("a password that others may read was used")?;
    ensure!(format!("{error:#}").contains("chmod 600"), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn tls_takes_only_the_configured_authority_and_shows_the_clients_certificate() -> Result<()> {
    let test = "tls_takes_only_the_configured_authority_and_shows_the_clients_certificate";
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "own")?;
    let server = authority.sign("server", "127.0.0.1")?;
    let client = authority.sign("client", "127.0.0.1")?;
    let foreign = Authority::new(folder.path(), "foreign")?.sign("client", "127.0.0.1")?;
    let Some(cluster) = Cluster::start_with_tls(test, 1, &server)? else { return Ok(()) };
    let with = |authority: &Path, credential: Option<(&PathBuf, &PathBuf)>| EtcdSettings {
        ca_file: Some(authority.to_owned()),
        client_certificate_file: credential.map(|(certificate, _)| certificate.clone()),
        client_key_file: credential.map(|(_, key)| key.clone()),
        ..settings(cluster.endpoints())
    };
    let good = with(&client.authority, Some((&client.certificate, &client.key)));
    let mut master = host_with(&good, Role::Master)?;
    claim_now(&mut master, 1).await?;
    renew_now(&mut master, 1).await?;
    // With TLS 1.3 a client whose certificate is refused sees either the alert or only the closed connection.
    for (case, bad, word) in [
        (
            "its authority is not ours",
            with(&foreign.authority, Some((&client.certificate, &client.key))),
            "verify failed",
        ),
        ("ours is not its", with(&client.authority, Some((&foreign.certificate, &foreign.key))), "https://127.0.0.1"),
        ("no certificate", with(&client.authority, None), "https://127.0.0.1"),
    ] {
        let mut etcd = host_with(&bad, Role::Slave)?;
        let reply = etcd.ask(ArbiterRequest::Observe).await;
        let ArbiterReply::Failed(ArbiterFailure::Unreachable(why)) = &reply else { bail!("{case}: {reply:?}") };
        ensure!(why.contains(word), "{case}: {why}");
    }
    let swapped = with(&client.authority, Some((&client.certificate, &foreign.key)));
    let error = Etcd::new(&swapped, "mail", Role::Slave, boot(Role::Slave)).err();
    ensure!(matches!(error, Some(EtcdError::Mismatch { .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_certificates_name_is_a_user_without_a_password() -> Result<()> {
    let test = "a_client_certificates_name_is_a_user_without_a_password";
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "own")?;
    let Some(cluster) = Cluster::start_with_tls(test, 1, &authority.sign("server", "127.0.0.1")?)? else {
        return Ok(());
    };
    for user in ["root", "pair", "stranger"] {
        cluster.control(&["user", "add", user, "--no-password"], "")?;
    }
    allow_pair_and_enable(&cluster)?;
    for (user, may) in [("pair", true), ("stranger", false)] {
        let client = authority.sign(user, "127.0.0.1")?;
        let settings = EtcdSettings {
            ca_file: Some(client.authority),
            client_certificate_file: Some(client.certificate),
            client_key_file: Some(client.key),
            ..settings(cluster.endpoints())
        };
        let reply = host_with(&settings, Role::Master)?.ask(ArbiterRequest::Observe).await;
        let as_expected = match &reply {
            ArbiterReply::Seen(_) => may,
            ArbiterReply::Failed(ArbiterFailure::Unreachable(why)) => !may && why.contains("permission denied"),
            _ => false,
        };
        ensure!(as_expected, "{user}: {reply:?}");
    }
    Ok(())
}

/// Users must exist. `pair` may use the keys of the pair `mail`, and nobody else may.
fn allow_pair_and_enable(cluster: &Cluster) -> Result<()> {
    let grant = ["role", "grant-permission", "failover-mail", "--prefix=true", "readwrite", "/failover/mail/"];
    cluster.control(&["role", "add", "failover-mail"], "")?;
    cluster.control(&grant, "")?;
    cluster.control(&["user", "grant-role", "pair", "failover-mail"], "")?;
    cluster.control(&["user", "grant-role", "root", "root"], "")?;
    cluster.control(&["auth", "enable"], "").map(drop)
}

#[tokio::test]
async fn a_server_with_a_certificate_for_another_address_is_not_talked_to() -> Result<()> {
    let test = "a_server_with_a_certificate_for_another_address_is_not_talked_to";
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "own")?;
    let client = authority.sign("client", "127.0.0.1")?;
    let Some(cluster) = Cluster::start_with_tls(test, 1, &authority.sign("server", "127.0.0.2")?)? else {
        return Ok(());
    };
    let settings = EtcdSettings {
        ca_file: Some(client.authority),
        client_certificate_file: Some(client.certificate),
        client_key_file: Some(client.key),
        ..settings(cluster.endpoints())
    };
    let reply = host_with(&settings, Role::Slave)?.ask(ArbiterRequest::Observe).await;
    let ArbiterReply::Failed(ArbiterFailure::Unreachable(why)) = &reply else { bail!("{reply:?}") };
    ensure!(why.contains("IP address mismatch"), "{why}");
    Ok(())
}
