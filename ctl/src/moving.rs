//! `failoverctl takeover` and `takeback`: one command, then every step of both hosts as it happens.
//!
//! The daemons carry the move; this command only watches. To interrupt it stops the watching, not the move.

mod judge;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use failover_shared::control::Request;
use failover_shared::decision::{Millis, Role};
use jiff::{SignedDuration, Timestamp};

use self::judge::{Judge, Judgement, Side};
use crate::daemon::{Daemon, PEER_LOOK_LIMIT, commander};
use crate::entry::{self, Entry};
use crate::exit::Exit;
use crate::history;
use crate::out::{Out, Tone};
use crate::views::Views;

/// Between two looks.
const POLL_EVERY: Duration = Duration::from_millis(150);
/// A peer that let a question run out is left alone for this long, so that open questions do not pile up in the daemon.
const PEER_PAUSE: Duration = Duration::from_secs(2);
/// More entries than a host writes between two looks.
const ENTRIES_MAX: u32 = 200;

/// Flags of `takeover` and `takeback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Why; kept in both journals
    #[arg(long, default_value = "by hand")]
    reason: String,
    /// Only say whether it would be accepted now
    #[arg(long)]
    dry_run: bool,
    /// Go on although the two configurations differ
    #[arg(long)]
    despite_config_difference: bool,
    /// Go on although a copy of the other host's data is older than its `max_age`
    #[arg(long)]
    despite_old_copy: bool,
    /// How long to watch. The move goes on afterwards
    #[arg(long, default_value = "120s", value_parser = span)]
    wait: Duration,
}

impl Arguments {
    /// A real move, without any override.
    pub(crate) fn plain(reason: String, wait: Duration) -> Arguments {
        Arguments { reason, dry_run: false, despite_config_difference: false, despite_old_copy: false, wait }
    }
}

pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    parsed.ok_or_else(|| "write a span of time: 500ms, 90s, 2m".to_string())
}

pub(crate) async fn run(daemon: &Daemon, to: Role, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let request = Request::Move {
        to,
        by: commander(),
        reason: arguments.reason.clone(),
        dry_run: arguments.dry_run,
        despite_config_difference: arguments.despite_config_difference,
        despite_old_copy: arguments.despite_old_copy,
    };
    if arguments.dry_run {
        let answer = daemon.command(&request).await?;
        out.line(format!("dry run: it would be accepted now: {answer}"))?;
        let not_tried = "not verified: that the scripts do their work, that the balancer obeys, and that nothing \
                         changes until the real command";
        out.folded("", 9, not_tried)?;
        return Ok(Exit::Ok);
    }
    let before = Views::look(daemon).await?;
    let mut journals = Journals::begin(daemon, &before).await?;
    let answer = daemon.command(&request).await?;
    out.line(format!("accepted: {answer}"))?;
    follow(daemon, Judge::new(to, &before.here), &mut journals, arguments.wait, out).await
}

