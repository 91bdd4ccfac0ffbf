//! One iteration after the other.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use failover_shared::decision::{Role, StateName, Verdict};
use failover_shared::status::Status;

use super::Arena;
use super::fault::{Fault, Plan, Step, Target};
use super::report::{Happened, Outcome};
use crate::judge::{place, pop3};
use crate::pair::CONFIG;

/// How long the pair may take to serve again after the last fault: lease, start, two boots, on a loaded machine.
pub const SERVES_WITHIN: Duration = Duration::from_secs(60);
/// How long the other host may take to write while the fault lasts: W = 6.1 s, suspicion, start.
pub const MOVES_WITHIN: Duration = Duration::from_secs(40);
/// Between two looks at the store.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two questions to the daemons, each of which starts two programs.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// A writer that wrote less long ago than this writes now.
const FRESH_US: u64 = 400_000;
/// A greeting through the balancer.
const GREETING_LIMIT: Duration = Duration::from_millis(800);

/// Waits until the pair serves and is ready for the next fault. Acknowledges what waits for that, as an operator would.
///
/// # Errors
/// Not within the limit: what was missing last.
pub fn wait_serving(arena: &mut Arena, limit: Duration) -> Result<()> {
    let begin = Instant::now();
    loop {
        let missing = match not_serving(arena) {
            Ok(None) => return Ok(()),
            Ok(Some(missing)) => missing,
            // A daemon that is just being started again does not answer.
            Err(error) => format!("{error:#}"),
        };
        arena.judge.read()?;
        if arena.judge.breached() || begin.elapsed() > limit {
            anyhow::bail!("after {:.1} s: {missing}", begin.elapsed().as_secs_f64());
        }
        arena.raise()?;
        std::thread::sleep(ASK_EVERY);
    }
}

/// Carries out iteration `number` of the run with this seed, on a pair that serves.
///
/// # Errors
/// When the lab itself fails. What the pair did wrong is in the outcome.
pub fn iterate(arena: &mut Arena, seed: u64, number: u64) -> Result<Outcome> {
    let plan = Plan::draw(arena.keeper(), seed, number);
    arena.judge.read()?;
    let mut course = Course { arena, begin: Instant::now(), happened: Vec::new(), timeline: String::new() };
    let epoch = course.arena.judge.epoch();
    let mut wrong = Vec::new();
    course.inflict(&plan)?;
    if plan.until_moved
        && let Err(error) = course.wait_moved(epoch)
    {
        wrong.push(format!("{error:#}"));
    }
    course.mend_all()?;
    let healed = Instant::now();
    course.note("healed");
    if let Err(error) = wait_serving(course.arena, SERVES_WITHIN) {
        wrong.push(format!("the pair does not serve after the faults' end: {error:#}"));
    }
    course.note("serves");
    let (took, settled) = (course.begin.elapsed(), healed.elapsed());
    let Course { happened, timeline, .. } = course;
    arena.judge.read()?;
    let sum = arena.judge.take();
    wrong.extend(sum.breaches.iter().map(ToString::to_string));
    Ok(Outcome {
        iteration: number,
        seed,
        keeper: arena.keeper(),
        faults: happened,
        until_moved: plan.until_moved,
        took_ms: millis(took),
        settled_ms: millis(settled),
        outage_ms: sum.outage_us / 1_000,
        moves: sum.moves,
        records: sum.records,
        epoch: arena.judge.epoch(),
        violations: wrong,
        timeline,
    })
}

/// An iteration under way.
struct Course<'a> {
    arena: &'a mut Arena,
    begin: Instant,
    happened: Vec<Happened>,
    timeline: String,
}

impl Course<'_> {
    /// Begins and ends the plan's faults at their times.
    fn inflict(&mut self, plan: &Plan) -> Result<()> {
        let at = |ms| Duration::from_millis(ms);
        let mut turns: Vec<(u64, usize, bool)> = Vec::new();
        for (index, Step { at_ms, for_ms, .. }) in plan.steps.iter().enumerate() {
            turns.push((*at_ms, index, true));
            if !plan.until_moved {
                turns.push((at_ms + for_ms, index, false));
            }
        }
        turns.sort_unstable();
        let mut targets = vec![Role::Master; plan.steps.len()];
        for (when_ms, index, begins) in turns {
            while self.begin.elapsed() < at(when_ms) {
                self.arena.judge.read()?;
                std::thread::sleep(LOOK_EVERY.min(at(when_ms).saturating_sub(self.begin.elapsed())));
            }
            let step = plan.steps[index];
            if begins {
                targets[index] = self.role(step.target);
                self.begin_fault(step, targets[index]);
            } else if !step.fault.is_moment() {
                self.note(&format!("{} ends on the {}", step.fault, targets[index]));
                self.mend(step.fault, targets[index])?;
            }
        }
        Ok(())
    }

    fn begin_fault(&mut self, step: Step, role: Role) {
        self.note(&format!("{} begins on the {role}", step.fault));
        let refused = self.arena.inflict(step.fault, role).err().map(|error| format!("{error:#}"));
        if let Some(why) = &refused {
            self.note(&format!("{} did not: {why}", step.fault));
        }
        self.happened.push(Happened { step, role, refused });
    }

    fn mend(&mut self, fault: Fault, role: Role) -> Result<()> {
        self.arena.mend(fault, role).with_context(|| format!("end {fault} on the {role}"))
    }

    fn wait_moved(&mut self, before: u64) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < MOVES_WITHIN {
            self.arena.judge.read()?;
            if self.arena.judge.epoch() > before {
                self.note("the other host writes");
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        anyhow::bail!("the other host did not take over within {MOVES_WITHIN:?}, although the active one is silenced")
    }

    /// Whatever is left of the faults, in the order in which they came: a host that was reset is booted after its store
    /// is whole again.
    fn mend_all(&mut self) -> Result<()> {
        for Happened { step, role, .. } in self.happened.clone() {
            self.mend(step.fault, role)?;
        }
        for role in self.arena.raise()? {
            self.note(&format!("the {role} is started again"));
        }
        Ok(())
    }

    /// By the store, not by what the daemons say.
    fn role(&self, target: Target) -> Role {
        let active = match self.arena.judge.last() {
            Some((record, _)) if record.host == "cfg2" => Role::Slave,
            _ => Role::Master,
        };
        if target == Target::Active { active } else { active.peer() }
    }

    fn note(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.timeline,
            "{:>6} ms ({} us): {text}",
            self.begin.elapsed().as_millis(),
            super::record::now_us()
        );
    }
}

