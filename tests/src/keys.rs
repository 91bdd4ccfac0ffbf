//! The keys and certificates of a pair that a test or the demo sets up.

use std::path::Path;

use anyhow::{Context as _, Result};
use failover_shared::provision::{create_host_certificate, create_pair_key};

/// Makes the pair's key and both certificates in `folder`.
///
/// # Errors
/// When one of them is there already.
pub fn make_keys(folder: &Path, hosts: [&str; 2]) -> Result<()> {
    create_pair_key(folder).context("make the pair's key")?;
    for host in hosts {
        create_host_certificate(folder, host).with_context(|| format!("make the certificate of {host}"))?;
    }
    Ok(())
}

/// The files that `own` of the pair needs from [`make_keys`]: everything but the other host's private key.
#[must_use]
pub fn key_files(own: &str, hosts: [&str; 2]) -> Vec<String> {
    let mut files = vec!["pair.key".to_owned(), format!("{own}.key.pem")];
    files.extend(hosts.map(|host| format!("{host}.cert.pem")));
    files
}
