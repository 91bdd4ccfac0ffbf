//! One host of the lab: its boots and power cuts, and what is run on it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufReader;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::network::Cable;
use super::running::{Output, Running};
use super::{Ground, process};
use crate::program::program;
use crate::wait::wait_until;

/// How long a command on a host may take unless it is given its own limit.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A host: namespaces of its own while it is powered, and a disk that outlives them.
pub struct Host {
    name: String,
    pub(super) number: u8,
    second_path: bool,
    folder: PathBuf,
    ground: Arc<Ground>,
    pub(super) switch: Option<Pid>,
    power: Mutex<Option<Power>>,
    /// The number of the first process for the judges' threads, which see boots and power cuts pass by; 0 while off.
    watched: Arc<AtomicI32>,
    outputs: AtomicU32,
}

/// A host that is powered.
struct Power {
    keeper: Child,
    /// Held only: its end is what ends the host, however this program ends.
    _leash: Option<ChildStdin>,
    first: Pid,
    /// Its clocks began with this boot.
    has_own_clock: bool,
}

impl Host {
    pub(super) fn new(ground: &Arc<Ground>, name: &str, number: u8, second_path: bool) -> Result<Host> {
        let folder = ground.folder.path().join(name);
        for part in ["disk", "output"] {
            fs::create_dir_all(folder.join(part))?;
        }
        Ok(Host {
            name: name.to_owned(),
            number,
            second_path,
            folder,
            ground: Arc::clone(ground),
            switch: None,
            power: Mutex::new(None),
            watched: Arc::default(),
            outputs: AtomicU32::new(0),
        })
    }

    /// Joins the host to the switch from its next boot on.
    pub(super) fn plug_into(&mut self, switch: &Host) -> Result<()> {
        self.switch = Some(switch.first()?);
        Ok(())
    }

