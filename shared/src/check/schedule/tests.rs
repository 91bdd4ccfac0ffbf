//! The schedule against a listener and a scripted server; the asker's whole way from configuration to result.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::check::scripted::{Act, Scripted, say};
use crate::check::{Password, PasswordLoader};
use crate::config::MailTls;
use crate::decision::Symptom;

const LIMIT: Duration = Duration::from_secs(20);

fn clock() -> Clock {
    let began = std::time::Instant::now();
    Arc::new(move || Millis(u64::try_from(began.elapsed().as_millis()).unwrap()))
}

fn asker_with(load: PasswordLoader) -> Arc<Asker> {
    Arc::new(Asker::new("/".into(), load))
}

fn asker() -> Arc<Asker> {
    asker_with(Arc::new(|_| Ok(Password::new("s3cret"))))
}

fn mail(port: u16) -> MailProbe {
    MailProbe {
        port,
        user: "canary".into(),
        password_file: "canary.pass".into(),
        tls: MailTls::None,
        expect: None,
        through: None,
    }
}

fn check(name: &str, probe: Probe) -> Check {
    Check { name: name.into(), probe, every: Duration::from_millis(20), timeout: LIMIT, fails: 1, of: 1 }
}

fn local(check: Check) -> ScheduledCheck {
    ScheduledCheck { check, vantage: Vantage::Local, target: [127, 0, 0, 1].into() }
}

async fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
    tokio::time::timeout(LIMIT, reports.recv()).await.expect("no report came").expect("the checks ended")
}

fn mailbox() -> Vec<Act> {
    let dialogue = [("USER", "+OK\r\n"), ("PASS", "+OK\r\n"), ("STAT", "+OK 0 0\r\n"), ("QUIT", "+OK\r\n")];
    let acts = dialogue.iter().flat_map(|(hear, answer)| [Act::Hear(hear), say(answer)]);
    std::iter::once(say("+OK\r\n")).chain(acts).collect()
}

#[tokio::test]
async fn rounds_follow_each_other_and_end_with_their_owner() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut reports) = mpsc::channel(4);
    let checks = Checks::start(vec![local(check("port", Probe::Port { port }))], &asker(), &clock(), &sender);
    drop(sender);
    let mut finished = Millis(0);
    for _ in 0..3 {
        let report = next(&mut reports).await;
        assert!(report.result.is_ok(), "{report:?}");
        assert!(report.started >= finished, "rounds overlap: {report:?}");
        finished = report.finished;
    }
    drop(checks);
    while let Some(_left) = tokio::time::timeout(LIMIT, reports.recv()).await.expect("the task lives on") {}
}

#[tokio::test]
async fn a_round_asked_for_gives_up_the_one_that_runs() {
    let connections = Arc::new(AtomicU32::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counted = Arc::clone(&connections);
    // Greets the second client only: the first round would hang to its limit.
    let server = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if counted.fetch_add(1, Ordering::AcqRel) > 0 {
                use tokio::io::AsyncWriteExt;
                stream.write_all(b"-ERR full\r\n").await.unwrap();
            }
            kept.push(stream);
        }
    });
    let (sender, mut reports) = mpsc::channel(4);
    let slow = Check { every: LIMIT, timeout: LIMIT, ..check("pop3", Probe::Pop3(mail(port))) };
    let checks = Checks::start(vec![local(slow)], &asker(), &clock(), &sender);
    let deadline = Instant::now() + LIMIT;
    while connections.load(Ordering::Acquire) == 0 {
        assert!(Instant::now() < deadline, "the first round never began");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(checks.check_now("pop3", Vantage::Local));
    assert!(!checks.check_now("pop3", Vantage::Direct));
    assert!(!checks.check_now("imap", Vantage::Local));
    let failure = next(&mut reports).await.result.unwrap_err();
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "greeting"));
    server.abort();
}

#[tokio::test]
async fn a_round_has_a_limit() {
    let server = Scripted::start(vec![Act::Hang]).await;
    let hung = Check { timeout: Duration::from_secs(1), ..check("pop3", Probe::Pop3(mail(server.address.port()))) };
    let (sender, mut reports) = mpsc::channel(4);
    let _checks = Checks::start(vec![local(hung)], &asker(), &clock(), &sender);
    let failure = next(&mut reports).await.result.unwrap_err();
    assert_eq!((failure.symptom, failure.at), (Symptom::TimedOut, "greeting"));
}

