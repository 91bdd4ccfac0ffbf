//! Who is paged.

use super::super::leaf::{mail_address, path, relay, text};
use super::super::model::{MailNotify, Notify};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader, Variant};
use super::super::tree::{Kind, Node};
use super::check::mail_tls;
use super::service::{Limits, step};

const RECEIVERS_MAX: usize = 16;
const RELAYS_MAX: usize = 4;

/// `Mail(…)`, `Command("…")`, or a list of both.
pub(super) fn notify(reader: &mut Reader<'_>, node: &Node, path: &str, limits: Limits) -> Read<Notify> {
    let mut notify = Notify::default();
    match &node.kind {
        Kind::Word(word) if word == "None" => reader.note(path, node, "None"),
        Kind::List(items) if items.is_empty() => reader.note(path, node, "[]"),
        Kind::List(items) => {
            // Every entry is read, also after a wrong one: all problems are told at once.
            let read: Vec<Read<()>> = items.iter().map(|item| way(reader, item, path, limits, &mut notify)).collect();
            read.into_iter().collect::<Read<()>>()?;
        }
        _ => way(reader, node, path, limits, &mut notify)?,
    }
    Some(notify)
}

fn way(reader: &mut Reader<'_>, node: &Node, path: &str, limits: Limits, notify: &mut Notify) -> Read<()> {
    let variant = reader.variant(node, &["Mail", "Command"])?;
    let twice = if variant.word == "Mail" { notify.mail.is_some() } else { notify.command.is_some() };
    if twice {
        let problem = Problem::at(node.span.clone(), format!("`{}` stands here twice", variant.word));
        reader.problem(problem.help("one `Mail` may have several receivers and relays; one `Command` may call others"));
        return None;
    }
    if variant.word == "Mail" {
        notify.mail = Some(mail(reader, &variant, &format!("{path}.Mail"))?);
    } else {
        let value = reader.payload(&variant, "Command(\"./page.sh\")")?;
        notify.command = Some(step(reader, value, &format!("{path}.Command"), limits.script)?);
    }
    Some(())
}

fn mail(reader: &mut Reader<'_>, variant: &Variant<'_>, path_: &str) -> Read<MailNotify> {
    let mut fields = reader.variant_fields(variant, path_);
    let to = fields.required(reader, "to", "[\"ops@example.org\"]", |reader, node, path| {
        reader.list(node, path, (1, RECEIVERS_MAX), mail_address)
    });
    let from = fields.optional(reader, "from", mail_address);
    let relays =
        fields.required(reader, "relays", "[\"mx1.example.org\", \"mx2.example.net\"]", |reader, node, path| {
            reader.list(node, path, (1, RELAYS_MAX), relay)
        });
    let login = fields.optional(reader, "login", |reader, node, login_path| {
        let mut login = reader.fields(node, login_path, "Login")?;
        let user = login.required(reader, "user", "\"failover\"", text);
        let password_file = login.required(reader, "password_file", "\"relay.pass\"", path);
        login.finish(reader);
        Some((user?, password_file?))
    });
    let tls = fields.or(reader, "tls", "None", mail_tls());
    if let (Some(Some(_)), Some(super::super::model::MailTls::None)) = (&login, tls) {
        let problem = Problem::at(fields.place("login"), "the password would go to the relay in clear text");
        reader.problem(problem.help("add `tls: StartTls` or `tls: Implicit`"));
    }
    fields.finish(reader);
    Some(MailNotify { to: to?, from: from?, relays: relays?, login: login?, tls: tls? })
}
