//! Bytes of a connection between its reads and their use, in memory that an idle connection does not hold.

use bytes::BufMut;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Room of a read when nothing is unread: more at once saves calls, and the memory is given back.
pub(super) const READ_BYTES: usize = 32 * 1024;
/// Least room of a read that goes on with what is unread; the room doubles up to the limit.
const READ_ON_BYTES: usize = 4 * 1024;

/// A connection, and what was read from it.
#[derive(Debug)]
pub(super) struct Reading<S> {
    stream: S,
    bytes: Vec<u8>,
    /// Where the unread ones begin.
    start: usize,
    ended: bool,
    error: Option<io::Error>,
}

impl<S: AsyncRead + Unpin> Reading<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, bytes: Vec::new(), start: 0, ended: false, error: None }
    }

    /// What was read and not yet used.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Uses the first `count` bytes; [`Reading::used`] has them until the next read.
    pub(super) fn consume(&mut self, count: usize) -> Range<usize> {
        debug_assert!(count <= self.unread().len());
        self.start += count;
        self.start - count..self.start
    }

    /// Bytes that were used since the last read.
    pub(super) fn used(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Whether the connection has ended, in whatever way: only what is unread will come.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The error with which the connection ended, once.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Forgets what is unread, and reads no more.
    pub(super) fn give_up(&mut self) {
        self.bytes = Vec::new();
        self.start = 0;
        self.ended = true;
    }

    /// Memory that is held.
    #[cfg(test)]
    pub(super) fn capacity_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Reads once, so that at most `limit_bytes` are unread, of which there are fewer now. Cancel-safe.
    pub(super) async fn more(&mut self, limit_bytes: usize) {
        poll_fn(|context| self.poll_more(context, limit_bytes)).await;
    }

    fn poll_more(&mut self, context: &mut Context<'_>, limit_bytes: usize) -> Poll<()> {
        let unread = self.bytes.len() - self.start;
        self.bytes.copy_within(self.start.., 0);
        self.bytes.truncate(unread);
        self.start = 0;
        let result = if self.bytes.capacity() == 0 {
            ready!(self.poll_first(context, limit_bytes))
        } else {
            let wanted = if unread == 0 { READ_BYTES } else { unread.max(READ_ON_BYTES) };
            let room = wanted.min(limit_bytes - unread);
            self.bytes.reserve_exact(room);
            let mut to = (&mut self.bytes).limit(room);
            match pin!(self.stream.read_buf(&mut to)).poll(context) {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    if unread == 0 {
                        self.bytes = Vec::new();
                    }
                    return Poll::Pending;
                }
            }
        };
        match result {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => {
                self.ended = true;
                self.error = Some(error);
            }
        }
        Poll::Ready(())
    }

    /// Reads by way of the stack: how much memory is needed, and whether any, is known afterwards.
    fn poll_first(&mut self, context: &mut Context<'_>, limit_bytes: usize) -> Poll<io::Result<usize>> {
        let mut memory = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut memory[..limit_bytes.min(READ_BYTES)]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        self.bytes.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

#[cfg(test)]
pub(super) mod scripted {
    //! A connection that plays a script.

    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::io;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};
    use tokio::io::{AsyncRead, ReadBuf};

    /// Yields its bytes in the given pieces, each preceded by a moment in which there is nothing.
    #[derive(Debug)]
    pub(crate) struct Scripted {
        pieces: VecDeque<Vec<u8>>,
        error: Option<io::Error>,
        silent: bool,
    }

    impl Scripted {
        /// `bytes` cut into pieces of the lengths in `cuts`, again and again.
        pub(crate) fn new(mut bytes: &[u8], cuts: &[usize]) -> Self {
            let mut pieces = VecDeque::new();
            for cut in cuts.iter().cycle() {
                if bytes.is_empty() {
                    break;
                }
                let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
                pieces.push_back(piece.to_vec());
                bytes = rest;
            }
            Self { pieces, error: None, silent: true }
        }

        /// Ends with an error rather than well, if it `fails`.
        pub(crate) fn failing(self, fails: bool) -> Self {
            Self { error: fails.then(|| io::ErrorKind::ConnectionReset.into()), ..self }
        }
    }

    impl AsyncRead for Scripted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.silent = !self.silent;
            if !self.silent {
                return Poll::Pending;
            }
            let Some(mut piece) = self.pieces.pop_front() else {
                return Poll::Ready(self.error.take().map_or(Ok(()), Err));
            };
            let rest = piece.split_off(piece.len().min(to.remaining()));
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
            to.put_slice(&piece);
            Poll::Ready(Ok(()))
        }
    }

    /// Lengths of pieces.
    pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1..4usize, 1..40usize, 1..100_000usize], 1..8)
    }

    /// What a future yields when it is polled once, and then dropped: the strictest caller.
    pub(crate) fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}
