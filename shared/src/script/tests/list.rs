//! The list: order, gates, failures, resuming, cancelling.

use super::*;

#[tokio::test]
async fn steps_run_in_order_with_their_redirections_and_are_told_before_and_after() {
    let bench = Bench::new();
    let seen = bench.run(&["echo one >>order 2>&1", "echo two >>order; echo printed", "echo three >>order"]).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(bench.text("order"), "one\ntwo\nthree\n");
    let told: Vec<String> = seen
        .events
        .iter()
        .map(|event| match event {
            StepEvent::Before { index, of, .. } => format!("before {index}/{of}"),
            StepEvent::After { index, of, passed, .. } => format!("after {index}/{of} {passed}"),
            StepEvent::Note { text } => text.clone(),
        })
        .collect();
    assert_eq!(told, ["before 1/3", "after 1/3 true", "before 2/3", "after 2/3 true", "before 3/3", "after 3/3 true"]);
    assert_eq!(seen.tail(2), "printed\n");
    let log = bench.text("script_test.log");
    assert!(log.contains("takeover step 2 of 3, epoch 7: echo two >>order; echo printed\nprinted\n"), "{log}");
}

#[tokio::test]
async fn a_failed_step_ends_the_list_and_its_exit_becomes_a_sentence() {
    let bench = Bench::new();
    fs::write(bench.path("plain.txt"), "not a program").unwrap();
    for (command, sentence) in [
        ("exit 3", "exited 3"),
        ("./plain.txt", "exited 126: the command was found but is not executable"),
        ("./missing.sh", "exited 127: the command was not found"),
        ("kill -9 $$", "ended by SIGKILL"),
        ("sh -c 'kill -TERM $$'; exit $?", "exited 143: its command was ended by SIGTERM, or it chose this code"),
    ] {
        let seen = bench.run(&["true", command, "echo reached >>reached"]).await;
        let ListEnd::Failed(failure) = &seen.outcome.end else { panic!("{command}: {:?}", seen.outcome) };
        assert_eq!(failure.reason, format!("step 2 ({command}) {sentence}"));
        assert_eq!(bench.text("reached"), "", "{command}: the list went on");
    }
}

#[tokio::test]
async fn a_list_that_goes_on_after_a_failure_runs_every_step_and_names_the_failed_ones() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["exit 1", "echo two >>order", "exit 3"]);
    run.on_step_failure = OnStepFailure::GoOn;
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(seen.outcome.failures.iter().map(|failure| failure.step).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(bench.text("order"), "two\n");
}

#[tokio::test]
async fn a_list_resumes_at_its_step() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["echo one >>order", "echo two >>order", "echo three >>order"]);
    run.position = Position::at(2);
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(bench.text("order"), "two\nthree\n");
}

#[tokio::test]
async fn a_resumed_list_ends_the_interrupted_step_first_but_leaves_the_daemons_it_started() {
    let bench = Bench::new();
    let line = "setsid sleep 60 & echo $! >daemon; echo $$ >>shells; [ -e again ] || { touch again; sleep 60; }; true";
    let (run, mut seen) = bench.list(&[line]);
    // The interrupted step, as a daemon that died leaves it: begun with the same marks, watched by nobody.
    let mut variables = run.environment.variables();
    variables.insert("FAILOVER_STEP".to_owned(), "1".to_owned());
    variables.insert("FAILOVER_SCRIPT_LOG".to_owned(), run.log_file.display().to_string());
    let mut orphan = tokio::process::Command::new("/bin/sh")
        .args(["-c", line])
        .env_clear()
        .envs(variables)
        .current_dir(bench.folder.path())
        .process_group(0)
        .spawn()
        .unwrap();
    until("the first run is in its sleep", || bench.path("again").exists()).await;
    let daemon = bench.text("daemon");
    let (mut again, seen_again) = bench.list(&[line]);
    again.resumed = true;
    let seen_again = watch(again, seen_again, Cancel::never()).await;
    assert_eq!(seen_again.outcome.end, ListEnd::Completed, "{}", seen_again.notes());
    assert!(seen_again.notes().contains("step 1 still runs as sh"), "{}", seen_again.notes());
    assert_eq!(bench.text("shells").lines().count(), 2);
    assert!(!orphan.wait().await.unwrap().success(), "the interrupted step was not ended");
    assert!(lives(&daemon), "the daemon that it had started was ended too");
    kill(&daemon);
    kill(&bench.text("daemon"));
    drop(run);
    assert!(seen.recv().await.is_none());
}

#[tokio::test]
async fn a_step_does_not_begin_before_its_entry_is_confirmed() {
    let bench = Bench::new();
    let (run, mut seen) = bench.list(&["touch begun"]);
    let list = tokio::spawn(run_list(run, Cancel::never()));
    let Some(StepEvent::Before { gate, .. }) = seen.recv().await else { panic!("no Before came") };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!bench.path("begun").exists(), "the step ran before its entry was durable");
    gate.open();
    let Some(StepEvent::After { passed: true, gate, .. }) = seen.recv().await else { panic!("no After came") };
    assert!(bench.path("begun").exists());
    gate.open();
    list.await.unwrap();
}

