//! The whole stop: list, ladder, verdict.

use super::*;

#[tokio::test]
async fn a_stop_list_that_does_its_work_is_a_verified_stop_without_force() {
    let mut bench = Bench::new("cl");
    let pid = bench.start();
    let (outcome, notes) = bench.stop(bench.service(&[&format!("kill {pid}")], vec![bench.no_process()])).await;
    assert_eq!(outcome, clean(), "{notes}");
}

#[tokio::test]
async fn a_service_that_ends_a_moment_after_its_stop_command_needs_no_ladder() {
    let mut bench = Bench::new("mo");
    let pid = bench.start();
    let line = format!("(sleep 0.1; kill {pid}) >/dev/null 2>&1 &");
    let service = bench.service(&[&line], vec![bench.no_process()]);
    let (outcome, notes) = bench.stop_with(service, |run| run.kill_after = Duration::from_secs(10)).await;
    assert_eq!(outcome, clean(), "{notes}");
}

#[tokio::test]
async fn a_stop_script_that_lies_is_found_out_and_the_ladder_ends_the_service() {
    let mut bench = Bench::new("li");
    let pid = bench.start();
    let (outcome, notes) = bench.stop(bench.service(&["true"], vec![bench.no_process()])).await;
    let (step, reason) = forced(&outcome);
    assert_eq!(step, 0);
    assert!(reason.contains(&format!("{} (pid {pid}) still runs", bench.name)), "{reason}");
    assert!(notes.contains(&format!("TERM to {} (pid {pid})", bench.name)), "{notes}");
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_service_deaf_to_term_or_stopped_in_its_tracks_is_killed() {
    let mut bench = Bench::new("de");
    let deaf = bench.start_deaf();
    let stopped = bench.start();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(stopped), nix::sys::signal::Signal::SIGSTOP).unwrap();
    let (outcome, notes) = bench.stop(bench.service(&["exit 1"], vec![bench.no_process()])).await;
    assert_eq!(forced(&outcome), (1, "step 1 (exit 1) exited 1"));
    assert!(notes.contains(&format!("KILL to {} (pid {deaf})", bench.name)), "{notes}");
    assert!(!lives(deaf) && !lives(stopped));
}

#[tokio::test]
async fn a_stop_step_that_hangs_is_ended_and_the_steps_after_it_still_run() {
    let mut bench = Bench::new("ha");
    bench.start();
    let mut service = bench.service(&["sleep 60", "echo two >>order"], vec![bench.no_process()]);
    let hangs = Step { command: "sleep 60".to_owned(), timeout: Duration::from_millis(200) };
    service.lists = stop_list([hangs, step("echo two >>order")].into_iter());
    let (outcome, _) = bench.stop(service).await;
    let (step, reason) = forced(&outcome);
    assert_eq!(step, 1);
    assert!(reason.contains("still running after its limit of 200 ms"), "{reason}");
    assert_eq!(fs::read_to_string(bench.path("order")).unwrap(), "two\n");
}

#[tokio::test]
async fn a_daemonised_child_of_a_stop_step_is_no_clean_stop() {
    let bench = Bench::new("da");
    let line = format!("./{} 60 >/dev/null 2>&1 & echo $! >child", bench.name);
    // Its name is in no condition: only that our own step left it shows it.
    let service = bench.service(&[&line], vec![Postcondition::NotMounted(bench.path("nowhere"))]);
    let (outcome, _) = bench.stop(service).await;
    let (_, reason) = forced(&outcome);
    assert!(reason.contains("left by our own steps still runs"), "{reason}");
    assert!(!lives(fs::read_to_string(bench.path("child")).unwrap().trim().parse().unwrap()));
}

#[tokio::test]
async fn what_start_steps_left_behind_is_ended_by_the_ladder() {
    let mut bench = Bench::new("gr");
    let pid = bench.start();
    let leader = process::look(pid).unwrap().unwrap();
    let service = bench.service(&["true"], vec![Postcondition::NotMounted(bench.path("nowhere"))]);
    let (outcome, _) = bench
        .stop_with(service, |run| {
            run.context.groups.push(process::ProcessGroup { leader: leader.id, session: leader.session });
        })
        .await;
    assert!(forced(&outcome).1.contains("left by our own steps"));
    assert!(!lives(pid));
}

#[tokio::test]
async fn one_thing_that_is_left_makes_it_no_proof_and_is_named() {
    let mut bench = Bench::new("on");
    let pid = bench.start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let conditions = vec![bench.no_process(), Postcondition::PortsClosed(vec![port])];
    let (outcome, _) = bench.stop(bench.service(&["true"], conditions)).await;
    let reason = not_verified(&outcome);
    assert!(reason.contains(&format!("port {port} is still open on 127.0.0.1")), "{reason}");
    assert!(reason.contains(&format!("(pid {})", std::process::id())), "{reason}");
    assert!(!lives(pid), "what can be ended is ended all the same");
}

#[tokio::test]
async fn the_ladder_never_touches_this_process_or_its_parents() {
    let bench = Bench::new("ow");
    let pid = std::process::id();
    // A name of its own: other tests of this crate run in processes with the usual one, and the ladder would end them.
    // Threads have names too; the first one's is the process's.
    fs::write(format!("/proc/self/task/{pid}/comm"), format!("own{pid}")).unwrap();
    let own = process::look(i32::try_from(pid).unwrap()).unwrap().unwrap();
    let parent = process::look(own.parent).unwrap().unwrap();
    let conditions = vec![Postcondition::NoProcess(own.name.clone())];
    let (outcome, notes) = bench.stop_with(bench.service(&[], conditions), |run| run.ladder_only = true).await;
    assert!(not_verified(&outcome).contains(&own.name));
    assert!(!notes.contains(&format!("(pid {})", own.id.pid)), "{notes}");
    assert!(lives(parent.id.pid));
}

