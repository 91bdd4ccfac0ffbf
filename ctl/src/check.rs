//! `failoverctl check`: the whole configuration in force, what an outage may cost, and what this host lacks.

mod autostart;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use failover_shared::arbiter::shared_storage::examine;
use failover_shared::config::{
    self, ArbiterPlace, Config, FaultOutage, Finding, Loaded, Origin, Severity, check_files, check_machine,
    show_duration, worst_case,
};
use failover_shared::decision::Role;
use failover_shared::fence::{DeviceStatus, Fence, Power, check_agents};
use failover_shared::script::validate;
use failover_shared::telemetry::chain;

use self::autostart::AutoStart;
use crate::exit::Exit;
use crate::out::{Out, Tone, pad};
use crate::role;

/// Flags of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file; default: --config
    file: Option<PathBuf>,
    /// Look at the files as the host of this name, not as this host
    #[arg(long)]
    host: Option<String>,
    /// Leave out the list of all values
    #[arg(long)]
    brief: bool,
    /// Ask each fence device for the state of both hosts
    #[arg(long)]
    fence_status: bool,
    /// Look at the machine and at what starts the service at boot below this folder, not below /
    #[arg(long, default_value = "/", hide = true)]
    root: PathBuf,
}

pub(crate) async fn run(
    config: &Path,
    role: Option<Role>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let file = arguments.file.as_deref().unwrap_or(config);
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            out.line(problems.render(out.is_terminal()))?;
            out.line("")?;
            out.line(format!("{}: {} is refused", count(problems.list().len(), "problem"), file.display()))?;
            return Ok(Exit::Failed);
        }
    };
    if !arguments.brief {
        values(&loaded, out)?;
    }
    if !loaded.warnings.is_empty() {
        out.line(loaded.warnings.render(out.is_terminal()))?;
        out.line("")?;
    }
    outages(&loaded.config, out)?;
    let mut warnings = loaded.warnings.list().len();
    let mut problems = 0;
    match role::here(&loaded.config, role, arguments.host.as_deref())? {
        None => {
            let (master, slave) = (&loaded.config.master.name, &loaded.config.slave.name);
            let text = format!(
                "this host is neither {master} nor {slave}, so its files, scripts and boot services were not looked at; \
                 next: give the command there"
            );
            out.folded(&out.paint(Tone::Warning, "not looked at:"), 15, &text)?;
        }
        Some(role) => {
            let mut findings = check_files(&loaded.config, role);
            findings.extend(check_machine(&loaded.config, &arguments.root));
            if let Some(ArbiterPlace::SharedStorage { path }) =
                loaded.config.arbiter.as_ref().map(|arbiter| &arbiter.place)
            {
                findings.extend(examine(path, &loaded.config));
            }
            findings.extend(check_agents(&loaded.config).await);
            findings.extend(validate(&loaded, role).await);
            if arguments.fence_status {
                findings.extend(fence_states(&loaded.config).await);
            }
            let starters = autostart::find(&arguments.root, &loaded.config);
            (warnings, problems) = (
                warnings + findings.iter().filter(|finding| finding.severity == Severity::Warning).count(),
                findings.iter().filter(|finding| finding.severity == Severity::Error).count() + starters.len(),
            );
            this_host(loaded.config.host(role).name.as_str(), &findings, &starters, out)?;
        }
    }
    out.line("")?;
    out.line(format!(
        "{}: accepted, {}, {}",
        file.display(),
        count(problems, "problem of this host"),
        count(warnings, "warning")
    ))?;
    Ok(match (problems, warnings) {
        (0, 0) => Exit::Ok,
        (0, _) => Exit::Warning,
        _ => Exit::Failed,
    })
}

/// Asks the devices. A host that is cut off could not take over.
async fn fence_states(config: &Config) -> Vec<Finding> {
    let fence = Fence::of(config);
    let mut findings = Vec::new();
    for target in [Role::Master, Role::Slave] {
        let name = &config.host(target).name;
        for DeviceStatus { device, power } in fence.status(target).await {
            let (severity, message) = match power {
                Ok(Power::On) => continue,
                Ok(Power::Off) => (
                    Severity::Warning,
                    format!(
                        "{name} is cut off; when it was restarted: failoverctl fence on {name} --restarted --reason …"
                    ),
                ),
                Err(error) => (Severity::Error, format!("{name} could not be fenced: {}", chain(&error))),
            };
            findings.push(Finding { severity, key: device, message });
        }
    }
    findings
}

fn values(loaded: &Loaded, out: &mut Out<'_>) -> std::io::Result<()> {
    out.line(out.paint(Tone::Strong, "the configuration in force"))?;
    let key_width = loaded.resolved().iter().map(|value| value.key.chars().count()).max().unwrap_or(0).min(44) + 2;
    for value in loaded.resolved() {
        let origin = match value.origin {
            Origin::Written { line } => format!("line {line}"),
            Origin::Default => out.paint(Tone::Faint, "default"),
        };
        let width = key_width.max(value.key.chars().count() + 1);
        out.folded(&format!("  {}{}", pad(&origin, 10), pad(&value.key, width)), 12 + width, &value.value)?;
    }
    out.line(format!("  digest {:016x}; the other host must show the same", loaded.digest))?;
    out.line("")
}

fn outages(config: &Config, out: &mut Out<'_>) -> std::io::Result<()> {
    let objective = config.objective_outage;
    let title = format!("the longest outage for each fault; objective_outage is {}", show_duration(objective));
    out.line(out.paint(Tone::Strong, &title))?;
    for FaultOutage { fault, outage, formula } in worst_case(config) {
        let (mark, span) = match outage {
            Some(outage) if outage > objective => ('!', show_duration(outage)),
            Some(outage) => (' ', show_duration(outage)),
            None => ('?', "until a person acts".to_string()),
        };
        out.folded(&format!(" {mark} {}", pad(&span, 20)), 24, &format!("{fault}: {formula}"))?;
    }
    out.line("")
}

fn this_host(host: &str, findings: &[Finding], starters: &[AutoStart], out: &mut Out<'_>) -> std::io::Result<()> {
    out.line(out.paint(Tone::Strong, &format!("this host, {host}")))?;
    for finding in findings {
        let (mark, tone) = match finding.severity {
            Severity::Error => ("problem", Tone::Bad),
            Severity::Warning => ("warning", Tone::Warning),
        };
        out.folded(&format!("   {}", out.paint(tone, mark)), 12, &format!("{}: {}", finding.key, finding.message))?;
    }
    for starter in starters {
        let text = format!(
            "{} starts {} at boot, by itself ({}): after a reboot it would run on a host that does not own it; next: {}",
            starter.manager,
            starter.name,
            starter.link.display(),
            starter.remedy
        );
        out.folded(&format!("   {}", out.paint(Tone::Bad, "problem")), 12, &text)?;
    }
    if findings.is_empty() && starters.is_empty() {
        out.line("   files, keys and scripts are in place; nothing else starts the service at boot")?;
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    match (number, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some((noun, rest))) => format!("{number} {noun}s {rest}"),
        (_, None) => format!("{number} {what}s"),
    }
}
