//! The dialogue against a server that does what a script says: every way in which it can fail, and that it can pass.

use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;
use crate::check::port;
use crate::check::scripted::{Act, Scripted, say};
use crate::check::tls::connector;
use crate::config::MailTls;

const MESSAGE: &str = "Subject: canary\r\n\r\n.hidden dot\r\nknown text\r\n";

fn greeting() -> Vec<Act> {
    vec![say("+OK ready\r\n")]
}

fn login() -> Vec<Act> {
    vec![Act::Hear("USER canary\r\n"), say("+OK\r\n"), Act::Hear("PASS s3cret\r\n"), say("+OK in\r\n")]
}

fn stat() -> Vec<Act> {
    vec![Act::Hear("STAT\r\n"), say("+OK 3 1234\r\n")]
}

fn retr() -> Vec<Act> {
    let stuffed = MESSAGE.replace("\r\n.", "\r\n..");
    vec![Act::Hear("RETR 3\r\n"), say(format!("+OK follows\r\n{stuffed}.\r\n"))]
}

fn quit() -> Vec<Act> {
    vec![Act::Hear("QUIT\r\n"), say("+OK bye\r\n")]
}

fn good() -> Vec<Act> {
    [greeting(), login(), stat(), retr(), quit()].concat()
}

/// How a round is asked; what comes of it, and its transcript.
struct Round {
    tls: MailTls,
    expect: Option<&'static str>,
    limit: Duration,
}

impl Default for Round {
    fn default() -> Round {
        Round { tls: MailTls::None, expect: None, limit: Duration::from_secs(10) }
    }
}

impl Round {
    async fn run(&self, address: SocketAddr) -> (Result<Dialogue, CheckFailure>, String) {
        let password = Password::new("s3cret");
        let connector = connector().unwrap();
        let encryption = match self.tls {
            MailTls::None => Encryption::None,
            MailTls::Implicit => Encryption::Implicit(&connector),
            MailTls::StartTls => Encryption::StartTls(&connector),
        };
        let request = Request { user: "canary", password: &password, encryption, expect: self.expect };
        let mut record = Record::full();
        let round = async {
            let stream = port::connect(address, &mut record).await?;
            dialogue(stream, &request, &mut record).await
        };
        let result = match tokio::time::timeout(self.limit, round).await {
            Ok(result) => result,
            Err(_) => Err(record.out_of_time(self.limit)),
        };
        (result, record.into_transcript().join("\n"))
    }

    async fn failure_of(&self, script: Vec<Act>) -> CheckFailure {
        let server = Scripted::start(script.clone()).await;
        let (result, transcript) = self.run(server.address).await;
        assert!(!transcript.contains("s3cret"), "the transcript shows the password:\n{transcript}");
        let failure = result.expect_err(&format!("{script:?} passed:\n{transcript}"));
        assert!(!failure.to_string().contains("s3cret"), "{failure}");
        failure
    }
}

/// Long enough to get to the step where the server hangs, on a busy machine too.
fn impatient() -> Round {
    Round { limit: Duration::from_secs(8), ..Round::default() }
}

#[tokio::test]
async fn a_whole_dialogue_passes_and_tells_what_it_read() {
    let server = Scripted::start(good()).await;
    let round = Round { expect: Some("dot\r\nknown text"), ..Round::default() };
    let (result, transcript) = round.run(server.address).await;
    let dialogue = result.unwrap_or_else(|failure| panic!("{failure}\n{transcript}"));
    assert_eq!(dialogue.messages, 3);
    assert_eq!(dialogue.message_bytes, MESSAGE.len() as u64);
    assert_eq!(dialogue.sha256, <[u8; 32]>::from(Sha256::digest(MESSAGE)));
    assert!(!dialogue.truncated);
    let steps: Vec<_> = dialogue.steps.iter().map(|step| step.step).collect();
    assert_eq!(steps, ["connect", "greeting", "user", "pass", "stat", "retr", "quit"]);
    assert!(transcript.contains("C: PASS ****"), "{transcript}");
    assert!(!transcript.contains("s3cret"), "{transcript}");
    assert!(!transcript.contains("known text"), "mail is nobody's business:\n{transcript}");
}

