//! How the service starts and stops, and by what a stop is verified.

use std::path::PathBuf;
use std::time::Duration;

use super::super::duration::show;
use super::super::leaf::{absolute_path, choice, name, path, port, span, text};
use super::super::model::{OnStopFailure, Postcondition, Service, Step, Timing};
use super::super::problem::Problem;
use super::super::reader::{Read, Reader};
use super::super::suggest::nearest;
use super::super::tree::{Kind, Node};
use super::script::{Scripts, scripts};
use crate::script::{FailoverPolicy, Script};

/// Most post-conditions of a stop, and most watched process names.
const CONDITIONS_MAX: usize = 64;
/// Most words for a failover policy script.
const ATTRIBUTES_MAX: usize = 32;

/// Limits of steps that do not bring their own.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) script: Duration,
    pub(super) balancer: Duration,
}

impl Limits {
    pub(super) fn of(timing: &Timing) -> Limits {
        Limits { script: timing.script_timeout, balancer: timing.balancer_timeout }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { script: Duration::from_secs(60), balancer: Duration::from_secs(5) }
    }
}

pub(super) fn service(reader: &mut Reader<'_>, node: &Node, path_: &str, limits: Limits) -> Read<Service> {
    let mut service = reader.fields(node, path_, "Service")?;
    let scripts = scripts(reader, &mut service, limits.script);
    let stopped_when = service.or(reader, "stopped_when", "[]", |reader, node, path| {
        let resources = scripts.as_ref().map(|scripts| scripts.resources.as_slice());
        reader.list(node, path, (0, CONDITIONS_MAX), |reader, node, path| {
            postcondition(reader, node, path, limits, resources)
        })
    });
    let base = reader.base.to_owned();
    let shown = format!("{:?}", base.display().to_string());
    let directory = service.or_value(reader, "directory", Some(base), &shown, path);
    let cgroup = service.optional(reader, "cgroup", control_group);
    let usual = scripts.as_ref().map_or(OnStopFailure::Force, Scripts::on_stop_failure);
    let on_stop_failure = service.or_value(
        reader,
        "on_stop_failure",
        Some(usual),
        &format!("{usual:?}"),
        choice(&[("Force", OnStopFailure::Force), ("AskOperator", OnStopFailure::AskOperator)]),
    );
    let watch_processes = service.or(reader, "watch_processes", "[]", |reader, node, path| {
        reader.list(node, path, (0, CONDITIONS_MAX), process_name)
    });
    let failover_policy = service.optional(reader, "failover_policy", failover_policy);
    service.finish(reader);
    let Scripts { lists, resources } = scripts?;
    Some(Service {
        lists,
        resources,
        stopped_when: stopped_when?,
        directory: directory?,
        cgroup: cgroup?,
        on_stop_failure: on_stop_failure?,
        watch_processes: watch_processes?,
        failover_policy: failover_policy?,
    })
}

