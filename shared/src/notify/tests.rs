//! A whole pager against small SMTP relays of the tests' own and real commands.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use super::*;
use crate::config::{MailNotify, MailTls, Step};

const LIMIT: Duration = Duration::from_secs(20);
const QUICK: Pace = Pace {
    quiet: Duration::from_millis(300),
    retry_min: Duration::from_millis(20),
    retry_max: Duration::from_millis(100),
};

/// A relay that keeps what it gets. It ends with the test process: a thread that waits in `accept` cannot be ended.
struct Relay {
    address: String,
    /// Takes mail, or refuses it at the greeting.
    well: Arc<AtomicBool>,
    mails: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    fn start() -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay {
            address: listener.local_addr().unwrap().to_string(),
            well: Arc::new(AtomicBool::new(true)),
            mails: Arc::default(),
        };
        let (well, mails) = (Arc::clone(&relay.well), Arc::clone(&relay.mails));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (well, mails) = (Arc::clone(&well), Arc::clone(&mails));
                thread::spawn(move || serve(stream.unwrap(), &well, &mails));
            }
        });
        relay
    }

    fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, well: &AtomicBool, mails: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let mut say = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes()).ok();
    if !well.load(Ordering::SeqCst) {
        return say("554 not today");
    }
    say("220 relay of a test")?;
    let mut mail = String::new();
    while let Some(Ok(line)) = lines.next() {
        match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => say("250 relay")?,
            "RCPT" if line.contains("nobody") => say("550 no such user")?,
            "DATA" => {
                say("354 go on")?;
                mail.clear();
                while let Some(Ok(line)) = lines.next() {
                    if line == "." {
                        break;
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                }
                mails.lock().unwrap().push(mail.clone());
                say("250 kept")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 fine")?,
        }
    }
    Some(())
}

fn by_mail(to: &[&str], relays: &[&Relay]) -> Notify {
    let mail = MailNotify {
        to: to.iter().map(|&to| to.to_owned()).collect(),
        from: None,
        relays: relays.iter().map(|relay| relay.address.clone()).collect(),
        login: None,
        tls: MailTls::None,
    };
    Notify { mail: Some(mail), command: None }
}

fn by_command(line: &str) -> Notify {
    Notify { mail: None, command: Some(Step { command: line.to_owned(), timeout: LIMIT }) }
}

fn start(notify: &Notify, folder: &Path) -> Pager {
    let spool = folder.join("spool");
    let place = Place { spool: &spool, host: "cfg2", pair: "mail", folder };
    Pager::start_at_pace(notify, place, QUICK).unwrap()
}

fn wait_for(what: &str, pager: &Pager, done: impl Fn() -> bool) {
    let until = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < until, "never seen: {what}; {:#?}", pager.status());
        thread::sleep(Duration::from_millis(5));
    }
}

fn spooled(folder: &Path) -> usize {
    fs::read_dir(folder.join("spool")).unwrap().count()
}

#[test]
fn a_page_goes_out_by_mail_and_leaves_the_spool() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    let pager = start(&by_mail(&["ops@example.org"], &[&relay]), folder.path());
    pager.page(Page::new(Kind::Blocked, "take-over blocked", "Say `failoverctl confirm-stopped cfg1`."));
    wait_for("the mail", &pager, || relay.mails().len() == 1 && spooled(folder.path()) == 0);
    assert!(relay.mails()[0].contains("Subject: [failover mail cfg2] take-over blocked"), "{}", relay.mails()[0]);
    let status = pager.status();
    assert_eq!((status.waiting, status.ways.len()), (0, 1));
    assert!(status.ways.values().all(|way| way.delivered == 1 && way.last_delivery.is_some() && way.failing.is_none()));
}

#[test]
fn the_second_relay_gets_what_the_first_refuses() {
    let (folder, first, second) = (tempfile::tempdir().unwrap(), Relay::start(), Relay::start());
    first.well.store(false, Ordering::SeqCst);
    let pager = start(&by_mail(&["ops@example.org"], &[&first, &second]), folder.path());
    pager.page(Page::new(Kind::Move, "moved", ""));
    wait_for("the mail", &pager, || second.mails().len() == 1);
    assert!(first.mails().is_empty());
}

#[test]
fn a_receiver_that_is_refused_holds_up_nobody_else() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    let pager = start(&by_mail(&["nobody@example.org", "ops@example.org"], &[&relay]), folder.path());
    pager.page(Page::new(Kind::Move, "one", ""));
    pager.page(Page::new(Kind::Move, "two", ""));
    wait_for("both mails", &pager, || relay.mails().len() == 2);
    let refused = Way::Mail("nobody@example.org".to_owned());
    wait_for("the reason", &pager, || pager.status().ways[&refused].failing.is_some());
    let (reason, _) = pager.status().ways[&refused].failing.clone().unwrap();
    assert!(reason.contains("no such user"), "{reason}");
    assert_eq!(pager.status().waiting, 2, "they still wait for the refused receiver");
}

