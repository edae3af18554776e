//! `POST /dogstatsd/v2/proxy`: lines over HTTP, straight into the aggregator (losses.md L118).

use super::{DogStatsD, Framing, Tally};

/// Lines taken under one lock: packets of other transports wait meanwhile.
const SLICE_BYTES: usize = 64 * 1024;

impl DogStatsD {
    /// Takes the lines of a body. `false`: there was no room for anything in it, and the sender may try again
    /// without being counted twice.
    pub(crate) fn take_body(&self, body: &[u8]) -> bool {
        let mut tally = Tally::default();
        let mut rest = body;
        while !rest.is_empty() {
            let slice = slice_of_lines(rest);
            self.take(std::iter::once((slice, false)), Framing::default(), &mut tally);
            rest = &rest[slice.len()..];
        }
        self.proxied.add(&tally);
        tally.taken() > 0 || tally.without_room() == 0
    }
}

/// The first whole lines, of [`SLICE_BYTES`] or a little more.
fn slice_of_lines(body: &[u8]) -> &[u8] {
    if body.len() <= SLICE_BYTES {
        return body;
    }
    let end = memchr::memchr(b'\n', &body[SLICE_BYTES..]).map_or(body.len(), |at| SLICE_BYTES + at + 1);
    &body[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_between_lines() {
        let line = b"name:1|c|#tag:value\n";
        let body = line.repeat(20_000);
        let mut rest = &body[..];
        let mut slices = 0;
        while !rest.is_empty() {
            let slice = slice_of_lines(rest);
            assert!(slice.ends_with(b"\n") && slice.len() <= SLICE_BYTES + line.len());
            rest = &rest[slice.len()..];
            slices += 1;
        }
        assert_eq!(slices, body.len().div_ceil(SLICE_BYTES.next_multiple_of(line.len())));
        assert_eq!(slice_of_lines(&[b'x'; 200_000]).len(), 200_000);
    }
}
