//! A connection that speaks in lines, as POP3 and LMTP do, with one limit for the whole dialogue.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// The most lines of one answer.
const LINES_MAX: usize = 100_000;

/// A dialogue.
pub struct Dialogue {
    stream: BufReader<TcpStream>,
    end: Instant,
}

impl Dialogue {
    /// Connects. All that follows must be over within `limit` from now.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(address: SocketAddr, limit: Duration) -> Result<Dialogue> {
        let end = Instant::now() + limit;
        let stream = TcpStream::connect_timeout(&address, limit).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Dialogue { stream: BufReader::new(stream), end })
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// When the limit is over, the connection ends, or the line is too long.
    pub fn read_line(&mut self) -> Result<String> {
        let left = self.end.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "the time is over");
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut line = Vec::new();
        let count = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).context("read a line")?;
        ensure!(count > 0, "the connection ended");
        ensure!(line.ends_with(b"\n"), "the line has no end");
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Reads lines to the lone dot, which is not among them; the doubled dots of line starts are single again.
    ///
    /// # Errors
    /// As [`Dialogue::read_line`], and when there is no end of lines.
    pub fn read_to_dot(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let line = self.read_line()?;
            if line == "." {
                return Ok(lines);
            }
            lines.push(line.strip_prefix('.').map_or(line.clone(), str::to_owned));
        }
        bail!("more than {LINES_MAX} lines")
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).context("write")
    }

    /// Writes a command and reads one line, which must begin with `expected`.
    ///
    /// # Errors
    /// When it begins otherwise: the error has the line, and never the command, which may hold a password.
    pub fn ask(&mut self, command: &str, expected: &str) -> Result<String> {
        self.write(&format!("{command}\r\n"))?;
        self.expect(expected)
    }

    /// Reads one line, which must begin with `expected`.
    ///
    /// # Errors
    /// When it begins otherwise.
    pub fn expect(&mut self, expected: &str) -> Result<String> {
        let line = self.read_line()?;
        ensure!(line.starts_with(expected), "the server said: {line}");
        Ok(line)
    }
}
