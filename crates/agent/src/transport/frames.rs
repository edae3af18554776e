//! Frames with a 4-byte little-endian length in front, as a DogStatsD client writes them into a Unix stream
//! (`facts/dogstatsd.md` §1).

use super::reading::{READ_BYTES, Reading};
use std::fmt;
use std::io;
use std::ops::Range;
use tokio::io::AsyncRead;

/// Bytes of the length in front of a frame.
const PREFIX_BYTES: usize = 4;
/// A longer declared length means that the client does not send lengths at all: `page` read as one is 1.7e9.
pub const FRAME_DECLARED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The frames of one connection.
#[derive(Debug)]
pub struct Frames<S> {
    reading: Reading<S>,
    max_bytes: usize,
    /// Bytes of an oversized frame that are yet to be skipped.
    skip_bytes: usize,
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
        Self { reading: Reading::new(stream), max_bytes, skip_bytes: 0 }
    }

    /// The next frame; `None` at the end of the connection. Cancel-safe: a dropped future loses nothing, so
    /// that a caller who stops can ask with a timeout for what is already there.
    ///
    /// # Errors
    /// [`FrameError`]; what came before it has been handed out. There is nothing to be read afterwards.
    pub async fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let limit_bytes = READ_BYTES.max(self.max_bytes.saturating_add(PREFIX_BYTES));
        loop {
            match self.step()? {
                Step::Lines { range, truncated } => {
                    return Ok(Some(Frame::Lines { bytes: self.reading.used(range), truncated }));
                }
                Step::Oversized { bytes } => return Ok(Some(Frame::Oversized { bytes })),
                Step::End => {
                    return self.reading.take_error().map_or(Ok(None), |error| Err(FrameError::Io(error)));
                }
                Step::Read => self.reading.more(limit_bytes).await,
            }
        }
    }

    /// What can be said without reading more.
    fn step(&mut self) -> Result<Step, FrameError> {
        loop {
            let skipped = self.skip_bytes.min(self.reading.unread().len());
            self.reading.consume(skipped);
            self.skip_bytes -= skipped;
            let Some((prefix, frame)) = self.reading.unread().split_first_chunk::<PREFIX_BYTES>() else {
                return Ok(self.incomplete());
            };
            let declared_bytes = u32::from_le_bytes(*prefix);
            let bytes = usize::try_from(declared_bytes).unwrap_or(usize::MAX);
            if bytes > FRAME_DECLARED_MAX_BYTES.max(self.max_bytes) {
                self.reading.give_up();
                return Err(FrameError::NotFramed { declared_bytes });
            }
            if bytes > self.max_bytes {
                self.reading.consume(PREFIX_BYTES);
                self.skip_bytes = bytes;
                return Ok(Step::Oversized { bytes });
            }
            if frame.len() < bytes {
                return Ok(self.incomplete());
            }
            self.reading.consume(PREFIX_BYTES);
            // An empty frame says nothing.
            if bytes > 0 {
                return Ok(Step::Lines { range: self.reading.consume(bytes), truncated: false });
            }
        }
    }

    /// What to do with the beginning of a frame, or nothing.
    fn incomplete(&mut self) -> Step {
        let unread = self.reading.unread().len();
        if !self.reading.is_ended() {
            return Step::Read;
        }
        if unread == 0 {
            return Step::End;
        }
        self.reading.consume(unread.min(PREFIX_BYTES));
        let range = self.reading.consume(unread.saturating_sub(PREFIX_BYTES));
        Step::Lines { range, truncated: true }
    }
}

/// What [`Frames::step`] found.
enum Step {
    Lines { range: Range<usize>, truncated: bool },
    Oversized { bytes: usize },
    Read,
    End,
}

#[cfg(test)]
mod tests {
    use super::super::reading::scripted::{Scripted, cuts, polled_once};
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    const MAX_BYTES: usize = 100;