#[tokio::test]
async fn a_look_through_the_balancer_asks_the_balancer() {
    let server = Scripted::start(mailbox()).await;
    let through = MailProbe { through: Some(server.address), ..mail(1) };
    let checks = [
        check("pop3", Probe::Pop3(through)),
        check("port", Probe::Port { port: 1 }),
        check("command", Probe::Command(crate::config::Step { command: "true".into(), timeout: LIMIT })),
    ];
    let scheduled = ScheduledCheck::remote(&checks, [127, 0, 0, 1].into());
    let looks: Vec<_> = scheduled.iter().map(|look| (look.check.name.as_str(), look.vantage)).collect();
    let wanted = [("pop3", Vantage::Direct), ("pop3", Vantage::ThroughBalancer), ("port", Vantage::Direct)];
    assert_eq!(looks, wanted);
    assert_eq!(ScheduledCheck::local(&checks, [127, 0, 0, 1].into()).len(), 3);
    let asker = asker();
    for look in &scheduled {
        let run = asker.run(&look.check, look.vantage, look.target).await;
        let is_through = look.vantage == Vantage::ThroughBalancer;
        assert_eq!(run.result.is_ok(), is_through, "{look:?}: {:?}\n{}", run.result, run.transcript.join("\n"));
    }
}

#[tokio::test]
async fn a_password_is_read_once_and_again_when_it_is_refused() {
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reads);
    let asker = asker_with(Arc::new(move |_| {
        counted.fetch_add(1, Ordering::AcqRel);
        Ok(Password::new("s3cret"))
    }));
    let good = Scripted::start(mailbox()).await;
    let refusing = Scripted::start(vec![say("+OK\r\n"), Act::Hear("USER"), say("-ERR [AUTH]\r\n")]).await;
    for (server, reads_after) in [(&good, 1), (&good, 1), (&refusing, 1), (&good, 2)] {
        let check = check("pop3", Probe::Pop3(mail(server.address.port())));
        asker.run(&check, Vantage::Local, server.address.ip()).await;
        assert_eq!(reads.load(Ordering::Acquire), reads_after);
    }
}

#[tokio::test]
async fn a_password_that_cannot_be_read_is_the_canarys_matter() {
    let asker = asker_with(Arc::new(|path| Err(format!("{} can be read by others", path.display()))));
    let check = check("pop3", Probe::Pop3(mail(1)));
    let failure = asker.run(&check, Vantage::Local, [127, 0, 0, 1].into()).await.result.unwrap_err();
    assert_eq!((failure.symptom, failure.at), (Symptom::LoginRefused, "password"));
    assert!(failure.detail.contains("canary.pass"), "{failure}");
}

#[tokio::test]
async fn silence_after_a_refused_login_is_the_canarys_matter_until_it_is_let_in() {
    let silent = Scripted::start(vec![say("+OK\r\n"), Act::Hear("USER"), say("+OK\r\n"), Act::Hang]).await;
    let refusing = Scripted::start(vec![say("+OK\r\n"), Act::Hear("USER"), say("-ERR [AUTH]\r\n")]).await;
    let letting_in = Scripted::start(mailbox()).await;
    let mute = Scripted::start(vec![Act::Hang]).await;
    let asker = asker();
    let story = [
        ("nothing is known yet", &silent, Err(Symptom::TimedOut)),
        ("refused", &refusing, Err(Symptom::LoginRefused)),
        ("delayed", &silent, Err(Symptom::LoginRefused)),
        ("and again", &silent, Err(Symptom::LoginRefused)),
        ("silent before the login", &mute, Err(Symptom::TimedOut)),
        ("let in", &letting_in, Ok(())),
        ("silent without a reason", &silent, Err(Symptom::TimedOut)),
    ];
    for (name, server, wanted) in story {
        let is_silent = std::ptr::eq(server, &silent) || std::ptr::eq(server, &mute);
        let timeout = if is_silent { Duration::from_secs(1) } else { LIMIT };
        let check = Check { timeout, ..check("pop3", Probe::Pop3(mail(server.address.port()))) };
        let result = asker.run(&check, Vantage::Local, server.address.ip()).await.result;
        assert_eq!(result.as_ref().map(|_| ()).map_err(|failure| failure.symptom), wanted, "{name}: {result:?}");
    }
}
