//! What is said over the channel, as bytes. One datagram is one [`Message`] of a client, or any number of [`Reply`]s
//! of the server. Both ends are of one machine and one build of the protocol (its number is in the socket's name and in the
//! first message), so integers are little-endian, at fixed places, and nothing is optional.
//!
//! ```text
//!  0     type (1 byte), flags (1), kind (2)
//!  4     length of the headers, or of a reply's text (4)
//!  8     id (8)
//! 16     first number of the type (8): bytes of the payload, milliseconds, …
//! 24     second number of the type (8): offset of a part, …
//! 32     headers: name length (2), value length (2), name, value; then the payload
//! ```
//!
//! No length that is read here leads to an allocation: everything borrows from the datagram, whose size is bounded by the
//! buffer that received it. What does not add up to exactly the datagram is an error.

mod reply;

pub use reply::{Denied, Reason, Reply};

use std::fmt;

/// Of everything here; a peer that speaks another is told so and not served.
pub const PROTOCOL: u16 = 2;
/// Before each message's body, bytes.
pub const HEADER_BYTES: usize = 32;
/// Longest payload that travels inside a datagram, bytes; bigger ones travel in a memory file. Measured, a memory file
/// costs its sender some 25 us more than a datagram of this size; and several of these go into the send buffer that
/// kernels give by default.
pub const INLINE_MAX_BYTES: usize = 64 << 10;
/// Name and value of all headers of a submission, with four bytes for each, bytes.
pub const HEADERS_MAX_BYTES: usize = 8 << 10;
/// Headers of a submission.
pub const HEADERS_MAX_COUNT: usize = 32;
/// Longest datagram of a client, bytes.
pub const MESSAGE_MAX_BYTES: usize = HEADER_BYTES + HEADERS_MAX_BYTES + INLINE_MAX_BYTES;
/// Longest payload of one submission, bytes: what the agent takes of its most generous route.
pub const PAYLOAD_MAX_BYTES: usize = 50 << 20;
/// Longest datagram of the server, bytes.
pub const REPLY_MAX_BYTES: usize = 16 << 10;
/// Longest text of statistics, bytes.
pub const STATS_MAX_BYTES: usize = 8 << 10;
/// Length of a nonce and of a proof, bytes.
pub const PROOF_BYTES: usize = 32;

/// The submission was sent before, over a connection that ended without an answer, or to a server that died before it had
/// settled: it may have been accepted.
const FLAG_RESENT: u8 = 1;
/// Where the flags stand.
const FLAGS_AT: usize = 1;

/// Why bytes are no message. Who sends such is not one of us, and the connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// Shorter than its header, or than what the header announces.
    Short,
    /// Longer than what the header announces.
    Long,
    /// A type that this version does not know, or that the other side sends.
    Type,
    /// Headers over their bounds, or whose lengths do not add up.
    Headers,
    /// A payload or a part of one over its bound, or outside of the whole.
    Payload,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "a datagram that is shorter than it says",
            Self::Long => "a datagram that is longer than it says",
            Self::Type => "a datagram of unknown type",
            Self::Headers => "a datagram with headers that do not add up",
            Self::Payload => "a datagram with a payload outside its bounds",
        })
    }
}

impl std::error::Error for Malformed {}

/// Name and value pairs beside a payload. Checked when made: iterating cannot fail.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// # Errors
    /// When the lengths do not add up or exceed a bound.
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > HEADERS_MAX_BYTES {
            return Err(Malformed::Headers);
        }
        let (mut rest, mut count) = (bytes, 0);
        while !rest.is_empty() {
            (_, rest) = split_header(rest).ok_or(Malformed::Headers)?;
            count += 1;
        }
        if count > HEADERS_MAX_COUNT { Err(Malformed::Headers) } else { Ok(Self { bytes }) }
    }

    /// In the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (header, after) = split_header(rest)?;
            rest = after;
            Some(header)
        })
    }

    pub(crate) fn encoded(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value of the first of that name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(its, _)| *its == name).map(|(_, value)| value)
    }
}

type Header<'a> = (&'a [u8], &'a [u8]);

fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (lengths, rest) = bytes.split_first_chunk::<4>()?;
    let name_bytes = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
    let value_bytes = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
    let (name, rest) = rest.split_at_checked(name_bytes)?;
    let (value, rest) = rest.split_at_checked(value_bytes)?;
    Some(((name, value), rest))
}

