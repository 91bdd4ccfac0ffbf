//! The allowed proofs of stop, and what each of them needs.

use super::super::arbiter::{Arbiter, ArbiterPlace};
use super::super::duration::show;
use super::super::fence::FenceDevice;
use super::super::fields::Fields;
use super::super::leaf::flag;
use super::super::model::{Postcondition, Proof, Service, Timing};
use super::super::outage::{slowest_stop, stop_limit};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::tree::Node;

/// The allowed proofs of stop. There is no default: what silence means is the operator's to say.
pub(super) fn proofs(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Vec<Proof>> {
    let proofs = reader.list(node, path, (1, 5), proof)?;
    for (index, proof) in proofs.iter().enumerate() {
        if proofs.iter().take(index).any(|earlier| earlier == proof) {
            reader.problem(Problem::at(node.span.clone(), format!("the proof `{proof:?}` stands here twice")));
            return None;
        }
    }
    let words: Vec<String> = proofs
        .iter()
        .map(|proof| match proof {
            Proof::Timeout => "Timeout(two_actives_possible: true)".to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    reader.note(path, node, format!("[{}]", words.join(", ")));
    Some(proofs)
}

fn proof(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Proof> {
    let variant = reader.variant(node, &["Ack", "Fence", "Lease", "Operator", "Timeout"])?;
    let plain = match variant.word {
        "Ack" => Proof::Ack,
        "Fence" => Proof::Fence,
        "Lease" => Proof::Lease,
        "Operator" => Proof::Operator,
        _ => {
            let mut fields = reader.variant_fields(&variant, path);
            let said = fields.or(reader, "two_actives_possible", "false", flag);
            fields.finish(reader);
            if said? {
                return Some(Proof::Timeout);
            }
            let message = "`Timeout` lets a host start while the other may still run";
            let problem = Problem::at(node.span.clone(), message).missing(format!("{path}.two_actives_possible"));
            reader.problem(problem.help(
                "a host that is only cut off then runs the service at the same time as its peer, on the same store. If \
                 that risk is taken, write `Timeout(two_actives_possible: true)`; if not, write `Operator`: a person then \
                 confirms that the silent host is stopped",
            ));
            return None;
        }
    };
    reader.no_payload(&variant).map(|()| plain)
}

/// What the proofs `Lease` and `Fence` need, and what is configured in vain. `None` for what is wrong already.
pub(super) fn means(
    reader: &mut Reader<'_>,
    pair: &Fields<'_>,
    proofs: &[Proof],
    arbiter: Option<&Option<Arbiter>>,
    fence: Option<&[FenceDevice]>,
) {
    let place = pair.place("proof_of_stop");
    let allows = |proof| proofs.contains(&proof);
    match arbiter {
        Some(None) if allows(Proof::Lease) => {
            let problem = Problem::at(place.clone(), "`Lease` needs an arbiter that grants it").missing("arbiter");
            reader.problem(problem.help(
                "add, for example, `arbiter: SharedStorage(path: \"/mnt/failover-lease\", guard: \
                 Watchdog(\"/dev/watchdog\"))`, or take `Lease` out",
            ));
        }
        Some(Some(_)) if !allows(Proof::Lease) => {
            let problem =
                Problem::at(pair.place("arbiter"), "the arbiter's lease is kept, but is no proof of stop here");
            reader.warn(problem.help(
                "a lost arbiter then stops the service, and an expired lease starts it nowhere: add `Lease` to \
                 `proof_of_stop`",
            ));
        }
        _ => {}
    }
    match fence {
        Some([]) if allows(Proof::Fence) => {
            let problem = Problem::at(place.clone(), "`Fence` needs a device that fences").missing("fence");
            reader.problem(problem.help(
                "add, for example, `fence: [Agent(agent: \"fence_ipmilan\", options_file: \"fence.options\", master: \
                 {\"ip\": \"192.0.2.31\"}, slave: {\"ip\": \"192.0.2.32\"})]`, or take `Fence` out",
            ));
        }
        Some([_, ..]) if !allows(Proof::Fence) => {
            let message = "the fence devices are never used by themselves: `Fence` is no proof of stop here";
            let problem = Problem::at(pair.place("fence"), message);
            reader.warn(problem.help("add `Fence` to `proof_of_stop`; as it is, only `failoverctl fence` uses them"));
        }
        _ => {}
    }
    if allows(Proof::Timeout) && (allows(Proof::Lease) || allows(Proof::Fence)) {
        let problem = Problem::at(place, "`Timeout` takes away what `Lease` and `Fence` give");
        reader.warn(
            problem.help("the first that arrives wins: after `shutdown_timeout` a host starts without any proof"),
        );
    }
}

/// What the lease asks of the service: its own path, and a stop that ends in time.
pub(super) fn lease(reader: &mut Reader<'_>, pair: &Fields<'_>, timing: &Timing, service: &Service, arbiter: &Arbiter) {
    if let ArbiterPlace::SharedStorage { path } = &arbiter.place {
        for condition in &service.stopped_when {
            let Postcondition::NotMounted(mount) = condition else { continue };
            if path.starts_with(mount) {
                let message = format!(
                    "the arbiter's folder {} lies under {}, which is mounted only where the service runs",
                    path.display(),
                    mount.display()
                );
                reader.problem(Problem::at(pair.place_within("arbiter", "path"), message).help(
                    "both hosts must reach it all the time: give it an export and a mount point of its own, for example \
                     `path: \"/mnt/failover-lease\"`",
                ));
            }
        }
    }
    let unseen = service.unseen_by_guardian();
    if !unseen.is_empty() {
        let message = format!("the guardian cannot see whether {} holds: it runs no scripts", unseen.join(", "));
        reader.warn(Problem::at(pair.place_within("service", "stopped_when"), message).help(
            "where a lease runs out and the daemon has not stopped the service, it resets the host instead of ending the \
             service: add what it can see, for example `NoProcess(\"dovecot\")`, or for a unit \
             `CgroupEmpty(\"system.slice/dovecot.service\")`",
        ));
    }
    let (limit, scripts_ms) = (stop_limit(timing, service), arbiter.times.scripts_ms.0);
    let scripts = std::time::Duration::from_millis(scripts_ms);
    // Without time for scripts there is nothing to fit in: the guardian ends the service at once.
    if scripts_ms > 0 && limit > scripts {
        let message =
            format!("the stop may take {}, and a host that lost its lease has {} for it", show(limit), show(scripts));
        // The steps of a stage share its time.
        let count = service.lists.giveaway.len().max(service.lists.giveback.len());
        let rest = limit.saturating_sub(slowest_stop(service));
        let each = scripts.saturating_sub(rest) / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let shorter = if each.as_secs() >= 1 {
            format!("give the {count} steps of the stop {} each", show(std::time::Duration::from_secs(each.as_secs())))
        } else {
            "give the steps of the stop shorter limits".to_owned()
        };
        let list = if service.resources.is_empty() { "shutdown_scripts" } else { "resources" };
        reader.broken_sum(Problem::at(pair.place_within("service", list), message).help(format!(
            "after that the guardian kills what is left, in the middle of a step: {shorter} (`script_timeout`, or \
             `Step(command: …, timeout: …)`; `kill_after` twice and the commands of `stopped_when` count too), or take a \
             longer `profile`"
        )));
    }
}
