//! The single values: texts, numbers, spans of time, ports, paths, addresses.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use super::problem::Problem;
use super::reader::{Lookup, Read, Reader};
use super::tree::{Kind, Node};

/// What an imported file holds where the operator has to say something: such a value is never taken.
pub(crate) const PLACEHOLDER: &str = "FILL_IN";

const TEXT_CHARACTERS_MAX: usize = 4096;
const NAME_CHARACTERS_MAX: usize = 63;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Any text but an empty one.
pub(crate) fn text(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let text = quoted(reader, node)?;
    reader.note(path, node, format!("{text:?}"));
    Some(text)
}

fn quoted(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let Kind::Text(text) = &node.kind else {
        if let Kind::Word(word) = &node.kind {
            return reader.wrong_kind(node, "a text in quotes", &format!("\"{word}\""));
        }
        return reader.wrong_kind(node, "a text in quotes", "\"…\"");
    };
    let refusal = if let Some(question) = text.strip_prefix(PLACEHOLDER) {
        let question = question.trim_start_matches([':', ' ']);
        Some(("this value is still to be filled in".to_owned(), Some(format!("write here {question}"))))
    } else if text.trim().is_empty() {
        Some(("this text is empty".to_owned(), None))
    } else if text.chars().count() > TEXT_CHARACTERS_MAX {
        Some((format!("this text is longer than {TEXT_CHARACTERS_MAX} characters"), None))
    } else if text.contains('\0') {
        Some(("this text holds a NUL character, which no command, path or name may hold".to_owned(), None))
    } else {
        None
    };
    match refusal {
        None => Some(text.clone()),
        Some((message, help)) => {
            let mut problem = Problem::at(node.span.clone(), message);
            problem.help = help;
            reader.problem(problem);
            None
        }
    }
}

/// A name that stands in messages, file names and tables: letters, digits, dot, dash, underline.
pub(crate) fn name(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let text = quoted(reader, node)?;
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !plain || text.starts_with(['.', '-']) || text.len() > NAME_CHARACTERS_MAX {
        let problem = Problem::at(node.span.clone(), format!("{text:?} cannot be used as a name"));
        reader.problem(problem.help(format!(
            "a name has at most {NAME_CHARACTERS_MAX} letters, digits, `.`, `-`, `_`, and begins with a letter or digit"
        )));
        return None;
    }
    reader.note(path, node, format!("{text:?}"));
    Some(text)
}

/// A whole number between `least` and `most`.
pub(crate) fn number(least: u32, most: u32) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Read<u32> {
    move |reader, node, path| {
        let Kind::Number(digits) = &node.kind else {
            if let Kind::Text(text) = &node.kind
                && text.parse::<u32>().is_ok()
            {
                return reader.wrong_kind(node, "a number", &format!("`{text}` without quotes"));
            }
            return reader.wrong_kind(node, "a number", &format!("`{least}`"));
        };
        match digits.replace('_', "").parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => {
                reader.note(path, node, number.to_string());
                Some(number)
            }
            _ => {
                let problem = Problem::at(node.span.clone(), format!("{digits} cannot be used here"));
                reader.problem(problem.help(format!("write a whole number from {least} to {most}")));
                None
            }
        }
    }
}

