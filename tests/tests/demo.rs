//! The demo as its audience runs it: every step is seen, and nothing is left behind, also when it is called off.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use failover_tests::lab::not_run;
use failover_tests::program::program;
use failover_tests::wait::{wait_for, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(180);

/// A demo whose temporary folder is the test's. Killed with the test.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
}

impl Demo {
    fn begin(arguments: &[&str]) -> Result<Demo> {
        // The daemons are of other packages, which cargo does not build for this test.
        for name in ["failover-master", "failover-slave", "failoverctl"] {
            program(name)?;
        }
        let folder = tempfile::tempdir()?;
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary)?;
        let mut command = Command::new(program("demo")?);
        command.args(arguments).env("TMPDIR", temporary).stdin(Stdio::null());
        let out = File::create(folder.path().join("out"))?;
        command.stderr(out.try_clone()?).stdout(out).process_group(0);
        Ok(Demo { child: command.spawn()?, folder })
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        wait_for("the demo's end", LIMIT, || Ok(self.child.try_wait()?)).with_context(|| self.output())
    }

    /// Every process that the demo starts has its folder in its arguments or its environment; none may live on.
    fn left_nothing(&self) -> Result<()> {
        let temporary = self.folder.path().join("tmp");
        let files: Vec<_> = fs::read_dir(&temporary)?.flatten().map(|entry| entry.path()).collect();
        ensure!(files.is_empty(), "left behind: {files:?}");
        let processes = processes_of(&temporary)?;
        ensure!(processes.is_empty(), "left behind: {processes:?}");
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // By TERM, so that it ends what it has started.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

fn processes_of(folder: &Path) -> Result<Vec<String>> {
    let needle = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        if [&arguments, &environment].iter().any(|text| String::from_utf8_lossy(text).contains(&needle)) {
            found.push(String::from_utf8_lossy(&arguments).replace('\0', " "));
        }
    }
    Ok(found)
}

#[test]
fn the_demo_sees_every_step_and_leaves_nothing_behind() -> Result<()> {
    let mut demo = Demo::begin(&[])?;
    let status = demo.wait()?;
    ensure!(status.success(), "{status}\n{}", demo.output());
    ensure!(demo.output().contains("All 12 steps were seen."), "{}", demo.output());
    demo.left_nothing()
}

#[test]
fn the_demo_with_dovecot_and_haproxy_sees_every_step_and_leaves_nothing_behind() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return not_run("the_demo_with_dovecot_and_haproxy_sees_every_step_and_leaves_nothing_behind", "needs root");
    }
    let mut demo = Demo::begin(&["--real"])?;
    let status = demo.wait()?;
    ensure!(status.success(), "{status}\n{}", demo.output());
    demo.left_nothing()
}

#[test]
fn a_demo_that_is_called_off_leaves_nothing_behind() -> Result<()> {
    let mut demo = Demo::begin(&[])?;
    let temporary = demo.folder.path().join("tmp");
    wait_until("the demo's programs", LIMIT, || Ok(processes_of(&temporary)?.len() > 1))?;
    kill(Pid::from_raw(i32::try_from(demo.child.id())?), Signal::SIGINT)?;
    let status = demo.wait()?;
    assert_eq!(status.code(), Some(130), "{}", demo.output());
    demo.left_nothing()
}
