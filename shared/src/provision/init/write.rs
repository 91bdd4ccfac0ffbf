//! From the answers to the files of both hosts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::questions::{Answers, QUESTIONS, Silence};
use crate::config;
use crate::provision::certificate::{certificate_path, create_host_certificate, host_key_path};
use crate::provision::file::{ProvisionError, create};
use crate::provision::key::{PAIR_KEY_FILE, create_pair_key};

/// The configuration's file name.
const CONFIGURATION_FILE: &str = "failover.ron";
/// The file with the fence agent's secrets.
const FENCE_OPTIONS_FILE: &str = "fence.options";
/// Limit of a step when the time-out has to cover the whole stop list.
const STEP_LIMIT_SECONDS: usize = 20;
/// What the profiles `Standard` and `Long` leave a host without a lease for its whole stop.
const STANDARD_STOP_SECONDS: usize = 30;
const LONG_STOP_SECONDS: usize = 60;
/// `kill_after`, twice, is part of the stop.
const LADDER_SECONDS: usize = 4;
/// A step that has less than this takes the longer profile.
const STEP_LEAST_SECONDS: usize = 5;

/// What was written, and what is left to do.
#[derive(Clone, Debug)]
pub struct Written {
    /// The new files.
    pub files: Vec<PathBuf>,
    /// The next steps for the operator, each with its command where there is one.
    pub next: Vec<String>,
}

/// Writes the first configuration, the shared key, and key and certificate of both hosts into one folder.
///
/// # Errors
/// The answers make no configuration; one of the files is there already (then nothing is written); a file cannot be
/// written.
pub fn write_pair(dir: &Path, answers: &Answers) -> Result<Written, ProvisionError> {
    let text = configuration(answers)?;
    let (master, slave) = (answers.get("master"), answers.get("slave"));
    let mut files = vec![dir.join(CONFIGURATION_FILE), dir.join(PAIR_KEY_FILE)];
    for host in [master, slave] {
        files.extend([certificate_path(dir, host), host_key_path(dir, host)]);
    }
    if let Some(path) = files.iter().find(|path| path.exists()) {
        return Err(ProvisionError::Exists { path: path.clone() });
    }
    create_pair_key(dir)?;
    for host in [master, slave] {
        create_host_certificate(dir, host)?;
    }
    // Last: a folder with a configuration has everything that it names.
    create(&dir.join(CONFIGURATION_FILE), text.as_bytes())?;
    Ok(Written { files, next: next_steps(dir, answers) })
}

/// The configuration that the answers make, as text with comments.
///
/// # Errors
/// A needed answer is missing, or the text would be refused at load; the error holds the problems.
pub fn configuration(answers: &Answers) -> Result<String, ProvisionError> {
    let unanswered = |key: &str| {
        let question = QUESTIONS.iter().find(|question| question.key == key);
        ProvisionError::Answers(format!("`{key}` needs an answer: {}", question.map_or("", |question| question.text)))
    };
    for question in QUESTIONS {
        if question.default.is_none() && answers.wants(question) {
            return Err(unanswered(question.key));
        }
    }
    let silence = answers.silence().ok_or_else(|| unanswered("silence"))?;
    let second = answers.list("second-path");
    let (master_path, slave_path) = match second.as_slice() {
        [] => (None, None),
        [master, slave] => (Some(*master), Some(*slave)),
        _ => return Err(ProvisionError::Answers("`second-path` needs two addresses with a comma between them".into())),
    };

    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = compose(&mut text, answers, silence, master_path, slave_path);
    match config::parse(&text, Path::new(CONFIGURATION_FILE), Path::new("/etc/failover")) {
        Ok(_) => Ok(text),
        Err(problems) => Err(ProvisionError::Answers(problems.to_string())),
    }
}

