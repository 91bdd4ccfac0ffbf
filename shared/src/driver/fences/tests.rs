use std::path::Path;

use super::*;
use crate::config;

/// A pair whose fence device is this shell command.
fn loaded(status: &str) -> Arc<Loaded> {
    let text = format!(
        r#"Pair(
            name: "p",
            master: (name: "a", address: "192.0.2.1"),
            slave: (name: "b", address: "192.0.2.2"),
            proof_of_stop: [Fence, Operator],
            fence: [Command(status: "{status}", off: "exit 0", timeout: "20s")],
            service: (startup_scripts: ["true"], shutdown_scripts: ["true"], stopped_when: [NoProcess("x")]),
            checks: [Port(name: "x", port: 25)],
        )"#
    );
    Arc::new(config::parse(&text, Path::new("test.ron"), Path::new("/")).unwrap_or_else(|why| panic!("{why}")))
}

async fn round(inputs: &mut mpsc::Receiver<Input>) -> Vec<(String, FenceSays)> {
    loop {
        let input = tokio::time::timeout(Duration::from_secs(30), inputs.recv()).await.expect("a round in time");
        if let Some(Input::Fences(answers)) = input {
            return answers;
        }
    }
}

#[tokio::test]
async fn each_device_is_asked_and_its_answer_kept_with_its_time() {
    let (sender, mut inputs) = mpsc::channel(4);
    let mut fences = Fences::start(&loaded("exit 2"), Role::Master, sender);
    assert!(fences.devices().all(|(_, answer)| answer.is_none()), "not asked yet");
    let answers = round(&mut inputs).await;
    fences.answered(Millis(7), answers);
    let known: Vec<_> = fences.devices().map(|(name, answer)| (name.to_string(), answer.cloned())).collect();
    assert_eq!(known, [("fence[1] command".to_string(), Some((FenceSays::Off, Millis(7))))]);
}

#[tokio::test]
async fn a_device_that_cannot_tell_says_why() {
    let (sender, mut inputs) = mpsc::channel(4);
    let _fences = Fences::start(&loaded("echo no route >&2; exit 1"), Role::Master, sender);
    let answers = round(&mut inputs).await;
    assert!(matches!(&answers[..], [(_, FenceSays::Unknown(why))] if why.contains("no route")), "{answers:?}");
}

#[tokio::test]
async fn nothing_is_asked_while_a_fence_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let began = folder.path().join("began");
    let (sender, mut inputs) = mpsc::channel(4);
    // The first call hangs until it is killed; the ones after it answer.
    let status = format!("if mkdir {0}; then sleep 60; fi; exit 0", began.display());
    let fences = Fences::start(&loaded(&status), Role::Master, sender);
    tokio::time::timeout(Duration::from_secs(30), async {
        while !began.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the device is asked");
    let quiet = fences.quiet();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(inputs.try_recv().is_err());
    drop(quiet);
    assert_eq!(round(&mut inputs).await[0].1, FenceSays::On, "the hanging call was given up, and a new one made");
}
