//! The guardian of a failover daemon: see [`failover_shared::guardian`].

use std::process::ExitCode;

fn main() -> ExitCode {
    failover_shared::guardian::main()
}
