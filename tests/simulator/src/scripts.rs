//! Script lists, step by step, and the ladder behind a stop.

use failover_shared::decision::{
    Bug, Epoch, Event, Forced, OperationId, StartOutcome, StopMeans, StopOutcome, planted,
};

use super::host::role;
use super::item::Item;
use super::seen::Sight;
use super::service::{Mood, Run, STEPS};
use super::world::World;

impl World {
    /// Runs a list. An earlier one, also an orphan of a crashed daemon, is ended first.
    pub fn run_list(&mut self, index: usize, starts: bool, operation: OperationId, epoch: Epoch, resume: bool) {
        self.judge.s11_one_list_at_a_time(&self.hosts[index], starts);
        let bad_step = self.random.below(u64::from(STEPS)) as u32;
        let host = &mut self.hosts[index];
        let mood = std::mem::take(if starts { &mut host.start_mood } else { &mut host.stop_mood });
        let id = host.next_run;
        host.next_run += 1;
        host.service.foreign = false;
        // The journal knows which step was begun; that one runs again.
        let step = match &host.service.run {
            Some(run) if resume && run.starts == starts => run.step.min(STEPS - 1),
            _ => 0,
        };
        let incarnation = host.incarnation();
        host.service.run = Some(Run { id, starts, operation, incarnation, epoch, mood, bad_step, step, trouble: None });
        self.step_begins(index, id, mood == Mood::Hangs && step == bad_step);
        self.judge.s1_one_writer(&self.hosts);
    }

    fn step_begins(&mut self, index: usize, id: u64, hangs: bool) {
        let starts = self.hosts[index].service.run.as_ref().is_some_and(|run| run.starts);
        match (hangs, starts) {
            (false, _) => self.after(5, 400, Item::StepEnds(index, id)),
            // The list's own limit for a step, which then is killed; on a stop the ladder comes next.
            (true, _) => self.after(1_000, 6_000, Item::StepEnds(index, id)),
        }
    }

    /// A step of a list ends.
    pub fn step_ends(&mut self, index: usize, id: u64) {
        let may_act_all_the_same = self.random.percent(50);
        let service = &mut self.hosts[index].service;
        let Some(run) = service.run.as_mut().filter(|run| run.id == id) else { return };
        let (starts, epoch, step) = (run.starts, run.epoch, run.step);
        if step >= STEPS {
            return self.list_ends(index);
        }
        let is_bad = step == run.bad_step;
        let acts = match run.mood {
            Mood::Works | Mood::LeavesChild | Mood::Stubborn => true,
            Mood::Fails | Mood::Hangs => !is_bad || may_act_all_the_same,
            Mood::Lies => false,
        };
        if is_bad && run.mood == Mood::Fails {
            run.trouble = Some((step + 1, "exit 1"));
        }
        if is_bad && run.mood == Mood::Hangs {
            run.trouble = Some((step + 1, "it ran out of time"));
        }
        run.step += 1;
        // A failed start ends its list, a failed stop step does not keep the rest from running.
        if starts && run.trouble.is_some() {
            run.step = STEPS;
        }
        let (mood, is_orphan) = (run.mood, run.incarnation.is_none());
        if mood == Mood::LeavesChild && step == 0 && !starts {
            service.children = service.running.is_some();
            if service.children {
                self.judge.saw(Sight::ChildLeft);
            }
        }
        let service = &mut self.hosts[index].service;
        if mood == Mood::Stubborn && step == 0 && !starts {
            service.stuck = service.running.is_some();
        }
        if acts {
            service.act(starts, step, epoch);
        }
        if is_orphan {
            // Its list has nobody who would run the next step.
            service.run = None;
            self.judge.saw(Sight::OrphanStep);
        } else {
            let next_hangs = mood == Mood::Hangs
                && service.run.as_ref().is_some_and(|run| run.step == run.bad_step && run.step < STEPS);
            self.step_begins(index, id, next_hangs);
            self.progress(index);
        }
        self.judge.s1_one_writer(&self.hosts);
        self.judge.s16_store_epochs_in_order(&self.hosts[index]);
    }

    /// Every step has run: the checks of a start, the ladder and the verification of a stop.
    fn list_ends(&mut self, index: usize) {
        let Some(Run { starts, operation, incarnation, mood, trouble, .. }) = self.hosts[index].service.run.take()
        else {
            return;
        };
        let event = if starts {
            self.judge.s1_one_writer(&self.hosts);
            Event::StartDone { operation, outcome: self.start_outcome(index, mood, trouble) }
        } else {
            Event::StopDone { operation, outcome: self.stop_outcome(index, mood, trouble) }
        };
        self.tell(|| format!("{} list ends", role(index)));
        if let Some(incarnation) = incarnation {
            self.plan(self.now, Item::result(index, incarnation, event));
        }
    }

    fn start_outcome(&mut self, index: usize, mood: Mood, trouble: Option<(u32, &'static str)>) -> StartOutcome {
        if let Some((step, reason)) = trouble {
            return StartOutcome::Failed { step, reason: reason.into() };
        }
        if mood == Mood::Lies {
            self.judge.saw(Sight::StartScriptLied);
        }
        if self.hosts[index].service.answers() {
            StartOutcome::Started
        } else {
            StartOutcome::Failed { step: 0, reason: "the local check failed".into() }
        }
    }

    fn stop_outcome(&mut self, index: usize, mood: Mood, trouble: Option<(u32, &'static str)>) -> StopOutcome {
        let means = StopMeans::PostConditions;
        let service = &mut self.hosts[index].service;
        if trouble.is_none() && !service.is_there() {
            return StopOutcome::Stopped { means, forced: None };
        }
        let was_there = service.is_there();
        service.kill();
        let is_there = service.is_there() && !planted(Bug::KillsPidOnly) && !planted(Bug::AcksBeforeUnmount);
        if mood == Mood::Lies {
            self.judge.saw(Sight::StopScriptLied);
        }
        if is_there {
            self.judge.saw(Sight::LadderFailed);
            return StopOutcome::NotVerified { reason: "a process does not end".into() };
        }
        if was_there {
            self.judge.saw(Sight::LadderKilled);
        }
        let (step, reason) = trouble.unwrap_or((0, "a post-condition did not hold"));
        StopOutcome::Stopped { means, forced: Some(Forced { step, reason: reason.into() }) }
    }
}
