//! How etcd is reached.

use std::net::IpAddr;
use std::time::Duration;

use super::super::arbiter::Etcd;
use super::super::duration::show;
use super::super::fields::Fields;
use super::super::leaf::{path, text};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::Node;

const ENDPOINTS_MAX: usize = 7;
const PREFIX_BYTES_MAX: usize = 128;
/// What the question to one endpoint needs at least.
const ENDPOINT_LEAST: Duration = Duration::from_millis(50);

pub(super) fn etcd(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Read<Etcd> {
    let endpoints = fields.required(
        reader,
        "endpoints",
        "[\"https://192.0.2.21:2379\", \"https://192.0.2.22:2379\", \"https://192.0.2.23:2379\"]",
        |reader, node, path| reader.list(node, path, (1, ENDPOINTS_MAX), endpoint),
    );
    let prefix = fields.or(reader, "prefix", "\"/failover\"", prefix);
    let user = fields.optional(reader, "user", text);
    let password_file = fields.optional(reader, "password_file", path);
    let ca_file = fields.optional(reader, "ca_file", path);
    let client_certificate_file = fields.optional(reader, "client_certificate_file", path);
    let client_key_file = fields.optional(reader, "client_key_file", path);
    let etcd = Etcd {
        endpoints: endpoints?,
        prefix: prefix?,
        user: user?,
        password_file: password_file?,
        ca_file: ca_file?,
        client_certificate_file: client_certificate_file?,
        client_key_file: client_key_file?,
    };
    rules(reader, fields, &etcd);
    Some(etcd)
}

/// One attempt asks the connection that stands, then each endpoint anew.
pub(super) fn attempt(reader: &mut Reader<'_>, fields: &Fields<'_>, etcd: &Etcd, attempt: Duration) {
    let tries = u32::try_from(etcd.endpoints.len()).unwrap_or(u32::MAX).saturating_add(1);
    let needed = ENDPOINT_LEAST.saturating_mul(tries);
    if attempt < needed {
        let count = etcd.endpoints.len();
        let message = format!("`attempt` {} is too short to ask {count} endpoints of etcd", show(attempt));
        let problem = Problem::at(fields.place_within("profile", "attempt"), message);
        reader.problem(problem.help(format!("write `attempt: \"{}\"` or more", show(needed))));
    }
}

fn rules(reader: &mut Reader<'_>, fields: &Fields<'_>, etcd: &Etcd) {
    let mut refuse = |key: &str, message: String, help: &str| {
        reader.problem(Problem::at(fields.place(key), message).help(help));
    };
    let secure = etcd.endpoints.iter().filter(|endpoint| endpoint.starts_with("https:")).count();
    if secure != 0 && secure != etcd.endpoints.len() {
        let help = "write `https://` in front of all of them";
        return refuse("endpoints", "some endpoints are https and some are http".into(), help);
    }
    let pairs = [
        ("user", etcd.user.is_some(), "password_file", etcd.password_file.is_some()),
        (
            "client_certificate_file",
            etcd.client_certificate_file.is_some(),
            "client_key_file",
            etcd.client_key_file.is_some(),
        ),
    ];
    for (one, has_one, other, has_other) in pairs {
        let (there, lacking) = if has_one { (one, other) } else { (other, one) };
        if has_one != has_other {
            refuse(
                there,
                format!("`{there}` is of no use without `{lacking}`"),
                &format!("write `{lacking}: \"…\"` too"),
            );
        }
    }
    if secure == 0 {
        let tls = [("ca_file", etcd.ca_file.is_some()), ("client_key_file", etcd.client_key_file.is_some())];
        for (key, _) in tls.into_iter().filter(|(_, there)| *there) {
            let help = "write the endpoints with `https://`, or remove this key";
            refuse(key, format!("`{key}` is for https, and the endpoints are http"), help);
        }
        let open = etcd.endpoints.iter().any(|endpoint| !is_loopback(endpoint));
        if open && etcd.user.is_some() {
            let help = "write the endpoints with `https://`, and `ca_file`";
            refuse("endpoints", "the password for etcd would cross the network in clear text".into(), help);
        }
    } else if etcd.ca_file.is_none() {
        let help =
            "add `ca_file: \"etcd-ca.pem\"`: the authority that signed etcd's certificates; nothing else is trusted";
        refuse("endpoints", "https needs `ca_file`".into(), help);
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").and_then(|(_, rest)| rest.rsplit_once(':')).map_or("", |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `https://host:port`, left as it is: looked up when it is used.
fn endpoint(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let endpoint = text(reader, node, path)?;
    let (scheme, address) = endpoint.split_once("://").unwrap_or(("", &endpoint));
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let known = matches!(scheme, "http" | "https");
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    if !known || host.is_empty() || !host.chars().all(plain) || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        let problem = Problem::at(node.span.clone(), "this is no endpoint of etcd");
        reader.problem(problem.help("write `\"https://192.0.2.21:2379\"`: no path behind it, no password in it"));
        return None;
    }
    if in_brackets && scheme == "https" {
        let problem = Problem::at(node.span.clone(), "an IPv6 address cannot be compared with etcd's certificate");
        reader.problem(problem.help("write the member's host name"));
        return None;
    }
    Some(endpoint)
}

fn prefix(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let prefix = text(reader, node, path)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let good = prefix.strip_prefix('/').is_some_and(|rest| {
        prefix.len() <= PREFIX_BYTES_MAX && rest.split('/').all(|part| !part.is_empty() && part.chars().all(plain))
    });
    if !good {
        let problem = Problem::at(node.span.clone(), format!("{prefix:?} is no prefix for keys of etcd"));
        reader.problem(problem.help("write, for example, \"/failover\": a slash first, none last, none twice"));
        return None;
    }
    Some(prefix)
}
