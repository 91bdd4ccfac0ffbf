//! One of the two hosts.

use super::super::leaf::{address, name};
use super::super::model::Host;
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::Node;

/// Most heartbeat paths of a pair.
const PATHS_MAX: usize = 8;

pub(super) fn host(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Host> {
    let mut host = reader.fields(node, path, "Host")?;
    let name = host.required(reader, "name", "\"cfg1\"", name);
    let own = host.required(reader, "address", "\"192.0.2.11\"", address);
    let shown = own.map(|own| format!("\"{own}\"")).unwrap_or_default();
    let heartbeat =
        host.or_value(reader, "heartbeat", own.map(|own| vec![own]), &format!("[{shown}]"), |reader, node, path| {
            reader.list(node, path, (1, PATHS_MAX), address)
        });
    let service_address = host.or_value(reader, "service_address", own, &shown, address);
    if let Some(heartbeat) = &heartbeat {
        for (index, path_address) in heartbeat.iter().enumerate() {
            if heartbeat.iter().take(index).any(|earlier| earlier == path_address) {
                let problem =
                    Problem::at(host.place("heartbeat"), format!("the path {path_address} stands here twice"));
                reader.problem(
                    problem.help("two paths over one address fail together: name the address of another link"),
                );
            }
        }
    }
    host.finish(reader);
    Some(Host { name: name?, address: own?, heartbeat: heartbeat?, service_address: service_address? })
}
