//! The text of a pair's configuration, key by key, so that a test writes only what it is about.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use failover_shared::provision::{create_host_certificate, create_pair_key};

/// A configuration in the making: the values are RON.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pair: BTreeMap<&'static str, String>,
    timing: BTreeMap<&'static str, String>,
    service: BTreeMap<&'static str, String>,
}

impl Settings {
    /// A key of `Pair`.
    #[must_use]
    pub fn pair(mut self, key: &'static str, value: impl Into<String>) -> Settings {
        self.pair.insert(key, value.into());
        self
    }

    /// A key of `timing`: a span, without quotes.
    #[must_use]
    pub fn timing(mut self, key: &'static str, span: &str) -> Settings {
        self.timing.insert(key, format!("\"{span}\""));
        self
    }

    /// A key of `service`.
    #[must_use]
    pub fn service(mut self, key: &'static str, value: impl Into<String>) -> Settings {
        self.service.insert(key, value.into());
        self
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        let group = |keys: &BTreeMap<&str, String>| {
            keys.iter().map(|(key, value)| format!("        {key}: {value},\n")).collect::<String>()
        };
        let mut text = String::from("Pair(\n");
        for (key, value) in &self.pair {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    {key}: {value},");
        }
        let (timing, service) = (group(&self.timing), group(&self.service));
        text + &format!("    timing: (\n{timing}    ),\n    service: (\n{service}    ),\n)\n")
    }
}

/// A list of texts in RON.
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("{:?}", item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

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
