//! Lines of a byte stream, as a DogStatsD client writes them into a Windows named pipe (`facts/windows.md` §1, §2).

use super::reading::Reading;
use std::io;
use std::ops::Range;
use tokio::io::AsyncRead;

/// The lines of one connection, as many at a time as have come.
#[derive(Debug)]
pub struct Lines<S> {
    reading: Reading<S>,
    max_bytes: usize,
    /// Length so far of an oversized line that is being skipped.
    skipping: Option<u64>,
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
        Self { reading: Reading::new(stream), max_bytes, skipping: None }
    }

    /// The next lines; `None` at the end of the connection. Cancel-safe: a dropped future loses nothing, so
    /// that a caller who stops can ask with a timeout for what is already there.
    ///
    /// # Errors
    /// Whatever the stream says; what came before has been handed out. There is nothing to be read afterwards.
    pub async fn next(&mut self) -> io::Result<Option<Chunk<'_>>> {
        // Full without a newline means too long, however the bytes were cut on their way.
        let limit_bytes = self.max_bytes.saturating_add(1);
        loop {
            match self.step() {
                Step::Lines(range) => return Ok(Some(Chunk::Lines(self.reading.used(range)))),
                Step::Oversized { bytes } => return Ok(Some(Chunk::Oversized { bytes })),
                Step::End => return self.reading.take_error().map_or(Ok(None), Err),
                Step::Read => self.reading.more(limit_bytes).await,
            }
        }
    }

    /// What can be said without reading more.
    fn step(&mut self) -> Step {
        let ended = self.reading.is_ended();
        let unread = self.reading.unread();
        let length = unread.len();
        if let Some(skipped) = self.skipping {
            let newline = memchr::memchr(b'\n', unread);
            let bytes = skipped + newline.unwrap_or(length) as u64;
            self.reading.consume(newline.map_or(length, |at| at + 1));
            let whole = newline.is_some() || ended;
            self.skipping = (!whole).then_some(bytes);
            return if whole { Step::Oversized { bytes } } else { Step::Read };
        }
        if let Some(at) = memchr::memrchr(b'\n', unread) {
            return Step::Lines(self.reading.consume(at + 1));
        }
        if length > self.max_bytes {
            self.reading.consume(length);
            self.skipping = Some(length as u64);
            // The end, if this was it, is for the next call to find.
            return if ended { self.step() } else { Step::Read };
        }
        match (ended, length) {
            (false, _) => Step::Read,
            (true, 0) => Step::End,
            (true, _) => Step::Lines(self.reading.consume(length)),
        }
    }
}

/// What [`Lines::step`] found.
enum Step {
    Lines(Range<usize>),
    Oversized { bytes: u64 },
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

    /// A line on its own, without its newline.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Got {
        Line(Vec<u8>),
        Oversized(u64),
        Failed,
    }

    /// Reads to the end, dropping each future after one poll.
    fn read(stream: impl AsyncRead + Unpin) -> Vec<Got> {
        let mut lines = Lines::new(stream, MAX_BYTES);
        let mut got = Vec::new();
        loop {
            match polled_once(lines.next()) {
                None => {}
                Some(Ok(None)) => return got,
                Some(Ok(Some(Chunk::Lines(chunk)))) => {
                    assert!(!chunk.is_empty() && chunk.len() <= MAX_BYTES + 1);
                    let chunk = chunk.strip_suffix(b"\n").unwrap_or(chunk);
                    got.extend(chunk.split(|byte| *byte == b'\n').map(|line| Got::Line(line.into())));
                }
                Some(Ok(Some(Chunk::Oversized { bytes }))) => got.push(Got::Oversized(bytes)),
                Some(Err(_)) => got.push(Got::Failed),
            }
        }
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let of = |lengths| prop::collection::vec(b' '..b'~', lengths);
        prop_oneof![of(0..5), of(0..30), of(MAX_BYTES - 1..MAX_BYTES + 3), of(0..1000)]
    }

    fn expected(sent: &[Vec<u8>]) -> Vec<Got> {
        let got = |line: &Vec<u8>| match line.len() {
            0..=MAX_BYTES => Got::Line(line.clone()),
            bytes => Got::Oversized(bytes as u64),
        };
        sent.iter().map(got).collect()
    }

    proptest! {
        /// However the bytes are cut on their way, the same lines come out, the last one with or without newline.
        #[test]
        fn any_chunking_gives_the_same_lines(
            sent in prop::collection::vec(line(), 0..20),
            cuts in cuts(),
            terminated in any::<bool>(),
            fails in any::<bool>(),
        ) {
            let mut bytes = sent.join(&b'\n');
            let mut expected = expected(&sent);
            if terminated && !sent.is_empty() {
                bytes.push(b'\n');
            } else if sent.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            expected.extend(fails.then_some(Got::Failed));
            prop_assert_eq!(read(Scripted::new(&bytes, &cuts).failing(fails)), expected);
        }
    }

    #[test]
    fn l78_the_last_line_needs_no_newline() {
        assert_eq!(
            read(Scripted::new(b"a:1|c\nb:2|c", &[3])),
            [Got::Line(b"a:1|c".into()), Got::Line(b"b:2|c".into())]
        );
    }

    #[test]
    fn l79_the_tail_of_an_oversized_line_is_no_line() {
        let bytes = [b"a:1|c\n".as_slice(), &[b'x'; 250], b":1|c\nb:2|c\n"].concat();
        assert_eq!(
            read(Scripted::new(&bytes, &[64])),
            [Got::Line(b"a:1|c".into()), Got::Oversized(254), Got::Line(b"b:2|c".into())]
        );
    }

    #[tokio::test]
    async fn what_is_there_is_had_before_a_timeout() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut lines = Lines::new(server, MAX_BYTES);
        client.write_all(b"a:1|c\nb:2").await.expect("written");
        assert_eq!(polled_once(lines.next()).expect("there").expect("well"), Some(Chunk::Lines(b"a:1|c\n")));
        assert!(polled_once(lines.next()).is_none(), "a line that is not whole can wait");
        client.write_all(b"|c\n").await.expect("written");
        assert_eq!(polled_once(lines.next()).expect("there").expect("well"), Some(Chunk::Lines(b"b:2|c\n")));
        assert!(polled_once(lines.next()).is_none());
        assert_eq!(lines.reading.capacity_bytes(), 0, "an idle connection holds no memory");
        drop(client);
        assert_eq!(lines.next().await.expect("well"), None);
    }
}