fn failover_policy(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<FailoverPolicy> {
    let mut policy = reader.fields(node, path, "FailoverPolicy")?;
    let example = "\"/usr/lib/failsafe/policies/ordered\"";
    let script = policy.required(reader, "script", example, super::super::leaf::path);
    let attributes = policy.or(reader, "attributes", "[\"Controlled_Failback\"]", |reader, node, path| {
        reader.list(node, path, (0, ATTRIBUTES_MAX), |reader, node, path| {
            let attribute = name(reader, node, path)?;
            if attribute != "Auto_Failback" {
                return Some(attribute);
            }
            let problem = Problem::at(node.span.clone(), "a fail-back is always a person's command here");
            reader.problem(problem.help("write \"Controlled_Failback\""));
            None
        })
    });
    let timeout = policy.or(reader, "timeout", "\"5s\"", span);
    policy.finish(reader);
    Some(FailoverPolicy { script: script?, attributes: attributes?, timeout: timeout? })
}

/// A command line, or `Step(command: …, timeout: …)`.
pub(super) fn step(reader: &mut Reader<'_>, node: &Node, path: &str, limit: Duration) -> Read<Step> {
    if let Kind::Text(_) = node.kind {
        let command = text(reader, node, path)?;
        reader.note_default(&format!("{path}.timeout"), format!("{:?}", show(limit)));
        return Some(Step { command, timeout: limit });
    }
    let mut step = reader.fields(node, path, "Step")?;
    let command = step.required(reader, "command", "\"./start_1.sh\"", text);
    let timeout = step.or_value(reader, "timeout", Some(limit), &format!("{:?}", show(limit)), span);
    step.finish(reader);
    Some(Step { command: command?, timeout: timeout? })
}

fn postcondition(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    limits: Limits,
    resources: Option<&[Script]>,
) -> Read<Postcondition> {
    let known = ["NoProcess", "PortsClosed", "NotMounted", "PidFileGone", "CgroupEmpty", "NotRunning", "Command"];
    let variant = reader.variant(node, &known)?;
    let key = format!("{path}.{}", variant.word);
    match variant.word {
        "NoProcess" => {
            let value = reader.payload(&variant, "NoProcess(\"dovecot\")")?;
            process_name(reader, value, &key).map(Postcondition::NoProcess)
        }
        "PortsClosed" => {
            let value = reader.payload(&variant, "PortsClosed([110, 143])")?;
            reader.list(value, &key, (1, CONDITIONS_MAX), port).map(Postcondition::PortsClosed)
        }
        "NotMounted" => {
            let value = reader.payload(&variant, "NotMounted(\"/mail\")")?;
            absolute_path(reader, value, &key).map(Postcondition::NotMounted)
        }
        "PidFileGone" => {
            let value = reader.payload(&variant, "PidFileGone(\"/run/dovecot/master.pid\")")?;
            super::super::leaf::path(reader, value, &key).map(Postcondition::PidFileGone)
        }
        "CgroupEmpty" => {
            let value = reader.payload(&variant, "CgroupEmpty(\"system.slice/dovecot.service\")")?;
            control_group(reader, value, &key).map(Postcondition::CgroupEmpty)
        }
        "NotRunning" => {
            let value = reader.payload(&variant, "NotRunning(\"web1\")")?;
            resource(reader, value, &key, resources).map(Box::new).map(Postcondition::NotRunning)
        }
        _ => {
            let value = reader.payload(&variant, "Command(\"./is_stopped.sh\")")?;
            step(reader, value, &key, limits.script).map(Postcondition::Command)
        }
    }
}

/// A resource that can say for certain that it does not run.
fn resource(reader: &mut Reader<'_>, node: &Node, path: &str, known: Option<&[Script]>) -> Read<Script> {
    let wanted = text(reader, node, path)?;
    // Where the resources are wrong, every name would be wrong too.
    let known = known?;
    let problem = match known.iter().find(|script| script.name == wanted) {
        Some(script) if script.contract().tells_not_running().is_some() => return Some(script.clone()),
        Some(_) => Problem::at(node.span.clone(), format!("the resource {wanted:?} cannot say that it does not run"))
            .help("its kind knows no such answer, and a call that only fails proves nothing: look at what it leaves, with \
                   `NoProcess`, `PortsClosed`, `NotMounted`"),
        None => {
            let problem = Problem::at(node.span.clone(), format!("no resource has the name {wanted:?}"));
            match nearest(&wanted, known.iter().map(|script| script.name.as_str())) {
                Some(near) => problem.help(format!("did you mean {near:?}?")),
                None => problem.help("write the name of an entry of `resources`"),
            }
        }
    };
    reader.problem(problem);
    None
}

/// A process name without a folder: the kernel keeps the first 15 bytes of the program's own name.
fn process_name(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let name = text(reader, node, path)?;
    if name.contains('/') {
        let problem = Problem::at(node.span.clone(), "a process is matched by its name, without a folder");
        let bare = name.rsplit('/').next().unwrap_or_default().to_owned();
        reader.problem(problem.help(format!("write {bare:?}")));
        return None;
    }
    Some(name)
}

/// A control group below the mount point of cgroup v2.
fn control_group(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<PathBuf> {
    let written = PathBuf::from(text(reader, node, path)?);
    let below = written.strip_prefix("/sys/fs/cgroup").or_else(|_| written.strip_prefix("/")).unwrap_or(&written);
    let plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || below.as_os_str().is_empty() {
        let problem = Problem::at(node.span.clone(), "this is no control group below the mount point of cgroup v2");
        reader.problem(problem.help("write, for example, \"system.slice/dovecot.service\""));
        return None;
    }
    Some(below.to_owned())
}
