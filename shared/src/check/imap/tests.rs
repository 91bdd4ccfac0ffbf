//! The IMAP dialogue against a server that does what a script says.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::check::port;
use crate::check::scripted::{Act, Scripted, say};
use crate::check::tls::connector;
use crate::config::MailTls;

const MESSAGE: &str = "Subject: canary\r\n\r\nknown text\r\n";

/// async-imap numbers its commands A0001, A0002 ….
fn good() -> Vec<Act> {
    let fetched = format!("* 2 FETCH (BODY[]<0> {{{}}}\r\n{MESSAGE})\r\nA0003 OK fetched\r\n", MESSAGE.len());
    vec![
        say("* OK [CAPABILITY IMAP4rev1] ready\r\n"),
        Act::Hear("A0001 LOGIN \"canary\" \"s3cret\"\r\n"),
        say("A0001 OK in\r\n"),
        Act::Hear("A0002 EXAMINE \"INBOX\"\r\n"),
        say("* FLAGS (\\Seen)\r\n* 2 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] x\r\nA0002 OK [READ-ONLY] done\r\n"),
        Act::Hear("A0003 FETCH 2 BODY.PEEK[]<0.1048576>\r\n"),
        say(fetched),
        Act::Hear("A0004 LOGOUT\r\n"),
        say("* BYE\r\nA0004 OK bye\r\n"),
    ]
}

async fn run(
    address: SocketAddr,
    tls: MailTls,
    expect: Option<&str>,
    limit: Duration,
) -> (Result<(), CheckFailure>, String) {
    let password = Password::new("s3cret");
    let connector = connector().unwrap();
    let encryption = match tls {
        MailTls::None => Encryption::None,
        MailTls::Implicit => Encryption::Implicit(&connector),
        MailTls::StartTls => Encryption::StartTls(&connector),
    };
    let request = Request { user: "canary", password: &password, encryption, expect };
    let mut record = Record::full();
    let round = async {
        let stream = port::connect(address, &mut record).await?;
        dialogue(stream, &request, &mut record).await
    };
    let result = match tokio::time::timeout(limit, round).await {
        Ok(result) => result,
        Err(_) => Err(record.out_of_time(limit)),
    };
    (result, record.into_transcript().join("\n"))
}

const PATIENT: Duration = Duration::from_secs(10);

async fn failure_of(script: Vec<Act>, tls: MailTls, expect: Option<&str>, limit: Duration) -> CheckFailure {
    let server = Scripted::start(script.clone()).await;
    let (result, transcript) = run(server.address, tls, expect, limit).await;
    let failure = result.expect_err(&format!("{script:?} passed:\n{transcript}"));
    assert!(!transcript.contains("s3cret") && !failure.to_string().contains("s3cret"), "{failure}\n{transcript}");
    failure
}

#[tokio::test]
async fn a_whole_dialogue_passes_in_every_encryption() {
    let implicit = [vec![Act::Tls], good()].concat();
    let upgrade = vec![say("* OK\r\n"), Act::Hear("a STARTTLS"), say("* x\r\na OK go\r\n"), Act::Tls];
    let starttls = [upgrade, good()[1..].to_vec()].concat();
    for (tls, script) in [(MailTls::None, good()), (MailTls::Implicit, implicit), (MailTls::StartTls, starttls)] {
        let server = Scripted::start(script).await;
        let (result, transcript) = run(server.address, tls, Some("known text"), PATIENT).await;
        assert_eq!(result, Ok(()), "{tls:?}\n{transcript}");
        assert!(!transcript.contains("s3cret"), "{transcript}");
    }
}

#[tokio::test]
async fn plain_text_before_the_handshake_is_refused() {
    let script = vec![say("* OK\r\n"), Act::Hear("a STARTTLS"), say("a OK go\r\n* OK injected\r\n"), Act::Tls];
    let failure = failure_of(script, MailTls::StartTls, None, PATIENT).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "starttls"));
}

#[tokio::test]
async fn every_wrong_answer_has_its_symptom_and_its_step() {
    use Symptom::{Closed, LoginRefused, TimedOut, WrongAnswer};
    let after = |acts: usize, last: Act| [good()[..acts].to_vec(), vec![last]].concat();
    let table = [
        ("another protocol", vec![say("+OK POP3\r\n")], WrongAnswer, "greeting"),
        ("a server that is full", vec![say("* BYE too many\r\n")], WrongAnswer, "greeting"),
        ("closed at once", vec![], Closed, "greeting"),
        ("wrong password", after(2, say("A0001 NO [AUTHENTICATIONFAILED] no s3cret\r\n")), LoginRefused, "login"),
        ("login process in trouble", after(2, say("A0001 NO [UNAVAILABLE] later\r\n")), WrongAnswer, "login"),
        ("closed in the login", good()[..2].to_vec(), Closed, "login"),
        ("hangs in the login", after(2, Act::Hang), TimedOut, "login"),
        ("no mailbox", after(4, say("A0002 NO no store\r\n")), WrongAnswer, "examine"),
        ("closed in EXAMINE", good()[..4].to_vec(), Closed, "examine"),
        ("hangs in FETCH", after(6, Act::Hang), TimedOut, "fetch"),
        ("closed in FETCH", good()[..6].to_vec(), Closed, "fetch"),
        ("a message too long", after(6, Act::Flood(b"* 2 FETCH (FLAGS (\\Seen))\r\n")), WrongAnswer, "fetch"),
        ("a literal too long", after(6, Act::Flood(b"* 2 FETCH (BODY[]<0> {99999999}\r\nx")), WrongAnswer, "fetch"),
        ("no message", after(6, say("A0003 OK nothing\r\n")), WrongAnswer, "fetch"),
    ];
    for (name, script, symptom, at) in table {
        let limit = if symptom == TimedOut { Duration::from_secs(1) } else { PATIENT };
        let failure = failure_of(script, MailTls::None, None, limit).await;
        assert_eq!((failure.symptom, failure.at), (symptom, at), "{name}: {failure}");
    }
}

#[tokio::test]
async fn the_expected_text_must_be_there() {
    let failure = failure_of(good(), MailTls::None, Some("other text"), PATIENT).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "fetch"));
}

#[tokio::test]
async fn an_empty_mailbox_passes_unless_a_text_is_expected() {
    let mut script = good()[..4].to_vec();
    script.extend([say("* 0 EXISTS\r\nA0002 OK done\r\n"), Act::Hear("A0003 LOGOUT"), say("* BYE\r\nA0003 OK\r\n")]);
    let server = Scripted::start(script.clone()).await;
    let (result, transcript) = run(server.address, MailTls::None, None, PATIENT).await;
    assert_eq!(result, Ok(()), "{transcript}");
    let failure = failure_of(script, MailTls::None, Some("x"), PATIENT).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "examine"));
}