/// How a payload travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carried<'a> {
    /// In the datagram, at most [`INLINE_MAX_BYTES`].
    Inline(&'a [u8]),
    /// In the sealed memory file that comes with the datagram.
    Descriptor {
        /// What the file must measure, at most [`PAYLOAD_MAX_BYTES`].
        bytes: u64,
    },
    /// In several datagrams one after the other, where there are no memory files.
    Part {
        /// Bytes of the whole, at most [`PAYLOAD_MAX_BYTES`].
        total: u64,
        /// Where this part belongs. Parts come in order and without gaps.
        offset: u64,
        /// Never empty.
        part: &'a [u8],
    },
}

/// What a client says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// The first message.
    Hello {
        /// [`PROTOCOL`].
        protocol: u16,
        /// What the client's process calls itself, the same over all its connections.
        client: u64,
        /// The client's challenge.
        nonce: [u8; PROOF_BYTES],
    },
    /// The answer to the server's challenge.
    Proof {
        /// See `secret.rs`.
        proof: [u8; PROOF_BYTES],
    },
    /// A payload to be delivered.
    Submit {
        /// Unique among what this client sends.
        id: u64,
        /// What it is; the channel does not know.
        kind: u16,
        /// It may have been accepted before.
        resent: bool,
        /// Beside the payload. Of a payload in parts, with the first one.
        headers: Headers<'a>,
        /// The payload.
        payload: Carried<'a>,
    },
    /// Deliver what was accepted.
    Flush {
        /// Comes back with the answer.
        id: u64,
        /// How long the client waits.
        within_ms: u64,
    },
    /// Are you there?
    Ping {
        /// Comes back with the answer.
        id: u64,
    },
    /// What is counted?
    Stats {
        /// Comes back with the answer.
        id: u64,
    },
    /// Nothing more will come.
    Close,
}

mod types {
    pub(super) const HELLO: u8 = 1;
    pub(super) const PROOF: u8 = 2;
    pub(super) const SUBMIT: u8 = 3;
    pub(super) const SUBMIT_DESCRIPTOR: u8 = 4;
    pub(super) const SUBMIT_PART: u8 = 5;
    pub(super) const FLUSH: u8 = 6;
    pub(super) const PING: u8 = 7;
    pub(super) const STATS: u8 = 8;
    pub(super) const CLOSE: u8 = 9;
    // Replies.
    pub(super) const CHALLENGE: u8 = 65;
    pub(super) const WELCOME: u8 = 66;
    pub(super) const DENIED: u8 = 67;
    pub(super) const ACCEPTED: u8 = 68;
    pub(super) const NO_ROOM: u8 = 69;
    pub(super) const REFUSED: u8 = 70;
    pub(super) const FLUSHED: u8 = 71;
    pub(super) const PONG: u8 = 72;
    pub(super) const STATS_TEXT: u8 = 73;
    pub(super) const CLOSING: u8 = 74;
    pub(super) const SETTLED: u8 = 75;
}

/// The 32 bytes before a body.
#[derive(Default)]
struct Fields {
    type_: u8,
    flags: u8,
    kind: u16,
    length: u32,
    id: u64,
    first: u64,
    second: u64,
}

impl Fields {
    fn of(type_: u8, id: u64) -> Self {
        Self { type_, id, ..Self::default() }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.type_, self.flags]);
        out.extend(self.kind.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.extend(self.id.to_le_bytes());
        out.extend(self.first.to_le_bytes());
        out.extend(self.second.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::Short)?;
        let eight = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| header[at + index]));
        let fields = Self {
            type_: header[0],
            flags: header[FLAGS_AT],
            kind: u16::from_le_bytes([header[2], header[3]]),
            length: u32::from_le_bytes([header[4], header[5], header[6], header[7]]),
            id: eight(8),
            first: eight(16),
            second: eight(24),
        };
        Ok((fields, body))
    }

    /// The first `length` bytes of the body, and the rest.
    fn split<'a>(&self, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        let length = usize::try_from(self.length).map_err(|_| Malformed::Short)?;
        body.split_at_checked(length).ok_or(Malformed::Short)
    }
}

fn nothing_after(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() { Ok(()) } else { Err(Malformed::Long) }
}

fn exactly<const N: usize>(body: &[u8]) -> Result<[u8; N], Malformed> {
    match body.len() {
        length if length < N => Err(Malformed::Short),
        length if length > N => Err(Malformed::Long),
        _ => body.try_into().map_err(|_| Malformed::Short),
    }
}

/// Whether headers fit their bounds: all that [`Message::Submit`] asks for besides the payload's.
#[must_use]
pub fn headers_fit(headers: &[(&[u8], &[u8])]) -> bool {
    let fits = |(name, value): &(&[u8], &[u8])| u16::try_from(name.len().max(value.len())).is_ok();
    let bytes: usize = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    headers.len() <= HEADERS_MAX_COUNT && bytes <= HEADERS_MAX_BYTES && headers.iter().all(fits)
}

