//! Keys, certificates, the second way to a silent host, and the reference points of self-doubt.

use super::super::leaf::{absolute_path, path, socket_address, span, text};
use super::super::model::{Rcmd, Reference, Security};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::Node;

const ARGUMENTS_MAX: usize = 64;
const REFERENCES_MAX: usize = 16;

pub(super) fn security(reader: &mut Reader<'_>, node: &Node, path_: &str) -> Read<Security> {
    let mut security = reader.fields(node, path_, "Security")?;
    let key_file = security.or(reader, "key_file", "\"pair.key\"", path);
    let old_key_file = security.or(reader, "old_key_file", "\"pair.key.old\"", path);
    let base = reader.base.to_owned();
    let shown = format!("{:?}", base.display().to_string());
    let certificate_directory = security.or_value(reader, "certificate_directory", Some(base), &shown, path);
    security.finish(reader);
    Some(Security { key_file: key_file?, old_key_file: old_key_file?, certificate_directory: certificate_directory? })
}

pub(super) fn rcmd(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Rcmd> {
    let mut rcmd = reader.fields(node, path, "Rcmd")?;
    let user = rcmd.required(reader, "user", "\"failover\"", login_name);
    let ssh_arguments =
        rcmd.or(reader, "ssh_arguments", "[]", |reader, node, path| reader.list(node, path, (0, ARGUMENTS_MAX), text));
    let remote_command = rcmd.or(reader, "remote_command", "\"failoverctl\"", text);
    let timeout = rcmd.or(reader, "timeout", "\"60s\"", span);
    rcmd.finish(reader);
    Some(Rcmd { user: user?, ssh_arguments: ssh_arguments?, remote_command: remote_command?, timeout: timeout? })
}

/// A user's name. A dash in front would be read by `ssh` as an option.
fn login_name(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let name = text(reader, node, path)?;
    if name.starts_with('-') || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        let problem = Problem::at(node.span.clone(), format!("{name:?} is no name of a user"));
        reader.problem(problem.help("write the name that `ssh -l` takes"));
        return None;
    }
    Some(name)
}

pub(super) fn references(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Vec<Reference>> {
    reader.list(node, path, (0, REFERENCES_MAX), |reader, node, path| {
        let variant = reader.variant(node, &["Tcp", "Path"])?;
        let key = format!("{path}.{}", variant.word);
        if variant.word == "Tcp" {
            let value = reader.payload(&variant, "Tcp(\"192.0.2.1:53\")")?;
            socket_address(reader, value, &key).map(Reference::Tcp)
        } else {
            let value = reader.payload(&variant, "Path(\"/mail\")")?;
            absolute_path(reader, value, &key).map(Reference::Path)
        }
    })
}
