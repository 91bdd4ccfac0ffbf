//! Bounded lines from a byte stream.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Bytes read from the stream at once.
const READ_BYTES: usize = 4 * 1024;

/// A line buffer larger than this is given back after its line: one long reply must not stay in memory for ever.
const KEEP_BYTES: usize = 16 * 1024;

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The other side closed the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// The line passed its bound; nothing of it is kept.
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    /// The stream failed.
    #[error("reading failed")]
    Io(#[from] io::Error),
}

/// Reads lines of at most `bytes_max` bytes, their line feed included.
pub(super) struct LineReader<R> {
    stream: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(stream: R, bytes_max: usize) -> LineReader<R> {
        LineReader { stream: BufReader::with_capacity(READ_BYTES, stream), line: Vec::new(), bytes_max }
    }

    /// Gives the next line, without its line feed, to `take`. Safe to drop at its await: what was read stays.
    pub(super) async fn next<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Result<T, LineError> {
        loop {
            let chunk = self.stream.fill_buf().await?;
            if chunk.is_empty() {
                return Err(LineError::Closed);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(chunk.len(), |at| at + 1);
            if self.line.len() + used > self.bytes_max {
                self.line = Vec::new();
                return Err(LineError::TooLong(self.bytes_max));
            }
            self.line.extend_from_slice(&chunk[..end.unwrap_or(used)]);
            self.stream.consume(used);
            if end.is_some() {
                let taken = take(&self.line);
                self.line.clear();
                self.line.shrink_to(KEEP_BYTES);
                return Ok(taken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_the_bytes_arrive() {
        let (near, mut far) = tokio::io::duplex(1);
        let writer = tokio::spawn(async move { far.write_all(b"one\n\nthree\nunfinished").await });
        let mut lines = LineReader::new(near, 16);
        for expected in [&b"one"[..], b"", b"three"] {
            assert_eq!(lines.next(<[u8]>::to_vec).await.unwrap(), expected);
        }
        assert!(matches!(lines.next(|_| ()).await, Err(LineError::Closed)));
        writer.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_line_at_its_bound_passes_and_one_byte_more_does_not() {
        let mut lines = LineReader::new(&b"1234567\n12345678\n"[..], 8);
        assert_eq!(lines.next(<[u8]>::to_vec).await.unwrap(), b"1234567");
        assert!(matches!(lines.next(|_| ()).await, Err(LineError::TooLong(8))));
    }

    #[tokio::test]
    async fn a_line_of_a_mebibyte_costs_no_more_memory_than_the_bound() {
        let flood = vec![b'x'; 1 << 20];
        let mut lines = LineReader::new(&flood[..], 64 * 1024);
        assert!(matches!(lines.next(|_| ()).await, Err(LineError::TooLong(_))));
        assert_eq!(lines.line.capacity(), 0);
        assert!(lines.stream.get_ref().len() > (1 << 20) - 80 * 1024, "the rest was not even read");
    }

    #[tokio::test]
    async fn a_reader_dropped_at_its_await_loses_nothing() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut lines = LineReader::new(near, 64);
        far.write_all(b"hal").await.unwrap();
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), lines.next(|_| ())).await;
        assert!(early.is_err(), "no line yet");
        far.write_all(b"f\n").await.unwrap();
        assert_eq!(lines.next(<[u8]>::to_vec).await.unwrap(), b"half");
    }
}