/// The bytes of headers that [`headers_fit`].
#[must_use]
pub fn encode_headers(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        let length = |of: &[u8]| u16::try_from(of.len()).unwrap_or(u16::MAX).to_le_bytes();
        bytes.extend(length(name));
        bytes.extend(length(value));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    bytes
}

/// Says in an encoded submission that it was sent before.
pub(crate) fn mark_resent(message: &mut [u8]) {
    if let Some(flags) = message.get_mut(FLAGS_AT) {
        *flags |= FLAG_RESENT;
    }
}

impl<'a> Message<'a> {
    /// Reads a datagram. Whether a descriptor came with it is the reader's to check.
    ///
    /// # Errors
    /// When it is none of a client's.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (fields, body) = Fields::read(datagram)?;
        match fields.type_ {
            types::HELLO => {
                Ok(Self::Hello { protocol: fields.kind, client: fields.id, nonce: exactly(body)? })
            }
            types::PROOF => Ok(Self::Proof { proof: exactly(body)? }),
            types::SUBMIT | types::SUBMIT_DESCRIPTOR | types::SUBMIT_PART => submission(&fields, body),
            types::FLUSH => {
                nothing_after(body).map(|()| Self::Flush { id: fields.id, within_ms: fields.first })
            }
            types::PING => nothing_after(body).map(|()| Self::Ping { id: fields.id }),
            types::STATS => nothing_after(body).map(|()| Self::Stats { id: fields.id }),
            types::CLOSE => nothing_after(body).map(|()| Self::Close),
            _ => Err(Malformed::Type),
        }
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body: [&[u8]; 2] = [&[], &[]];
        let fields = match self {
            Self::Hello { protocol, client, nonce } => {
                body[0] = nonce;
                Fields { kind: *protocol, ..Fields::of(types::HELLO, *client) }
            }
            Self::Proof { proof } => {
                body[0] = proof;
                Fields::of(types::PROOF, 0)
            }
            Self::Submit { id, kind, resent, headers, payload } => {
                let (type_, first, second, inside): (_, _, _, &[u8]) = match *payload {
                    Carried::Inline(payload) => (types::SUBMIT, payload.len() as u64, 0, payload),
                    Carried::Descriptor { bytes } => (types::SUBMIT_DESCRIPTOR, bytes, 0, &[]),
                    Carried::Part { total, offset, part } => (types::SUBMIT_PART, total, offset, part),
                };
                body = [headers.bytes, inside];
                let length = u32::try_from(headers.bytes.len()).unwrap_or(u32::MAX);
                let flags = if *resent { FLAG_RESENT } else { 0 };
                Fields { type_, flags, kind: *kind, length, id: *id, first, second }
            }
            Self::Flush { id, within_ms } => Fields { first: *within_ms, ..Fields::of(types::FLUSH, *id) },
            Self::Ping { id } => Fields::of(types::PING, *id),
            Self::Stats { id } => Fields::of(types::STATS, *id),
            Self::Close => Fields::of(types::CLOSE, 0),
        };
        fields.write(out);
        body.iter().for_each(|part| out.extend_from_slice(part));
    }
}

fn submission<'a>(fields: &Fields, body: &'a [u8]) -> Result<Message<'a>, Malformed> {
    let (headers, rest) = fields.split(body)?;
    let headers = Headers::parse(headers)?;
    let bytes = usize::try_from(fields.first).map_err(|_| Malformed::Payload)?;
    let payload = match fields.type_ {
        types::SUBMIT => {
            if rest.len() > INLINE_MAX_BYTES {
                return Err(Malformed::Payload);
            }
            match rest.len().cmp(&bytes) {
                std::cmp::Ordering::Less => return Err(Malformed::Short),
                std::cmp::Ordering::Greater => return Err(Malformed::Long),
                std::cmp::Ordering::Equal => Carried::Inline(rest),
            }
        }
        _ if bytes > PAYLOAD_MAX_BYTES => return Err(Malformed::Payload),
        types::SUBMIT_DESCRIPTOR => {
            nothing_after(rest)?;
            Carried::Descriptor { bytes: fields.first }
        }
        _ => {
            let end = fields.second.checked_add(rest.len() as u64);
            let inside = end.is_some_and(|end| end <= fields.first);
            if rest.is_empty() || rest.len() > INLINE_MAX_BYTES || !inside {
                return Err(Malformed::Payload);
            }
            if fields.second > 0 && !headers.bytes.is_empty() {
                return Err(Malformed::Headers);
            }
            Carried::Part { total: fields.first, offset: fields.second, part: rest }
        }
    };
    let resent = fields.flags & FLAG_RESENT != 0;
    Ok(Message::Submit { id: fields.id, kind: fields.kind, resent, headers, payload })
}

