use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// Plays a server: for each command that comes, the next answer goes out; the first is the greeting.
async fn against(answers: &[&str], expect: Option<&str>) -> (Result<Dialogue, CheckFailure>, Vec<String>) {
    let (client, mut server) = duplex(1 << 20);
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_string()).collect();
    let play = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        for answer in answers {
            server.write_all(answer.as_bytes()).await.unwrap();
            if server.read(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    });
    let mut said = Vec::new();
    let limit = std::time::Duration::from_secs(10);
    let result = tokio::time::timeout(limit, dialogue(client, "canary", "s3cret", expect, &mut said)).await;
    play.abort();
    (result.expect("the dialogue hangs"), said)
}

const LOGIN: [&str; 3] = ["+OK ready\r\n", "+OK\r\n", "+OK logged in\r\n"];

fn with_login<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    LOGIN.iter().copied().chain(rest.iter().copied()).collect()
}

#[tokio::test]
async fn a_whole_dialogue_reads_the_newest_message_with_dot_stuffing_undone() {
    let answers = with_login(&["+OK 2 99\r\n", "+OK\r\nSubject: x\r\n\r\n..leading\r\nend\r\n.\r\n", "+OK bye\r\n"]);
    let (result, said) = against(&answers, Some(".leading")).await;
    let found = result.unwrap();
    let message = b"Subject: x\r\n\r\n.leading\r\nend\r\n";
    assert_eq!((found.messages, found.bytes), (2, message.len()));
    assert_eq!(found.digest, <[u8; 32]>::from(Sha256::digest(message)));
    assert!(said.contains(&"> RETR 2".to_string()), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("s3cret")), "the password is shown: {said:?}");
}

#[tokio::test]
async fn an_empty_mailbox_passes_unless_a_message_is_expected() {
    let answers = with_login(&["+OK 0 0\r\n", "+OK bye\r\n"]);
    assert_eq!(against(&answers, None).await.0.unwrap().messages, 0);
    assert_eq!(against(&answers, Some("x")).await.0.unwrap_err().symptom, Symptom::WrongAnswer);
}

#[tokio::test]
async fn every_way_to_answer_badly_has_its_symptom() {
    let endless_line = format!("+OK {}", "x".repeat(20_000));
    let endless_message = format!("+OK\r\n{}", "x\r\n".repeat(1_000_000 / 3 * 4));
    let cases: Vec<(Vec<&str>, Symptom, &str)> = vec![
        (vec!["-ERR busy\r\n"], Symptom::WrongAnswer, "greeting"),
        (vec!["HTTP/1.1 400\r\n"], Symptom::WrongAnswer, "greeting"),
        (vec!["+OKAY\r\n"], Symptom::WrongAnswer, "greeting"),
        (vec!["+OK ready\r\n", "+OK\r\n", "-ERR [AUTH] no\r\n"], Symptom::LoginRefused, "PASS"),
        (vec!["+OK ready\r\n", "junk\r\n"], Symptom::WrongAnswer, "USER"),
        (with_login(&["+OK many\r\n"]), Symptom::WrongAnswer, "STAT"),
        (with_login(&["+OK 1 9\r\n", "+OK\r\nno\r\n.\r\n"]), Symptom::WrongAnswer, "RETR"),
        (vec![&endless_line], Symptom::WrongAnswer, "greeting"),
        (with_login(&["+OK 1 9\r\n", &endless_message]), Symptom::WrongAnswer, "RETR"),
    ];
    for (answers, symptom, at) in cases {
        let failure = against(&answers, Some("known")).await.0.unwrap_err();
        assert_eq!((failure.symptom, failure.at), (symptom, at), "{failure}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_at_any_step_is_told_as_closed() {
    let whole = with_login(&["+OK 1 9\r\n", "+OK\r\nknown\r\n.\r\n", "+OK bye\r\n"]);
    for steps in 0..whole.len() {
        let (client, mut server) = duplex(4096);
        let answers: Vec<String> = whole[..steps].iter().map(|answer| (*answer).to_string()).collect();
        let play = tokio::spawn(async move {
            let mut buffer = [0; 256];
            for answer in answers {
                server.write_all(answer.as_bytes()).await.unwrap();
                let _ = server.read(&mut buffer).await;
            }
        });
        let mut said = Vec::new();
        let failure = dialogue(client, "canary", "s3cret", Some("known"), &mut said).await.unwrap_err();
        assert_eq!(failure.symptom, Symptom::Closed, "after {steps} answers: {failure}");
        play.await.unwrap();
    }
}

#[tokio::test]
async fn bytes_sent_before_the_tls_handshake_are_refused() {
    let (client, mut server) = duplex(4096);
    server.write_all(b"+OK begin TLS\r\n+OK injected\r\n").await.unwrap();
    let mut said = Vec::new();
    let mut pop3 = Pop3::new(client, &mut said);
    pop3.reply("STLS").await.unwrap();
    assert_eq!(pop3.into_inner().unwrap_err().at, "STLS");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_of_a_server_can_make_the_dialogue_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, mut server) = duplex(1 << 16);
                server.write_all(b"+OK\r\n+OK\r\n+OK\r\n+OK 1 1\r\n+OK\r\n").await.unwrap();
                server.write_all(&bytes).await.unwrap();
                server.shutdown().await.unwrap();
                let mut said = Vec::new();
                let _ = dialogue(client, "u", "p", None, &mut said).await;
            });
        }
    }
}
