//! Rules that bind several parts of the configuration.

use super::super::duration::show;
use super::super::fields::Fields;
use super::super::model::{Check, Host, Postcondition, Probe, Proof, Service, Timing};
use super::super::outage::{slowest_stop, stop_limit};
use super::super::problem::Problem;
use super::super::reader::Reader;
use super::super::tree::Span;

/// Two hosts that can be told apart, and paths that pair.
pub(super) fn hosts(reader: &mut Reader<'_>, pair: &Fields<'_>, master: Option<&Host>, slave: Option<&Host>) {
    let (Some(master), Some(slave)) = (master, slave) else { return };
    let place = pair.place("slave");
    let mut refuse = |message: String, help: &str| reader.problem(Problem::at(place.clone(), message).help(help));
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
    let (left, right) = (master.name.to_lowercase(), slave.name.to_lowercase());
    if left == right || left == short(&right) || right == short(&left) {
        refuse(
            format!("the hosts {:?} and {:?} cannot be told apart", master.name, slave.name),
            "a host finds its role by its own name, in full or up to the first dot: give each host its own",
        );
    }
    if master.address == slave.address {
        refuse(
            format!("both hosts have the address {}", master.address),
            "write the address of each host itself, not the one that moves between them",
        );
    }
    if master.address.is_loopback() != slave.address.is_loopback() {
        refuse(
            "one host has a loopback address and the other has not: they cannot reach each other".into(),
            "write addresses of one network on both",
        );
    }
    if master.heartbeat.len() != slave.heartbeat.len() {
        refuse(
            format!(
                "the master has {} heartbeat paths and the slave has {}",
                master.heartbeat.len(),
                slave.heartbeat.len()
            ),
            "the n-th address of the master pairs with the n-th of the slave: write equally many",
        );
        return;
    }
    for (number, (left, right)) in master.heartbeat.iter().zip(&slave.heartbeat).enumerate() {
        let number = number + 1;
        if left == right {
            refuse(
                format!("heartbeat path {number} leads from {left} to itself"),
                "write the address of each host itself",
            );
        } else if left.is_ipv4() != right.is_ipv4() {
            refuse(
                format!("heartbeat path {number} leads from {left} to {right}: IPv4 and IPv6 do not meet"),
                "write two addresses of one family in the same place of both lists",
            );
        }
    }
}

/// What the allowed proofs of stop ask of the timers and of the evidence.
pub(super) fn proofs(reader: &mut Reader<'_>, pair: &Fields<'_>, timing: &Timing, service: &Service, proofs: &[Proof]) {
    let place = pair.place("proof_of_stop");
    if proofs.contains(&Proof::Ack) {
        evidence(reader, pair, service);
    }
    let limit = stop_limit(timing, service);
    if timing.shutdown_timeout < limit {
        let at = if pair.has("timing") { pair.place_within("timing", "shutdown_timeout") } else { place.clone() };
        let steps = slowest_stop(service);
        let verify = limit.saturating_sub(steps).saturating_sub(timing.kill_after).saturating_sub(timing.kill_after);
        let sum = format!(
            "the stop may take {}: its steps {} together, `kill_after` {} twice, commands of `stopped_when` {}",
            show(limit),
            show(steps),
            show(timing.kill_after),
            show(verify),
        );
        let message =
            format!("`shutdown_timeout` {} is shorter than the stop it waits for", show(timing.shutdown_timeout));
        if proofs.contains(&Proof::Timeout) {
            let start = "with `Timeout` the other host would start while the stop list still runs here";
            reader.broken_sum(Problem::at(at, message).help(format!(
                "{sum}; {start}: write `shutdown_timeout: \"{}\"` or more, or give the steps shorter limits (`script_timeout`, \
                 or `Step(command: …, timeout: …)`)",
                show(limit)
            )));
        } else {
            reader.warn(Problem::at(at, message).help(format!(
                "{sum}; a slow stop is then reported as timed out while it still runs: write `shutdown_timeout: \"{}\"` or \
                 more",
                show(limit)
            )));
        }
    }
    if !proofs.contains(&Proof::Ack) {
        let problem =
            Problem::at(place.clone(), "`Ack` is not allowed: the acknowledgement of a healthy peer proves nothing");
        reader.warn(problem.help("add `Ack`: it is the one proof that needs neither a person nor a risk"));
    }
    if proofs == [Proof::Ack] {
        let problem = Problem::at(place, "with `Ack` alone nothing can release the service of a silent host");
        reader.warn(problem.help("add `Operator`: a person may then confirm that the silent host is stopped"));
    }
}

/// An acknowledgement has to rest on something that was looked at.
fn evidence(reader: &mut Reader<'_>, pair: &Fields<'_>, service: &Service) {
    let place = pair.place_within("service", "stopped_when");
    if service.stopped_when.is_empty() {
        let problem = Problem::at(place, "`Ack` is allowed, but nothing tells whether the service has stopped")
            .missing("service.stopped_when");
        reader.problem(problem.help(
            "an exit code is no evidence: write what must hold, for example `stopped_when: [NoProcess(\"dovecot\"), \
             PortsClosed([110, 143]), NotMounted(\"/mail\")]`",
        ));
        return;
    }
    let sees_processes = service
        .stopped_when
        .iter()
        .any(|condition| !matches!(condition, Postcondition::PortsClosed(_) | Postcondition::NotMounted(_)));
    if !sees_processes {
        let problem = Problem::at(place, "`stopped_when` looks at no process");
        reader.warn(problem.help(
            "a process that has closed its port may still write: add `NoProcess(\"…\")`, `PidFileGone(\"…\")` or \
             `CgroupEmpty(\"…\")`",
        ));
    }
}

/// The pair's own ports are not the service's.
pub(super) fn ports(
    reader: &mut Reader<'_>,
    pair: &Fields<'_>,
    own: [(&Host, u16, &str); 2],
    checks: Option<&[Check]>,
    service: Option<&Service>,
) {
    for (host, port, key) in own {
        let place = |other: Span| if pair.has(key) { pair.place(key) } else { other };
        for check in checks.unwrap_or_default() {
            let asked = match &check.probe {
                Probe::Port { port } => *port,
                Probe::Pop3(mail) | Probe::Imap(mail) => mail.port,
                Probe::Command(_) | Probe::Resource(_) => continue,
            };
            if asked == port && host.service_address == host.address {
                let message =
                    format!("the check {:?} asks port {port}, which is this program's own `{key}`", check.name);
                let problem = Problem::at(place(pair.place("checks")), message);
                reader.problem(problem.help(format!("choose another `{key}`, or mend the check")));
            }
        }
        let closed = service
            .into_iter()
            .flat_map(|service| &service.stopped_when)
            .any(|condition| matches!(condition, Postcondition::PortsClosed(ports) if ports.contains(&port)));
        if closed {
            let message = format!("`PortsClosed` names port {port}, which is this program's own `{key}`");
            let problem = Problem::at(place(pair.place_within("service", "stopped_when")), message);
            reader.problem(problem.help("no stop could ever be verified: take the port out, or choose another"));
        }
    }
}
