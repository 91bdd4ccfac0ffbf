//! `failoverctl failback-sheet`: the operation sheet of CPMS for this pair, with what is seen now.
//!
//! The sheet has five steps: fix CFG 1; heart-beatd CFG 2 stop; CPMS CFG 2 stop; CPMS CFG 1 start; heart-beatd CFG 2
//! start. Here one command gives the orders of the last four. They stay on the sheet, so that the person at the desk can
//! tick what the old sheet asked for and see the fact behind it.

#[cfg(test)]
mod tests;

use failover_shared::decision::{Duty, Millis, Role};
use failover_shared::status::Status;

use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::out::{Out, Tone, to_second};
use crate::views::Views;

/// Where the text behind a label begins.
const TEXT_AT: usize = 14;

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// What it asks for is so.
    Met,
    /// The command of the sheet will do it.
    Comes,
    /// What must hold before it does not hold.
    NotMet,
}

struct Step {
    /// As the old sheet has it.
    old: String,
    /// What it is here.
    here: String,
    /// What is seen now.
    fact: String,
    standing: Standing,
    /// What is missing, and what to type.
    missing: Vec<String>,
    /// Who does it.
    by: String,
}

pub(crate) async fn run(daemon: &Daemon, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let views = Views::look(daemon).await?;
    let (master, slave) = (Known::of(&views, Role::Master), Known::of(&views, Role::Slave));
    out.line(format!(
        "FAIL-BACK SHEET of pair {}: the service returns from {} to {}",
        views.here.pair, slave.host, master.host
    ))?;
    out.line(out.paint(Tone::Faint, &format!("seen from {} at {}", views.here.host, to_second(&views.here.utc))))?;
    out.line("")?;
    if master.duty == Some(Duty::Active) {
        out.line(format!("nothing to do: {} runs the service already ({})", master.host, master.fact()))?;
        return Ok(Exit::Ok);
    }
    let steps = steps(&views.here, &master, &slave);
    for (number, step) in (1..).zip(&steps) {
        show(number, step, out)?;
    }
    let ready = steps.iter().all(|step| step.standing != Standing::NotMet);
    if ready {
        out.line("Type now, on either host:")?;
        out.line("    failoverctl takeback --dry-run")?;
        out.line("    failoverctl takeback --reason \"fail-back by the sheet\"")?;
        out.line("It prints every step of both hosts as it happens. Afterwards: failoverctl status")?;
        return Ok(Exit::Ok);
    }
    let missing = out.paint(Tone::Bad, "NOT YET");
    out.line(format!("{missing}: mend what is marked [!], then print this sheet again: failoverctl failback-sheet"))?;
    Ok(Exit::Warning)
}

fn show(number: u32, step: &Step, out: &mut Out<'_>) -> std::io::Result<()> {
    let (mark, tone) = match step.standing {
        Standing::Met => ("[x]", Tone::Good),
        Standing::Comes => ("[ ]", Tone::Strong),
        Standing::NotMet => ("[!]", Tone::Bad),
    };
    out.line(format!("{} {number}. {}", out.paint(tone, mark), out.paint(Tone::Strong, &step.old)))?;
    out.folded("       here", TEXT_AT, &step.here)?;
    out.folded("       now", TEXT_AT, &step.fact)?;
    for missing in &step.missing {
        out.folded("       first", TEXT_AT, missing)?;
    }
    out.folded("       by", TEXT_AT, &step.by)?;
    out.line("")
}

/// What is known of one host, with its age.
struct Known {
    host: String,
    duty: Option<Duty>,
    state: String,
    /// `None`: this is the host on which the command was typed.
    heard: Option<String>,
    heard_now: bool,
    ready: Option<bool>,
    not_ready: Vec<String>,
    way_out: Option<String>,
}

impl Known {
    fn of(views: &Views, role: Role) -> Known {
        let here = &views.here;
        let peer = &here.peer;
        let age = peer.heard_age_ms.map(|age| format!("heard {} ago", Millis(age)));
        let heard = (role != here.role).then(|| age.unwrap_or_else(|| "never heard".to_string()));
        let heard_now = role == here.role || (!peer.silent && peer.heard_age_ms.is_some());
        let host = views.host(role).to_string();
        if let Some(view) = views.own_view(role) {
            return Known {
                host,
                duty: Some(view.duty),
                state: format!("{:?} for {}", view.state, Millis(view.state_age_ms)),
                heard,
                heard_now,
                ready: view.readiness_age_ms.map(|_| view.not_ready.is_empty()),
                not_ready: view.not_ready.clone(),
                way_out: (view.duty == Duty::Held).then(|| view.way_out.clone()),
            };
        }
        Known {
            host,
            // What a silent host said last is no fact.
            duty: peer.duty.filter(|_| heard_now),
            state: peer.duty.map_or("never heard of".to_string(), |duty| duty.to_string()),
            heard,
            heard_now,
            ready: peer.ready.filter(|_| heard_now),
            not_ready: Vec::new(),
            way_out: None,
        }
    }

