//! Lines of a mail protocol over any stream: bounded, with what came in too early in plain sight.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest reply line that is read. RFC 1939 says 512 bytes, RFC 2449 too; real servers list capabilities and
/// banners beyond that.
pub(super) const LINE_BYTES_MAX: usize = 8 * 1024;

/// How much is read at once.
const CHUNK_BYTES: usize = 8 * 1024;

/// Why no line came.
#[derive(Debug, Error)]
pub(super) enum LineError {
    /// The socket's error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side closed the connection.
    #[error("the server closed the connection")]
    Ended,
    /// A line without end.
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
}

/// A stream read line by line.
#[derive(Debug)]
pub(super) struct Lines<S> {
    stream: S,
    buffer: Vec<u8>,
    /// How much of the buffer is used up.
    used: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    pub(super) fn new(stream: S) -> Lines<S> {
        Lines { stream, buffer: Vec::new(), used: 0 }
    }

    /// The next line without its end (CRLF, or LF alone).
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, LineError> {
        let mut searched = 0;
        loop {
            let unread = self.buffered();
            if let Some(length) = unread.iter().skip(searched).position(|byte| *byte == b'\n') {
                let length = searched + length;
                let line = unread.get(..length).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.consume(length + 1);
                return if line.len() > LINE_BYTES_MAX { Err(LineError::TooLong) } else { Ok(line) };
            }
            searched = unread.len();
            if searched > LINE_BYTES_MAX {
                return Err(LineError::TooLong);
            }
            self.fill().await?;
        }
    }

    /// The next bytes, whatever they are; at least one.
    pub(super) async fn chunk(&mut self) -> Result<&[u8], LineError> {
        if self.buffered().is_empty() {
            self.fill().await?;
        }
        Ok(self.buffered())
    }

    /// Takes bytes of the last chunk away.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.buffer.len());
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        self.stream.write_all(bytes).await?;
        // A TLS stream may hold bytes back until it is flushed.
        self.stream.flush().await?;
        Ok(())
    }

    /// The stream, if nothing was read beyond the last line. Bytes sent before an answer was due would otherwise be
    /// taken for what came inside the encryption (the STARTTLS injection of CVE-2011-0411).
    pub(super) fn into_stream(self) -> Result<S, usize> {
        match self.buffered().len() {
            0 => Ok(self.stream),
            early => Err(early),
        }
    }

    fn buffered(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Reads once. Bounded by its callers: they stop asking once they hold too much.
    async fn fill(&mut self) -> Result<(), LineError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(CHUNK_BYTES);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(LineError::Ended),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &'static [u8]) -> Lines<tokio_test_stream::Canned> {
        Lines::new(tokio_test_stream::Canned(bytes))
    }

    /// A stream that says what it was given, then ends.
    mod tokio_test_stream {
        use std::pin::Pin;
        use std::task::{Context, Poll};
        use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

        pub(super) struct Canned(pub(super) &'static [u8]);

        impl AsyncRead for Canned {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<std::io::Result<()>> {
                Pin::new(&mut self.0).poll_read(context, buffer)
            }
        }

        impl AsyncWrite for Canned {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
                Poll::Ready(Ok(bytes.len()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    }

    #[tokio::test]
    async fn lines_come_without_their_ends() {
        let mut lines = of(b"+OK one\r\n\n+OK two\nrest");
        assert_eq!(lines.line().await.unwrap(), b"+OK one");
        assert_eq!(lines.line().await.unwrap(), b"");
        assert_eq!(lines.line().await.unwrap(), b"+OK two");
        assert!(matches!(lines.line().await, Err(LineError::Ended)));
    }

    #[tokio::test]
    async fn what_came_too_early_is_counted() {
        let mut lines = of(b"+OK go\r\n+OK injected\r\n");
        lines.line().await.unwrap();
        assert_eq!(lines.into_stream().err(), Some(14));
    }

    #[tokio::test]
    async fn a_line_has_a_longest_length() {
        const LONG: [u8; LINE_BYTES_MAX + 1] = [b'x'; LINE_BYTES_MAX + 1];
        assert!(matches!(of(&LONG).line().await, Err(LineError::TooLong)));
    }
}