#[tokio::test]
async fn it_passes_inside_tls_whatever_the_certificate() {
    let implicit = [vec![Act::Tls], good()].concat();
    let starttls =
        [greeting(), vec![Act::Hear("STLS\r\n"), say("+OK\r\n"), Act::Tls], login(), stat(), retr(), quit()].concat();
    for (tls, script) in [(MailTls::Implicit, implicit), (MailTls::StartTls, starttls)] {
        let server = Scripted::start(script).await;
        let (result, transcript) = Round { tls, ..Round::default() }.run(server.address).await;
        let dialogue = result.unwrap_or_else(|failure| panic!("{tls:?}: {failure}\n{transcript}"));
        assert_eq!(dialogue.message_bytes, MESSAGE.len() as u64, "{tls:?}");
    }
}

#[tokio::test]
async fn plain_text_before_the_handshake_is_refused() {
    let script = [greeting(), vec![Act::Hear("STLS\r\n"), say("+OK\r\n+OK injected\r\n"), Act::Tls]].concat();
    let failure = Round { tls: MailTls::StartTls, ..Round::default() }.failure_of(script).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "stls"));
    assert!(failure.detail.contains("14 bytes"), "{failure}");
}

#[tokio::test]
async fn a_server_without_tls_fails_the_encrypted_check() {
    let no_stls = [greeting(), vec![Act::Hear("STLS\r\n"), say("-ERR unknown command\r\n")]].concat();
    let failure = Round { tls: MailTls::StartTls, ..Round::default() }.failure_of(no_stls).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "stls"));
    let failure = Round { tls: MailTls::Implicit, ..Round::default() }.failure_of(good()).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "tls"));
}

#[tokio::test]
async fn an_empty_mailbox_passes_unless_a_text_is_expected() {
    let script = [greeting(), login(), vec![Act::Hear("STAT\r\n"), say("+OK 0 0\r\n")], quit()].concat();
    let server = Scripted::start(script.clone()).await;
    let (result, _) = Round::default().run(server.address).await;
    assert_eq!(result.map(|dialogue| dialogue.message_bytes), Ok(0));
    let failure = Round { expect: Some("x"), ..Round::default() }.failure_of(script).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "stat"));
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (result, _) = Round::default().run(address).await;
    let failure = result.unwrap_err();
    assert_eq!((failure.symptom, failure.at), (Symptom::Refused, "connect"));
}

#[tokio::test]
async fn every_wrong_answer_has_its_symptom_and_its_step() {
    use Symptom::{LoginRefused, WrongAnswer};
    let after = |before: &[Vec<Act>], last: &str| [before.concat(), vec![say(last)]].concat();
    let user = vec![Act::Hear("USER")];
    let pass = vec![Act::Hear("USER"), say("+OK\r\n"), Act::Hear("PASS")];
    let hear_stat = vec![Act::Hear("STAT")];
    let hear_retr = vec![Act::Hear("RETR")];
    let long_line = format!("+OK {}", "x".repeat(10_000));
    let table = [
        ("another protocol", vec![say("* OK IMAP4rev1\r\n")], WrongAnswer, "greeting"),
        ("a server that is full", vec![say("-ERR too many connections\r\n")], WrongAnswer, "greeting"),
        ("a banner without end", vec![say(&long_line), Act::Hang], WrongAnswer, "greeting"),
        ("no such user", after(&[greeting(), user], "-ERR no\r\n"), LoginRefused, "user"),
        ("wrong password", after(&[greeting(), pass.clone()], "-ERR [AUTH] not s3cret\r\n"), LoginRefused, "pass"),
        ("login process in trouble", after(&[greeting(), pass], "-ERR [SYS/TEMP] x\r\n"), WrongAnswer, "pass"),
        ("STAT in words", after(&[greeting(), login(), hear_stat.clone()], "+OK three\r\n"), WrongAnswer, "stat"),
        ("no mailbox", after(&[greeting(), login(), hear_stat], "-ERR no store\r\n"), WrongAnswer, "stat"),
        ("no message", after(&[greeting(), login(), stat(), hear_retr], "-ERR gone\r\n"), WrongAnswer, "retr"),
        (
            "no QUIT",
            after(&[greeting(), login(), stat(), retr(), vec![Act::Hear("QUIT")]], "-ERR\r\n"),
            WrongAnswer,
            "quit",
        ),
    ];
    for (name, script, symptom, at) in table {
        let failure = Round::default().failure_of(script).await;
        assert_eq!((failure.symptom, failure.at), (symptom, at), "{name}: {failure}");
    }
}