#[test]
fn a_page_that_could_not_go_out_survives_a_restart_and_goes_out_once() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    relay.well.store(false, Ordering::SeqCst);
    let notify = by_mail(&["ops@example.org"], &[&relay]);
    let pager = start(&notify, folder.path());
    pager.page(Page::new(Kind::FailedStart, "start failed", "step 2"));
    wait_for("a failure", &pager, || pager.status().ways.values().all(|way| way.failing.is_some()));
    assert!(pager.stop(LIMIT), "the pager did not end");
    assert_eq!(spooled(folder.path()), 1);
    let file = fs::read_dir(folder.path().join("spool")).unwrap().next().unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    relay.well.store(true, Ordering::SeqCst);
    let pager = start(&notify, folder.path());
    wait_for("the mail", &pager, || relay.mails().len() == 1 && spooled(folder.path()) == 0);
    assert!(pager.stop(LIMIT), "the pager did not end");
    let pager = start(&notify, folder.path());
    pager.page(Page::new(Kind::Test, "test", ""));
    wait_for("the test page", &pager, || relay.mails().len() == 2);
    assert!(relay.mails()[1].contains("test"), "{}", relay.mails()[1]);
}

#[test]
fn a_page_raised_right_before_the_end_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let pager = start(&by_command("sleep 600"), folder.path());
    pager.page(Page::new(Kind::Move, "moved", ""));
    assert!(pager.stop(LIMIT), "the pager did not end");
    assert_eq!(spooled(folder.path()), 1);
}

#[test]
fn a_page_is_saved_while_its_way_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let pager = start(&by_command("touch busy; sleep 600"), folder.path());
    pager.page(Page::new(Kind::Move, "one", ""));
    wait_for("the command", &pager, || folder.path().join("busy").exists());
    pager.page(Page::new(Kind::Move, "two", ""));
    wait_for("both in the spool", &pager, || spooled(folder.path()) == 2);
}

#[test]
fn a_command_gets_the_page_and_its_event_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    // Fails once, then works.
    let line = "cat >>got; echo $FAILOVER_EVENT >>events; test -e tried || { touch tried; exit 1; }";
    let pager = start(&by_command(line), folder.path());
    pager.page(Page::new(Kind::BalancerDiverged, "balancer diverged", "It refuses."));
    wait_for("the delivery", &pager, || pager.status().ways[&Way::Command].delivered == 1);
    let got = fs::read_to_string(folder.path().join("got")).unwrap();
    assert!(got.starts_with("[failover mail cfg2] balancer diverged\n\nIt refuses.\n"), "{got}");
    let events = fs::read_to_string(folder.path().join("events")).unwrap();
    assert_eq!(events, "balancer-diverged\nbalancer-diverged\n");
}

#[test]
fn repetitions_go_out_as_one_that_counts_them() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    let pager = start(&by_mail(&["ops@example.org"], &[&relay]), folder.path());
    let page = Page::new(Kind::NotReady, "not ready", "");
    pager.page(page.clone());
    wait_for("the first", &pager, || relay.mails().len() == 1);
    for _ in 0..5 {
        pager.page(page.clone());
    }
    wait_for("the second", &pager, || relay.mails().len() == 2);
    assert!(relay.mails()[1].contains("(5 times)"), "{}", relay.mails()[1]);
}

#[test]
fn a_flood_of_pages_to_a_dead_relay_stays_bounded_and_never_blocks() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    relay.well.store(false, Ordering::SeqCst);
    let pager = start(&by_mail(&["ops@example.org"], &[&relay]), folder.path());
    for number in 0..2_000 {
        pager.page(Page::new(Kind::Link, &format!("link {number}"), &"x".repeat(10_000)));
    }
    wait_for("the spool", &pager, || spooled(folder.path()) >= 64);
    assert_eq!(pager.status().waiting, 64);
    assert_eq!(pager.status().merged, 2_000 - 64);
    assert!(pager.stop(LIMIT), "the pager did not end");
    assert_eq!(spooled(folder.path()), 64);
}

#[test]
fn a_relay_without_starttls_gets_nothing_when_tls_is_wanted() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    let mut notify = by_mail(&["ops@example.org"], &[&relay]);
    notify.mail.as_mut().unwrap().tls = MailTls::StartTls;
    let pager = start(&notify, folder.path());
    pager.page(Page::new(Kind::Move, "moved", ""));
    wait_for("the refusal", &pager, || pager.status().ways.values().all(|way| way.failing.is_some()));
    assert!(relay.mails().is_empty());
}

#[test]
fn a_spool_that_cannot_be_written_is_told_and_the_page_still_goes_out() {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::start());
    let pager = start(&by_mail(&["ops@example.org"], &[&relay]), folder.path());
    fs::remove_dir(folder.path().join("spool")).unwrap();
    pager.page(Page::new(Kind::Move, "moved", ""));
    wait_for("the mail", &pager, || relay.mails().len() == 1);
    assert!(pager.status().spool_trouble.is_some());
}

#[test]
fn nobody_to_page_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let pager = start(&Notify::default(), folder.path());
    pager.page(Page::new(Kind::Move, "moved", ""));
    assert!(pager.status().ways.is_empty() && pager.status().waiting == 0);
    assert!(pager.stop(LIMIT));
}
