//! The devices that cut a silent host off.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::duration::show;
use super::super::fence::{FenceAgent, FenceDelay, FenceDevice};
use super::super::fields::{Fields, names_a_secret};
use super::super::leaf::{path, span, span_from, text};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader, Variant};
use super::super::tree::{Kind, Node};
use super::service::step;

const DEVICES_MAX: usize = 8;
const OPTIONS_MAX: usize = 64;
/// The delays of the two hosts differ by at least what a shot needs to arrive.
const DELAYS_APART: Duration = Duration::from_secs(1);

pub(super) fn devices(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Vec<FenceDevice>> {
    reader.list(node, path, (0, DEVICES_MAX), |reader, node, path| {
        let variant = reader.variant(node, &["Agent", "Command"])?;
        reader.note(path, node, variant.word);
        match variant.word {
            "Agent" => agent(reader, &variant, path).map(FenceDevice::Agent),
            _ => command(reader, &variant, path),
        }
    })
}

pub(super) fn delay(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<FenceDelay> {
    let mut delay = reader.fields(node, path, "FenceDelay")?;
    let master = delay.or(reader, "master", "\"0s\"", span_from(Duration::ZERO));
    let slave = delay.or(reader, "slave", "\"5s\"", span_from(Duration::ZERO));
    if let (Some(master), Some(slave)) = (master, slave)
        && master.abs_diff(slave) < DELAYS_APART
    {
        let message = format!("the two hosts wait {} and {} before they fence each other", show(master), show(slave));
        reader.problem(Problem::at(delay.span.clone(), message).help(format!(
            "if only the link between them is cut, both would shoot at once and both be dead: let one wait at least {} \
             longer",
            show(DELAYS_APART)
        )));
    }
    delay.finish(reader);
    Some(FenceDelay { master: master?, slave: slave? })
}

fn command(reader: &mut Reader<'_>, variant: &Variant<'_>, path: &str) -> Read<FenceDevice> {
    let mut fields = reader.variant_fields(variant, path);
    let timeout = fields.or(reader, "timeout", "\"30s\"", span);
    // A wrong limit is already noted; any other lets the rest be read all the same.
    let limit = timeout.unwrap_or(DELAYS_APART);
    let call = |reader: &mut Reader<'_>, node: &Node, path: &str| step(reader, node, path, limit);
    let status = fields.required(reader, "status", "\"./fence_status.sh\"", call);
    let off = fields.required(reader, "off", "\"./fence_off.sh\"", call);
    let on = fields.optional(reader, "on", call);
    fields.finish(reader);
    timeout?;
    Some(FenceDevice::Command { status: status?, off: off?, on: on? })
}

fn agent(reader: &mut Reader<'_>, variant: &Variant<'_>, path_: &str) -> Read<FenceAgent> {
    let mut fields = reader.variant_fields(variant, path_);
    let agent = fields.required(reader, "agent", "\"fence_ipmilan\"", agent_name);
    let options = fields.or(reader, "options", "{}", options);
    let options_file = fields.optional(reader, "options_file", path);
    let master = fields.required(reader, "master", "{\"ip\": \"192.0.2.31\"}", self::options);
    let slave = fields.required(reader, "slave", "{\"ip\": \"192.0.2.32\"}", self::options);
    let timeout = fields.or(reader, "timeout", "\"30s\"", span);
    if let (Some(master), Some(slave)) = (&master, &slave) {
        targets(reader, &fields, master, slave);
    }
    fields.finish(reader);
    Some(FenceAgent {
        agent: agent?,
        options: options?,
        options_file: options_file?,
        master: master?,
        slave: slave?,
        timeout: timeout?,
    })
}

/// An agent that is told the same for both hosts would fence the one that asks.
fn targets(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    master: &BTreeMap<String, String>,
    slave: &BTreeMap<String, String>,
) {
    if master == slave {
        let problem = Problem::at(fields.place("slave"), "the agent is told the same for the master and the slave");
        reader.problem(problem.help(
            "it could not tell whom to fence: write what points at each, for example `master: {\"plug\": \"1\"}, slave: \
             {\"plug\": \"2\"}`",
        ));
    }
}

/// The name of a program, without a folder or with the whole path; never a command line.
fn agent_name(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let name = text(reader, node, path)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '/');
    if !name.chars().all(plain) || name.starts_with(['-', '.']) || (name.contains('/') && !name.starts_with('/')) {
        let problem = Problem::at(node.span.clone(), format!("{name:?} is no fence agent"));
        reader.problem(
            problem.help("write its name, as \"fence_ipmilan\", or its full path; what it is told stands in `options`"),
        );
        return None;
    }
    Some(name)
}

/// `{"name": "value"}`: each goes to the agent as a line of its own.
fn options(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<BTreeMap<String, String>> {
    let Kind::Map(pairs) = &node.kind else {
        return reader.wrong_kind(node, "a map of options", "`{\"ip\": \"192.0.2.31\"}`");
    };
    if pairs.len() > OPTIONS_MAX {
        let message = format!("this map has {} entries, at most {OPTIONS_MAX} are allowed", pairs.len());
        reader.problem(Problem::at(node.span.clone(), message));
        return None;
    }
    if pairs.is_empty() {
        reader.note(path, node, "{}");
    }
    let read: Vec<Read<(String, String)>> = pairs.iter().map(|(key, value)| option(reader, key, value, path)).collect();
    let mut options = BTreeMap::new();
    for ((key, _), read) in pairs.iter().zip(read) {
        let (name, value) = read?;
        if options.insert(name.clone(), value).is_some() {
            reader.problem(Problem::at(key.span.clone(), format!("the option `{name}` stands here twice")));
            return None;
        }
    }
    Some(options)
}

fn option(reader: &mut Reader<'_>, key: &Node, value: &Node, path: &str) -> Read<(String, String)> {
    let Kind::Text(name) = &key.kind else {
        return reader.wrong_kind(key, "the name of an option in quotes", "`\"ip\"`");
    };
    let mut refuse = |message: String, help: &str| {
        reader.problem(Problem::at(key.span.clone(), message).help(help));
        None
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return refuse(format!("{name:?} is no name of an option"), "as the agent's `-o metadata` tells them: \"ip\"");
    }
    if name == "action" || name == "option" {
        return refuse(format!("`{name}` is said by this program itself"), "remove it");
    }
    if name == "missing_as_off" {
        return refuse(
            format!("`{name}` takes a host that the device does not know for one that is off"),
            "remove it: a misspelt name would then be a proof of stop",
        );
    }
    if names_a_secret(name) {
        return refuse(
            format!("the option `{name}` is a secret, which never stands in this file"),
            "put it into a file of mode 0600 as a line `name=value`, and write `options_file: \"fence.options\"`",
        );
    }
    let value_text = text(reader, value, &format!("{path}.{name}"))?;
    if value_text.contains(['\n', '\r']) {
        let problem = Problem::at(value.span.clone(), "an option is one line");
        reader.problem(problem.help("the agent reads one option a line"));
        return None;
    }
    Some((name.clone(), value_text))
}
