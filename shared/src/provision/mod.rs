//! Keys, certificates and the first configuration of a pair: made once, read at every start.

mod certificate;
mod file;
pub mod init;
mod key;

pub use certificate::{
    CertificateError, certificate_path, create_host_certificate, host_key_path, load_identity, peer_certificate,
};
pub use file::ProvisionError;
pub use key::{PAIR_KEY_FILE, create_pair_key, load_pair_key};
