use std::fs;
use std::path::PathBuf;

use clap::Parser;
use failover_shared::process;
use nix::sys::signal::Signal;

use super::template::{Files, TEMPLATES};
use super::*;
use crate::fake::{Fake, printed, status, yes};

/// The command line behind `failoverctl script`.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A folder with scripts and a configuration of these resources.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, resources: &str) {
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    timing: (shutdown_timeout: "1h"),
    proof_of_stop: [Operator],
    service: (resources: [{resources}]),
    checks: [Port(name: "web", port: 80)],
)
"#
        );
        fs::write(self.path("failover.ron"), text).unwrap();
    }

    /// As typed on the slave, where no daemon runs.
    async fn script(&self, words: &[&str]) -> (anyhow::Result<Exit>, String) {
        self.script_beside(Err(DaemonError::NoSocket("/run/failover".into())), words).await
    }

    async fn script_beside(
        &self,
        daemon: Result<Daemon, DaemonError>,
        words: &[&str],
    ) -> (anyhow::Result<Exit>, String) {
        let line = Line::try_parse_from(["script"].iter().chain(words)).unwrap_or_else(|wrong| panic!("{wrong}"));
        let config = self.path("failover.ron");
        printed(async |out: &mut Out<'_>| run(&config, Some(Role::Slave), daemon, &line.arguments, out).await).await
    }

    /// A script of this text, and a resource that starts and stops by it.
    fn resource(&self, body: &str) {
        fs::write(self.path("it"), format!("#!/bin/sh\n{body}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.path("it"), mode).unwrap();
        self.configure(r#"Plain(name: "it", start: ["./it", "start"], stop: ["./it", "stop"], timeout: "5s")"#);
    }
}

fn kill_all(pids: &str) {
    for pid in pids.lines() {
        if let Some(process) = process::look(pid.trim().parse().unwrap()).unwrap() {
            process::signal(process.id, Signal::SIGKILL).unwrap();
        }
    }
}

#[tokio::test]
async fn every_template_becomes_a_resource_that_lacks_no_file() {
    let bench = Bench::new();
    let directory = bench.folder.path().to_str().unwrap();
    let mut entries = Vec::new();
    for template in TEMPLATES {
        let name = format!("my_{}", template.kind);
        let (exit, text) = bench.script(&["new", template.kind, &name, "--directory", directory]).await;
        assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
        let entry = new::entry(template, &name, &bench.path(&name).display().to_string());
        assert!(text.contains(&entry), "{text}");
        entries.push(entry);
        let (again, _) = bench.script(&["new", template.kind, &name, "--directory", directory]).await;
        assert!(again.unwrap_err().to_string().contains("nothing is overwritten"));
        let (example, unit) = match template.files {
            Files::Function(_, example) | Files::Named(_, example) => (example, ""),
            Files::Unit(_, example) => (example, ".service"),
            Files::Program(_) | Files::Folder(_) => continue,
        };
        let text = fs::read_to_string(bench.path(&format!("{name}{unit}"))).unwrap();
        assert!(text.contains(&name) && !text.contains(example), "{text}");
        if matches!(template.files, Files::Function(..)) {
            assert!(text.contains(&format!("\n{name}()\n")), "{text}");
        }
    }
    bench.configure(&entries.join(", "));
    let (_, text) = bench.script(&["list"]).await;
    for template in TEMPLATES {
        assert!(text.contains(&format!("my_{}", template.kind)), "{text}");
    }
    let lacks: Vec<&str> = text.lines().filter(|line| line.contains("my_") && line.contains("No such file")).collect();
    assert!(lacks.is_empty(), "{lacks:?}");
}

#[tokio::test]
async fn the_templates_that_need_no_old_system_pass_their_test() {
    let bench = Bench::new();
    let directory = bench.folder.path().to_str().unwrap();
    for kind in ["plain", "cpms", "clumanager", "ocf", "lsb"] {
        let template = TEMPLATES.iter().find(|template| template.kind == kind).unwrap();
        let name = format!("trial{}", std::process::id());
        bench.script(&["new", kind, &name, "--directory", directory]).await.0.unwrap();
        let path = bench.path(&name);
        let text = fs::read_to_string(&path).unwrap();
        // Where it says what runs here: in this folder instead of /run.
        let here = |text: &str| text.replace("/run/", &format!("{directory}/"));
        fs::write(&path, here(&text)).unwrap();
        bench.configure(&here(&new::entry(template, &name, path.to_str().unwrap())));
        for operation in ["start", "status", "stop", "takeover", "giveback"] {
            let (exit, text) = bench.script(&["test", &name, operation, "--yes"]).await;
            assert_eq!(exit.unwrap(), Exit::Ok, "{kind} {operation}: {text}");
            assert!(text.contains("idempotent: called twice"), "{text}");
        }
        fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_start_that_starts_two_of_them_is_not_idempotent() {
    let bench = Bench::new();
    bench.resource("setsid sleep 60 >/dev/null 2>&1 & echo $! >>pids; sleep 0.2");
    let (exit, text) = bench.script(&["test", "it", "start", "--yes"]).await;
    kill_all(&fs::read_to_string(bench.path("pids")).unwrap());
    assert_eq!(exit.unwrap(), Exit::Warning, "{text}");
    assert!(text.contains("left running: sleep (pid ") && text.contains("NOT idempotent"), "{text}");
}

#[tokio::test]
async fn a_restart_may_replace_what_ran_and_may_not_add_to_it() {
    for (before, exit, said) in
        [("xargs -r kill <pids; rm -f pids", Exit::Ok, "idempotent"), ("", Exit::Warning, "NOT")]
    {
        let bench = Bench::new();
        let begin = "setsid sleep 60 >/dev/null 2>&1 & echo $! >>pids; sleep 0.2";
        bench.resource(&format!("case $1 in restart) {before}\n{begin} ;; status) exit 0 ;; esac"));
        bench.configure(&format!("Lsb(name: \"it\", script: \"{}\", timeout: \"5s\")", bench.path("it").display()));
        let (ended, text) = bench.script(&["test", "it", "restart", "--yes"]).await;
        kill_all(&fs::read_to_string(bench.path("pids")).unwrap());
        assert_eq!(ended.unwrap(), exit, "{text}");
        assert!(text.contains(&format!("verdict: {said}")), "{text}");
    }
}

#[tokio::test]
async fn a_step_that_succeeds_only_once_is_not_idempotent_and_shows_its_last_lines() {
    let bench = Bench::new();
    bench.resource("mkdir made || { echo 'it is there'; exit 3; }");
    let (exit, text) = bench.script(&["test", "1", "start", "--yes"]).await;
    assert_eq!(exit.unwrap(), Exit::Warning, "{text}");
    assert!(text.contains("| it is there") && text.contains("second:  exited 3"), "{text}");
    assert!(text.contains("the first call went well and the second did not"), "{text}");
}

#[tokio::test]
async fn what_a_stop_leaves_of_what_the_test_started_is_named() {
    let bench = Bench::new();
    bench.resource(
        "case $1 in start) [ -e pids ] || { setsid sleep 60 >/dev/null 2>&1 & echo $! >pids; sleep 0.2; } ;; esac",
    );
    let (exit, text) = bench.script(&["test", "it", "start", "--yes"]).await;
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    let (exit, text) = bench.script(&["test", "it", "stop", "--yes"]).await;
    let pids = fs::read_to_string(bench.path("pids")).unwrap();
    kill_all(&pids);
    assert_eq!(exit.unwrap(), Exit::Warning, "{text}");
    assert!(text.contains(&format!("still running: sleep (pid {})", pids.trim())), "{text}");
    let (exit, text) = bench.script(&["test", "it", "stop", "--yes"]).await;
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
}

#[tokio::test]
async fn a_step_that_hangs_is_measured_against_its_limit() {
    let bench = Bench::new();
    bench.configure(r#"Plain(name: "it", start: ["sleep", "60"], stop: ["true"], timeout: "200ms")"#);
    let (exit, text) = bench.script(&["test", "it", "start", "--yes"]).await;
    assert_eq!(exit.unwrap(), Exit::Warning);
    assert!(text.contains("still running after its limit of 200 ms") && text.contains("of at most 200ms"), "{text}");
}

#[tokio::test]
async fn a_dry_run_runs_nothing_and_says_what_it_did_not_verify() {
    let bench = Bench::new();
    bench.resource("touch ran");
    let (exit, text) = bench.script(&["test", "it", "start", "--dry-run"]).await;
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    assert!(text.contains("not verified: that it does its work") && text.contains("needs --yes"), "{text}");
    assert!(!bench.path("ran").exists());
    fs::remove_file(bench.path("it")).unwrap();
    let (exit, text) = bench.script(&["test", "it", "start", "--dry-run"]).await;
    assert_eq!(exit.unwrap(), Exit::Warning, "{text}");
    assert!(text.contains("lacks:") && text.contains("No such file"), "{text}");
}

#[tokio::test]
async fn a_test_that_would_start_a_second_service_is_not_run_without_a_word() {
    let bench = Bench::new();
    bench.resource("touch ran");
    let fake = Fake::start(Role::Slave, |_| yes(status(Role::Slave)));
    let (exit, _) = bench.script_beside(Ok(fake.daemon()), &["test", "it", "start"]).await;
    let refusal = exit.unwrap_err().to_string();
    assert!(refusal.contains("would run on both hosts") && refusal.contains("--yes"), "{refusal}");
    assert!(!bench.path("ran").exists());
    let (exit, text) = bench.script_beside(Ok(fake.daemon()), &["test", "it", "stop"]).await;
    assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    assert!(bench.path("ran").exists());
}

#[tokio::test]
async fn a_name_that_is_none_and_a_step_that_is_none_are_told() {
    let bench = Bench::new();
    bench.resource("true");
    for (words, said) in [
        (&["test", "web", "start"][..], "no step \"web\" of takeover"),
        (&["test", "it", "restart"], "failoverctl script list"),
        (&["new", "plain", "../x"], "cannot be a name"),
        (&["new", "clumanager", "my-app"], "the name of a function"),
    ] {
        let error = bench.script(words).await.0.unwrap_err().to_string();
        assert!(error.contains(said), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn the_list_shows_each_step_with_kind_limit_and_what_it_lacks() {
    let bench = Bench::new();
    bench.configure(
        r#"Plain(name: "a", start: ["./missing"], stop: ["true"], status: ["true"], timeout: "5s"),
           [Step(name: "b", start: "true b", stop: "true"), Step(name: "c", start: "true c", stop: "true")]"#,
    );
    let (exit, text) = bench.script(&["list"]).await;
    assert_eq!(exit.unwrap(), Exit::Warning);
    for line in ["takeback, takeover: start", "giveaway, giveback: stop", "Plain a: ./missing (at most 5s)"] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    assert!(text.contains("=  2 Step b: true b (at most 1min)") && text.contains("=  3 Step c: true c"), "{text}");
    assert!(text.contains("missing: No such file") && text.contains("a: can also be asked status"), "{text}");
}
