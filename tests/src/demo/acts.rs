//! The two acts. Each step must be seen, each has a limit; the first that is not seen ends the demo.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::digest;
use super::journal::Followed;
use super::stage::{FIRST_LINE, HOSTS, MASTER, Place, SLAVE, Stage};
use super::timeline::Timeline;

/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How many steps there are.
const STEPS: usize = 12;

/// Plays both acts.
///
/// # Errors
/// When a step was not seen: says which, and what was seen last.
pub fn play(stage: &Arc<dyn Stage>, timeline: &Timeline) -> Result<()> {
    timeline.print(&stage.describe());
    let mut demo = Demo::rise(stage, timeline)?;
    demo.act_one()?;
    demo.fail_back()?;
    demo.act_two()?;
    ensure!(timeline.steps_seen() == STEPS, "{} of {STEPS} steps were seen", timeline.steps_seen());
    timeline.heading(&format!("All {STEPS} steps were seen."));
    Ok(())
}

struct Demo<'a> {
    stage: &'a dyn Stage,
    timeline: &'a Timeline,
    followed: Followed,
}

impl<'a> Demo<'a> {
    /// The pair comes up, a message is handed in, the reader begins.
    fn rise(stage: &'a Arc<dyn Stage>, timeline: &'a Timeline) -> Result<Demo<'a>> {
        timeline.heading("The pair comes up");
        stage.start()?;
        let followed = Followed::begin(Arc::clone(stage), timeline);
        let mut demo = Demo { stage: stage.as_ref(), timeline, followed };
        demo.wait_for_state(MASTER, "Active")?;
        demo.wait_for_ready_standby()?;
        timeline.seen(format!("{} runs the service, {} could take it over", HOSTS[MASTER], HOSTS[SLAVE]));
        let message = format!("{FIRST_LINE}\r\nSubject: one message\r\n\r\nIt is the same wherever it is read.\r\n");
        timeline.wait("the message to be accepted", LIMIT, || Ok(demo.stage.deliver(&message).ok()))?;
        let sent = digest(&message);
        timeline.say("demo", format!("a message was handed in at the balancer, digest {sent}"));
        demo.followed.reader(demo.stage.start_reader(&sent)?, timeline);
        demo.wait_for_mail_via(MASTER, 0)?;
        timeline.seen("the reader has its mail, through the balancer");
        Ok(demo)
    }

    fn act_one(&mut self) -> Result<()> {
        self.timeline.heading("Act one: the service dies on the master");
        let (lines, entries) = (self.followed.reader_lines(), self.followed.entries());
        self.stage.kill_service(MASTER)?;
        self.timeline.say("demo", format!("the mail server on {} was killed", HOSTS[MASTER]));
        self.wait_for_state(SLAVE, "Active")?;
        self.wait_for_rule(entries, "ProofAck")?;
        self.timeline.seen("the master acknowledged a verified stop, then the slave started");
        self.wait_for_mail_via(SLAVE, lines)?;
        self.timeline.seen("the reader has the same mail again, from the slave");
        self.wait_for_state(MASTER, "Standby")?;
        self.timeline.seen("the master stands by");
        Ok(())
    }

    fn fail_back(&mut self) -> Result<()> {
        self.timeline.heading("Between the acts: taking it back by the sheet");
        let lines = self.followed.reader_lines();
        let sheet = self.stage.operator(MASTER, &["failback-sheet"], LIMIT)?;
        ensure!(!sheet.stdout.trim().is_empty(), "failoverctl printed no sheet: {sheet:?}");
        self.timeline.print(sheet.stdout.trim_end());
        self.timeline.seen("the sheet, with what is seen now");
        self.timeline.say("demo", "failoverctl takeback --reason \"the demo goes on\"");
        let arguments = ["takeback", "--reason", "the demo goes on"];
        let told = self.stage.operator(MASTER, &arguments, LIMIT * 2)?;
        ensure!(told.code == Some(0), "takeback ended with {:?}:\n{}{}", told.code, told.stdout, told.stderr);
        self.wait_for_state(MASTER, "Active")?;
        self.wait_for_ready_standby()?;
        self.timeline.seen("the service is back on the master, by command");
        self.wait_for_mail_via(MASTER, lines)?;
        self.timeline.seen("the reader has its mail from the master again");
        Ok(())
    }

    fn act_two(&mut self) -> Result<()> {
        self.timeline.heading("Act two: the master falls silent");
        let (lines, entries) = (self.followed.reader_lines(), self.followed.entries());
        let risk = self.status(SLAVE)?["risks"][0].as_str().map(str::to_owned);
        let risk = risk.context("the slave's status names no risk although it may start after a mere time-out")?;
        self.timeline.say("risk", &risk);
        self.timeline.seen("the status names the risk of a start without proof");
        self.stage.silence(MASTER)?;
        self.timeline.say("demo", format!("{}: {}", HOSTS[MASTER], self.stage.silence_is()));
        self.wait_for_state(SLAVE, "Active")?;
        self.wait_for_rule(entries, "ProofTimeout")?;
        self.timeline.seen("the time-out passed in silence, then the slave started");
        self.wait_for_mail_via(SLAVE, lines)?;
        self.timeline.seen("the reader has the same mail again, from the slave");
        let why = self.stage.operator(SLAVE, &["why"], LIMIT)?;
        ensure!(!why.stdout.trim().is_empty(), "failoverctl why printed nothing: {why:?}");
        self.timeline.print(why.stdout.trim_end());
        self.timeline.seen("the slave says why");
        Ok(())
    }

    fn status(&self, at: Place) -> Result<Value> {
        let answer = self.stage.operator(at, &["status", "--json"], Duration::from_secs(10))?;
        let value: Value = serde_json::from_str(&answer.stdout)
            .with_context(|| format!("failoverctl status --json said: {}{}", answer.stdout, answer.stderr))?;
        value.get("here").cloned().with_context(|| format!("the daemon of {} does not answer: {value}", HOSTS[at]))
    }

    fn wait_for_state(&self, at: Place, state: &str) -> Result<()> {
        let mut newest = Value::Null;
        let what = format!("{} to become {state}", HOSTS[at]);
        let outcome = self.timeline.wait(&what, LIMIT, || {
            newest = self.status(at)?;
            Ok((newest["state"] == state).then_some(()))
        });
        outcome.with_context(|| format!("the newest status of {} was: {newest:#}", HOSTS[at]))
    }

    fn wait_for_ready_standby(&self) -> Result<()> {
        self.wait_for_state(SLAVE, "Standby")?;
        self.timeline.wait("the slave to be ready for a take-over", LIMIT, || {
            let status = self.status(SLAVE)?;
            let reasons = status["not_ready"].as_array().cloned().unwrap_or_default();
            ensure!(reasons.is_empty(), "not ready: {reasons:?}");
            Ok(status["readiness_age_ms"].is_u64().then_some(()))
        })
    }

    fn wait_for_rule(&self, first: usize, rule: &str) -> Result<()> {
        self.timeline.wait(&format!("the rule {rule} in the journal"), LIMIT, || {
            Ok(self.followed.rule_since(first, rule).then_some(()))
        })
    }

    fn wait_for_mail_via(&self, host: Place, first: usize) -> Result<()> {
        self.timeline.wait(&format!("the reader to get its mail from {}", HOSTS[host]), LIMIT, || {
            let lines = self.followed.reader_since(first);
            ensure!(!lines.iter().any(|line| line.contains("WRONG MAIL")), "wrong mail was read: {lines:?}");
            let from_there = |line: &String| line.contains("as sent") && line.contains(HOSTS[host]);
            Ok(lines.iter().any(from_there).then_some(()))
        })
    }
}
