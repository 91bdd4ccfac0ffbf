//! Stages, kinds beside the shell's line, users.

use std::collections::BTreeSet;

use super::*;
use crate::script::kind::{Answer, Outcome};

/// Stages of shell lines.
fn stages(lines: &[&[&str]]) -> Vec<Stage> {
    lines.iter().map(|stage| stage.iter().map(|one| line(one, Duration::from_secs(20))).collect()).collect()
}

/// Ends only if the other one runs at the same time.
const MEETS: [&str; 2] = [
    "touch one; until [ -e two ]; do sleep 0.01; done; echo one >>order",
    "touch two; until [ -e one ]; do sleep 0.01; done; echo two >>order",
];

#[tokio::test]
async fn the_steps_of_a_stage_run_at_the_same_time_and_the_next_stage_after_all_of_them() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&[]);
    run.stages = stages(&[&["echo first >>order"], &MEETS, &["echo last >>order"]]);
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed, "{:?}", seen.events);
    let order = bench.text("order");
    let lines: Vec<&str> = order.lines().collect();
    assert_eq!((lines[0], lines[3], lines.len()), ("first", "last", 4), "{order}");
    assert_eq!(seen.outcome.ended, BTreeSet::from([1, 2, 3, 4]));
}

#[tokio::test]
async fn a_failed_step_of_a_stage_ends_the_list_when_the_others_have_ended() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&[]);
    run.stages = stages(&[&["exit 3", "sleep 0.2; echo slow >>order"], &["echo reached >>order"]]);
    let seen = watch(run, seen, Cancel::never()).await;
    let ListEnd::Failed(failure) = &seen.outcome.end else { panic!("{:?}", seen.outcome) };
    assert_eq!((failure.step, failure.reason.as_str()), (1, "step 1 (exit 3) exited 3"));
    assert_eq!(bench.text("order"), "slow\n");
}

#[tokio::test]
async fn a_resumed_stage_runs_only_those_of_its_steps_that_had_not_ended() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&[]);
    run.stages = stages(&[&["echo 1 >>order"], &["echo 2 >>order", "echo 3 >>order"], &["echo 4 >>order"]]);
    // The third ended, the second did not: whichever of them began last.
    run.position = Position { step: 3, ended: [1, 3].into() };
    run.resumed = true;
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(bench.text("order"), "2\n4\n");
}

#[tokio::test]
async fn a_cancelled_stage_ends_all_of_its_steps() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&[]);
    run.stages = stages(&[&["echo $$ >a; exec sleep 60", "echo $$ >b; exec sleep 60"]]);
    let (handle, word) = cancel();
    let (first, second) = (bench.path("a"), bench.path("b"));
    let (seen, ()) = tokio::join!(watch(run, seen, word), async {
        until("both have begun", || {
            [&first, &second].iter().all(|file| fs::read(file).is_ok_and(|text| text.ends_with(b"\n")))
        })
        .await;
        handle.cancel();
    });
    assert_eq!(seen.outcome.end, ListEnd::Cancelled { step: 1 });
    assert!(!lives(&bench.text("a")) && !lives(&bench.text("b")));
    assert_eq!(seen.outcome.ended, BTreeSet::new());
}

#[tokio::test]
async fn a_step_that_cannot_be_begun_fails_with_its_cause_and_is_journaled_all_the_same() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["true"]);
    run.stages[0][0].script.run_as = Some("nobody-of-this-host".to_owned());
    let seen = watch(run, seen, Cancel::never()).await;
    let ListEnd::Failed(failure) = &seen.outcome.end else { panic!("{:?}", seen.outcome) };
    assert!(failure.reason.contains("this host has no user \"nobody-of-this-host\""), "{}", failure.reason);
    assert!(matches!(seen.exit(1), StepExit::NotRun(_)));
}

#[tokio::test]
async fn a_step_runs_as_its_user_with_that_users_groups_and_home() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("not run: only root may become another user");
        return;
    }
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["id -un; id -gn; id -Gn; echo $HOME $USER $LOGNAME"]);
    run.stages[0][0].script.run_as = Some("nobody".to_owned());
    let seen = watch(run, seen, Cancel::never()).await;
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let group = nix::unistd::Group::from_gid(nobody.gid).unwrap().unwrap().name;
    let home = nobody.dir.display();
    assert_eq!(seen.tail(1), format!("nobody\n{group}\n{group}\n{home} nobody nobody\n"));
}

#[test]
fn most_contracts_take_zero_for_good_and_nothing_else() {
    assert_eq!(Answer::zero_is_good(&StepExit::Code(0)).outcome, Outcome::Passed);
    for exit in [StepExit::Code(1), StepExit::Signal(9), StepExit::TimedOut(Duration::from_secs(1))] {
        assert!(!Answer::zero_is_good(&exit).passed(), "{exit}");
    }
}
