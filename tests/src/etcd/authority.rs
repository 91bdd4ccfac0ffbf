//! A certificate authority for one test.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

/// Signs certificates for servers and clients on loopback.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
    folder: PathBuf,
    name: String,
}

/// Files that a server or a client is started with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The own certificate.
    pub certificate: PathBuf,
    /// Its key, mode 0600.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whose files lie in `folder` and begin with `name`.
    ///
    /// # Errors
    /// OpenSSL or the disk refuses.
    pub fn new(folder: &Path, name: &str) -> Result<Authority> {
        let key = key()?;
        let mut builder = builder(name, &key)?;
        let own = named(name)?;
        builder.set_issuer_name(&own)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let authority =
            Authority { certificate: builder.build(), key, folder: folder.to_owned(), name: name.to_owned() };
        fs::write(authority.file("authority"), authority.certificate.to_pem()?)?;
        Ok(authority)
    }

    /// A certificate for the loopback `address` under the common name `subject`, for servers and clients.
    ///
    /// # Errors
    /// OpenSSL or the disk refuses.
    pub fn sign(&self, subject: &str, address: &str) -> Result<Credential> {
        let key = key()?;
        let mut builder = builder(subject, &key)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        let names =
            SubjectAlternativeName::new().ip(address).build(&builder.x509v3_context(Some(&self.certificate), None))?;
        builder.append_extension(names)?;
        builder.append_extension(ExtendedKeyUsage::new().server_auth().client_auth().build()?)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        let credential = Credential {
            authority: self.file("authority"),
            certificate: self.file(subject),
            key: self.file(&format!("{subject}-key")),
        };
        fs::write(&credential.certificate, builder.build().to_pem()?)?;
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&credential.key)?;
        std::io::Write::write_all(&mut file, &key.private_key_to_pem_pkcs8()?)?;
        Ok(credential)
    }

    fn file(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}-{what}.pem", self.name))
    }
}

fn key() -> Result<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

fn builder(subject: &str, key: &PKey<Private>) -> Result<X509Builder> {
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let (serial, subject) = (serial.to_asn1_integer()?, named(subject)?);
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_pubkey(key)?;
    let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    Ok(builder)
}

fn named(name: &str) -> Result<X509Name> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}