#[tokio::test]
async fn a_list_does_not_end_before_the_end_of_its_last_or_failed_step_is_written() {
    for commands in [&["exit 3", "touch second"][..], &["true"]] {
        let bench = Bench::new();
        let (mut run, mut seen) = bench.list(commands);
        run.direction = Direction::Stop;
        let list = tokio::spawn(run_list(run, Cancel::never()));
        let Some(StepEvent::Before { gate, .. }) = seen.recv().await else { panic!("no Before came") };
        gate.open();
        let Some(StepEvent::After { gate, .. }) = seen.recv().await else { panic!("no After came") };
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!list.is_finished(), "{commands:?}: what follows began before the step's end was written");
        gate.open();
        list.await.unwrap();
        assert!(seen.recv().await.is_none(), "{commands:?}: something more was told");
    }
}

#[tokio::test]
async fn a_stop_waits_once_for_a_journal_that_hangs_and_then_runs_to_its_end() {
    let bench = Bench::new();
    let (mut run, mut seen) = bench.list(&["touch first", "touch second; exit 3", "touch third"]);
    run.direction = Direction::Stop;
    run.on_step_failure = OnStepFailure::GoOn;
    let list = tokio::spawn(run_list(run, Cancel::never()));
    let (mut held, mut notes) = (Vec::new(), Vec::new());
    while let Some(event) = seen.recv().await {
        match event {
            StepEvent::Before { gate, .. } | StepEvent::After { gate, .. } => held.push(gate),
            StepEvent::Note { text } => notes.push(text),
        }
    }
    assert_eq!(list.await.unwrap().end, ListEnd::Completed);
    assert!(bench.path("third").exists());
    let without = notes.iter().filter(|note| note.contains("without a durable journal entry")).count();
    let open = notes.iter().filter(|note| note.contains("after a crash it would run again")).count();
    assert_eq!((without, open), (3, 2), "{notes:?}");
}

#[tokio::test]
async fn without_a_durable_entry_a_start_does_not_run_and_a_stop_does() {
    for (direction, runs) in [(Direction::Start, false), (Direction::Stop, true)] {
        let bench = Bench::new();
        let (mut run, mut seen) = bench.list(&["touch begun"]);
        run.direction = direction;
        let list = tokio::spawn(run_list(run, Cancel::never()));
        let mut notes = String::new();
        while let Some(event) = seen.recv().await {
            match event {
                StepEvent::Before { gate, .. } => drop(gate),
                StepEvent::Note { text } => notes.push_str(&text),
                StepEvent::After { gate, .. } => gate.open(),
            }
        }
        let outcome = list.await.unwrap();
        assert_eq!(bench.path("begun").exists(), runs, "{direction:?}");
        match direction {
            Direction::Start | Direction::Restart => {
                assert!(matches!(outcome.end, ListEnd::NotBegun { step: 1, .. }), "{outcome:?}")
            }
            Direction::Stop => assert!(notes.contains("without a durable journal entry"), "{notes}"),
        }
    }
}

#[tokio::test]
async fn a_stop_runs_even_if_the_one_who_keeps_the_journal_is_gone() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["touch begun"]);
    run.direction = Direction::Stop;
    drop(seen);
    assert_eq!(run_list(run, Cancel::never()).await.end, ListEnd::Completed);
    assert!(bench.path("begun").exists());
}

#[tokio::test]
async fn a_cancelled_list_ends_its_step_and_goes_no_further() {
    let bench = Bench::new();
    let (run, seen) = bench.list(&["sleep 60 & echo $! >child; touch begun; wait", "touch second"]);
    let (handle, word) = cancel();
    let begun = bench.path("begun");
    let (seen, ()) = tokio::join!(watch(run, seen, word), async {
        until("the step has begun", || begun.exists()).await;
        handle.cancel();
    });
    assert_eq!(seen.outcome.end, ListEnd::Cancelled { step: 1 });
    assert!(!lives(&bench.text("child")) && !bench.path("second").exists());
}

#[tokio::test]
async fn a_forgotten_list_kills_its_step() {
    let bench = Bench::new();
    let (run, mut seen) = bench.list(&["sleep 60 & echo $! >child; touch begun; wait"]);
    let list = tokio::spawn(run_list(run, Cancel::never()));
    let Some(StepEvent::Before { gate, .. }) = seen.recv().await else { panic!("no Before came") };
    gate.open();
    until("the step has begun", || bench.path("begun").exists()).await;
    list.abort();
    let child = bench.text("child");
    until("the step's child is gone", || !lives(&child)).await;
}

#[tokio::test]
async fn two_lists_of_one_host_never_run_at_once() {
    let bench = Bench::new();
    let line = "mkdir only || echo both >>both; sleep 0.2; rmdir only";
    let lines = [line, line];
    let (first, second) = tokio::join!(bench.run(&lines), bench.run(&lines));
    assert_eq!((first.outcome.end, second.outcome.end), (ListEnd::Completed, ListEnd::Completed));
    assert_eq!(bench.text("both"), "");
}
