//! What an agent tells of itself: `AGENT meta-data` prints XML with its parameters, and the time that each action wants
//! (OCF Resource Agent API 1.1, section 5).

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Agents ask for 5 s; they are asked while the configuration is read, which happens at a boot, too.
const LIMIT: Duration = Duration::from_secs(10);
/// All agents of a configuration together.
const LIMIT_OF_ALL: Duration = Duration::from_secs(20);
/// Between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The longest of Debian's some 150 agents tells 30 KiB.
const BYTES_MAX: usize = 1024 * 1024;
/// Elements, texts and attributes of a text.
const NODES_MAX: u32 = 50_000;
/// No action wants more.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What an agent tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MetaData {
    /// Its parameters, and whether each must be given: required, and without a default.
    pub(super) parameters: BTreeMap<String, bool>,
    /// For each action the time that it should have at least.
    pub(super) timeouts: BTreeMap<String, Duration>,
}

/// What the agents of one configuration told: each is asked once.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    told: BTreeMap<PathBuf, Result<MetaData, String>>,
    /// How long they took together.
    spent: Duration,
}

impl Agents {
    /// Asks the agent, if that was not done before. Blocks, at most for what is left of the limit of all.
    ///
    /// # Errors
    /// Why it tells nothing, as a sentence.
    pub(super) fn ask(&mut self, agent: &Path, variables: &BTreeMap<String, String>) -> Result<MetaData, String> {
        if let Some(told) = self.told.get(agent) {
            return told.clone();
        }
        let limit = LIMIT.min(LIMIT_OF_ALL.saturating_sub(self.spent));
        let told = if limit.is_zero() {
            Err(format!("it was not asked, because the agents before it took {} s", self.spent.as_secs()))
        } else {
            let begun = Instant::now();
            let told = read(agent, variables, limit).and_then(|text| parse(&text));
            self.spent += begun.elapsed();
            told
        };
        self.told.insert(agent.to_owned(), told.clone());
        told
    }
}

