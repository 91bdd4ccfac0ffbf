//! Reads the configuration of CPMS (`failover_config.txt`, Perl style) and writes it anew in RON. The old file is read,
//! never run.

mod perl;

use std::fmt::Write as _;
use std::path::Path;

use self::perl::Entry;
use super::duration::show;
use super::leaf::PLACEHOLDER;
use super::problem::{Problem, Problems, Severity, Source};
use super::suggest::nearest;

/// The keys of the old file.
const KEYS: [&str; 10] = [
    "VERSION",
    "REMOTE_POP3_HOST",
    "REMOTE_POP3_TIMEOUT",
    "MONITOR_PORT",
    "MONITOR_PORT_SLAVE",
    "SLAVE_HOST",
    "RLOGIN_USER",
    "RLOGIN_PASS",
    "SHUTDOWN_SCRIPTS",
    "STARTUP_SCRIPTS",
];
/// The old program gave a script no limit at all; this one is written out so that it can be changed.
const STEP_LIMIT_SECONDS: u64 = 60;
const KILL_AFTER_SECONDS: u64 = 2;
const POP3_TIMEOUT_SECONDS_DEFAULT: u64 = 60;

/// What the old file does not know. What is not given here becomes a marked placeholder, and the text is refused until
/// somebody fills it in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportAnswers {
    /// The pair's name. `mail` if it is not given.
    pub pair: Option<String>,
    /// Host name of the master.
    pub master_name: Option<String>,
    /// Address of the master.
    pub master_address: Option<String>,
    /// Address of the slave.
    pub slave_address: Option<String>,
    /// Address of `REMOTE_POP3_HOST`.
    pub pop3_address: Option<String>,
    /// The mailbox that the POP3 check reads.
    pub canary_user: Option<String>,
    /// Name of a process that is there as long as the service runs.
    pub process: Option<String>,
}

/// An imported configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The new text, with comments. [`super::parse`] refuses it as long as it holds placeholders.
    pub ron: String,
    /// What the operator should know, one sentence each. No secrets.
    pub notes: Vec<String>,
}

/// Translates a text in the style of CPMS. The password in it is never repeated, not in messages either.
///
/// # Errors
/// The text is not of this form, or has keys or values that cannot be translated: each with its line.
pub fn import_cpms(text: &str, answers: &ImportAnswers) -> Result<Imported, Problems> {
    let source = Source::new(Path::new("failover_config.txt"), text, &perl::secret_places(text));
    let refuse = |problems| Problems::new(&source, Severity::Error, problems);
    let entries = perl::entries(text).map_err(|problem| refuse(vec![problem]))?;
    let old = Old::from(&entries).map_err(refuse)?;
    let mut ron = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut ron, &old, answers);
    Ok(Imported { ron, notes: notes(&old) })
}

/// The old values, checked.
struct Old {
    version: Option<String>,
    pop3_host: Option<String>,
    pop3_timeout: u64,
    monitor_port: u16,
    monitor_port_slave: u16,
    slave_host: Option<String>,
    login_user: Option<String>,
    had_password: bool,
    shutdown_scripts: Vec<String>,
    startup_scripts: Vec<String>,
}

