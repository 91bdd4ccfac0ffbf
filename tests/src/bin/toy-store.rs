//! A stand-in for the service of a pair: a store that writes down by itself who writes.
//!
//! Every few milliseconds it appends one line to a file on the shared folder: its epoch, its host, its process, a count and
//! the kernel's clock. All hosts of a lab have one kernel, which carries out appends to one file one after the other
//! (open(2), `O_APPEND`): so the order of the lines *is* the order of the writes, and two writers cannot hide. It knows
//! nothing of the program that starts it. To clients it greets as a POP3 server does, which is all that the lab's balancer
//! asks for.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use failover_tests::chaos::record::{Record, now_us};

/// Between two records.
const EVERY: Duration = Duration::from_millis(4);

#[derive(Parser)]
#[command(about = "A toy store that notes its writers (started by the tests)")]
struct Arguments {
    /// The file on the shared folder.
    #[arg(long)]
    records: PathBuf,
    /// Where clients are greeted.
    #[arg(long, default_value_t = 110)]
    port: u16,
    /// The number that fences: what the start script was given.
    #[arg(long, env = "FAILOVER_EPOCH")]
    epoch: u64,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "toy-store: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes until it is killed; the thread that greets ends with the process.
fn serve(arguments: &Arguments) -> io::Result<()> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    // First of all: a second one on this host ends here, before it has written anything.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, arguments.port))?;
    let mut records = File::options().create(true).append(true).open(&arguments.records)?;
    let greeting = format!("+OK {host} writes epoch {}\r\n", arguments.epoch);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever does not read it has gone.
            let _ = { stream }.write_all(greeting.as_bytes());
        }
    });
    let mut record = Record { epoch: arguments.epoch, host, pid: std::process::id(), count: 0, at_us: 0 };
    loop {
        record.count += 1;
        record.at_us = now_us();
        // One call of write(2) a line: a line is there whole or not at all.
        records.write_all(record.to_string().as_bytes())?;
        std::thread::sleep(EVERY);
    }
}
