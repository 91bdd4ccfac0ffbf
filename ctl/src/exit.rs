//! How the command ends.

use std::process::ExitCode;

use failover_shared::status::Severity;

/// The exit codes of every command. 0 to 3 are those of monitoring plug-ins, so `failoverctl status` is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well; done.
    Ok = 0,
    /// It works, but not as it should; or it is still running.
    Warning = 1,
    /// The service is down or at risk; or the command was refused, or failed.
    Failed = 2,
    /// No daemon answers, so nothing can be told.
    Unknown = 3,
    /// The command line is not understood (`EX_USAGE` of sysexits(3)): no monitoring system takes it for an outage.
    Usage = 64,
}

impl From<Severity> for Exit {
    fn from(severity: Severity) -> Exit {
        match severity {
            Severity::Ok => Exit::Ok,
            Severity::Degraded => Exit::Warning,
            Severity::Critical => Exit::Failed,
            Severity::Unknown => Exit::Unknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