impl Old {
    fn from(entries: &[Entry]) -> Result<Old, Vec<Problem>> {
        let mut problems = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let span = entry.key_span.clone();
            if !KEYS.contains(&entry.key.as_str()) {
                let problem = Problem::at(span, format!("`{}` is no key of a CPMS configuration", entry.key));
                problems.push(match nearest(&entry.key, KEYS) {
                    Some(key) => problem.help(format!("did you mean `{key}`?")),
                    None => problem.help(format!("known are {}", KEYS.join(", "))),
                });
            } else if entries.iter().take(index).any(|earlier| earlier.key == entry.key) {
                problems.push(Problem::at(span, format!("the key `{}` stands here twice", entry.key)));
            }
        }
        let find = |key: &str| entries.iter().find(|entry| entry.key == key);
        let text = |key: &str| find(key).map(|entry| entry.value.clone()).filter(|value| !value.trim().is_empty());
        let mut number = |key: &str, default: u64, most: u64| match find(key) {
            None => default,
            Some(entry) => match entry.value.trim().parse::<u64>() {
                Ok(number) if (1..=most).contains(&number) => number,
                _ => {
                    let problem =
                        Problem::at(entry.value_span.clone(), format!("`{key}` has no value that can be used"));
                    problems.push(problem.help(format!("write a whole number from 1 to {most}")));
                    default
                }
            },
        };
        let pop3_timeout = number("REMOTE_POP3_TIMEOUT", POP3_TIMEOUT_SECONDS_DEFAULT, 3600);
        let monitor_port = number("MONITOR_PORT", 7890, 65_535);
        let monitor_port_slave = number("MONITOR_PORT_SLAVE", 7891, 65_535);
        let mut scripts = |key: &str| {
            // CPMS cut the text at every comma; so does this.
            let scripts: Vec<String> = text(key)
                .unwrap_or_default()
                .split(',')
                .map(|script| script.trim().to_owned())
                .filter(|script| !script.is_empty())
                .collect();
            if scripts.is_empty() {
                let message = format!("`{key}` is missing or empty");
                let problem = match find(key) {
                    Some(entry) => Problem::at(entry.key_span.clone(), message),
                    None => Problem::without_place(message),
                };
                problems.push(problem.help("without its scripts the service can neither be started nor stopped"));
            }
            scripts
        };
        let shutdown_scripts = scripts("SHUTDOWN_SCRIPTS");
        let startup_scripts = scripts("STARTUP_SCRIPTS");
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Old {
            version: text("VERSION"),
            pop3_host: text("REMOTE_POP3_HOST"),
            pop3_timeout,
            monitor_port: u16::try_from(monitor_port).unwrap_or(7890),
            monitor_port_slave: u16::try_from(monitor_port_slave).unwrap_or(7891),
            slave_host: text("SLAVE_HOST"),
            login_user: text("RLOGIN_USER"),
            had_password: find("RLOGIN_PASS").is_some(),
            shutdown_scripts,
            startup_scripts,
        })
    }

    /// Long enough for the whole stop list and the ladder behind it; CPMS's own 60 s if that is longer.
    fn shutdown_timeout(&self) -> std::time::Duration {
        let steps = self.shutdown_scripts.len() as u64;
        std::time::Duration::from_secs((steps * STEP_LIMIT_SECONDS + 2 * KILL_AFTER_SECONDS + 1).max(60))
    }
}

fn write(ron: &mut String, old: &Old, answers: &ImportAnswers) -> std::fmt::Result {
    let or_ask = |answer: &Option<String>, question: &str| match answer {
        Some(answer) => format!("{answer:?}"),
        None => format!("{:?}", format!("{PLACEHOLDER}: {question}")),
    };
    let slave_host = old.slave_host.as_deref();
    let slave_word = slave_host.unwrap_or("the slave");
    let master_name = or_ask(&answers.master_name, "the master's host name, as `hostname` prints it there");
    let master_address = or_ask(&answers.master_address, "the master's own address");
    let slave_name = or_ask(&slave_host.map(str::to_owned), "the slave's host name, as `hostname` prints it there");
    let slave_address = or_ask(&answers.slave_address, &format!("the own address of {slave_word}"));

    writeln!(ron, "// Made from failover_config.txt by `failoverctl import`. The same text on both hosts.")?;
    if let Some(version) = &old.version {
        writeln!(ron, "// VERSION {}: of the old program; nothing hangs on it any more.", comment(version))?;
    }
    writeln!(
        ron,
        "// Texts that begin with {PLACEHOLDER} are what the old file does not say: the file is refused until"
    )?;
    writeln!(ron, "// they are filled in. Every key: docs/config.md.")?;
    writeln!(ron, "Pair(")?;
    writeln!(ron, "    name: {:?},", answers.pair.as_deref().unwrap_or("mail"))?;
    writeln!(ron, "    // The old file did not name the master: it lay there.")?;
    writeln!(ron, "    master: Host(name: {master_name}, address: {master_address}),")?;
    writeln!(ron, "    // SLAVE_HOST")?;
    writeln!(ron, "    slave: Host(name: {slave_name}, address: {slave_address}),")?;
    writeln!(ron, "    monitor_port: {}, // MONITOR_PORT", old.monitor_port)?;
    writeln!(ron, "    monitor_port_slave: {}, // MONITOR_PORT_SLAVE", old.monitor_port_slave)?;
    writeln!(
        ron,
        "    // CPMS gave a script no limit; here every step has one. The time-out after which the slave starts must"
    )?;
    writeln!(ron, "    // cover the whole stop list, or the slave would start while the master still stops.")?;
    writeln!(
        ron,
        "    timing: (script_timeout: \"{STEP_LIMIT_SECONDS}s\", kill_after: \"{KILL_AFTER_SECONDS}s\", shutdown_timeout: \"{}\"),",
        show(old.shutdown_timeout())
    )?;
    writeln!(
        ron,
        "    // What CPMS did: after the acknowledgement, or after the time-out, the slave starts. After a time-out"
    )?;
    writeln!(ron, "    // nothing is proved: a master that was only cut off still runs, and two write to the store.")?;
    writeln!(ron, "    // `[Ack, Operator]` waits for a person instead.")?;
    writeln!(ron, "    proof_of_stop: [Ack, Timeout(two_actives_possible: true)],")?;
    service(ron, old, answers)?;
    writeln!(ron, "    checks: [")?;
    writeln!(
        ron,
        "        // REMOTE_POP3_TIMEOUT is `timeout`. The old file does not say how many failures count: two in a row."
    )?;
    let user = or_ask(&answers.canary_user, "the user name of a mailbox that the check may read");
    let span = show(std::time::Duration::from_secs(old.pop3_timeout));
    writeln!(ron, "        Pop3(")?;
    writeln!(ron, "            name: \"pop3\", user: {user}, password_file: \"canary.pass\",")?;
    writeln!(ron, "            every: \"{span}\", timeout: \"{span}\", fails: 2, of: 2,")?;
    if let Some(host) = &old.pop3_host {
        let address = answers.pop3_address.as_ref().map(|address| {
            // An IPv6 literal needs its brackets in front of a port.
            if address.contains(':') { format!("[{address}]:110") } else { format!("{address}:110") }
        });
        let through = or_ask(&address, &format!("the address of {host} and the port, as \"192.0.2.5:110\""));
        writeln!(
            ron,
            "            // REMOTE_POP3_HOST {}: besides each host directly, the mail is read there.",
            comment(host)
        )?;
        writeln!(ron, "            through: {through},")?;
    }
    writeln!(ron, "        ),")?;
    writeln!(ron, "    ],")?;
    if let Some(user) = &old.login_user {
        writeln!(
            ron,
            "    // RLOGIN_USER. RLOGIN_PASS is not carried over: the remote login is by ssh, with a key or an agent."
        )?;
        writeln!(ron, "    rcmd: Rcmd(user: {user:?}),")?;
    }
    writeln!(
        ron,
        "    // CPMS left the traffic to the Alteon's own health checks. To have it switched: `balancer: Alteon(…)`."
    )?;
    writeln!(ron, ")")
}

