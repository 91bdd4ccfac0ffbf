//! Certificates as the channel uses them: against a real handshake.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn pair() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    create_host_certificate(dir.path(), "cfg1").unwrap();
    create_host_certificate(dir.path(), "cfg2.example.org").unwrap();
    dir
}

/// One handshake of the server `own` with a client that trusts only `pinned`; returns both ends' channel bindings.
fn handshake(dir: &Path, own: &str, pinned: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let acceptor = native_tls::TlsAcceptor::new(load_identity(dir, own).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut tls = acceptor.accept(socket).ok()?;
        tls.write_all(b"x").ok()?;
        tls.tls_server_end_point().ok()?
    });
    let connector = native_tls::TlsConnector::builder()
        .disable_built_in_roots(true)
        .add_root_certificate(peer_certificate(dir, pinned).unwrap())
        .build()
        .unwrap();
    let client = connector.connect(own, TcpStream::connect(address).unwrap()).map_err(|error| error.to_string());
    let binding = client.map(|mut tls| {
        tls.read_exact(&mut [0]).unwrap();
        tls.tls_server_end_point().unwrap().unwrap()
    });
    let server = server.join().unwrap();
    Ok((binding?, server.unwrap()))
}

#[test]
fn a_made_certificate_carries_a_pinned_connection_with_channel_binding() {
    let dir = pair();
    let (client, server) = handshake(dir.path(), "cfg2.example.org", "cfg2.example.org").unwrap();
    assert_eq!(client, server);
    assert_eq!(client.len(), 32);
}

#[test]
fn a_certificate_that_is_not_the_pinned_one_is_refused() {
    let dir = pair();
    let error = handshake(dir.path(), "cfg1", "cfg2.example.org").unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn a_made_certificate_is_valid_whatever_the_clock_shows() {
    let dir = pair();
    let certificate = read_certificate(&certificate_path(dir.path(), "cfg1")).unwrap();
    assert!(certificate.not_before() <= &*Asn1Time::from_unix(0).unwrap());
    assert_eq!(certificate.not_after().to_string(), "Jan  1 00:00:00 4096 GMT");
}

#[test]
fn made_files_are_private_begin_as_the_tls_library_wants_and_are_never_overwritten() {
    let dir = pair();
    let key = std::fs::read(host_key_path(dir.path(), "cfg1")).unwrap();
    assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----"));
    for path in [host_key_path(dir.path(), "cfg1"), certificate_path(dir.path(), "cfg1")] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    assert!(matches!(create_host_certificate(dir.path(), "cfg1"), Err(ProvisionError::Exists { .. })));
    std::fs::remove_file(certificate_path(dir.path(), "cfg1")).unwrap();
    assert!(matches!(create_host_certificate(dir.path(), "cfg1"), Err(ProvisionError::Exists { .. })));
    assert_eq!(std::fs::read(host_key_path(dir.path(), "cfg1")).unwrap(), key);
}

#[test]
fn a_certificate_of_another_key_is_refused_at_load() {
    let dir = pair();
    let (one, other) = (certificate_path(dir.path(), "cfg1"), certificate_path(dir.path(), "cfg2.example.org"));
    std::fs::copy(other, one).unwrap();
    assert!(matches!(load_identity(dir.path(), "cfg1"), Err(CertificateError::Mismatch { .. })));
}

#[test]
fn a_certificate_without_channel_binding_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = PKey::generate_ed25519().unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "cfg1").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::null()).unwrap();
    std::fs::write(certificate_path(dir.path(), "cfg1"), builder.build().to_pem().unwrap()).unwrap();
    create(&host_key_path(dir.path(), "cfg1"), &key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let error = load_identity(dir.path(), "cfg1").err().expect("an Ed25519 certificate was taken");
    assert!(matches!(error, CertificateError::NoBinding { .. }) && error.to_string().contains("ED25519"), "{error}");
    assert!(matches!(peer_certificate(dir.path(), "cfg1"), Err(CertificateError::NoBinding { .. })));
}

#[test]
fn a_key_that_others_can_read_or_that_is_encrypted_is_refused() {
    let dir = pair();
    let path = host_key_path(dir.path(), "cfg1");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load_identity(dir.path(), "cfg1"), Err(CertificateError::Key(SecretError::Mode { .. }))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let key = PKey::private_key_from_pem(&std::fs::read(&path).unwrap()).unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    std::fs::write(&path, key.private_key_to_pem_pkcs8_passphrase(cipher, b"x").unwrap()).unwrap();
    assert!(matches!(load_identity(dir.path(), "cfg1"), Err(CertificateError::Form { .. })));
}

#[test]
fn a_name_that_leaves_the_folder_or_the_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for host in ["", "../cfg1", "a b", "-x", &"a".repeat(64)] {
        assert!(matches!(create_host_certificate(dir.path(), host), Err(ProvisionError::HostName(_))), "{host:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