fn read(agent: &Path, variables: &BTreeMap<String, String>, limit: Duration) -> Result<String, String> {
    let mut child = Command::new(agent)
        .arg("meta-data")
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    let group = i32::try_from(child.id()).map(Pid::from_raw).ok();
    let output = child.stdout.take();
    let (send, received) = mpsc::sync_channel(1);
    // Reads until the agent closes its output, which it does at the latest when it is killed below. If it has given
    // that output away to something that lives on, this thread stays with it and does nothing.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.map(|output| output.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
        // Nobody waits any more: it took too long.
        let _ = send.send(read.transpose().map(|_| bytes));
    });
    let until = Instant::now() + limit;
    let told = received.recv_timeout(limit);
    let complete = matches!(told, Ok(Ok(ref bytes)) if bytes.len() <= BYTES_MAX);
    let mut ended = None;
    while complete && ended.is_none() && Instant::now() < until {
        ended = child.try_wait().map_err(not_waited_for)?;
        std::thread::sleep(LOOK_EVERY);
    }
    if let (None, Some(group)) = (ended, group) {
        // Not collected yet, so the number is still that of this group.
        let _ = killpg(group, Signal::SIGKILL);
        collect(child);
    }
    match (told, ended) {
        (Ok(Err(error)), _) => Err(format!("its output cannot be read: {error}")),
        (Ok(Ok(bytes)), _) if bytes.len() > BYTES_MAX => Err(format!("it prints more than {BYTES_MAX} bytes")),
        (Err(_), _) | (_, None) => Err(format!("it did not end within {} s", limit.as_secs())),
        (_, Some(status)) if !status.success() => Err(format!("it ended with {status}")),
        (Ok(Ok(bytes)), Some(_)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Leaves a killed child to a thread: one that waits for a dead file server ends when that comes back, and not before.
fn collect(mut child: Child) {
    // Without the thread it stays a zombie, which hurts nobody.
    let _ = std::thread::Builder::new().name("agent-end".to_owned()).spawn(move || child.wait());
}

fn not_waited_for(error: io::Error) -> String {
    format!("its end cannot be waited for: {error}")
}

/// Reads the XML. Agents name a document type, which is allowed and not looked up. They define no entities; a few lines of
/// those could grow to gigabytes.
fn parse(text: &str) -> Result<MetaData, String> {
    if text.contains("<!ENTITY") {
        return Err("its XML defines entities, which no agent needs".to_owned());
    }
    let options = roxmltree::ParsingOptions { allow_dtd: true, nodes_limit: NODES_MAX, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text.trim(), options)
        .map_err(|error| format!("no good XML: {error}"))?;
    let root = document.root_element();
    if !root.has_tag_name("resource-agent") {
        return Err(format!("its XML is of {:?}, not of a \"resource-agent\"", root.tag_name().name()));
    }
    let below = |list: &'static str, entry: &'static str| {
        let lists = root.children().filter(move |node| node.has_tag_name(list));
        lists.flat_map(|node| node.children()).filter(move |node| node.has_tag_name(entry))
    };
    let mut told = MetaData::default();
    for parameter in below("parameters", "parameter") {
        let Some(name) = parameter.attribute("name") else { continue };
        let required = parameter.attribute("required").is_some_and(|word| matches!(word, "1" | "true" | "yes"));
        let content = parameter.children().find(|node| node.has_tag_name("content"));
        let default = content.and_then(|content| content.attribute("default")).unwrap_or_default();
        told.parameters.insert(name.to_owned(), required && default.is_empty());
    }
    for action in below("actions", "action") {
        let (Some(name), Some(timeout)) = (action.attribute("name"), action.attribute("timeout")) else { continue };
        if let Some(timeout) = span(timeout) {
            // A monitor stands there once for each of its depths: the deepest takes longest.
            let longest = told.timeouts.entry(name.to_owned()).or_default();
            *longest = timeout.max(*longest);
        }
    }
    Ok(told)
}

/// `20`, `20s`, `20000ms`, `1m`: seconds, if no unit is written. `None` for what is no span of time.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let milliseconds = match unit.trim() {
        "ms" | "msec" => 1,
        "" | "s" | "sec" => 1000,
        "m" | "min" => 60 * 1000,
        "h" | "hr" => 3600 * 1000,
        _ => return None,
    };
    let span = Duration::from_millis(number.checked_mul(milliseconds)?);
    (!span.is_zero() && span <= DAY).then_some(span)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const GOOD: &str = r#"<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="web" version="1.0">
<parameters>
<parameter name="ip" unique="1" required="1"><content type="string" default="" /></parameter>
<parameter name="port" required="1"><content type="string" default="80" /></parameter>
<parameter name="nic"><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="20s" /><action name="stop" timeout="1m" /><action name="meta-data" timeout="never" />
<action name="monitor" timeout="20" depth="0" /><action name="monitor" timeout="40000ms" depth="10" />
</actions>
</resource-agent>
"#;

    #[test]
    fn parameters_and_advised_times_are_read_from_the_xml() {
        let told = parse(GOOD).unwrap();
        let parameters = [("ip", true), ("nic", false), ("port", false)];
        assert_eq!(told.parameters, parameters.map(|(name, required)| (name.to_owned(), required)).into());
        let timeouts = [("start", 20), ("stop", 60), ("monitor", 40)];
        assert_eq!(told.timeouts, timeouts.map(|(name, span)| (name.to_owned(), Duration::from_secs(span))).into());
    }

    #[test]
    fn xml_that_is_broken_of_something_else_or_grows_without_end_is_refused() {
        let bomb = format!(
            "<!DOCTYPE r [<!ENTITY a \"{}\">]><resource-agent>{}</resource-agent>",
            "x".repeat(400_000),
            "&a;".repeat(100_000)
        );
        let deep = format!("<resource-agent>{}", "<a>".repeat(200_000));
        let endless = format!("<resource-agent>{}</resource-agent>", "<a/>".repeat(100_000));
        for (text, said) in [
            ("", "no good XML"),
            ("usage: web start|stop", "no good XML"),
            ("<resource-agent><actions></resource-agent>", "no good XML"),
            ("<html></html>", "its XML is of \"html\""),
            (bomb.as_str(), "its XML defines entities"),
            (deep.as_str(), "no good XML"),
            (endless.as_str(), "no good XML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(said), "{}: {error}", text.chars().take(60).collect::<String>());
        }
        assert_eq!(parse("<resource-agent/>").unwrap(), MetaData::default());
    }

    #[test]
    fn spans_are_read_as_agents_write_them() {
        let seconds = |text| span(text).map(|span| span.as_secs_f64());
        assert_eq!(seconds("20"), Some(20.0));
        assert_eq!(seconds(" 20s "), Some(20.0));
        assert_eq!(seconds("1500ms"), Some(1.5));
        assert_eq!(seconds("2m"), Some(120.0));
        for text in ["", "s", "-1s", "0", "1.5s", "20 weeks", "99999999999999999999", "18446744073709551615h", "25h"] {
            assert_eq!(span(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_agent_that_tells_nothing_too_much_or_never_is_a_clear_result() {
        let folder = tempfile::tempdir().unwrap();
        let agent = folder.path().join("agent");
        let pid = folder.path().join("pid");
        let endless = format!("echo $$ >{}; while :; do sleep 60; done", pid.display());
        for (body, said) in [
            ("exit 3", "it ended with exit status: 3"),
            ("kill -KILL $$", "it ended with signal: 9 (SIGKILL)"),
            ("printf '<resource-agent name=\"\\377\"/>'", ""),
            ("head -c 3000000 /dev/zero; exit 0", "it prints more than 1048576 bytes"),
            ("yes", "it prints more than 1048576 bytes"),
            ("exec >&-; sleep 60", "it did not end within 1 s"),
            (endless.as_str(), "it did not end within 1 s"),
        ] {
            fs::write(&agent, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
            let variables = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
            let limit = if said.contains("within") { Duration::from_secs(1) } else { LIMIT };
            let told = read(&agent, &variables, limit).and_then(|text| parse(&text));
            assert_eq!(told.err().unwrap_or_default(), said, "{body}");
        }
        let left: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        gone(left, "the agent still runs");
        fs::write(&agent, "#!/nonexistent\n").unwrap();
        assert!(read(&agent, &BTreeMap::new(), LIMIT).unwrap_err().starts_with("it cannot be run: "));
    }

    #[test]
    fn all_agents_of_a_configuration_have_one_limit_together() {
        let folder = tempfile::tempdir().unwrap();
        let agent = |name: &str, body: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let variables = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
        let (hangs, tells) = (agent("hangs", "sleep 60"), agent("tells", "echo '<resource-agent/>'"));
        let mut agents = Agents { spent: LIMIT_OF_ALL - Duration::from_secs(1), ..Agents::default() };
        let told = agents.ask(&hangs, &variables);
        assert_eq!(told, Err("it did not end within 1 s".to_owned()));
        let told = agents.ask(&tells, &variables).unwrap_err();
        assert!(told.starts_with("it was not asked, because the agents before it took 20 s"), "{told}");
        // With time left it tells, and what it told is known when there is none any more.
        let mut agents = Agents::default();
        assert_eq!(agents.ask(&tells, &variables), Ok(MetaData::default()));
        agents.spent = LIMIT_OF_ALL;
        assert_eq!(agents.ask(&tells, &variables), Ok(MetaData::default()));
    }

    #[test]
    fn an_agent_that_does_not_end_when_it_is_killed_is_waited_for_by_nobody_and_collected_later() {
        // Nothing kills it here: it stands for one in an uninterruptible wait.
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        collect(child);
        assert!(crate::process::look(pid).unwrap().is_some(), "it was waited for");
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        gone(pid, "nobody collects it");
    }

    /// Waits until there is no such process, not even as a zombie.
    fn gone(pid: i32, or: &str) {
        let limit = Instant::now() + Duration::from_secs(20);
        while crate::process::look(pid).unwrap().is_some() {
            assert!(Instant::now() < limit, "{or}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
