//! The outermost group.

use super::super::leaf::{flag, name, port, span};
use super::super::model::Config;
use super::super::reader::{Read, Reader};
use super::super::tree::Node;
use super::security::{rcmd, references, security};
use super::timing::timing;
use super::{arbiter, balancer, check, copy, fence, host, notify, proofs, rules, service};

/// Reads the whole pair. `None`: the reader holds the problems.
pub(in super::super) fn pair(reader: &mut Reader<'_>, root: &Node) -> Read<Config> {
    let mut pair = reader.fields(root, "", "Pair")?;
    let name = pair.required(reader, "name", "\"mail\"", name);
    let master = pair.required(reader, "master", "Host(name: \"cfg1\", address: \"192.0.2.11\")", host::host);
    let slave = pair.required(reader, "slave", "Host(name: \"cfg2\", address: \"192.0.2.12\")", host::host);
    let monitor_port = pair.or(reader, "monitor_port", "7890", port);
    let monitor_port_slave = pair.or(reader, "monitor_port_slave", "7891", port);
    let heartbeat_port = pair.or(reader, "heartbeat_port", "7892", port);
    let timing = pair.or(reader, "timing", "()", timing);
    let proof_of_stop = pair.required(reader, "proof_of_stop", "[Ack, Operator]", proofs::proofs);
    let arbiter = pair.optional(reader, "arbiter", arbiter::arbiter);
    let fence = pair.or(reader, "fence", "[]", fence::devices);
    let fence_delay = pair.or(reader, "fence_delay", "()", fence::delay);

    // A wrong timing is already noted; its defaults let the rest be read all the same.
    let limits = timing.as_ref().map_or(service::Limits::default(), service::Limits::of);
    let service =
        pair.required(reader, "service", "(startup_scripts: […], shutdown_scripts: […])", |reader, node, path| {
            service::service(reader, node, path, limits)
        });
    let copies = pair.or(reader, "copies", "[]", |reader, node, path| copy::copies(reader, node, path, limits.script));
    let resources = service.as_ref().map(|service| service.resources.as_slice());
    let checks = pair.required(reader, "checks", "[Port(name: \"pop3\", port: 110)]", |reader, node, path| {
        check::checks(reader, node, path, resources)
    });
    let balancer =
        pair.or(reader, "balancer", "None", |reader, node, path| balancer::balancer(reader, node, path, limits));
    let notify = pair.or(reader, "notify", "[]", |reader, node, path| notify::notify(reader, node, path, limits));
    let rcmd = pair.optional(reader, "rcmd", rcmd);
    let security = pair.or(reader, "security", "()", security);
    let reverse_protection = pair.or(reader, "reverse_protection", "false", flag);
    let hold_down = pair.or(reader, "hold_down", "\"10min\"", span);
    let objective_outage = pair.or(reader, "objective_outage", "\"9min\"", span);
    let references = pair.or(reader, "references", "[]", references);

    rules::hosts(reader, &pair, master.as_ref(), slave.as_ref());
    if let (Some(timing), Some(service), Some(proofs)) = (&timing, &service, &proof_of_stop) {
        rules::proofs(reader, &pair, timing, service, proofs);
    }
    if let Some(proofs) = &proof_of_stop {
        proofs::means(reader, &pair, proofs, arbiter.as_ref(), fence.as_deref());
    }
    if let (Some(timing), Some(service), Some(Some(arbiter))) = (&timing, &service, &arbiter) {
        proofs::lease(reader, &pair, timing, service, arbiter);
    }
    if let (Some(master), Some(slave), Some(master_port), Some(slave_port)) =
        (&master, &slave, monitor_port, monitor_port_slave)
    {
        let own = [(master, master_port, "monitor_port"), (slave, slave_port, "monitor_port_slave")];
        rules::ports(reader, &pair, own, checks.as_deref(), service.as_ref());
    }
    pair.finish(reader);

    Some(Config {
        name: name?,
        master: master?,
        slave: slave?,
        monitor_port: monitor_port?,
        monitor_port_slave: monitor_port_slave?,
        heartbeat_port: heartbeat_port?,
        timing: timing?,
        proof_of_stop: proof_of_stop?,
        arbiter: arbiter?,
        fence: fence?,
        fence_delay: fence_delay?,
        service: service?,
        copies: copies?,
        checks: checks?,
        balancer: balancer?,
        notify: notify?,
        rcmd: rcmd?,
        security: security?,
        reverse_protection: reverse_protection?,
        hold_down: hold_down?,
        objective_outage: objective_outage?,
        references: references?,
    })
}
