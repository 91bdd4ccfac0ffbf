//! The health questions.

use std::time::Duration;

use super::super::duration::show;
use super::super::fields::Fields;
use super::super::leaf::{choice, name, number, path, port, socket_address, span, span_from, text};
use super::super::model::{Check, MailProbe, MailTls, Probe, ResourceProbe, Step};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::suggest::nearest;
use super::super::tree::{Kind, Node};
use crate::script::Script;
use crate::script::kind::Action;

const CHECKS_MAX: usize = 64;
/// The rounds that a check looks back on fit one word of bits.
const ROUNDS_MAX: u32 = 32;
const FAILS_DEFAULT: u32 = 3;
/// Most local restarts of a resource.
const RESTARTS_MAX: u32 = 100;

/// `resources`: those of the service, if it could be read.
pub(super) fn checks(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    resources: Option<&[Script]>,
) -> Read<Vec<Check>> {
    let mut seen: Vec<String> = Vec::new();
    reader.list(node, path, (1, CHECKS_MAX), |reader, node, path| {
        let check = check(reader, node, path, resources)?;
        if seen.contains(&check.name) {
            let problem = Problem::at(node.span.clone(), format!("two checks have the name {:?}", check.name));
            reader.problem(problem.help("status, log and journal tell checks apart by their names: give each its own"));
            return None;
        }
        seen.push(check.name.clone());
        Some(check)
    })
}

fn check(reader: &mut Reader<'_>, node: &Node, path: &str, resources: Option<&[Script]>) -> Read<Check> {
    let variant = reader.variant(node, &["Port", "Pop3", "Imap", "Command", "Resource"])?;
    reader.note(path, node, variant.word);
    let mut fields = reader.variant_fields(&variant, path);
    let name = fields.required(reader, "name", "\"pop3\"", name);
    let every = fields.or(reader, "every", "\"5s\"", span);
    let shown = every.map(|every| format!("{:?}", show(every))).unwrap_or_default();
    let timeout = fields.or_value(reader, "timeout", every, &shown, span);
    let rounds = rounds(reader, &mut fields);
    let probe = match variant.word {
        "Port" => fields.required(reader, "port", "110", port).map(|port| Probe::Port { port }),
        "Pop3" => mail(reader, &mut fields, (110, 995)).map(Probe::Pop3),
        "Imap" => mail(reader, &mut fields, (143, 993)).map(Probe::Imap),
        "Resource" => fields
            .required(reader, "resource", "\"web\"", |reader, node, path| resource(reader, node, path, resources))
            .and_then(|script| resource_probe(reader, &mut fields, script))
            .map(|probe| Probe::Resource(Box::new(probe))),
        _ => fields
            .required(reader, "command", "\"./check_mail.sh\"", text)
            .map(|command| Probe::Command(Step { command, timeout: timeout.unwrap_or(Duration::from_secs(5)) })),
    };
    if let (Some(every), Some(timeout)) = (every, timeout)
        && timeout > every
    {
        let message = format!("`timeout` {} is longer than `every` {}", show(timeout), show(every));
        let problem = Problem::at(fields.place("timeout"), message);
        reader.problem(problem.help(format!(
            "a round would begin before the last one ended: write `timeout: \"{}\"` or `every: \"{}\"`",
            show(every),
            show(timeout)
        )));
    }
    fields.finish(reader);
    let (fails, of) = rounds?;
    Some(Check { name: name?, probe: probe?, every: every?, timeout: timeout?, fails, of })
}

/// What is done when the resource is found failed, and when it is first asked.
fn resource_probe(reader: &mut Reader<'_>, fields: &mut Fields<'_>, script: Script) -> Read<ResourceProbe> {
    let restarts = fields.or(reader, "restarts", "0", number(0, RESTARTS_MAX));
    let start_delay = fields.or(reader, "start_delay", "\"0s\"", span_from(Duration::ZERO));
    let restarts = restarts?;
    if restarts > 0 && !script.contract().can(Action::Restart) {
        let message = format!("the resource {:?} cannot be restarted: its kind knows no such call", script.name);
        let problem = Problem::at(fields.place("restarts"), message);
        reader.problem(problem.help("leave `restarts` out: its failure then moves the service"));
        return None;
    }
    Some(ResourceProbe { script, restarts, start_delay: start_delay? })
}

