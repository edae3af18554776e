//! Lines of a byte stream, as a DogStatsD client writes them into a Windows named pipe (`facts/windows.md` §1, §2).

use std::io;
use tokio::io::AsyncRead;

/// The lines of one connection, as many at a time as have come.
#[derive(Debug)]
pub struct Lines<S> {
    _stream: S,
    _max_bytes: usize,
}

/// What a connection yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Whole lines, never empty. Each ends in a newline but the last of the connection, which may lack it and
    /// counts all the same (losses.md L78).
    Lines(&'a [u8]),
    /// A line longer than the bound was skipped up to its newline (losses.md L79).
    Oversized {
        /// Its length without the newline.
        bytes: u64,
    },
}

impl<S: AsyncRead + Unpin> Lines<S> {
    /// Lines of up to `max_bytes` each, without their newline. Memory is taken with the first bytes, and given
    /// back when the connection is silent between lines.
    pub fn new(stream: S, max_bytes: usize) -> Self {
        Self { _stream: stream, _max_bytes: max_bytes }
    }

    /// The next lines; `None` at the end of the connection. Cancel-safe: a dropped future loses nothing.
    ///
    /// # Errors
    /// Whatever the stream says; what came before has been handed out.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn next(&mut self) -> io::Result<Option<Chunk<'_>>> {
        Ok(None)
    }
}
