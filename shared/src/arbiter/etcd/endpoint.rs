//! Where one member of etcd serves its clients.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::settings::EtcdError;

/// `http://host:port` or `https://host:port`, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Endpoint, EtcdError> {
        Endpoint::parts(text).ok_or_else(|| {
            // Somebody may have written a password before the host. It is not shown.
            EtcdError::Endpoint(text.rsplit_once('@').map_or(text, |(_, after)| after).to_owned())
        })
    }

    fn parts(text: &str) -> Option<Endpoint> {
        let (tls, authority) = match text.strip_prefix("https://") {
            Some(authority) => (true, authority),
            None => (false, text.strip_prefix("http://")?),
        };
        let (host, port) = authority.rsplit_once(':')?;
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
        };
        (is_host && port != 0).then(|| Endpoint { host: bracketed.unwrap_or(host).to_owned(), port, tls })
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { host, port, tls } = self;
        let scheme = if *tls { "https" } else { "http" };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host_and_a_port_and_nothing_else() {
        for good in
            ["http://127.0.0.1:2379", "https://etcd-1.example.org:2379", "http://[::1]:2379", "https://[2001:db8::1]:1"]
        {
            assert_eq!(Endpoint::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "192.0.2.1:2379",
            "http://192.0.2.1",
            "http://:2379",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "ftp://a:1",
            "http://a:1/",
            "http://a b:1",
            "http://[zz]:1",
            "http://::1:1",
            "http://a:1?x",
            "",
        ] {
            assert!(matches!(Endpoint::parse(bad), Err(EtcdError::Endpoint(shown)) if shown == bad), "{bad}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_without_being_shown() {
        let error = Endpoint::parse("https://user:geh@eim@192.0.2.1:2379").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("eim"), "{error:?}");
    }
}