fn compose(
    text: &mut String,
    answers: &Answers,
    silence: Silence,
    master_path: Option<&str>,
    slave_path: Option<&str>,
) -> std::fmt::Result {
    let host = |role: &str, path: Option<&str>| {
        let own = answers.get(&format!("{role}-address"));
        let mut paths = vec![own];
        paths.extend(path);
        format!("Host(name: {:?}, address: {own:?}, heartbeat: {})", answers.get(role), list(&paths))
    };
    writeln!(text, "// Made by `failoverctl init`. The same text on both hosts; every key: docs/config.md.")?;
    writeln!(text, "Pair(")?;
    writeln!(text, "    name: {:?},", answers.get("pair"))?;
    writeln!(text, "    master: {},", host("master", master_path))?;
    writeln!(text, "    slave:  {},", host("slave", slave_path))?;
    let stop = answers.commands("stop");
    let mut stop_list = list(&stop);
    match silence {
        Silence::Person => {
            writeln!(text, "    // A silent host is proved stopped by a person: `failoverctl confirm-stopped`.")?;
            writeln!(text, "    proof_of_stop: [Ack, Operator],")?;
        }
        Silence::Lease => {
            let (profile, span) = if stop.len() * STEP_LEAST_SECONDS + LADDER_SECONDS <= STANDARD_STOP_SECONDS {
                ("Standard", STANDARD_STOP_SECONDS)
            } else {
                ("Long", LONG_STOP_SECONDS)
            };
            let limit = ((span - LADDER_SECONDS) / stop.len().max(1)).max(1);
            let step = |command: &&str| format!("Step(command: {command:?}, timeout: \"{limit}s\")");
            stop_list = format!("[{}]", stop.iter().map(step).collect::<Vec<_>>().join(", "));
            let guard = match answers.get("watchdog") {
                "none" => "GuardianOnly(host_freeze_can_make_two_actives: true)".to_owned(),
                device => format!("Watchdog({device:?})"),
            };
            writeln!(text, "    // The lease of a silent host runs out: it stops by itself, or its guard resets it.")?;
            writeln!(text, "    proof_of_stop: [Ack, Lease, Operator],")?;
            let path = answers.get("lease-path");
            writeln!(text, "    arbiter: SharedStorage(path: {path:?}, profile: {profile}, guard: {guard}),")?;
        }
        Silence::Fence => {
            writeln!(text, "    // A silent host is cut off by a device, and that is read back: see docs/fencing.md.")?;
            writeln!(text, "    proof_of_stop: [Ack, Fence, Operator],")?;
            writeln!(text, "    fence: [Agent(")?;
            writeln!(
                text,
                "        agent: {:?}, options: {}, options_file: {FENCE_OPTIONS_FILE:?},",
                answers.get("fence-agent"),
                map(&answers.list("fence-options"))
            )?;
            let (master, slave) = (map(&answers.list("fence-master")), map(&answers.list("fence-slave")));
            writeln!(text, "        master: {master}, slave: {slave},")?;
            writeln!(text, "    )],")?;
        }
        Silence::Timeout => {
            let time_out = (stop.len() * STEP_LIMIT_SECONDS + 5).max(60);
            writeln!(text, "    // The time-out must cover the whole stop list and the ladder behind it.")?;
            let timing = format!("script_timeout: \"{STEP_LIMIT_SECONDS}s\", shutdown_timeout: \"{time_out}s\"");
            writeln!(text, "    timing: ({timing}),")?;
            writeln!(
                text,
                "    // After the time-out the other host starts without a proof: if the silent host was only cut"
            )?;
            writeln!(text, "    // off, both write to the store.")?;
            writeln!(text, "    proof_of_stop: [Ack, Timeout(two_actives_possible: true)],")?;
        }
    }
    let ports = answers.list("ports");
    let process = answers.get("process");
    let mut conditions = vec![format!("NoProcess({process:?})")];
    if !ports.is_empty() {
        conditions.push(format!("PortsClosed([{}])", ports.join(", ")));
    }
    if !answers.get("mount").is_empty() {
        conditions.push(format!("NotMounted({:?})", answers.get("mount")));
    }
    writeln!(text, "    service: (")?;
    writeln!(text, "        shutdown_scripts: {stop_list},")?;
    writeln!(text, "        startup_scripts: {},", list(&answers.commands("start")))?;
    writeln!(text, "        // A stop is acknowledged only when all of this holds.")?;
    writeln!(text, "        stopped_when: [{}],", conditions.join(", "))?;
    writeln!(text, "        watch_processes: [{process:?}],")?;
    writeln!(text, "    ),")?;
    writeln!(text, "    checks: [")?;
    let canary = answers.get("canary");
    for port in &ports {
        let probe = match *port {
            "110" if !canary.is_empty() => "Pop3",
            "143" if !canary.is_empty() => "Imap",
            _ => "Port",
        };
        if probe == "Port" {
            writeln!(text, "        Port(name: \"port-{port}\", port: {port}),")?;
        } else {
            let name = probe.to_lowercase();
            writeln!(text, "        {probe}(name: {name:?}, user: {canary:?}, password_file: \"canary.pass\"),")?;
        }
    }
    writeln!(text, "    ],")?;
    if !answers.get("haproxy").is_empty() {
        let servers = format!("master: {:?}, slave: {:?}", answers.get("master"), answers.get("slave"));
        let backends = list(&answers.list("backend"));
        writeln!(
            text,
            "    balancer: HaProxy(socket: {:?}, backends: {backends}, {servers}),",
            answers.get("haproxy")
        )?;
    }
    let receivers = answers.list("page");
    if !receivers.is_empty() {
        writeln!(text, "    notify: Mail(to: {}, relays: {}),", list(&receivers), list(&answers.list("relays")))?;
    }
    writeln!(text, ")")
}