/// A TCP or UDP port.
pub(crate) fn port(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<u16> {
    number(1, u32::from(u16::MAX))(reader, node, path).and_then(|port| u16::try_from(port).ok())
}

/// `true` or `false`.
pub(crate) fn flag(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<bool> {
    let Kind::Bool(value) = node.kind else {
        return reader.wrong_kind(node, "`true` or `false`", "`true`");
    };
    reader.note(path, node, value.to_string());
    Some(value)
}

/// A span of time from `least` to one day.
pub(crate) fn span_from(least: Duration) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Read<Duration> {
    move |reader, node, path| {
        let text = match &node.kind {
            Kind::Text(text) => text,
            Kind::Number(digits) => {
                let example = format!("\"{digits}s\" or \"{digits}ms\"");
                return reader.wrong_kind(node, "a span of time in quotes, with its unit,", &example);
            }
            _ => return reader.wrong_kind(node, "a span of time in quotes", "\"5s\""),
        };
        let refusal = match duration::parse(text) {
            Ok(span) if span < least => format!("{text:?} is too short: at least {} is needed", duration::show(least)),
            Ok(span) if span > DAY => format!("{text:?} is too long: at most 24h is allowed"),
            Ok(span) => {
                reader.note(path, node, format!("{:?}", duration::show(span)));
                return Some(span);
            }
            Err(refusal) => refusal,
        };
        reader.problem(Problem::at(node.span.clone(), refusal));
        None
    }
}

/// A span of time of at least a millisecond.
pub(crate) fn span(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Duration> {
    span_from(Duration::from_millis(1))(reader, node, path)
}

/// A path; a relative one starts at the configuration file's folder.
pub(crate) fn path(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<PathBuf> {
    let full = reader.base.join(quoted(reader, node)?);
    reader.note(path, node, format!("{:?}", full.display().to_string()));
    Some(full)
}

/// A path that has to be written in full.
pub(crate) fn absolute_path(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<PathBuf> {
    let full = PathBuf::from(quoted(reader, node)?);
    if !full.is_absolute() {
        let problem = Problem::at(node.span.clone(), format!("{:?} is not a full path", full.display().to_string()));
        reader.problem(problem.help("begin with `/`"));
        return None;
    }
    reader.note(path, node, format!("{:?}", full.display().to_string()));
    Some(full)
}

/// One of some words.
pub(crate) fn choice<T: Copy>(known: &'static [(&'static str, T)]) -> impl Fn(&mut Reader<'_>, &Node, &str) -> Read<T> {
    move |reader, node, path| {
        let words: Vec<&'static str> = known.iter().map(|(word, _)| *word).collect();
        let variant = reader.variant(node, &words)?;
        reader.no_payload(&variant)?;
        reader.note(path, node, variant.word);
        known.iter().find(|(word, _)| *word == variant.word).map(|(_, value)| *value)
    }
}

/// The address of a host: a literal, or a name that is resolved now. An address literal asks no resolver.
pub(crate) fn address(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<IpAddr> {
    let text = quoted(reader, node)?;
    let refusal = match resolve(&text, reader.lookup) {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            Problem::at(node.span.clone(), format!("{text:?} is no address of one host"))
        }
        Ok(address) => {
            reader.note(path, node, format!("{:?}", address.to_string()));
            return Some(address);
        }
        Err(help) => Problem::at(node.span.clone(), format!("{text:?} gives no address")).help(help),
    };
    reader.problem(refusal);
    None
}

/// `host:port`.
pub(crate) fn socket_address(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<SocketAddr> {
    let text = quoted(reader, node)?;
    match resolve_socket(&text, reader.lookup) {
        Ok(address) => {
            reader.note(path, node, format!("{:?}", address.to_string()));
            Some(address)
        }
        Err(help) => {
            reader.problem(Problem::at(node.span.clone(), format!("{text:?} gives no address and port")).help(help));
            None
        }
    }
}

/// A unix socket's path, or `host:port`; as the text that connects.
pub(crate) fn socket(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    match &node.kind {
        Kind::Text(text) if text.contains('/') || !text.contains(':') => {
            self::path(reader, node, path).map(|path| path.display().to_string())
        }
        _ => socket_address(reader, node, path).map(|address| address.to_string()),
    }
}

/// `host` or `host:port`, left as it is: looked up when it is used.
pub(crate) fn relay(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let text = text(reader, node, path)?;
    let (host, port) = split_port(&text);
    if host.is_empty() || host.contains(char::is_whitespace) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        let problem = Problem::at(node.span.clone(), format!("{text:?} is no mail relay"));
        reader.problem(problem.help("write \"mx1.example.org\" or \"mx1.example.org:587\""));
        return None;
    }
    Some(text)
}

/// A mail address, as far as a config needs to know one.
pub(crate) fn mail_address(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let text = text(reader, node, path)?;
    let well_formed = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !well_formed || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '<' || c == '>') {
        let problem = Problem::at(node.span.clone(), format!("{text:?} is no mail address"));
        reader.problem(problem.help("write \"user@example.org\""));
        return None;
    }
    Some(text)
}

fn resolve_socket(text: &str, lookup: Lookup) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err("port 0 cannot be connected to".into()) } else { Ok(address) };
    }
    let (host, Some(port)) = split_port(text) else {
        return Err("write \"host:port\", for example \"192.0.2.5:9999\"".into());
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(SocketAddr::new(resolve(host, lookup)?, port)),
        _ => Err(format!("{port:?} is no port: write a number from 1 to 65535")),
    }
}

/// Splits `host:port`; an IPv6 literal without brackets has no port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn resolve(text: &str, lookup: Lookup) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok(address);
    }
    // A text of digits and dots is a mistyped literal: the resolver would read "192.0.2" as 192.0.0.2.
    let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && text.chars().any(|c| c.is_ascii_alphabetic());
    if !is_name {
        return Err("write an address, for example \"192.0.2.11\", or a host name".into());
    }
    let mut found = lookup(text)
        .map_err(|error| format!("the name was not resolved ({error}); an address literal needs no resolver"))?;
    // Resolvers turn the order round from one question to the next; both hosts should hold the same answer.
    found.sort();
    match found.first() {
        None => Err("the name has no address; an address literal needs no resolver".into()),
        // Debian writes the host's own name as 127.0.1.1 into /etc/hosts; the peer would then talk to itself.
        Some(address) if address.is_loopback() && text != "localhost" => Err(format!(
            "on this host the name means the loopback address {address} (see /etc/hosts), which the other host cannot \
             reach: write the address itself"
        )),
        Some(address) => Ok(*address),
    }
}

/// Asks the system's resolver.
pub(crate) fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}
