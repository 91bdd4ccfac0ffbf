//! One line for the system's log. The journal is the daemon's alone, and this command works without a daemon.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// Facility daemon (3), severity notice (5), as RFC 3164 counts them.
const PRIORITY: u8 = 3 * 8 + 5;
/// RFC 3164 allows 1024 bytes to the message.
const TEXT_CHARACTERS_MAX: usize = 900;
/// A logger that does not read must not keep a person from fencing.
const LIMIT: Duration = Duration::from_secs(1);

/// Writes it to the socket of the system's logger, `/dev/log`.
pub(super) fn record(socket: &Path, text: &str) -> io::Result<()> {
    let logger = UnixDatagram::unbound()?;
    logger.set_write_timeout(Some(LIMIT))?;
    let harmless: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARACTERS_MAX).collect();
    logger.send_to(format!("<{PRIORITY}>failoverctl: {harmless}").as_bytes(), socket)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_reaches_the_logger_without_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let logger = UnixDatagram::bind(&path).unwrap();
        logger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        record(&path, "fence off cfg1 by ann: it\nhangs").unwrap();
        let mut bytes = [0; 256];
        let count = logger.recv(&mut bytes).unwrap();
        assert_eq!(std::str::from_utf8(&bytes[..count]).unwrap(), "<29>failoverctl: fence off cfg1 by ann: it hangs");
    }

    #[test]
    fn without_a_logger_that_is_an_error() {
        assert!(record(Path::new("/no/such/socket"), "x").is_err());
    }
}