    fn fact(&self) -> String {
        let heard = self.heard.as_ref().map_or("this host".to_string(), Clone::clone);
        let ready = match self.ready {
            Some(true) => "ready",
            Some(false) => "NOT ready",
            None => "readiness not known",
        };
        let doubt = if self.heard_now { "" } else { "?" };
        match self.duty {
            Some(Duty::Active) => format!("{doubt}{}, {heard}", self.state),
            _ => format!("{doubt}{}, {ready}, {heard}", self.state),
        }
    }
}

fn steps(here: &Status, master: &Known, slave: &Known) -> [Step; 5] {
    let (cfg1, cfg2) = (&master.host, &slave.host);
    let mut unfixed = Vec::new();
    if !master.heard_now {
        unfixed.push(format!("repair {cfg1}, then start its daemon there: systemctl start failover-master"));
    } else if let Some(way_out) = &master.way_out {
        unfixed.push(format!("on {cfg1}: {way_out}"));
    } else if master.ready != Some(true) {
        let why = if master.not_ready.is_empty() {
            "see there: failoverctl status".into()
        } else {
            master.not_ready.join("; ")
        };
        unfixed.push(format!("{cfg1} could not start the service: {why}"));
    }
    let mut withheld = Vec::new();
    if here.maintenance.is_some() {
        withheld.push("the pair is in maintenance: failoverctl maintenance off".to_string());
    }
    if here.config.equal == Some(false) {
        let keys = here.config.differing.join(", ");
        withheld.push(format!(
            "the two configurations differ ({keys}): copy the right one over and reload it; or add \
             --despite-config-difference to takeback"
        ));
    }
    let mut running = Vec::new();
    if slave.duty != Some(Duty::Active) {
        running.push(match (&slave.way_out, slave.heard_now) {
            (Some(way_out), _) => format!("on {cfg2}: {way_out}"),
            (None, true) => format!("{cfg2} does not run the service; look on both hosts: failoverctl status"),
            (None, false) => format!("{cfg2} is not heard, so nobody can tell whether it runs the service"),
        });
    }
    let standing = |missing: &[String], otherwise| if missing.is_empty() { otherwise } else { Standing::NotMet };
    let view = match (&here.balancer.view, here.balancer.age_ms) {
        _ if here.balancer.kind == "none" => "no balancer is configured".to_string(),
        (Some(view), Some(age)) => format!("the balancer says {view}, {} ago", Millis(age)),
        _ => "the balancer was not read back".to_string(),
    };
    let lock = here.locked.as_ref().map_or("no automatic move waits for an ack".to_string(), |locked| {
        format!("automatic moves are locked since the one to epoch {}", locked.epoch)
    });
    [
        Step {
            old: format!("Fix {cfg1}"),
            here: format!("{cfg1} is heard, stands by, and could start the service"),
            fact: master.fact(),
            standing: standing(&unfixed, Standing::Met),
            missing: unfixed,
            by: format!("you; check it there: failoverctl check, failoverctl status (on {cfg1})"),
        },
        Step {
            old: format!("heart-beatd {cfg2} stop"),
            here: "nothing to stop: during a commanded move no host decides another one".into(),
            fact: lock,
            standing: standing(&withheld, Standing::Comes),
            missing: withheld,
            by: "the daemons, as soon as takeback is accepted".into(),
        },
        Step {
            old: format!("CPMS {cfg2} stop"),
            here: format!("{cfg2} runs its stop list, every post-condition is verified, the stop is acknowledged"),
            fact: format!("{}; {view}", slave.fact()),
            standing: standing(&running, Standing::Comes),
            missing: running,
            by: "takeback orders it (giveback)".into(),
        },
        Step {
            old: format!("CPMS {cfg1} start"),
            here: format!(
                "{cfg1} starts only after that acknowledgement; its checks must pass, then the balancer shifts"
            ),
            fact: format!("epoch {} now; the start claims the next", here.epoch),
            standing: Standing::Comes,
            missing: Vec::new(),
            by: "takeback orders it; a start that fails brings the service back to where it was, once".into(),
        },
        Step {
            old: format!("heart-beatd {cfg2} start"),
            here: format!("{cfg2} stands by again and watches; automatic moves are allowed again without an ack"),
            fact: slave.fact(),
            standing: Standing::Comes,
            missing: Vec::new(),
            by: "the daemons, as soon as the service runs".into(),
        },
    ]
}
