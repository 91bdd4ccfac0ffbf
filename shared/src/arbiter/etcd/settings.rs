//! How etcd is reached, and what of it is checked before anything is asked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::endpoint::Endpoint;
use crate::secret::{Secret, SecretError};

/// Where the keys of all pairs lie, if nothing else is configured.
pub const PREFIX_DEFAULT: &str = "/failover";

/// Most endpoints: etcd itself advises at most seven members.
pub const ENDPOINTS_MAX: usize = 7;

/// The longest prefix.
pub const PREFIX_BYTES_MAX: usize = 128;

/// The most that is read of a file with certificates.
const CERTIFICATES_BYTES_MAX: u64 = 256 * 1024;

/// What the configuration says of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// `https://192.0.2.21:2379`, one for each member, tried in turn. Either all `https` or all `http`.
    pub endpoints: Vec<String>,
    /// The keys are `PREFIX/PAIR/claim` and `PREFIX/PAIR/slot/ROLE`.
    pub prefix: String,
    /// etcd's user. Its role needs `readwrite` on all keys that begin with `PREFIX/PAIR/`.
    pub user: Option<String>,
    /// The user's password: one line, mode 0600.
    pub password_file: Option<PathBuf>,
    /// The certificates that etcd's certificate must lead to; nothing else is trusted. Needed by `https`.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown to etcd, with those between it and its root.
    pub client_certificate_file: Option<PathBuf>,
    /// Its key: PEM, mode 0600.
    pub client_key_file: Option<PathBuf>,
    /// One question is answered within this time, whatever happens (I).
    pub attempt_limit: Duration,
}

/// Why etcd cannot be used as it is configured.
#[derive(Debug, Error)]
pub enum EtcdError {
    /// None, or too many.
    #[error("etcd needs 1 to {ENDPOINTS_MAX} endpoints, and {0} are configured")]
    Endpoints(usize),
    /// Not `http://host:port` or `https://host:port`.
    #[error(
        "{0:?} is no endpoint of etcd; write `https://192.0.2.21:2379`, without a path and without a password in it"
    )]
    Endpoint(String),
    /// Some with TLS, some without.
    #[error("either all endpoints of etcd are https, or none")]
    Mixed,
    /// Keys outside of the prefix would be written.
    #[error(
        "{0:?} is no prefix for etcd's keys; write `/failover`: at most {PREFIX_BYTES_MAX} of a-z A-Z 0-9 . _ - /, a slash first, none last, none twice"
    )]
    Prefix(String),
    /// TLS without a root to trust.
    #[error("https endpoints of etcd need `ca_file`: the certificate authority that signed etcd's certificate")]
    NoAuthority,
    /// A file for TLS, but no TLS.
    #[error("`{0}` is for https endpoints of etcd, and they are http")]
    NeedsTls(&'static str),
    /// One without the other.
    #[error("`{0}` of etcd needs `{1}` as well")]
    NotAlone(&'static str, &'static str),
    /// It would cross the network for all to read.
    #[error("a password for etcd goes over https only; the endpoint {0:?} is http and not of this host")]
    PasswordInTheClear(String),
    /// Too short to try all endpoints.
    #[error("{limit:?} for one attempt is too short to try {endpoints} endpoints of etcd: each needs 50 ms")]
    TooShort {
        /// The configured limit.
        limit: Duration,
        /// How many there are.
        endpoints: usize,
    },
    /// A secret's file.
    #[error("etcd's {what}")]
    Secret {
        /// What is in it.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: SecretError,
    },
    /// The password is not text.
    #[error("{} must hold text in UTF-8: etcd takes no other password", .0.display())]
    PasswordForm(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} holds no {what} in PEM", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What OpenSSL said.
        #[source]
        source: openssl::error::ErrorStack,
    },
    /// Not a pair.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// OpenSSL refuses to start.
    #[error("TLS for etcd cannot be set up")]
    Tls(#[source] native_tls::Error),
}

impl EtcdSettings {
    /// What can be said without reading a file.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), EtcdError> {
        if !(1..=ENDPOINTS_MAX).contains(&self.endpoints.len()) {
            return Err(EtcdError::Endpoints(self.endpoints.len()));
        }
        let endpoints = self.parsed_endpoints()?;
        let tls = endpoints.iter().any(|endpoint| endpoint.tls);
        if tls && !endpoints.iter().all(|endpoint| endpoint.tls) {
            return Err(EtcdError::Mixed);
        }
        check_prefix(&self.prefix)?;
        self.check_files(tls)?;
        let open = endpoints.iter().find(|endpoint| !endpoint.tls && !endpoint.is_loopback());
        if let Some(open) = open.filter(|_| self.user.is_some()) {
            return Err(EtcdError::PasswordInTheClear(open.to_string()));
        }
        // One more than there are endpoints: the connection that stands is tried before all are connected to anew.
        let tries = u32::try_from(self.endpoints.len() + 1).unwrap_or(u32::MAX);
        if self.attempt_limit < Duration::from_millis(50) * tries {
            return Err(EtcdError::TooShort { limit: self.attempt_limit, endpoints: self.endpoints.len() });
        }
        Ok(())
    }

    fn check_files(&self, tls: bool) -> Result<(), EtcdError> {
        let pairs = [
            ("user", self.user.is_some(), "password_file", self.password_file.is_some()),
            (
                "client_certificate",
                self.client_certificate_file.is_some(),
                "client_key",
                self.client_key_file.is_some(),
            ),
        ];
        for (one, has_one, other, has_other) in pairs {
            match (has_one, has_other) {
                (true, false) => return Err(EtcdError::NotAlone(one, other)),
                (false, true) => return Err(EtcdError::NotAlone(other, one)),
                _ => {}
            }
        }
        match (tls, self.ca_file.is_some(), self.client_certificate_file.is_some()) {
            (true, false, _) => Err(EtcdError::NoAuthority),
            (false, true, _) => Err(EtcdError::NeedsTls("ca_file")),
            (false, _, true) => Err(EtcdError::NeedsTls("client_certificate")),
            _ => Ok(()),
        }
    }

    pub(super) fn parsed_endpoints(&self) -> Result<Vec<Endpoint>, EtcdError> {
        self.endpoints.iter().map(|endpoint| Endpoint::parse(endpoint)).collect()
    }

    /// User and password, read from their file.
    pub(super) fn credentials(&self) -> Result<Option<(String, Secret)>, EtcdError> {
        let (Some(user), Some(path)) = (&self.user, &self.password_file) else { return Ok(None) };
        let secret = secret("password", path)?;
        if secret.expose_text().is_none() {
            return Err(EtcdError::PasswordForm(path.clone()));
        }
        Ok(Some((user.clone(), secret)))
    }
}