fn service(ron: &mut String, old: &Old, answers: &ImportAnswers) -> std::fmt::Result {
    let process = match &answers.process {
        Some(process) => format!("{process:?}"),
        None => format!("{:?}", format!("{PLACEHOLDER}: the name of a process that runs as long as the service does")),
    };
    writeln!(ron, "    service: (")?;
    writeln!(ron, "        // Relative names start at this file's folder; `directory: \"…\"` names another.")?;
    for (old_key, key, scripts) in [
        ("SHUTDOWN_SCRIPTS", "shutdown_scripts", &old.shutdown_scripts),
        ("STARTUP_SCRIPTS", "startup_scripts", &old.startup_scripts),
    ] {
        writeln!(ron, "        // {old_key}")?;
        writeln!(ron, "        {key}: [")?;
        for script in scripts {
            writeln!(ron, "            {script:?},")?;
        }
        writeln!(ron, "        ],")?;
    }
    writeln!(ron, "        // CPMS took the scripts' word for it. An acknowledgement now rests on what is seen.")?;
    writeln!(ron, "        stopped_when: [NoProcess({process}), PortsClosed([110])],")?;
    writeln!(ron, "    ),")
}

/// A foreign text inside a comment: nothing in it may end the line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn notes(old: &Old) -> Vec<String> {
    let mut notes = Vec::new();
    if old.had_password {
        notes.push(
            "RLOGIN_PASS was not carried over: a password does not stand in a configuration. The remote login works by ssh \
             with a key or an agent; change that password, it stood in clear text."
                .into(),
        );
    }
    notes.push(
        "`proof_of_stop` allows `Timeout`, because that is what CPMS did: two hosts may be active after a time-out, and \
         every status line says so. `[Ack, Operator]` waits for a person instead."
            .into(),
    );
    notes.push(format!(
        "each script may run {STEP_LIMIT_SECONDS} s (CPMS set no limit), so the time-out is {}: change `script_timeout` and \
         `shutdown_timeout` together.",
        show(old.shutdown_timeout())
    ));
    notes.push("the POP3 check reads a mailbox: put its password into canary.pass, mode 0600, on both hosts.".into());
    if old.version.is_some() {
        notes.push("VERSION names the old program's version; it stands in a comment only.".into());
    }
    notes
}

#[cfg(test)]
mod tests;