/// What is missing for the pair to serve, be whole, and be ready for a move.
fn not_serving(arena: &mut Arena) -> Result<Option<String>> {
    arena.judge.read()?;
    let Some((record, age_us)) = arena.judge.last() else { return Ok(Some("nobody has written yet".into())) };
    if age_us > FRESH_US {
        let text =
            format!("nobody writes, for {} ms; the last was {} in epoch {}", age_us / 1_000, record.host, record.epoch);
        acknowledge(arena);
        return Ok(Some(text));
    }
    let writer = if record.host == "cfg2" { Role::Slave } else { Role::Master };
    let greeting = format!("{} writes epoch {}", record.host, record.epoch);
    let (active, standby) = (arena.pair.status(writer)?, arena.pair.status(writer.peer())?);
    let waits = |one: &Status| one.locked.is_some() || one.state == StateName::FailedStart;
    if waits(&active) || waits(&standby) {
        acknowledge(arena);
    }
    if let Some(missing) = unready(&active, &standby) {
        return Ok(Some(missing));
    }
    let address = SocketAddr::new(arena.pair.lab.balancer.address().into(), 110);
    let visit = place::stand_on(&arena.pair.lab.client, move || pop3::greeting(address, GREETING_LIMIT))?;
    let greeted = place::finish(visit).context("through the balancer")?;
    Ok((!greeted.contains(&greeting)).then(|| format!("the balancer leads to {greeted:?}, not to {greeting:?}")))
}

fn unready(active: &Status, standby: &Status) -> Option<String> {
    let both = [active, standby];
    let wanted = [
        (active.state == StateName::Active, "the writing host is not Active"),
        (active.service == Verdict::Passed, "the checks of the writing host do not pass"),
        (standby.state == StateName::Standby, "the other host is not Standby"),
        (standby.not_ready.is_empty() && standby.readiness_age_ms.is_some(), "the other host is not ready"),
        (both.iter().all(|one| one.locked.is_none()), "a move is not acknowledged"),
        (both.iter().all(|one| !one.peer.silent && one.peer.channel_open), "the hosts do not hear each other"),
        (both.iter().all(|one| !one.isolated && one.tilt_for_ms.is_none()), "a host doubts itself"),
        (both.iter().all(|one| !one.frozen), "a host decides nothing"),
        (active.withheld.is_none() && standby.withheld.is_none(), "a take-over is withheld"),
    ];
    let missing = wanted.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)?;
    let brief = |one: &Status| {
        format!(
            "{} {:?} since {} ms, epoch {}, withheld {:?}, not ready {:?}, troubles {:?}",
            one.host, one.state, one.state_age_ms, one.epoch, one.withheld, one.not_ready, one.troubles
        )
    };
    Some(format!("{missing}: {}; {}", brief(active), brief(standby)))
}

fn acknowledge(arena: &Arena) {
    for role in super::ROLES {
        // A daemon that does not answer is asked again with the next look.
        let _ = arena.pair.ctl_within(role, &["ack"], Duration::from_secs(5));
    }
}

/// All that a person needs to see what happened, in one text.
#[must_use]
pub fn story(arena: &Arena) -> String {
    let mut text = format!("who wrote:\n{}", arena.judge.turns());
    for role in super::ROLES {
        let said = |arguments: &[&str]| match arena.pair.ctl_within(role, arguments, Duration::from_secs(5)) {
            Ok(output) => format!("{}{}", output.stdout, output.stderr),
            Err(error) => format!("{error:#}\n"),
        };
        let _ = write!(text, "\n--- {role}: why ---\n{}", said(&["why"]));
        let _ = write!(text, "\n--- {role}: status ---\n{}", said(&["status"]));
        let _ = write!(text, "\n--- {role}: history ---\n{}", said(&["history", "--count", "150"]));
    }
    let _ = write!(text, "\n{}\nthe configuration ({CONFIG}) is in the kept folder\n", arena.pair.story());
    text
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
