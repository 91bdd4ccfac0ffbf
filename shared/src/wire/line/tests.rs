use proptest::prelude::*;

use super::*;
use crate::decision::{
    BootId, Demand, Epoch, Evidence, Forced, Incarnation, Millis, Refusal, RequestId, Role, StopMeans, Symptom,
};

fn header() -> Header {
    Header {
        version: 1,
        pair: "mail".to_owned(),
        role: Role::Slave,
        boot: BootId(u128::MAX - 7),
        incarnation: Incarnation(u64::MAX - 3),
        sequence: 12,
        epoch: Epoch(4),
        digest: u64::MAX,
    }
}

fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
}

fn any_request() -> impl Strategy<Value = RequestId> {
    (any::<u64>(), any::<u32>()).prop_map(|(start, number)| RequestId { incarnation: Incarnation(start), number })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        Just(Evidence::OwnVerdict(Symptom::ProcessGone)),
        Just(Evidence::RemoteCheck(Symptom::TimedOut)),
        any::<u64>().prop_map(|span| Evidence::Silence(Millis(span))),
        (any_text(), any_text()).prop_map(|(by, reason)| Evidence::Command { by, reason }),
        Just(Evidence::NobodyActive),
        Just(Evidence::RollBack),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let forced = proptest::option::of((any::<u32>(), any_text()).prop_map(|(step, reason)| Forced { step, reason }));
    prop_oneof![
        (any::<u64>(), forced).prop_map(|(epoch, forced)| Answer::Acked {
            epoch: Epoch(epoch),
            means: StopMeans::PostConditions,
            forced
        }),
        Just(Answer::Prepared),
        any_text().prop_map(|reason| Answer::AckedFailed { reason }),
        any::<u64>().prop_map(|epoch| Answer::Refused(Refusal::Stale { epoch: Epoch(epoch) })),
        any_text().prop_map(|why| Answer::Refused(Refusal::Unable(why))),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let demand = (any_request(), any_evidence(), any::<u64>(), any::<(bool, bool)>(), any::<u64>()).prop_map(
        |(request, evidence, epoch, (ready, prepare), lifetime)| {
            let (epoch, lifetime_ms) = (Epoch(epoch), Millis(lifetime));
            Message::ShutdownYourService(Demand {
                request,
                from: Role::Slave,
                epoch,
                evidence,
                ready,
                lifetime_ms,
                prepare,
            })
        },
    );
    prop_oneof![
        demand,
        (any_request(), any::<u32>(), any_text()).prop_map(|(request, step, text)| Message::ShutdownProgress {
            request,
            step,
            text
        }),
        (any_request(), any_answer()).prop_map(|(request, answer)| Message::ShutdownAnswer { request, answer }),
        any_request().prop_map(|request| Message::ShutdownWithdraw { request }),
        any::<u64>().prop_map(|epoch| Message::TakeoverNotice { epoch: Epoch(epoch) }),
        any::<u64>().prop_map(|epoch| Message::StartPlease { epoch: Epoch(epoch) }),
        (any_text(), any_text())
            .prop_map(|(key, value)| Message::Command { command: serde_json::json!({ key: value }) }),
        Just(Message::Status),
        any::<u32>().prop_map(|count| Message::History { count }),
        any::<i64>().prop_map(|number| Message::Reply { body: serde_json::json!([number, null, {"a": []}]) }),
        Just(Message::Ok),
        any_text().prop_map(|text| Message::Error { text }),
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was(message in any_message(), id: u64, reply_to: Option<u64>) {
        let envelope = Envelope { header: header(), id, reply_to, message };
        let line = encode(&envelope).unwrap();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(decode(&line).unwrap(), envelope);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damage_to_a_good_line_makes_the_decoder_panic(message in any_message(), at: usize, to: u8, cut: usize) {
        let mut line = encode(&Envelope { header: header(), id: 1, reply_to: None, message }).unwrap();
        let (at, cut) = (at % line.len(), cut % line.len());
        line[at] = to;
        let _ = decode(&line);
        let _ = decode(&line[..cut]);
    }
}

#[test]
fn an_answer_that_is_no_proof_is_never_called_an_ack() {
    let request = RequestId { incarnation: Incarnation(1), number: 1 };
    let answer = Answer::AckedFailed { reason: "port 143 is open".to_owned() };
    let nack =
        Envelope { header: header(), id: 0, reply_to: Some(1), message: Message::ShutdownAnswer { request, answer } };
    let line = String::from_utf8(encode(&nack).unwrap()).unwrap();
    assert!(line.starts_with("SHUTDOWN_NACK {"), "{line}");

    let forged = line.replacen("NACK", "ACK", 1);
    assert!(matches!(decode(forged.as_bytes()), Err(DecodeError::WrongBody { cause: None, .. })), "{forged}");
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let line = encode(&Envelope { header: header(), id: 3, reply_to: None, message: Message::History { count: 5 } });
    let line = String::from_utf8(line.unwrap()).unwrap();
    let newer = line.replacen("{\"count\":5", "{\"since\":[1],\"count\":5", 1).replacen(
        "{\"version\"",
        "{\"x\":{},\"version\"",
        1,
    );
    assert_ne!(line, newer);
    assert_eq!(decode(newer.as_bytes()).unwrap().message, Message::History { count: 5 });

    let status = line.replacen("HISTORY", "STATUS", 1);
    assert_eq!(decode(status.as_bytes()).unwrap().message, Message::Status);
}

#[test]
fn an_unknown_verb_still_says_which_request_it_was() {
    let line = encode(&Envelope { header: header(), id: 9, reply_to: None, message: Message::Status }).unwrap();
    let line = String::from_utf8(line).unwrap().replacen("STATUS", "DANCE", 1);
    assert!(matches!(decode(line.as_bytes()), Err(DecodeError::UnknownVerb { id: 9, .. })));
}

#[test]
fn a_message_that_the_peer_would_refuse_to_read_is_not_sent() {
    let message = Message::Error { text: "x".repeat(LINE_BYTES_MAX) };
    let envelope = Envelope { header: header(), id: 1, reply_to: None, message };
    assert!(matches!(encode(&envelope), Err(EncodeError::TooLong { .. })));
}

#[test]
fn deeply_nested_json_is_an_error_and_not_a_crash() {
    let line = format!("REPLY {{\"header\":{}", "[".repeat(LINE_BYTES_MAX - 100));
    assert!(matches!(decode(line.as_bytes()), Err(DecodeError::Malformed(Some(_)))));
}
