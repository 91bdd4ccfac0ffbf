//! A daemon is killed at every point of its work, on both hosts: the pair ends with one active host, and only the step
//! that was interrupted may run twice.

#![allow(clippy::print_stdout, reason = "which kill led to what is what a person reads here")]

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use failover_shared::decision::{Role, StateName, Verdict};
use failover_shared::failpoint::POINTS;
use failover_tests::judge::actives::Watch;
use failover_tests::lab::service::scripts::{self, START, STOP, bad};
use failover_tests::lab::service::ssh;
use failover_tests::pair::{LIMIT, Pair, Setup};
use failover_tests::program::program;
use failover_tests::wait::{wait_for, wait_until};
use nix::sys::signal::Signal;

/// What the host whose daemon dies does in that move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Starts,
    Stops,
}

/// Where a daemon dies: in which part, at which point, at its how manyeth hit.
type Kill = (Part, &'static str, u32);

/// Every kill. A host that starts writes its state three times (demand, claim, active) and switches the balancer twice:
/// both hosts down, then itself up. A host that stops writes it twice.
const KILLS: &[Kill] = {
    use Part::{Starts, Stops};
    &[
        (Starts, "store-before", 1),
        (Stops, "store-before", 1),
        (Starts, "store-before", 2),
        (Stops, "store-before", 2),
        (Starts, "store-before", 3),
        (Stops, "store-written", 1),
        (Starts, "store-written", 1),
        (Stops, "store-written", 2),
        (Starts, "store-written", 2),
        (Stops, "store-after", 1),
        (Starts, "store-written", 3),
        (Stops, "store-after", 2),
        (Starts, "store-after", 1),
        (Stops, "entry-before", 1),
        (Starts, "store-after", 2),
        (Stops, "entry-before", 2),
        (Starts, "store-after", 3),
        (Stops, "script-before", 1),
        (Starts, "entry-before", 1),
        (Stops, "script-before", 2),
        (Starts, "entry-before", 2),
        (Stops, "script-running", 1),
        (Starts, "script-before", 1),
        (Stops, "script-running", 2),
        (Starts, "script-before", 2),
        (Stops, "script-after", 1),
        (Starts, "script-running", 1),
        (Stops, "script-after", 2),
        (Starts, "script-running", 2),
        (Stops, "stop-ladder", 1),
        (Starts, "script-after", 1),
        (Stops, "stop-unmount", 1),
        (Starts, "script-after", 2),
        (Stops, "stop-verified", 1),
        (Starts, "demand-before", 1),
        (Stops, "answer-before", 1),
        (Starts, "demand-after", 1),
        (Stops, "answer-after", 1),
        (Starts, "demand-answered", 1),
        (Stops, "order-before", 1),
        (Starts, "tell-before", 1),
        (Stops, "order-after", 1),
        (Starts, "tell-after", 1),
        (Starts, "balancer-before", 1),
        (Starts, "balancer-before", 4),
        (Starts, "balancer-after", 1),
        (Starts, "balancer-after", 4),
    ]
};

/// Where a daemon dies that stops a frozen host's service by ssh.
const SECOND_WAY: [&str; 2] = ["rcmd-before", "rcmd-after"];

/// The file on the host that says where its daemon dies.
const ARMED: &str = "/var/log/armed";
/// A guardian waits longer after each death; a new one begins again.
const DEATHS_MAX: u32 = 3;

#[test]
fn the_masters_daemon_may_die_at_any_point_first_half() -> Result<()> {
    die_everywhere("the_masters_daemon_may_die_at_any_point_first_half", Role::Master, 0)
}

#[test]
fn the_masters_daemon_may_die_at_any_point_second_half() -> Result<()> {
    die_everywhere("the_masters_daemon_may_die_at_any_point_second_half", Role::Master, 1)
}

#[test]
fn the_slaves_daemon_may_die_at_any_point_first_half() -> Result<()> {
    die_everywhere("the_slaves_daemon_may_die_at_any_point_first_half", Role::Slave, 0)
}

#[test]
fn the_slaves_daemon_may_die_at_any_point_second_half() -> Result<()> {
    die_everywhere("the_slaves_daemon_may_die_at_any_point_second_half", Role::Slave, 1)
}

#[test]
fn the_slaves_daemon_may_die_while_it_stops_the_master_by_the_second_way() -> Result<()> {
    die_on_the_second_way("the_slaves_daemon_may_die_while_it_stops_the_master_by_the_second_way", Role::Slave)
}

#[test]
fn the_masters_daemon_may_die_while_it_stops_the_slave_by_the_second_way() -> Result<()> {
    die_on_the_second_way("the_masters_daemon_may_die_while_it_stops_the_slave_by_the_second_way", Role::Master)
}

#[test]
fn every_point_in_the_sources_is_listed_and_has_a_run() -> Result<()> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?.join("shared/src");
    let mut called = BTreeSet::new();
    calls(&sources, &mut called)?;
    let listed: BTreeSet<String> = POINTS.iter().map(|point| (*point).to_owned()).collect();
    assert_eq!(called, listed, "left: called in the sources; right: listed in failpoint::POINTS");
    let run: BTreeSet<String> = KILLS.iter().map(|(_, point, _)| *point).chain(SECOND_WAY).map(str::to_owned).collect();
    assert_eq!(run, listed, "left: has a run; right: listed in failpoint::POINTS");
    for (part, point, hit) in KILLS {
        println!("{part:?}: {point}, hit {hit}, on both hosts");
    }
    println!("The second way: {}, on both hosts", SECOND_WAY.join(", "));
    Ok(())
}

