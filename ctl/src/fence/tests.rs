use std::path::PathBuf;

use super::*;

/// A pair whose device is a file for each host: a double of what a power strip does.
fn config(directory: &Path) -> PathBuf {
    let device = "Command(status: \"exit $(cat $FAILOVER_TARGET)\", off: \"echo 2 >$FAILOVER_TARGET\", on: \"echo 0 \
                  >$FAILOVER_TARGET\", timeout: \"20s\")";
    let text = include_str!("../../../config/minimal.ron")
        .replace("[Ack, Operator]", &format!("[Ack, Fence], fence: [{device}]"));
    let path = directory.join("failover.ron");
    std::fs::write(&path, text).unwrap();
    for host in ["cfg1", "cfg2"] {
        std::fs::write(directory.join(host), "0\n").unwrap();
    }
    path
}

async fn ordered(config: &Path, order: Order) -> (anyhow::Result<Exit>, String) {
    let mut bytes = Vec::new();
    let arguments = Arguments { order, here: Some("cfg2".into()) };
    let exit = run(config, None, &arguments, &mut Out::plain(&mut bytes)).await;
    (exit, String::from_utf8(bytes).unwrap())
}

fn off(host: &str) -> Order {
    Order::Off { host: host.into(), reason: "a test".into() }
}

fn on(host: &str, restarted: bool) -> Order {
    Order::On { host: host.into(), reason: "a test".into(), restarted }
}

#[tokio::test]
async fn a_host_is_cut_off_seen_to_be_and_let_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path());
    let (exit, text) = ordered(&file, off("cfg1")).await;
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    assert!(text.contains("cfg1 is cut off by fence[1] command") && text.contains("confirm-stopped cfg1"), "{text}");
    let (exit, text) = ordered(&file, Order::Status { host: "master".into() }).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(text.contains("cfg1") && text.contains("off: cut off"), "{text}");
    let (exit, text) = ordered(&file, on("master", true)).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(text.contains("cfg1 is let back by fence[1] command"), "{text}");
    let (_, text) = ordered(&file, Order::Status { host: "cfg1".into() }).await;
    assert!(text.trim_end().ends_with("on"), "{text}");
}

#[tokio::test]
async fn a_host_that_was_not_restarted_is_not_let_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path());
    ordered(&file, off("cfg1")).await.0.unwrap();
    let (exit, _) = ordered(&file, on("cfg1", false)).await;
    assert!(exit.unwrap_err().to_string().contains("--restarted"));
    assert_eq!(std::fs::read_to_string(folder.path().join("cfg1")).unwrap(), "2\n");
}

#[tokio::test]
async fn the_own_host_and_strangers_are_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path());
    for (host, wanted) in [("slave", "would cut itself off"), ("cfg9", "is no host of this pair")] {
        let (exit, _) = ordered(&file, off(host)).await;
        let error = exit.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("cfg2")).unwrap(), "0\n");
}

#[tokio::test]
async fn a_device_that_fails_is_told_with_the_next_thing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path());
    std::fs::remove_file(folder.path().join("cfg1")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap().replace("echo 2 >$FAILOVER_TARGET", "exit 1");
    std::fs::write(&file, text).unwrap();
    let (exit, _) = ordered(&file, off("cfg1")).await;
    let error = exit.unwrap_err();
    assert!(error.to_string().contains("must be taken to run"), "{error}");
    assert!(format!("{error:#}").contains("fence[1] command"), "{error:#}");
}
