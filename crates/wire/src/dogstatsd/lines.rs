//! The lines of a packet.

use memchr::memchr;

/// The lines of `packet`, without their ends: split at `\n`, one `\r` before it dropped, empty ones passed over.
/// The last line needs no end.
pub fn lines(packet: &[u8]) -> Lines<'_> {
    Lines { rest: packet }
}

/// Lines that are not empty; see [`lines`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (line, rest) = match memchr(b'\n', self.rest) {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(packet: &[u8]) -> Vec<&[u8]> {
        lines(packet).collect()
    }

    #[test]
    fn lines_end_with_a_feed_and_may_have_one_return_before_it() {
        assert_eq!(all(b"a:1|c\nb:2|c\r\n\n\r\nc:3|c"), [b"a:1|c", b"b:2|c", b"c:3|c"]);
        assert_eq!(all(b"a\r\r\n b "), [b"a\r".as_slice(), b" b "]);
        assert_eq!(all(b"a\rb"), [b"a\rb"]);
        assert!(all(b"").is_empty() && all(b"\n").is_empty() && all(b"\r").is_empty());
    }
}
