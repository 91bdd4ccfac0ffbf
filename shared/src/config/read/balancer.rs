//! What moves the clients.

use super::super::leaf::{flag, number, path, socket, socket_address, text};
use super::super::model::Balancer;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader, Variant};
use super::super::tree::Node;
use super::service::{Limits, step};

const BACKENDS_MAX: usize = 64;
/// The highest number of a real server that Alteon devices know.
const REAL_SERVER_MAX: u32 = 8191;

pub(super) fn balancer(reader: &mut Reader<'_>, node: &Node, path: &str, limits: Limits) -> Read<Balancer> {
    let variant = reader.variant(node, &["None", "HaProxy", "Alteon", "Command"])?;
    reader.note(path, node, variant.word);
    match variant.word {
        "None" => reader.no_payload(&variant).map(|()| Balancer::None),
        "HaProxy" => haproxy(reader, &variant, path),
        "Alteon" => alteon(reader, &variant, path),
        _ => {
            let mut fields = reader.variant_fields(&variant, path);
            let call = |reader: &mut Reader<'_>, node: &Node, path: &str| step(reader, node, path, limits.balancer);
            let set = fields.required(reader, "set", "\"./balancer_set.sh\"", call);
            let observe = fields.required(reader, "observe", "\"./balancer_observe.sh\"", call);
            fields.finish(reader);
            Some(Balancer::Command { set: set?, observe: observe? })
        }
    }
}

fn haproxy(reader: &mut Reader<'_>, variant: &Variant<'_>, path: &str) -> Read<Balancer> {
    let mut fields = reader.variant_fields(variant, path);
    let socket = fields.required(reader, "socket", "\"/run/haproxy/admin.sock\"", socket);
    // One backend is the usual case, so it may be written without a list.
    let backends = if fields.has("backends") {
        if fields.has("backend") {
            let problem = Problem::at(fields.place("backend"), "`backend` and `backends` say the same thing twice");
            reader.problem(problem.help("write all of them in `backends`"));
        }
        fields.known("backend");
        fields.required(reader, "backends", "[\"pop3\"]", |reader, node, path| {
            reader.list(node, path, (1, BACKENDS_MAX), word)
        })
    } else {
        fields.known("backends");
        fields.required(reader, "backend", "\"pop3\"", word).map(|backend| vec![backend])
    };
    let master = fields.required(reader, "master", "\"cfg1\"", word);
    let slave = fields.required(reader, "slave", "\"cfg2\"", word);
    if let (Some(master), Some(slave)) = (&master, &slave)
        && master == slave
    {
        let problem =
            Problem::at(fields.place("slave"), format!("both hosts are the server {master:?} of the backend"));
        reader.problem(problem.help("write the two names that stand behind `server` in the backend of haproxy.cfg"));
    }
    fields.finish(reader);
    Some(Balancer::HaProxy { socket: socket?, backends: backends?, master: master?, slave: slave? })
}

/// A word of HAProxy's command line: a blank or a `;` would begin another argument or command.
fn word(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let word = text(reader, node, path)?;
    if word.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))) {
        let problem = Problem::at(node.span.clone(), format!("{word:?} is no name of HAProxy"));
        reader.problem(problem.help("its names have letters, digits, `.`, `-`, `_` and `:` only"));
        return None;
    }
    Some(word)
}

fn alteon(reader: &mut Reader<'_>, variant: &Variant<'_>, path_: &str) -> Read<Balancer> {
    let mut fields = reader.variant_fields(variant, path_);
    let address = fields.required(reader, "address", "\"192.0.2.5:23\"", socket_address);
    let user = fields.optional(reader, "user", text);
    let password_file = fields.required(reader, "password_file", "\"alteon.pass\"", path);
    let master = fields.required(reader, "master", "1", number(1, REAL_SERVER_MAX));
    let slave = fields.required(reader, "slave", "2", number(1, REAL_SERVER_MAX));
    let drop_sessions = fields.or(reader, "drop_sessions", "false", flag);
    if let (Some(master), Some(slave)) = (master, slave)
        && master == slave
    {
        let problem = Problem::at(fields.place("slave"), format!("both hosts are the real server {master}"));
        reader.problem(problem.help("write the two numbers that `/info/slb/dump` shows"));
    }
    fields.finish(reader);
    Some(Balancer::Alteon {
        address: address?.to_string(),
        user: user?,
        password_file: password_file?,
        master: master?,
        slave: slave?,
        drop_sessions: drop_sessions?,
    })
}
