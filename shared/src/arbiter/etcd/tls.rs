//! TLS to etcd: one root of trust, the configured one.

use etcd_client::OpenSslClientConfig;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslVersion;
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};

use super::settings::{EtcdError, EtcdSettings, certificates, secret};

/// The client's certificate with those that lead to its root, and its key.
struct Identity {
    chain: Vec<X509>,
    key: PKey<Private>,
}

/// What the connections are made with. Without TLS it trusts nobody; etcd's client wants it all the same, and would load
/// the system's roots each time it connects.
pub(super) fn config(settings: &EtcdSettings) -> Result<OpenSslClientConfig, EtcdError> {
    let roots = roots(settings)?;
    let identity = identity(settings)?;
    let mut failed = None;
    let config = OpenSslClientConfig::default().manually(|builder| {
        let set = || -> Result<(), ErrorStack> {
            // The client library has put the system's roots in: any public authority could then sign for our etcd.
            builder.set_cert_store(roots);
            builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
            let Some(Identity { chain, key }) = identity else { return Ok(()) };
            let mut chain = chain.into_iter();
            if let Some(own) = chain.next() {
                builder.set_certificate(&own)?;
            }
            chain.try_for_each(|between| builder.add_extra_chain_cert(between))?;
            builder.set_private_key(&key)
        };
        let done = set();
        failed = done.as_ref().err().cloned();
        done
    });
    failed.map_or(Ok(config), |source| Err(EtcdError::Tls(source)))
}

fn roots(settings: &EtcdSettings) -> Result<X509Store, EtcdError> {
    let mut store = X509StoreBuilder::new().map_err(EtcdError::Tls)?;
    if let Some(path) = &settings.ca_file {
        let form = |source| EtcdError::Form { path: path.clone(), what: "certificate", source };
        let roots = X509::stack_from_pem(&certificates(path)?).map_err(form)?;
        if roots.is_empty() {
            return Err(form(ErrorStack::get()));
        }
        for root in roots {
            store.add_cert(root).map_err(form)?;
        }
    }
    Ok(store.build())
}

fn identity(settings: &EtcdSettings) -> Result<Option<Identity>, EtcdError> {
    let (Some(certificate), Some(key)) = (&settings.client_certificate_file, &settings.client_key_file) else {
        return Ok(None);
    };
    let form = |source| EtcdError::Form { path: certificate.clone(), what: "certificate", source };
    let chain = X509::stack_from_pem(&certificates(certificate)?).map_err(form)?;
    let own = chain.first().ok_or_else(|| form(ErrorStack::get()))?.public_key().map_err(form)?;
    let pem = secret("client key", key)?;
    // Without an answer of ours OpenSSL would ask for an encrypted key's pass phrase on the terminal.
    let private = PKey::private_key_from_pem_callback(pem.bytes(), |_| Ok(0)).map_err(|source| EtcdError::Form {
        path: key.clone(),
        what: "private key",
        source,
    })?;
    if !own.public_eq(&private) {
        return Err(EtcdError::Mismatch { certificate: certificate.clone(), key: key.clone() });
    }
    Ok(Some(Identity { chain, key: private }))
}