    /// The host's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the service network.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        Cable::Service.address(self.number)
    }

    /// Its address on this network.
    #[must_use]
    pub fn address_on(&self, cable: Cable) -> Ipv4Addr {
        cable.address(self.number)
    }

    /// Its cables.
    #[must_use]
    pub fn cables(&self) -> &'static [Cable] {
        if self.second_path { &[Cable::Service, Cable::Heartbeat] } else { &[Cable::Service] }
    }

    /// The folder on the machine that the host has as `path`: for `/etc/failover`, `/var/log` and `/var/lib/failover`.
    /// It can be read and written while the host is off, too.
    #[must_use]
    pub fn on_disk(&self, path: &str) -> PathBuf {
        let disk = self.folder.join("disk");
        for (place, name) in [
            ("/etc/failover", "etc-failover"),
            ("/var/lib/failover", "lib-failover"),
            ("/var/lib/dovecot", "lib-dovecot"),
            ("/var/log", "log"),
        ] {
            if let Ok(rest) = Path::new(path).strip_prefix(place) {
                return disk.join(name).join(rest);
            }
        }
        disk.join("elsewhere").join(path.trim_start_matches('/'))
    }

    /// The folder with the outputs of all that was run on the host.
    #[must_use]
    pub fn output_folder(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// Powers the host: new boot id, no processes, empty `/run`, the same disk.
    ///
    /// # Errors
    /// When it is powered already, or namespaces, mounts or the network fail.
    pub fn boot(&self) -> Result<()> {
        self.boot_alone()?;
        self.join_networks()
    }

    /// [`Host::boot`], and the host's clocks begin with it, as those of a machine do; otherwise a host has the machine's.
    ///
    /// # Errors
    /// As with [`Host::boot`], or when the kernel has no time namespaces.
    pub fn boot_with_its_own_clock(&self) -> Result<()> {
        self.begin(true)?;
        self.join_networks()
    }

    fn join_networks(&self) -> Result<()> {
        self.network(&["link", "set", "lo", "up"])?;
        if self.switch.is_some() {
            for cable in self.cables() {
                self.connect(*cable)?;
            }
        }
        Ok(())
    }

    /// [`Host::boot`] without a network.
    pub(super) fn boot_alone(&self) -> Result<()> {
        self.begin(false)
    }

    fn begin(&self, has_own_clock: bool) -> Result<()> {
        let mut power = self.power.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(power.is_none(), "{} is powered already", self.name);
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/uuid").context("draw a boot id")?;
        fs::write(self.folder.join("boot_id"), boot_id)?;
        let log = self.folder.join("boot.log");
        let mut command = Command::new(program("lab-host")?);
        command.arg("keeper").arg("--name").arg(&self.name).arg("--folder").arg(&self.folder);
        command.arg("--store").arg(self.ground.store());
        if has_own_clock {
            command.arg("--own-clock");
        }
        if let Some(group) = self.cgroup() {
            fs::create_dir_all(&group)?;
            command.arg("--cgroup").arg(group);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut keeper = command.spawn().context("start lab-host")?;
        let leash = keeper.stdin.take();
        let out = keeper.stdout.take().context("lab-host has no standard output")?;
        match read_greeting(BufReader::new(out)) {
            Ok(first) => {
                self.watched.store(first.as_raw(), Ordering::Relaxed);
                *power = Some(Power { keeper, _leash: leash, first, has_own_clock });
                Ok(())
            }
            Err(error) => {
                drop(leash);
                let _ = keeper.kill();
                let _ = keeper.wait();
                let told = fs::read_to_string(&log).unwrap_or_default();
                Err(error.context(format!("{} did not boot: {told}", self.name)))
            }
        }
    }

    /// Cuts the power: first the cables, so that no connection is closed towards the others, then every process at once.
    ///
    /// # Errors
    /// When the host is off already.
    pub fn power_cut(&self) -> Result<()> {
        if self.switch.is_some() {
            for cable in self.cables() {
                self.cable_out(*cable)?;
            }
        }
        self.clear_away()
    }

    /// Takes away what is left of a host whose first process was killed, as a reset does that nobody of us asked for.
    ///
    /// # Errors
    /// When the host is off already.
    pub fn clear_away(&self) -> Result<()> {
        // What was killed dies frozen as well, but who waits for its end must not be.
        if let Some(group) = self.cgroup() {
            fs::write(group.join("cgroup.freeze"), "0")?;
        }
        let off = self.power.lock().unwrap_or_else(PoisonError::into_inner).take();
        off.with_context(|| format!("{} is off already", self.name))?.end();
        self.watched.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it is powered.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.power.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The number of the host's first process, as the machine sees it.
    ///
    /// # Errors
    /// When the host is off.
    pub fn first(&self) -> Result<Pid> {
        let power = self.power.lock().unwrap_or_else(PoisonError::into_inner);
        power.as_ref().map(|power| power.first).with_context(|| format!("{} is off", self.name))
    }

    /// The same number for another thread to watch, over boots and power cuts; 0 while the host is off.
    #[must_use]
    pub fn watch_first(&self) -> Arc<AtomicI32> {
        Arc::clone(&self.watched)
    }

    /// A command that will run on the host, with the host's own environment only.
    ///
    /// # Errors
    /// When the host is off.
    pub fn command<S: AsRef<OsStr>>(&self, argv: &[S]) -> Result<Command> {
        // Entering the namespaces does not enter the control group: that is what the shell is for.
        const ENTER: &str = "echo 0 > /sys/fs/cgroup/cgroup.procs 2>/dev/null; exec \"$@\"";
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.first()?.to_string());
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid"]);
        if self.ground.cgroup.is_some() {
            command.arg("--cgroup");
        }
        if self.power.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|power| power.has_own_clock) {
            command.arg("--time");
        }
        command.args(["--", "/bin/sh", "-c", ENTER, "sh"]).args(argv);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/root").env("LANG", "C.UTF-8").env("RUST_BACKTRACE", "1").current_dir("/");
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Starts a program on the host. Its output goes to files, so that nothing waits for a reader.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn<S: AsRef<OsStr>>(&self, argv: &[S]) -> Result<Running> {
        let mut command = self.command(argv)?;
        let number = self.outputs.fetch_add(1, Ordering::Relaxed);
        let path = argv.first().map(|program| PathBuf::from(program.as_ref())).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = |kind| self.folder.join("output").join(format!("{number:03}-{name}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        command.stdout(File::create(&out)?).stderr(File::create(&err)?);
        let shown = argv.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
        let child = command.spawn().with_context(|| format!("start on {}: {shown}", self.name))?;
        Ok(Running::new(format!("{} on {}", shown, self.name), child, out, err))
    }

    /// Runs a program on the host to its end, which must be exit 0, and gives its standard output.
    ///
    /// # Errors
    /// With command and both outputs, when it fails or takes longer than 30 s.
    pub fn run<S: AsRef<OsStr>>(&self, argv: &[S]) -> Result<String> {
        let output = self.output(argv, COMMAND_LIMIT)?;
        ensure!(output.status.success(), "{output}");
        Ok(output.stdout)
    }

    /// Runs a program on the host to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than `limit`.
    pub fn output<S: AsRef<OsStr>>(&self, argv: &[S], limit: Duration) -> Result<Output> {
        self.spawn(argv)?.wait(limit)
    }

    /// The processes of the host, without its first one.
    ///
    /// # Errors
    /// When the host is off.
    pub fn processes(&self) -> Result<Vec<process::Process>> {
        process::of_host(self.first()?)
    }

    /// Sends a signal to every process of this name (as the kernel shows it), and says how many there were.
    ///
    /// # Errors
    /// When the host is off.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<usize> {
        let found: Vec<_> = self.processes()?.into_iter().filter(|process| process.name == name).collect();
        for process in &found {
            // Gone since the look: what was wanted.
            let _ = kill(process.outside, signal);
        }
        Ok(found.len())
    }

    /// Freezes every process of the host at one moment, as a hypervisor does with a paused machine, or thaws them.
    ///
    /// # Errors
    /// When the machine has no control groups of version 2, or it does not happen within 5 s.
    pub fn freeze(&self, on: bool) -> Result<()> {
        let group = self.cgroup().context("this machine has no cgroup v2, so a host cannot be frozen")?;
        fs::write(group.join("cgroup.freeze"), if on { "1" } else { "0" })?;
        let wanted = format!("frozen {}", u8::from(on));
        wait_until("the freezer", Duration::from_secs(5), || {
            Ok(fs::read_to_string(group.join("cgroup.events"))?.contains(&wanted))
        })
    }

    /// Writes a file on the host's disk with this mode.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let place = self.on_disk(path);
        fs::create_dir_all(place.parent().context("a file lies in a folder")?)?;
        fs::write(&place, text).with_context(|| format!("write {}", place.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    fn cgroup(&self) -> Option<PathBuf> {
        self.ground.cgroup.as_ref().map(|group| group.join(&self.name))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(power) = self.power.lock().unwrap_or_else(PoisonError::into_inner).take() {
            power.end();
        }
    }
}

impl Power {
    /// Kills the host and waits until all of it is gone: the kernel ends the first process only after all others.
    fn end(mut self) {
        let _ = kill(self.first, Signal::SIGKILL);
        while matches!(self.keeper.try_wait(), Ok(None)) {
            process::reap_adopted();
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads what `lab-host` says while it boots: the first process's number, then "ready".
fn read_greeting(mut out: impl std::io::BufRead) -> Result<Pid> {
    let mut line = String::new();
    let (mut first, mut ready) = (None, false);
    // Two processes speak: the keeper says the number, the first process that it is ready, in either order.
    loop {
        if let (Some(first), true) = (first, ready) {
            return Ok(first);
        }
        line.clear();
        if out.read_line(&mut line)? == 0 {
            bail!("lab-host ended early");
        }
        if let Some(number) = line.strip_prefix("first ") {
            first = Some(Pid::from_raw(number.trim().parse()?));
        }
        ready |= line.trim() == "ready";
    }
}