    /// What a frame was, on its own.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Got {
        Lines(Vec<u8>),
        Truncated(Vec<u8>),
        Oversized(usize),
        NotFramed(u32),
        Failed,
    }

    /// Reads to the end, dropping each future after one poll.
    fn read(stream: Scripted) -> Vec<Got> {
        let mut frames = Frames::new(stream, MAX_BYTES);
        let mut got = Vec::new();
        loop {
            match polled_once(frames.next()) {
                None => {}
                Some(Ok(None)) => return got,
                Some(Ok(Some(Frame::Lines { bytes, truncated: false }))) => {
                    got.push(Got::Lines(bytes.into()))
                }
                Some(Ok(Some(Frame::Lines { bytes, truncated: true }))) => {
                    got.push(Got::Truncated(bytes.into()))
                }
                Some(Ok(Some(Frame::Oversized { bytes }))) => got.push(Got::Oversized(bytes)),
                Some(Err(FrameError::NotFramed { declared_bytes })) => {
                    got.push(Got::NotFramed(declared_bytes))
                }
                Some(Err(FrameError::Io(_))) => got.push(Got::Failed),
            }
        }
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        let length = u32::try_from(frame.len()).expect("short");
        [&length.to_le_bytes(), frame].concat()
    }

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let any_bytes = |lengths| prop::collection::vec(any::<u8>(), lengths);
        prop_oneof![any_bytes(0..5), any_bytes(0..MAX_BYTES + 2), any_bytes(0..1000)]
    }

    proptest! {
        /// However the bytes are cut on their way, and wherever they end, the same frames come out.
        #[test]
        fn any_chunking_gives_the_same_frames(
            sent in prop::collection::vec(frame(), 0..20),
            cuts in cuts(),
            missing in 0..1500usize,
            fails in any::<bool>(),
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|frame| framed(frame)).collect();
            let arrived = bytes.len().saturating_sub(missing);
            let mut expected = Vec::new();
            let mut at = 0;
            for frame in &sent {
                let whole = at + PREFIX_BYTES + frame.len() <= arrived;
                if at >= arrived || (frame.is_empty() && whole) {
                    // Nothing of it, or nothing in it.
                } else if frame.len() > MAX_BYTES && at + PREFIX_BYTES <= arrived {
                    expected.push(Got::Oversized(frame.len()));
                } else if whole {
                    expected.push(Got::Lines(frame.clone()));
                } else {
                    expected.push(Got::Truncated(bytes[(at + PREFIX_BYTES).min(arrived)..arrived].into()));
                }
                at += PREFIX_BYTES + frame.len();
            }
            expected.extend(fails.then_some(Got::Failed));
            prop_assert_eq!(read(Scripted::new(&bytes[..arrived], &cuts).failing(fails)), expected);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..2000), cuts in cuts()) {
            prop_assert!(read(Scripted::new(&bytes, &cuts)).len() <= bytes.len() + 1);
        }
    }

    #[test]
    fn a_client_without_lengths_is_told_from_one_with_them() {
        let bytes = [framed(b"a:1|c").as_slice(), b"page.views:1|c\n"].concat();
        let expected = [Got::Lines(b"a:1|c".to_vec()), Got::NotFramed(u32::from_le_bytes(*b"page"))];
        assert_eq!(read(Scripted::new(&bytes, &[7])), expected);
    }

    #[test]
    fn memory_follows_what_came_and_not_what_was_declared() {
        let mut frames = Frames::new(Scripted::new(&16_000_000u32.to_le_bytes(), &[4]), 16_000_000);
        for _ in 0..3 {
            assert!(polled_once(frames.next()).is_none_or(|frame| frame.is_ok()));
            assert!(frames.reading.capacity_bytes() <= READ_BYTES);
        }
    }

    #[tokio::test]
    async fn what_is_there_is_had_before_a_timeout_and_then_no_memory_is_held() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut frames = Frames::new(server, MAX_BYTES);
        let (beginning, rest) = (framed(b"a:1|c"), framed(b"b:2|c"));
        client.write_all(&[&beginning, &rest[..6]].concat()).await.expect("written");
        let expected = Some(Frame::Lines { bytes: b"a:1|c", truncated: false });
        assert_eq!(polled_once(frames.next()).expect("there").expect("well"), expected);
        assert!(polled_once(frames.next()).is_none(), "a frame that is not whole can wait");
        assert!(frames.reading.capacity_bytes() > 0);
        client.write_all(&rest[6..]).await.expect("written");
        let expected = Some(Frame::Lines { bytes: b"b:2|c", truncated: false });
        assert_eq!(polled_once(frames.next()).expect("there").expect("well"), expected);
        assert!(polled_once(frames.next()).is_none());
        assert_eq!(frames.reading.capacity_bytes(), 0, "an idle connection holds no memory");
        drop(client);
        assert_eq!(frames.next().await.expect("well"), None);
    }
}
