use tokio::io::DuplexStream;

use super::*;

const KEY: [u8; 32] = [1; 32];
const NEW_KEY: [u8; 32] = [2; 32];

fn ring(current: &[u8], old: Option<&[u8]>) -> KeyRing {
    KeyRing::new(current, old).unwrap()
}

fn prover(role: Role, keys: &KeyRing) -> Prover<'_> {
    Prover { role, pair: "mail", keys, end_point: b"the server's certificate" }
}

async fn prove(client: Prover<'_>, server: Prover<'_>) -> (Result<(), ProofError>, Result<(), ProofError>) {
    let (mut near, mut far) = tokio::io::duplex(1024);
    tokio::join!(async move { prove_as_client(&mut near, client).await }, async move {
        prove_as_server(&mut far, server).await
    })
}

#[tokio::test]
async fn both_sides_believe_each_other_with_the_same_key_in_both_directions() {
    let keys = ring(&KEY, None);
    for role in [Role::Master, Role::Slave] {
        let (client, server) = prove(prover(role, &keys), prover(role.peer(), &keys)).await;
        client.unwrap();
        server.unwrap();
    }
}

#[tokio::test]
async fn while_keys_are_changed_host_by_host_every_connection_still_works() {
    let stages = [ring(&KEY, None), ring(&NEW_KEY, Some(&KEY)), ring(&NEW_KEY, None)];
    for (near, far, works) in [(0, 1, true), (1, 0, true), (1, 1, true), (1, 2, true), (2, 1, true), (0, 2, false)] {
        let (client, server) = prove(prover(Role::Slave, &stages[near]), prover(Role::Master, &stages[far])).await;
        assert_eq!((client.is_ok(), server.is_ok()), (works, works), "stages {near} and {far}: {client:?} {server:?}");
    }
}

#[tokio::test]
async fn each_mismatch_is_refused_under_its_own_name_on_both_sides() {
    let keys = ring(&KEY, None);
    let other = ring(&NEW_KEY, None);
    let server = prover(Role::Master, &keys);
    let good = prover(Role::Slave, &keys);
    let cases = [
        (prover(Role::Slave, &other), Refused::Key),
        (Prover { pair: "news", ..good }, Refused::Pair),
        (prover(Role::Master, &keys), Refused::Role),
        (Prover { end_point: b"another certificate", ..good }, Refused::Key),
    ];
    for (client, expected) in cases {
        let (near, far) = prove(client, server).await;
        assert_eq!(far.unwrap_err().kind(), expected);
        assert_eq!(near.unwrap_err().kind(), expected, "the client can tell its operator");
    }
}

/// A relay in the middle that only passes bytes on: what is on `near` goes to `far` and back.
async fn prove_through(client: Prover<'_>, answer: impl AsyncFnOnce(&mut DuplexStream)) -> Result<(), ProofError> {
    let (mut near, mut far) = tokio::io::duplex(1024);
    let (proved, ()) = tokio::join!(async move { prove_as_client(&mut near, client).await }, async move {
        answer(&mut far).await;
    });
    proved
}

#[tokio::test]
async fn a_proof_reflected_to_its_maker_is_not_believed() {
    let keys = ring(&KEY, None);
    // The reflector has no key. It claims the master's role with the client's own greeting, and sends the proof back.
    let outcome = prove_through(prover(Role::Slave, &keys), async |far| {
        let mut hello = [0; HELLO_BYTES];
        far.read_exact(&mut hello).await.unwrap();
        hello[6] = role_byte(Role::Master);
        write_accepted(far, &hello).await.unwrap();
        let mut proof = [0; PROOF_BYTES];
        far.read_exact(&mut proof).await.unwrap();
        write_accepted(far, &proof).await.unwrap();
    })
    .await;
    assert!(matches!(outcome, Err(ProofError::WrongProof)), "{outcome:?}");
}

#[tokio::test]
async fn a_recorded_dialogue_is_not_believed_when_it_is_played_again() {
    let keys = ring(&KEY, None);
    let (mut near, mut far) = tokio::io::duplex(1024);
    let (mut tap, mut server) = tokio::io::duplex(1024);
    let recorder = async {
        let mut recorded = Vec::new();
        let mut hello = [0; HELLO_BYTES];
        far.read_exact(&mut hello).await.unwrap();
        tap.write_all(&hello).await.unwrap();
        recorded.extend_from_slice(&hello);
        let mut answer = [0; 1 + HELLO_BYTES];
        tap.read_exact(&mut answer).await.unwrap();
        far.write_all(&answer).await.unwrap();
        let mut proof = [0; PROOF_BYTES];
        far.read_exact(&mut proof).await.unwrap();
        tap.write_all(&proof).await.unwrap();
        recorded.extend_from_slice(&proof);
        let mut answer = [0; 1 + PROOF_BYTES];
        tap.read_exact(&mut answer).await.unwrap();
        far.write_all(&answer).await.unwrap();
        recorded
    };
    let (client, first, recorded) = tokio::join!(
        prove_as_client(&mut near, prover(Role::Slave, &keys)),
        prove_as_server(&mut server, prover(Role::Master, &keys)),
        recorder
    );
    client.expect("the recorded dialogue itself was good");
    first.expect("the recorded dialogue itself was good");

    let (mut player, mut again) = tokio::io::duplex(1024);
    player.write_all(&recorded).await.unwrap();
    let second = prove_as_server(&mut again, prover(Role::Master, &keys)).await;
    assert!(matches!(second, Err(ProofError::WrongProof)), "{second:?}");
}

#[tokio::test]
async fn a_stranger_gets_no_proof_and_garbage_is_refused() {
    let keys = ring(&KEY, None);
    let (mut stranger, mut server) = tokio::io::duplex(1024);
    stranger.write_all(&[b'G'; HELLO_BYTES]).await.unwrap();
    let outcome = prove_as_server(&mut server, prover(Role::Master, &keys)).await;
    assert!(matches!(outcome, Err(ProofError::NotThisProtocol)), "{outcome:?}");
    drop(server);
    let mut said = Vec::new();
    stranger.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, [1], "one byte that says no, and nothing made with the key");
}
