//! TLS to etcd: one root of trust, the configured one.

use native_tls::{Certificate, Identity, Protocol, TlsConnector};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::x509::X509;
use zeroize::Zeroizing;

use super::settings::{EtcdError, EtcdSettings, certificates, secret};

/// What connections are made with; `None` without a root to trust.
pub(super) fn connector(settings: &EtcdSettings) -> Result<Option<TlsConnector>, EtcdError> {
    let Some(path) = &settings.ca_file else { return Ok(None) };
    let form = |source| EtcdError::Form { path: path.clone(), what: "certificate", source };
    let roots = X509::stack_from_pem(&certificates(path)?).map_err(form)?;
    if roots.is_empty() {
        return Err(form(ErrorStack::get()));
    }
    let mut builder = TlsConnector::builder();
    // Or any public authority could sign for our etcd.
    builder.disable_built_in_roots(true).min_protocol_version(Some(Protocol::Tlsv12));
    // gRPC over TLS asks for HTTP/2 by name; etcd's newer servers refuse who does not.
    builder.request_alpns(&["h2"]);
    for root in roots {
        let der = root.to_der().map_err(form)?;
        builder.add_root_certificate(Certificate::from_der(&der).map_err(EtcdError::Tls)?);
    }
    if let Some(identity) = identity(settings)? {
        builder.identity(identity);
    }
    builder.build().map(Some).map_err(EtcdError::Tls)
}

/// The client's certificate with those that lead to its root, and its key.
fn identity(settings: &EtcdSettings) -> Result<Option<Identity>, EtcdError> {
    let (Some(certificate), Some(key)) = (&settings.client_certificate_file, &settings.client_key_file) else {
        return Ok(None);
    };
    let form = |source| EtcdError::Form { path: certificate.clone(), what: "certificate", source };
    let chain = certificates(certificate)?;
    let own = X509::from_pem(&chain).and_then(|own| own.public_key()).map_err(form)?;
    let pem = secret("client key", key)?;
    let form = |source| EtcdError::Form { path: key.clone(), what: "private key", source };
    // Without an answer of ours OpenSSL would ask for an encrypted key's pass phrase on the terminal.
    let private = PKey::private_key_from_pem_callback(pem.expose(), |_| Ok(0)).map_err(form)?;
    if !own.public_eq(&private) {
        return Err(EtcdError::Mismatch { certificate: certificate.clone(), key: key.clone() });
    }
    // native-tls takes PKCS#8 only, and only from the first byte on; other forms of a key are brought into it.
    let private = Zeroizing::new(private.private_key_to_pem_pkcs8().map_err(form)?);
    Identity::from_pkcs8(&chain, &private).map(Some).map_err(EtcdError::Tls)
}