/// Headers that were encoded by [`encode_headers`].
///
/// # Errors
/// When they are not within their bounds.
pub fn headers(bytes: &[u8]) -> Result<Headers<'_>, Malformed> {
    Headers::parse(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(message: &Message<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_submission_has_these_bytes() {
        let list = encode_headers(&[(b"a", b"bc")]);
        let payload = Carried::Inline(b"xyz");
        let message =
            Message::Submit { id: 7, kind: 258, resent: true, headers: headers(&list).unwrap(), payload };
        let mut golden = vec![3, 1, 2, 1, 7, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        golden.extend([0; 8]);
        golden.extend(b"\x01\x00\x02\x00abcxyz");
        assert_eq!(encoded(&message), golden);
        assert_eq!(Message::decode(&golden), Ok(message));
    }

    #[test]
    fn a_notice_has_these_bytes() {
        let mut bytes = Vec::new();
        let reply = Reply::Settled { below: 3, first: 258, last: 259 };
        reply.encode(&mut bytes);
        let mut golden = vec![75, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        golden.extend([2, 1, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, golden);
    }

    #[test]
    fn replies_follow_each_other_in_one_datagram() {
        let replies = [
            Reply::Welcome { instance: 9, settled_below: 12 },
            Reply::Accepted { id: 1, settled: false },
            Reply::Accepted { id: 2, settled: true },
            Reply::Settled { below: 3, first: 5, last: 8 },
            Reply::Stats { id: 2, text: b"x 1\n" },
            Reply::NoRoom { id: 3, retry_after_ms: 250 },
            Reply::Refused { id: 4, reason: Reason::Kind },
            Reply::Denied(Denied::User),
            Reply::Flushed { id: 5, complete: true },
            Reply::Challenge { nonce: [1; 32], proof: [2; 32] },
        ];
        let mut bytes = Vec::new();
        replies.iter().for_each(|reply| reply.encode(&mut bytes));
        let mut rest = &bytes[..];
        for reply in replies {
            let (decoded, after) = Reply::decode(rest).unwrap();
            assert_eq!(decoded, reply);
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn l125_lengths_that_do_not_add_up_are_errors() {
        let ping = encoded(&Message::Ping { id: 1 });
        for length in 0..ping.len() {
            assert_eq!(Message::decode(&ping[..length]), Err(Malformed::Short));
        }
        let mut long = ping;
        long.push(0);
        assert_eq!(Message::decode(&long), Err(Malformed::Long));
        let part = |total, offset| {
            let payload = Carried::Part { total, offset, part: b"1234" };
            encoded(&Message::Submit { id: 1, kind: 0, resent: false, headers: Headers::default(), payload })
        };
        assert!(Message::decode(&part(8, 4)).is_ok());
        for (total, offset) in [(8, 5), (3, 0), (u64::MAX, 0), (8, u64::MAX), (8, u64::MAX - 3)] {
            assert_eq!(Message::decode(&part(total, offset)), Err(Malformed::Payload));
        }
        let bytes = PAYLOAD_MAX_BYTES as u64 + 1;
        let payload = Carried::Descriptor { bytes };
        let big = Message::Submit { id: 1, kind: 0, resent: false, headers: Headers::default(), payload };
        assert_eq!(Message::decode(&encoded(&big)), Err(Malformed::Payload));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            id: u64, kind: u16, resent: bool,
            list in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..90)), 0..8),
            payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let pairs: Vec<_> = list.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            prop_assert!(headers_fit(&pairs));
            let bytes = encode_headers(&pairs);
            let headers = headers(&bytes).unwrap();
            prop_assert_eq!(headers.iter().collect::<Vec<_>>(), pairs);
            let message = Message::Submit { id, kind, resent, headers, payload: Carried::Inline(&payload) };
            let datagram = encoded(&message);
            prop_assert_eq!(Message::decode(&datagram), Ok(message));
        }

        #[test]
        fn l124_no_bytes_panic_and_what_is_read_can_be_written(bytes in prop::collection::vec(any::<u8>(), 0..200), type_ in 0_u8..80) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = type_; }
            if let Ok(message) = Message::decode(&bytes) {
                let again = encoded(&message);
                prop_assert_eq!(Message::decode(&again), Ok(message));
            }
            if let Ok((reply, rest)) = Reply::decode(&bytes) {
                prop_assert!(rest.len() < bytes.len());
                let mut again = Vec::new();
                reply.encode(&mut again);
                prop_assert_eq!(Reply::decode(&again), Ok((reply, &[][..])));
            }
        }
    }
}