/// The points that the sources below a folder name.
fn calls(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            calls(&path, found)?;
        } else if path.file_name().is_some_and(|name| name != "failpoint.rs") {
            let text = std::fs::read_to_string(&path)?;
            let names = text.split("failpoint(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
    Ok(())
}

/// Moves the service to and fro; the daemon of `victim` dies once in each move, at the next point of this half.
fn die_everywhere(test: &str, victim: Role, half: usize) -> Result<()> {
    let Some(pair) = Pair::install(test, &Setup::default())? else { return Ok(()) };
    let of_part = |part| {
        let kills = KILLS.iter().copied().filter(|kill| kill.0 == part).enumerate();
        kills.filter(|(index, _)| index % 2 == half).map(|(_, kill)| kill).collect::<VecDeque<Kill>>()
    };
    let (mut starts, mut stops) = (of_part(Part::Starts), of_part(Part::Stops));
    let mut scene = Scene { pair, victim, deaths: 0 };
    scene.pair.start_with_kill_points(victim, ARMED)?;
    scene.pair.start(victim.peer())?;
    let mut active = scene.settled()?;
    let watch = Watch::begin(&scene.pair.lab)?;
    while !(starts.is_empty() && stops.is_empty()) {
        let next = if active == victim { stops.pop_front() } else { starts.pop_front() };
        let begun = std::time::Instant::now();
        active = scene.run(active, next).with_context(|| format!("killed on the {victim}: {next:?}"))?;
        println!("{victim} {next:?}: the {active} is active, {} ms", begun.elapsed().as_millis());
    }
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}\n{}", scene.pair.story());
    println!("{verdict}");
    Ok(())
}

/// The other host's daemon is frozen, its service runs on: the victim stops it by ssh, and dies before or after that.
fn die_on_the_second_way(test: &str, victim: Role) -> Result<()> {
    let setup = Setup { rcmd: true, reverse_protection: true, ..Setup::default() };
    let Some(pair) = Pair::install(test, &setup)? else { return Ok(()) };
    let mut scene = Scene { pair, victim, deaths: 0 };
    let frozen = victim.peer();
    let _sshd = ssh::start(scene.pair.host(frozen))?;
    scene.pair.start_with_kill_points(victim, ARMED)?;
    scene.pair.start(frozen)?;
    let mut active = scene.settled()?;
    let watch = Watch::begin(&scene.pair.lab)?;
    for point in SECOND_WAY {
        if active == victim {
            active = scene.run(active, None)?;
        }
        ensure!(active == frozen, "the service is not where it was sent");
        let armed = scene.pair.host(victim).on_disk(ARMED);
        std::fs::write(&armed, format!("{point}:1"))?;
        scene.pair.signal_daemon(frozen, Signal::SIGSTOP)?;
        let reached = wait_until("the daemon's death", LIMIT, || Ok(!armed.exists()));
        reached.with_context(|| format!("{point}\n{}", scene.pair.story()))?;
        scene.pair.wait_active(victim).with_context(|| point)?;
        scene.pair.wait_readable()?;
        scene.pair.signal_daemon(frozen, Signal::SIGCONT)?;
        active = scene.settled().with_context(|| point)?;
        ensure!(active == victim, "{point}: the thawed host took the service back\n{}", scene.pair.story());
    }
    let verdict = watch.end()?;
    ensure!(verdict.overlaps.is_empty(), "{verdict}\n{}", scene.pair.story());
    Ok(())
}

/// A pair, and the host whose daemon dies again and again.
struct Scene {
    pair: Pair,
    victim: Role,
    deaths: u32,
}

