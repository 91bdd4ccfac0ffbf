//! The self-signed certificate of each host. The peer pins it: it is the only root it trusts for this connection.

use std::io;
use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use thiserror::Error;
use zeroize::Zeroizing;

use super::file::{ProvisionError, create};
use crate::secret::{Secret, SecretError};

/// A host with an empty clock battery boots in 1970, and its certificate must be valid there too. No Unix clock shows an
/// earlier year.
const VALID_FROM: &str = "19700101000000Z";
/// The pin is taken back by removing the file, not by a date that passes unnoticed on a Sunday.
const VALID_TO: &str = "40960101000000Z";
/// Room for a chain is not needed: there is none.
const CERTIFICATE_BYTES_MAX: u64 = 16 * 1024;

/// Why a host's key or certificate was not taken.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The private key's file is not to be used.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The certificate cannot be read.
    #[error("the certificate {} cannot be read: {source}; copy it from the host it belongs to", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file holds no certificate or no key in PEM.
    #[error("{} holds no {what} in PEM: {source}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// OpenSSL's answer.
        source: ErrorStack,
    },
    /// The certificate belongs to another key.
    #[error(
        "the certificate {} does not belong to the key {}: one of them is of another host or an older making",
        certificate.display(), key.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The signature names no digest (Ed25519, RSA-PSS), so a connection could not be bound to the certificate.
    #[error(
        "the certificate {} is signed with {algorithm}, which gives no channel binding (RFC 5929, section 4.1): make one with \
         `failoverctl init`, or use ECDSA with SHA-256",
        path.display()
    )]
    NoBinding {
        /// The file.
        path: PathBuf,
        /// The signature's algorithm.
        algorithm: String,
    },
    /// native-tls does not take the pair of files.
    #[error("the TLS library does not take {}: {source}", path.display())]
    Tls {
        /// The certificate's file.
        path: PathBuf,
        /// The library's answer.
        source: native_tls::Error,
    },
}

/// `<host>.cert.pem` in `dir`.
#[must_use]
pub fn certificate_path(dir: &Path, host: &str) -> PathBuf {
    dir.join(format!("{host}.cert.pem"))
}

/// `<host>.key.pem` in `dir`.
#[must_use]
pub fn host_key_path(dir: &Path, host: &str) -> PathBuf {
    dir.join(format!("{host}.key.pem"))
}

/// Makes a key (ECDSA, P-256) and a self-signed certificate for `host` and writes both, mode 0600. Returns the paths of
/// certificate and key.
///
/// # Errors
/// One of the files is there already or cannot be written; OpenSSL refuses. No half of the pair is left behind.
pub fn create_host_certificate(dir: &Path, host: &str) -> Result<(PathBuf, PathBuf), ProvisionError> {
    let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    // 64 characters are all that a common name holds (RFC 5280, ub-common-name).
    if !plain || host.is_empty() || host.starts_with(['.', '-']) || host.len() > 63 {
        return Err(ProvisionError::HostName(host.to_owned()));
    }
    let (certificate_file, key_file) = (certificate_path(dir, host), host_key_path(dir, host));
    if certificate_file.exists() {
        return Err(ProvisionError::Exists { path: certificate_file });
    }
    let refused = |source| ProvisionError::OpenSsl { host: host.to_owned(), source };
    let key = generate_key().map_err(refused)?;
    let certificate = self_sign(&key, host).and_then(|certificate| certificate.to_pem()).map_err(refused)?;
    let key_pem = Zeroizing::new(key.private_key_to_pem_pkcs8().map_err(refused)?);
    create(&key_file, &key_pem)?;
    if let Err(error) = create(&certificate_file, &certificate) {
        // This call made the key a moment ago; without its certificate it is of no use and would block the next try.
        let _ = std::fs::remove_file(&key_file);
        return Err(error);
    }
    Ok((certificate_file, key_file))
}

fn generate_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn self_sign(key: &PKey<Private>, host: &str) -> Result<X509, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, host)?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    // Random, so that two certificates of one name are told apart (RFC 5280, section 4.1.2.2: at most 20 octets).
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;

    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&*Asn1Time::from_str_x509(VALID_FROM)?)?;
    builder.set_not_after(&*Asn1Time::from_str_x509(VALID_TO)?)?;
    builder.set_pubkey(key)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    let subject = SubjectAlternativeName::new().dns(host).build(&builder.x509v3_context(None, None))?;
    builder.append_extension(subject)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Reads the own key and certificate.
///
/// # Errors
/// A file cannot be read or others can read the key; the two do not belong together (the TLS library would take them
/// silently, and every handshake would fail); the certificate gives no channel binding.
pub fn load_identity(dir: &Path, host: &str) -> Result<native_tls::Identity, CertificateError> {
    let (certificate_file, key_file) = (certificate_path(dir, host), host_key_path(dir, host));
    let certificate = read_certificate(&certificate_file)?;
    let secret = Secret::read(&key_file)?;
    let form = |source| CertificateError::Form { path: key_file.clone(), what: "private key", source };
    // With a call-back that gives no passphrase an encrypted key is an error, not a question at the terminal.
    let key = PKey::private_key_from_pem_callback(secret.expose(), |_| Ok(0)).map_err(form)?;
    let form_of_certificate =
        |source| CertificateError::Form { path: certificate_file.clone(), what: "certificate", source };
    if !certificate.public_key().map_err(form_of_certificate)?.public_eq(&key) {
        return Err(CertificateError::Mismatch { certificate: certificate_file, key: key_file });
    }
    // native-tls takes PKCS#8 only, and only from the first byte on; other forms of a key are brought into it.
    let key_pem = Zeroizing::new(key.private_key_to_pem_pkcs8().map_err(form)?);
    let certificate_pem = certificate.to_pem().map_err(form_of_certificate)?;
    native_tls::Identity::from_pkcs8(&certificate_pem, &key_pem)
        .map_err(|source| CertificateError::Tls { path: certificate_file, source })
}

/// Reads the peer's certificate: the only root that the channel trusts.
///
/// # Errors
/// The file cannot be read, holds no certificate, or the certificate gives no channel binding.
pub fn peer_certificate(dir: &Path, host: &str) -> Result<native_tls::Certificate, CertificateError> {
    let path = certificate_path(dir, host);
    let form = |source| CertificateError::Form { path: path.clone(), what: "certificate", source };
    let der = read_certificate(&path)?.to_der().map_err(form)?;
    native_tls::Certificate::from_der(&der).map_err(|source| CertificateError::Tls { path, source })
}

fn read_certificate(path: &Path) -> Result<X509, CertificateError> {
    use std::io::Read as _;

    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CERTIFICATE_BYTES_MAX).read_to_end(&mut pem))
        .map_err(|source| CertificateError::Read { path: path.to_owned(), source })?;
    let certificate = X509::from_pem(&pem).map_err(|source| CertificateError::Form {
        path: path.to_owned(),
        what: "certificate",
        source,
    })?;
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = algorithm.signature_algorithms().map_or(Nid::UNDEF, |algorithms| algorithms.digest);
    if digest == Nid::UNDEF {
        let algorithm = algorithm.long_name().unwrap_or("an unknown algorithm").to_owned();
        return Err(CertificateError::NoBinding { path: path.to_owned(), algorithm });
    }
    Ok(certificate)
}

#[cfg(test)]
mod tests;