#[tokio::test]
async fn ask_operator_forces_nothing() {
    let mut bench = Bench::new("as");
    let pid = bench.start();
    for line in ["exit 1", "true"] {
        let mut service = bench.service(&[line], vec![bench.no_process()]);
        service.on_stop_failure = OnStopFailure::AskOperator;
        let (outcome, notes) = bench.stop(service).await;
        assert!(not_verified(&outcome).contains("AskOperator"), "{outcome:?}");
        assert!(lives(pid) && !notes.contains("TERM"), "{notes}");
    }
}

#[tokio::test]
async fn the_ladder_alone_runs_no_script() {
    let mut bench = Bench::new("la");
    let pid = bench.start();
    let service = bench.service(&["touch ran"], vec![bench.no_process()]);
    let (outcome, _) = bench.stop_with(service, |run| run.ladder_only = true).await;
    assert_eq!(forced(&outcome), (0, "the ladder was asked for at once"));
    assert!(!lives(pid) && !bench.path("ran").exists());
}

#[tokio::test]
async fn after_a_failed_start_every_stop_step_runs_and_only_what_is_left_counts() {
    let mut bench = Bench::new("fa");
    let pid = bench.start();
    let service = bench.service(&["exit 1", &format!("kill {pid}")], vec![bench.no_process()]);
    let (outcome, notes) = bench.stop_with(service, |run| run.after_failed_start = true).await;
    assert_eq!(outcome, clean(), "{notes}");
}

#[tokio::test]
async fn a_stop_script_that_only_removes_the_pid_file_has_not_stopped_the_process() {
    let mut bench = Bench::new("rm");
    let pid = bench.start();
    let file = bench.path("service.pid");
    fs::write(&file, pid.to_string()).unwrap();
    let service = bench.service(&["rm service.pid"], vec![Postcondition::PidFileGone(file.clone())]);
    let (outcome, _) = bench.stop(service).await;
    assert!(forced(&outcome).1.contains("still runs"), "{outcome:?}");
    assert!(!lives(pid));
}

/// As of a unit of systemd, which no step of ours is started in.
#[tokio::test]
async fn a_control_group_that_held_the_service_when_its_stop_began_shows_the_stop_by_being_empty() {
    let name = format!("failover-test-{}-unit", std::process::id());
    let Some(group) = Group::new(&name) else { return };
    let mut bench = Bench::new("un");
    let pid = bench.start();
    fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    let service = bench.service(&[&format!("kill {pid}")], vec![Postcondition::CgroupEmpty(name.into())]);
    let (outcome, notes) = bench.stop(service.clone()).await;
    assert_eq!(outcome, clean(), "{notes}");
    let (outcome, _) = bench.stop(service).await;
    assert!(not_verified(&outcome).contains("no evidence"), "nothing was in it this time: {outcome:?}");
}

#[tokio::test]
async fn the_ladder_kills_whatever_is_in_the_services_control_group() {
    let name = format!("failover-test-{}-ladder", std::process::id());
    let Some(group) = Group::new(&name) else { return };
    let mut bench = Bench::new("cg");
    let deaf = bench.start_deaf();
    fs::write(group.0.join("cgroup.procs"), deaf.to_string()).unwrap();
    let service = bench.service(&["true"], vec![Postcondition::CgroupEmpty(name.clone().into())]);
    let (outcome, notes) = bench
        .stop_with(service, |run| {
            run.context.populated.insert(name.into());
        })
        .await;
    assert!(forced(&outcome).1.contains("still in the control group"));
    assert!(notes.contains("killed the control group"), "{notes}");
    assert!(!lives(deaf));
}

#[test]
fn managed_mounts_are_seen_unmounted_with_what_is_below_them_and_named_when_in_use() {
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "stop::tests::run::mounts_in_a_namespace_of_their_own", "--nocapture"])
        .env(MOUNTS, "yes")
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare failed") => {
            println!("not run: no mount namespace here: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output) => panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => println!("not run: no unshare: {error}"),
    }
}

#[tokio::test]
async fn mounts_in_a_namespace_of_their_own() {
    if std::env::var_os(MOUNTS).is_none() {
        return;
    }
    let bench = Bench::new("mt");
    let point = bench.path("the mail");
    let mount = |path: &Path| {
        fs::create_dir_all(path).unwrap();
        assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(path).status().unwrap().success());
    };
    mount(&point);
    mount(&point.join("below"));
    mount(&point);
    let conditions = vec![Postcondition::NotMounted(point.clone())];
    let (outcome, notes) = bench.stop(bench.service(&["true"], conditions.clone())).await;
    assert!(forced(&outcome).1.contains("the mail is still mounted"), "{outcome:?} {notes}");
    assert!(verify(&bench.service(&[], conditions.clone()), &context()).await.holds);

    mount(&point);
    std::os::unix::fs::symlink(&point, bench.path("link")).unwrap();
    let by_link = vec![Postcondition::NotMounted(bench.path("link"))];
    assert!(!verify(&bench.service(&[], by_link), &context()).await.holds, "a link hid the mount");

    let held = fs::File::create(point.join("held")).unwrap();
    let (outcome, notes) = bench.stop(bench.service(&["true"], conditions)).await;
    let reason = not_verified(&outcome);
    assert!(reason.contains("still mounted, used by") && reason.contains(&std::process::id().to_string()), "{reason}");
    assert!(notes.contains("cannot be unmounted"), "{notes}");
    // Or the folder could not be removed.
    drop(held);
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
}