fn list(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

/// `name=value` entries as a map.
fn map(items: &[&str]) -> String {
    let entry = |item: &&str| {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        format!("{:?}: {:?}", name.trim(), value.trim())
    };
    format!("{{{}}}", items.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn next_steps(dir: &Path, answers: &Answers) -> Vec<String> {
    let (master, slave) = (answers.get("master"), answers.get("slave"));
    let here = dir.display();
    let mut steps = vec![
        format!(
            "on {slave} these files are needed in the same folder, mode 0600: {CONFIGURATION_FILE} {PAIR_KEY_FILE} \
             {master}.cert.pem {slave}.cert.pem {slave}.key.pem. Copy them: `cd {here} && scp -p {CONFIGURATION_FILE} \
             {PAIR_KEY_FILE} {master}.cert.pem {slave}.cert.pem {slave}.key.pem {slave}:{here}/`"
        ),
        format!("{master} does not need the other host's private key: `rm {here}/{slave}.key.pem` on {master}"),
    ];
    if !answers.get("canary").is_empty() {
        steps.push(format!(
            "put the password of the mailbox {:?} into {here}/canary.pass on both hosts: `(umask 077; cat >{here}/canary.pass)`",
            answers.get("canary")
        ));
    }
    match answers.silence() {
        Some(Silence::Fence) => {
            steps.push(format!(
                "put the fence agent's password into {here}/{FENCE_OPTIONS_FILE} on both hosts, as a line `password=…`: \
                 `(umask 077; cat >{here}/{FENCE_OPTIONS_FILE})`"
            ));
            steps.push(format!(
                "see whether the device answers for both: `failoverctl fence status {master}`, `… {slave}`"
            ));
        }
        Some(Silence::Lease) => {
            steps.push(format!("mount {} on both hosts, at boot, from an export of its own", answers.get("lease-path")))
        }
        Some(Silence::Person | Silence::Timeout) | None => {}
    }
    steps.push(format!(
        "look at the whole configuration on both hosts: `failoverctl check {here}/{CONFIGURATION_FILE}`"
    ));
    steps
}