/// A secret's content, refused if others may touch the file.
pub(super) fn secret(what: &'static str, path: &Path) -> Result<Secret, EtcdError> {
    Secret::read(path).map_err(|source| EtcdError::Secret { what, source })
}

/// The content of a file with certificates.
pub(super) fn certificates(path: &Path) -> Result<Vec<u8>, EtcdError> {
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CERTIFICATES_BYTES_MAX).read_to_end(&mut pem))
        .map_err(|source| EtcdError::File { path: path.to_owned(), source })?;
    Ok(pem)
}

fn check_prefix(prefix: &str) -> Result<(), EtcdError> {
    let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    let slashes = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//");
    if plain && slashes && prefix.len() <= PREFIX_BYTES_MAX {
        Ok(())
    } else {
        Err(EtcdError::Prefix(prefix.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoints: &[&str]) -> EtcdSettings {
        EtcdSettings {
            endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            prefix: PREFIX_DEFAULT.to_owned(),
            user: None,
            password_file: None,
            ca_file: endpoints.iter().any(|endpoint| endpoint.starts_with("https")).then(|| PathBuf::from("ca.pem")),
            client_certificate_file: None,
            client_key_file: None,
            attempt_limit: Duration::from_secs(2),
        }
    }

    #[test]
    fn endpoints_are_one_to_seven_and_of_one_kind() {
        assert!(matches!(settings(&[]).check(), Err(EtcdError::Endpoints(0))));
        assert!(matches!(settings(&["http://a:1"; 8]).check(), Err(EtcdError::Endpoints(8))));
        assert!(settings(&["http://a:1"; 7]).check().is_ok());
        assert!(matches!(settings(&["http://a:1", "https://b:1"]).check(), Err(EtcdError::Mixed)));
        assert!(matches!(settings(&["a:1"]).check(), Err(EtcdError::Endpoint(_))));
    }

    #[test]
    fn a_password_does_not_leave_the_host_in_the_clear() {
        let mut with_user = EtcdSettings {
            user: Some("pair".to_owned()),
            ..settings(&["http://127.0.0.1:2379", "http://192.0.2.1:2379"])
        };
        with_user.password_file = Some("password".into());
        let error = with_user.check().unwrap_err();
        assert!(matches!(&error, EtcdError::PasswordInTheClear(endpoint) if endpoint.contains("192.0.2.1")), "{error}");
        with_user.endpoints.pop();
        assert!(with_user.check().is_ok());
    }

    #[test]
    fn files_that_belong_together_are_asked_for_together() {
        let plain = settings(&["http://a:1"]);
        let tls = settings(&["https://a:1"]);
        let file = || Some(PathBuf::from("file"));
        let alone = [
            EtcdSettings { user: Some("pair".to_owned()), ..tls.clone() },
            EtcdSettings { password_file: file(), ..tls.clone() },
            EtcdSettings { client_certificate_file: file(), ..tls.clone() },
            EtcdSettings { client_key_file: file(), ..tls.clone() },
        ];
        for settings in alone {
            assert!(matches!(settings.check(), Err(EtcdError::NotAlone(..))), "{settings:?}");
        }
        assert!(matches!(EtcdSettings { ca_file: None, ..tls }.check(), Err(EtcdError::NoAuthority)));
        assert!(matches!(EtcdSettings { ca_file: file(), ..plain }.check(), Err(EtcdError::NeedsTls("ca_file"))));
    }

    #[test]
    fn a_prefix_keeps_the_keys_of_pairs_apart() {
        for bad in ["", "/", "failover", "/a/", "/a//b", "/a b", "/ä"] {
            let settings = EtcdSettings { prefix: bad.to_owned(), ..settings(&["http://a:1"]) };
            assert!(matches!(settings.check(), Err(EtcdError::Prefix(_))), "{bad}");
        }
        assert!(EtcdSettings { prefix: "/ha/mail".to_owned(), ..settings(&["http://a:1"]) }.check().is_ok());
    }

    #[test]
    fn an_attempt_leaves_time_for_every_endpoint() {
        let short = EtcdSettings { attempt_limit: Duration::from_millis(199), ..settings(&["http://a:1"; 3]) };
        assert!(matches!(short.check(), Err(EtcdError::TooShort { endpoints: 3, .. })));
        assert!(EtcdSettings { attempt_limit: Duration::from_millis(200), ..short }.check().is_ok());
    }
}