#[tokio::test]
async fn a_message_without_the_expected_text_is_a_wrong_answer() {
    let failure = Round { expect: Some("other text"), ..Round::default() }.failure_of(good()).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "retr"));
}

#[tokio::test]
async fn a_message_without_end_is_cut_and_searched() {
    let flood =
        |line| [greeting(), login(), stat(), vec![Act::Hear("RETR"), say("+OK\r\n"), Act::Flood(line)]].concat();
    let server = Scripted::start(flood(b"known text\r\n")).await;
    let (result, _) = Round { expect: Some("known text"), ..Round::default() }.run(server.address).await;
    let dialogue = result.unwrap();
    assert!(dialogue.truncated);
    assert_eq!(dialogue.message_bytes, MESSAGE_BYTES_MAX);
    // A single line of any length is a message too.
    let failure = Round { expect: Some("known text"), ..Round::default() }.failure_of(flood(b"xxxxxxxx")).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::WrongAnswer, "retr"));
}

/// The server plays so many acts of a good dialogue, then `last`.
fn broken_off() -> Vec<(usize, &'static str)> {
    vec![(0, "greeting"), (2, "user"), (4, "pass"), (6, "stat"), (8, "retr"), (10, "quit")]
}

#[tokio::test]
async fn a_server_that_hangs_is_told_by_its_step() {
    let mut rounds = tokio::task::JoinSet::new();
    let half = vec![Act::Hear("RETR"), say("+OK\r\nSubject: x\r\n")];
    let in_the_message = ([greeting(), login(), stat(), half].concat(), "retr");
    let between = broken_off().into_iter().map(|(acts, at)| (good()[..acts].to_vec(), at));
    for (mut script, at) in between.chain([in_the_message]) {
        script.push(Act::Hang);
        rounds.spawn(async move { (impatient().failure_of(script).await, at) });
    }
    for (failure, at) in rounds.join_all().await {
        assert_eq!((failure.symptom, failure.at), (Symptom::TimedOut, at), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_closes_is_told_by_its_step() {
    for (acts, at) in broken_off().into_iter().filter(|(_, at)| *at != "quit") {
        let failure = Round::default().failure_of(good()[..acts].to_vec()).await;
        assert_eq!((failure.symptom, failure.at), (Symptom::Closed, at), "{failure}");
    }
    let half = [greeting(), login(), stat(), vec![Act::Hear("RETR"), say("+OK\r\nSubject: x\r\n")]].concat();
    let failure = Round::default().failure_of(half).await;
    assert_eq!((failure.symptom, failure.at), (Symptom::Closed, "retr"));
}

#[tokio::test]
async fn a_server_that_closes_instead_of_answering_quit_is_forgiven() {
    let server = Scripted::start(good()[..11].to_vec()).await;
    let (result, transcript) = Round::default().run(server.address).await;
    assert!(result.is_ok(), "{result:?}\n{transcript}");
}

#[tokio::test]
async fn a_line_end_in_the_password_is_not_sent() {
    let server = Scripted::start(good()).await;
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let password = Password::new("x\r\nDELE 1\r\nNOOP");
    let request = Request { user: "canary", password: &password, encryption: Encryption::None, expect: None };
    let failure = dialogue(stream, &request, &mut Record::full()).await.unwrap_err();
    assert_eq!((failure.symptom, failure.at), (Symptom::LoginRefused, "user"));
}

#[tokio::test]
async fn a_dialogue_can_be_held_over_memory() {
    let (client, mut server) = tokio::io::duplex(4_096);
    use tokio::io::AsyncWriteExt;
    let answers = "+OK\r\n+OK\r\n+OK\r\n+OK 1 2\r\n+OK\r\nhi\r\n.\r\n+OK\r\n";
    server.write_all(answers.as_bytes()).await.unwrap();
    let password = Password::new("p");
    let request = Request { user: "u", password: &password, encryption: Encryption::None, expect: Some("hi") };
    let mut record = Record::brief();
    let held = tokio::time::timeout(Duration::from_secs(10), dialogue(client, &request, &mut record));
    let result = held.await.expect("the dialogue never ended");
    assert_eq!(result.map(|dialogue| dialogue.message_bytes), Ok(4));
}