async fn follow(
    daemon: &Daemon,
    mut judge: Judge,
    journals: &mut Journals,
    wait: Duration,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let mut last = String::from("the daemon has not answered since");
    let mut told_silent = false;
    loop {
        match Views::look(daemon).await {
            Ok(views) => {
                told_silent = false;
                let news = journals.read(daemon, &views).await;
                for entry in &news {
                    judge.hear(entry);
                }
                journals.show(news, out)?;
                last = doing(&views, judge.to());
                match judge.judge(&views, Instant::now()) {
                    Judgement::GoesOn => {}
                    Judgement::Done { epoch } => return done(&views, judge.to(), epoch, began.elapsed(), out),
                    Judgement::Ended(why) => {
                        // The entries that explain the end may be younger than the look that saw it.
                        let news = journals.read(daemon, &views).await;
                        journals.show(news, out)?;
                        out.folded(&out.paint(Tone::Bad, "not moved:"), 11, &why)?;
                        out.folded("next:", 11, &format!("{}; more: failoverctl why", judge.way_out(&views)))?;
                        return Ok(Exit::Failed);
                    }
                }
            }
            Err(error) if !told_silent => {
                told_silent = true;
                out.line(format!("the daemon here does not answer; still watching ({})", first_line(&error)))?;
            }
            Err(_) => {}
        }
        if began.elapsed() >= wait {
            let waited = Millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            out.folded("still running", 14, &format!("after {waited}: {last}"))?;
            out.folded("", 14, "the move goes on without this command; next: failoverctl status --watch")?;
            return Ok(Exit::Warning);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn done(views: &Views, to: Role, epoch: String, spent: Duration, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let spent = Millis(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX));
    let host = views.host(to);
    out.line(format!(
        "{} the service runs on {host} in epoch {epoch}, {spent} after the command",
        out.paint(Tone::Good, "done:")
    ))?;
    if let Some(diverged) = &views.here.balancer.diverged {
        let text = format!("the clients may not reach it: the balancer does not do what it was told: {diverged}");
        out.folded("but:", 6, &text)?;
        out.folded("next:", 6, "it is set again until it obeys; watch: failoverctl status --watch")?;
        return Ok(Exit::Warning);
    }
    Ok(Exit::Ok)
}

/// What happens at this moment, for the one who stops watching.
fn doing(views: &Views, to: Role) -> String {
    let both = [Some(&views.here), views.there.as_ref()];
    for status in both.into_iter().flatten() {
        if let Some(step) = &status.step {
            return format!(
                "{} step {} of {} on {}, for {}: {}",
                step.list,
                step.index,
                step.of,
                status.host,
                Millis(step.age_ms),
                step.command
            );
        }
    }
    let side = Side::of(views, to);
    format!("{} is {}", views.host(to), side.word)
}

fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

/// What was already read of the two journals.
struct Journals {
    began: Timestamp,
    own_after: u64,
    /// `None`: the other host's journal was not read yet.
    peer_after: Option<u64>,
    peer_pause_until: Option<Instant>,
    shown: Option<Entry>,
}

impl Journals {
    /// Remembers the ends of the journals, so that only what follows is shown.
    async fn begin(daemon: &Daemon, views: &Views) -> anyhow::Result<Journals> {
        let mut journals =
            Journals { began: Timestamp::now(), own_after: 0, peer_after: None, peer_pause_until: None, shown: None };
        let own = entry::own(daemon, &views.here.host, 0, 1).await?;
        journals.own_after = own.last().map_or(0, |entry| entry.written.sequence);
        let theirs = journals.of_peer(daemon, views).await;
        if journals.peer_pause_until.is_none() {
            journals.peer_after = theirs.last().map(|entry| entry.written.sequence).or(journals.peer_after);
        }
        Ok(journals)
    }

    /// What is new, of both hosts, in order.
    async fn read(&mut self, daemon: &Daemon, views: &Views) -> Vec<Entry> {
        // A journal that cannot be read now is read at the next look.
        let ours = entry::own(daemon, &views.here.host, self.own_after, ENTRIES_MAX).await.unwrap_or_default();
        self.own_after = ours.last().map_or(self.own_after, |entry| entry.written.sequence.max(self.own_after));
        let mut theirs = self.of_peer(daemon, views).await;
        match self.peer_after {
            Some(after) => theirs.retain(|entry| entry.written.sequence > after),
            None => theirs.retain(|entry| entry.written.utc >= self.began),
        }
        if let Some(newest) = theirs.last() {
            self.peer_after = Some(newest.written.sequence);
        }
        entry::merge(ours, theirs)
    }

    async fn of_peer(&mut self, daemon: &Daemon, views: &Views) -> Vec<Entry> {
        let peer = &views.here.peer;
        let resting = self.peer_pause_until.is_some_and(|until| Instant::now() < until);
        if resting || peer.silent || !peer.channel_open {
            return Vec::new();
        }
        match entry::of_peer(daemon, &peer.host, ENTRIES_MAX, PEER_LOOK_LIMIT * 2).await {
            Ok(entries) => {
                self.peer_pause_until = None;
                entries
            }
            Err(_) => {
                self.peer_pause_until = Some(Instant::now() + PEER_PAUSE);
                Vec::new()
            }
        }
    }

    fn show(&mut self, entries: Vec<Entry>, out: &mut Out<'_>) -> std::io::Result<()> {
        for entry in entries {
            history::show(&entry, self.shown.as_ref(), out)?;
            self.shown = Some(entry);
        }
        Ok(())
    }
}
