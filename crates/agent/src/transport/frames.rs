//! Frames with a 4-byte little-endian length in front, as a DogStatsD client writes them into a Unix stream
//! (`facts/dogstatsd.md` §1).

use std::fmt;
use std::io;
use tokio::io::AsyncRead;

/// A longer declared length means that the client does not send lengths at all: `page` read as one is 1.7e9.
pub const FRAME_DECLARED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The frames of one connection.
#[derive(Debug)]
pub struct Frames<S> {
    _stream: S,
    _max_bytes: usize,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The frame, never empty; or its beginning, when the connection ended within it.
    Lines {
        /// What came of the frame.
        bytes: &'a [u8],
        /// Whether the frame was longer, so that the last line of `bytes` may be cut.
        truncated: bool,
    },
    /// The frame is longer than the bound and is skipped.
    Oversized {
        /// Its declared length.
        bytes: usize,
    },
}

/// Why there are no more frames.
#[derive(Debug)]
pub enum FrameError {
    /// The client does not send length prefixes: close the connection.
    NotFramed {
        /// What stood where a length is expected.
        declared_bytes: u32,
    },
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFramed { declared_bytes } => write!(
                f,
                "the client does not send length prefixes (a frame of {declared_bytes} bytes): \
                 it may be meant for the datagram socket, DD_DOGSTATSD_SOCKET"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

impl<S: AsyncRead + Unpin> Frames<S> {
    /// Frames of up to `max_bytes` each. Memory is taken with the first bytes, and given back when the
    /// connection is silent between frames.
    pub fn new(stream: S, max_bytes: usize) -> Self {
        Self { _stream: stream, _max_bytes: max_bytes }
    }

    /// The next frame; `None` at the end of the connection. Cancel-safe: a dropped future loses nothing, so
    /// that a caller who stops can ask with a timeout for what is already there.
    ///
    /// # Errors
    /// [`FrameError`]; what came whole before it has been handed out.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        Ok(None)
    }
}
