//! Scripts that are no scripts, or none that mean well: each a clear result, in bounded time, with nothing left running.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::kind::Outcome;
use super::*;
use crate::config::parse;

impl Bench {
    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Asks the one resource of a configuration one thing.
    async fn asked(&self, resource: &str, action: Action) -> Asked {
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (resources: [{resource}]),
    checks: [Port(name: "web", port: 80)],
)
"#
        );
        let loaded = parse(&text, Path::new("failover.ron"), self.folder.path());
        let loaded = loaded.unwrap_or_else(|wrong| panic!("{wrong}"));
        let environment = Environment::of(&loaded, Role::Slave, Operation::Takeover, Epoch(0), "test");
        let task = loaded.config.service.resources[0].to(action);
        let mut never = Cancel::never();
        let asked = ask(&task, &environment, self.folder.path(), &mut never);
        tokio::time::timeout(Duration::from_secs(60), asked).await.expect("it never ended")
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_told_with_its_cause_by_every_kind() {
    let bench = Bench::new();
    bench.write("plain.txt", "not a program", 0o644);
    bench.write("shebang", "#!/nonexistent/sh\n", 0o755);
    bench.write("headless", "exit 0\n", 0o755);
    fs::create_dir(bench.path("folder")).unwrap();
    for (file, plain, shell) in [
        ("missing", "No such file", "exited 127: the command was not found"),
        ("plain.txt", "may not be executed: run `chmod +x", "exited 126: the command was found but is not executable"),
        ("shebang", "begins with `#!/nonexistent/sh`, which is not on this host", "exited 12"),
        ("folder", "is not a file", "exited 126"),
    ] {
        let entry = format!(r#"Plain(start: ["./{file}"], stop: ["true"])"#);
        let answer = bench.asked(&entry, Action::Start).await.answer;
        assert!(answer.outcome == Outcome::Failed && answer.said.contains(plain), "{file}: {}", answer.said);
        let entry = format!(r#"Step(name: "x", start: "./{file}", stop: "true")"#);
        let answer = bench.asked(&entry, Action::Start).await.answer;
        assert!(answer.outcome == Outcome::Failed && answer.said.starts_with(shell), "{file}: {}", answer.said);
        let entry = format!(r#"FailSafe1(script: "{file}")"#);
        let answer = bench.asked(&entry, Action::Start).await.answer;
        assert!(answer.outcome == Outcome::Failed && answer.said.contains(plain), "{file}: {}", answer.said);
    }
    // A shell takes a file without a first line for its own; the kernel does not.
    let answer = bench.asked(r#"Step(name: "x", start: "./headless", stop: "true")"#, Action::Start).await.answer;
    assert!(answer.passed(), "{}", answer.said);
}

#[tokio::test]
async fn exits_and_signals_are_sentences_for_programs_without_a_shell_too() {
    let bench = Bench::new();
    for (body, said) in [
        ("exit 126", "exited 126: the command was found but is not executable"),
        ("exit 127", "exited 127: the command was not found"),
        ("kill -KILL $$", "ended by SIGKILL"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("exit 255", "exited 255"),
    ] {
        bench.write("it", &format!("#!/bin/sh\n{body}\n"), 0o755);
        let answer = bench.asked(r#"Plain(start: ["./it"], stop: ["true"])"#, Action::Start).await.answer;
        assert_eq!((answer.outcome, answer.said.as_str()), (Outcome::Failed, said), "{body}");
    }
}

#[tokio::test]
async fn a_step_that_closes_its_descriptors_is_awaited_and_limited_like_any_other() {
    let bench = Bench::new();
    let seen = bench.run(&["exec 0<&- 1>&- 2>&-; sleep 0.2; touch done; exit 4"]).await;
    assert_eq!((seen.exit(1), seen.tail(1).as_str()), (StepExit::Code(4), ""));
    assert!(bench.path("done").exists(), "its end was taken for an end of its output");

    let (mut run, seen) = bench.list(&["echo $$ >shell; exec 0<&- 1>&- 2>&-; sleep 60"]);
    run.stages[0] = vec![super::line(&run.stages[0][0].script.name, Duration::from_millis(300))];
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.exit(1), StepExit::TimedOut(Duration::from_millis(300)));
    assert!(!lives(&bench.text("shell")));
}

#[tokio::test]
async fn a_monitor_that_forks_away_and_ignores_term_leaves_nothing_behind() {
    let bench = Bench::new();
    let line = "trap '' TERM; sleep 60 & echo $! >first; (sh -c 'sleep 60 & echo $! >second'; sleep 60) & wait";
    let entry = format!(r#"Step(name: "x", start: "true", stop: "true", status: "{line}", timeout: "400ms")"#);
    let asked = bench.asked(&entry, Action::Monitor).await;
    assert!(asked.answer.said.starts_with("still running after its limit"), "{}", asked.answer.said);
    assert!(!lives(&bench.text("first")) && !lives(&bench.text("second")));
}

#[tokio::test]
async fn a_question_that_prints_a_hundred_mebibytes_keeps_its_end_only() {
    let bench = Bench::new();
    let line = "head -c 104857600 /dev/zero | tr '\\\\0' '\\\\377'; echo the end";
    let entry = format!(r#"Step(name: "x", start: "true", stop: "true", status: "{line}")"#);
    let asked = bench.asked(&entry, Action::Monitor).await;
    assert!(asked.answer.passed(), "{}", asked.answer.said);
    // Each byte that is no UTF-8 is replaced by three.
    assert!(asked.tail.len() <= 3 * output::TAIL_BYTES_MAX && asked.tail.ends_with("\u{fffd}the end\n"));
}

#[tokio::test]
async fn odd_bytes_in_the_environment_reach_a_step_as_they_are_or_made_plain() {
    let bench = Bench::new();
    let line = "printf '%s|%s|%s' \"$FAILOVER_REASON\" \"$FAILOVER_CONFIG\" \"$ODD\"";
    let (mut run, seen) = bench.list(&[line]);
    run.environment.reason = "a\0b\n\u{1b}[31mc\u{7f}é; $(touch ran)".to_owned();
    run.environment.config_file = OsStr::from_bytes(b"/etc/\xff.ron").into();
    run.environment.extra.insert("ODD".to_owned(), "x=y\n`touch ran`\u{fffd}".to_owned());
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    let wanted = "a b  [31mc é; $(touch ran)|/etc/\u{fffd}.ron|x=y\n`touch ran`\u{fffd}";
    assert_eq!(seen.tail(1), wanted);
    assert!(!bench.path("ran").exists());
}