impl Scene {
    /// One move away from `active`, in which the victim dies if `kill` says so; gives who is active then.
    fn run(&mut self, active: Role, kill: Option<Kill>) -> Result<Role> {
        for host in self.pair.lab.pair() {
            scripts::forget_runs(host)?;
        }
        let to = active.peer();
        let failures = self.failures_on(to)?;
        let armed = self.pair.host(self.victim).on_disk(ARMED);
        if let Some((_, point, hit)) = kill {
            if matches!(point, "stop-ladder" | "stop-unmount") {
                // The ladder runs only where the stop list fails.
                scripts::write(self.pair.host(self.victim), STOP[1], bad::FAILS)?;
            }
            std::fs::write(&armed, format!("{point}:{hit}"))?;
        }
        // Given where the victim passes it on, where that is what interrupts it.
        let given_at = if kill.is_some_and(|(_, point, _)| point.starts_with("order-")) { active } else { to };
        let ctl = program("failoverctl")?.display().to_string();
        let command = if to == Role::Slave { "takeover" } else { "takeback" };
        // What it says is of no interest: the daemon that it speaks to may die.
        let _command = self.pair.host(given_at).spawn(&[&ctl, command, "--reason", "the test"])?;
        if kill.is_some() {
            let reached = wait_until("the daemon's death", LIMIT, || Ok(!armed.exists()));
            reached.with_context(|| self.pair.story())?;
            self.deaths += 1;
        } else {
            self.pair.wait_active(to)?;
        }
        let active = self.settled()?;
        if active != to && self.failures_on(to)? > failures {
            // Now and then a Dovecot that is told to end while it starts hangs. The pair sees that, and moves on.
            println!("{} {kill:?}: moved to the {to}, whose Dovecot then hung: moved on", self.victim);
            return Ok(active);
        }
        let moved = active == to || kill.is_some_and(command_is_lost);
        ensure!(moved, "the commanded move to the {to} was forgotten\n{}", self.pair.story());
        self.judge_scripts(kill)?;
        scripts::install(self.pair.host(self.victim))?;
        if self.deaths >= DEATHS_MAX {
            self.new_guardian()?;
            return self.settled();
        }
        Ok(active)
    }

    /// How often the service failed where it ran, by that host's own checks.
    fn failures_on(&self, role: Role) -> Result<usize> {
        Ok(self.pair.own_history(role)?.matches("OwnServiceFailed").count())
    }

    /// Waits for one active host with mail readable through the balancer, and the other one ready to take it over.
    fn settled(&self) -> Result<Role> {
        let mut last = Vec::new();
        let active = wait_for("one active host and one that is ready", LIMIT, || {
            last.clear();
            let mut active = None;
            for role in [Role::Master, Role::Slave] {
                let status = self.pair.status(role)?;
                let ready = status.state == StateName::Standby
                    && status.readiness_age_ms.is_some()
                    && status.not_ready.is_empty()
                    && status.peer.duty == Some(failover_shared::decision::Duty::Active);
                let serves = status.state == StateName::Active && status.service == Verdict::Passed;
                last.push((role, status.state, status.way_out, status.not_ready, status.last_reason));
                if serves && active.is_none() {
                    active = Some(role);
                } else if !ready {
                    return Ok(None);
                }
            }
            Ok(active)
        });
        let active = active.with_context(|| format!("{last:#?}\n{}", self.pair.story()))?;
        self.pair.wait_readable()?;
        Ok(active)
    }

    /// Each step ran once at most, in order; the interrupted one may have run again, at once and once.
    fn judge_scripts(&self, kill: Option<Kill>) -> Result<()> {
        for role in [Role::Master, Role::Slave] {
            let ran = self.pair.scripts(role)?;
            let mut once = ran.clone();
            once.dedup();
            let in_order = [START, STOP].iter().any(|list| list.iter().take(once.len()).eq(&once));
            ensure!(in_order, "on the {role} ran: {ran:?}\n{}", self.pair.story());
            let again: Vec<_> = ran.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].as_str()).collect();
            let interrupted = kill.filter(|_| role == self.victim).map(interrupted).unwrap_or_default();
            let allowed = again.is_empty() || matches!(again[..], [one] if interrupted.contains(&one));
            ensure!(allowed, "on the {role} ran: {ran:?}; interrupted was {interrupted:?}\n{}", self.pair.story());
            if let [step] = again[..] {
                println!("{role} {kill:?}: {step} was interrupted and ran again");
            }
        }
        Ok(())
    }

    /// Ends the victim's daemon with its guardian, and starts both anew; the service is not touched.
    fn new_guardian(&mut self) -> Result<()> {
        self.pair.guardian(self.victim)?.signal(Signal::SIGTERM)?;
        let (pair, victim) = (&mut self.pair, self.victim);
        wait_until("the daemon's end", LIMIT, || Ok(!pair.guardian(victim)?.is_running()?))?;
        self.deaths = 0;
        self.pair.start_with_kill_points(self.victim, ARMED)
    }
}

/// The command had not yet left a trace that outlives the daemon: its giver was told of no acceptance, and gives it again.
fn command_is_lost((part, point, hit): Kill) -> bool {
    matches!((part, point, hit), (Part::Starts, "store-before", 1) | (_, "order-before", _))
}

/// Which step a kill interrupts; several where the point lies beside the list, so that any may be running. A step has
/// ended once that stands in the journal.
fn interrupted((part, point, hit): Kill) -> Vec<&'static str> {
    let list = if part == Part::Starts { START } else { STOP };
    match point {
        "entry-before" | "script-before" | "script-running" | "script-after" => vec![list[hit as usize - 1]],
        // A stop does not wait until its beginning is durable.
        "store-before" | "store-written" | "store-after" if part == Part::Stops && hit == 1 => vec![STOP[0]],
        "balancer-before" | "balancer-after" | "order-before" | "order-after" => list.to_vec(),
        _ => Vec::new(),
    }
}