/// A resource by its name, which can be asked whether it runs.
fn resource(reader: &mut Reader<'_>, node: &Node, path: &str, known: Option<&[Script]>) -> Read<Script> {
    let wanted = text(reader, node, path)?;
    let known = known?;
    let problem = match known.iter().find(|script| script.name == wanted) {
        Some(script) if script.contract().can(Action::Monitor) => return Some(script.clone()),
        Some(_) => Problem::at(node.span.clone(), format!("the resource {wanted:?} cannot be asked whether it runs"))
            .help("its kind knows no such call, or its entry has no `status`: add that, or check it in another way"),
        None => {
            let problem = Problem::at(node.span.clone(), format!("no resource has the name {wanted:?}"));
            match nearest(&wanted, known.iter().map(|script| script.name.as_str())) {
                Some(near) => problem.help(format!("did you mean {near:?}?")),
                None => problem.help("write the name of an entry of `resources` in `service`"),
            }
        }
    };
    reader.problem(problem);
    None
}

/// `fails: (3, of: 5)`, or the same as two keys: `fails: 3, of: 5`.
fn rounds(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Read<(u32, u32)> {
    let mut both: Option<u32> = None;
    let fails = fields.or(reader, "fails", &FAILS_DEFAULT.to_string(), |reader, node, path| {
        let Kind::Group { name: None, fields: parts } = &node.kind else {
            return number(1, ROUNDS_MAX)(reader, node, path);
        };
        let [fails, of] = parts.as_slice() else {
            return reader.wrong_kind(node, "`(FAILS, of: ROUNDS)`", "`fails: (3, of: 5)`");
        };
        if fails.label.is_some() || of.label.as_ref().is_some_and(|label| label.name != "of") {
            return reader.wrong_kind(node, "`(FAILS, of: ROUNDS)`", "`fails: (3, of: 5)`");
        }
        let owner = path.strip_suffix(".fails").unwrap_or(path);
        let fails = number(1, ROUNDS_MAX)(reader, &fails.value, path);
        both = Some(number(1, ROUNDS_MAX)(reader, &of.value, &format!("{owner}.of"))?);
        fails
    });
    if both.is_some() {
        fields.known("of");
    }
    let of = match both {
        Some(of) if !fields.has("of") => Some(of),
        Some(_) => {
            let problem = Problem::at(fields.place("of"), "the rounds are told twice: in `fails` and in `of`");
            reader.problem(problem.help("remove the key `of`"));
            None
        }
        None => {
            let shown = fails.map(|fails| fails.to_string()).unwrap_or_default();
            fields.or_value(reader, "of", fails, &shown, number(1, ROUNDS_MAX))
        }
    };
    let (fails, of) = (fails?, of?);
    if fails > of {
        let problem = Problem::at(fields.place("fails"), format!("{fails} failures among {of} rounds cannot happen"));
        reader.problem(problem.help(format!("write `fails: ({of}, of: {fails})` or `fails: ({of}, of: {of})`")));
        return None;
    }
    Some((fails, of))
}

fn mail(reader: &mut Reader<'_>, fields: &mut Fields<'_>, (plain, implicit): (u16, u16)) -> Read<MailProbe> {
    let tls = fields.or(reader, "tls", "None", mail_tls());
    let default = if tls == Some(MailTls::Implicit) { implicit } else { plain };
    let port = fields.or(reader, "port", &default.to_string(), port);
    let user = fields.required(reader, "user", "\"canary\"", text);
    let password_file = fields.required(reader, "password_file", "\"canary.pass\"", path);
    let expect = fields.optional(reader, "expect", text);
    let through = fields.optional(reader, "through", socket_address);
    Some(MailProbe {
        port: port?,
        user: user?,
        password_file: password_file?,
        tls: tls?,
        expect: expect?,
        through: through?,
    })
}

/// How a mail connection is encrypted.
pub(super) fn mail_tls() -> impl Fn(&mut Reader<'_>, &Node, &str) -> Read<MailTls> {
    choice(&[("None", MailTls::None), ("Implicit", MailTls::Implicit), ("StartTls", MailTls::StartTls)])
}
