//! A stream that gives so many bytes and no more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// It also remembers its end: async-imap takes the end of the stream in the middle of an answer to EXAMINE for the end of the
/// answer, and an empty mailbox would be seen where the server died.
///
/// Reading past the limit is an error, so that a reader without a bound of its own cannot fill the memory.
#[derive(Debug)]
pub(super) struct Limited<S> {
    stream: S,
    left: u64,
    has_ended: bool,
}

impl<S> Limited<S> {
    pub(super) fn new(stream: S, bytes_max: u64) -> Limited<S> {
        Limited { stream, left: bytes_max, has_ended: false }
    }

    /// The other side has closed.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let has_room = buffer.remaining() > 0;
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.has_ended |= has_room && read == 0;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("the server sends more than a message"))),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
