//! What the server says.

use super::{Fields, Malformed, PROOF_BYTES, STATS_MAX_BYTES, exactly, nothing_after, types};

/// What the server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply<'a> {
    /// The server's proof, and its own challenge.
    Challenge {
        /// The server's challenge.
        nonce: [u8; PROOF_BYTES],
        /// The answer to the client's challenge.
        proof: [u8; PROOF_BYTES],
    },
    /// The client's proof was right.
    Welcome {
        /// Of this server and no other.
        instance: u64,
        /// Of what this server accepted from this client before, all with lower ids have settled.
        settled_below: u64,
    },
    /// Not served. The last reply.
    Denied(Denied),
    /// The server answers for the submission from here on.
    Accepted {
        /// Of the submission.
        id: u64,
        /// It has settled already. Otherwise it is to be kept until it has.
        settled: bool,
    },
    /// What was accepted was delivered, or dropped for a reason that was counted: the copies may go. Of what was accepted
    /// before this reply.
    Settled {
        /// All with lower ids have settled.
        below: u64,
        /// And those from this id
        first: u64,
        /// up to this one.
        last: u64,
    },
    /// Keep it and come again.
    NoRoom {
        /// Of the submission.
        id: u64,
        /// Not before.
        retry_after_ms: u64,
    },
    /// Never.
    Refused {
        /// Of the submission.
        id: u64,
        /// Why.
        reason: Reason,
    },
    /// The answer to a flush.
    Flushed {
        /// Of the flush.
        id: u64,
        /// Whether everything that had been accepted was delivered or dropped for a reason that was counted.
        complete: bool,
    },
    /// The answer to a ping.
    Pong {
        /// Of the ping.
        id: u64,
    },
    /// The answer to [`super::Message::Stats`].
    Stats {
        /// Of the question.
        id: u64,
        /// Lines of text, at most [`STATS_MAX_BYTES`].
        text: &'a [u8],
    },
    /// The server stops: what has no answer by now is to be sent to the next one, and what it accepted it still sees
    /// through.
    Closing,
}

/// Why a client is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denied {
    /// It speaks another version.
    Protocol,
    /// It does not know the secret.
    Secret,
    /// It is another user's, and not of this process tree.
    User,
    /// It said what nobody says.
    Malformed,
    /// A reason of a later version.
    Unknown,
}

/// Why a submission is refused for good.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// Its memory file is not sealed, or not of the size that was declared, or missing.
    Payload,
    /// Longer than what this service takes.
    TooBig,
    /// A kind that this service does not know.
    Kind,
    /// The service could not understand it.
    Invalid,
    /// The service panicked over it.
    Panicked,
    /// A reason of a later version.
    Unknown,
}

impl Reason {
    /// Every reason, in the order of its number on the wire less one.
    pub const ALL: [Self; 6] =
        [Self::Payload, Self::TooBig, Self::Kind, Self::Invalid, Self::Panicked, Self::Unknown];

    fn number(self) -> u64 {
        self as u64 + 1
    }

    fn of_number(number: u64) -> Self {
        Self::ALL.into_iter().find(|reason| reason.number() == number).unwrap_or(Self::Unknown)
    }
}

impl Denied {
    const ALL: [Self; 5] = [Self::Protocol, Self::Secret, Self::User, Self::Malformed, Self::Unknown];

    fn number(self) -> u64 {
        self as u64 + 1
    }

    fn of_number(number: u64) -> Self {
        Self::ALL.into_iter().find(|denied| denied.number() == number).unwrap_or(Self::Unknown)
    }
}

impl<'a> Reply<'a> {
    /// Reads the first reply of a datagram, and gives the rest.
    ///
    /// # Errors
    /// When it is none of a server's.
    pub fn decode(datagram: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (fields, body) = Fields::read(datagram)?;
        let (body, rest) = fields.split(body)?;
        let Fields { id, first, second, .. } = fields;
        let reply = match fields.type_ {
            types::CHALLENGE => {
                let both: [u8; 2 * PROOF_BYTES] = exactly(body)?;
                let (nonce, proof) = both.split_at(PROOF_BYTES);
                return Ok((Self::Challenge { nonce: exactly(nonce)?, proof: exactly(proof)? }, rest));
            }
            types::STATS_TEXT => return Ok((Self::Stats { id, text: body }, rest)),
            types::WELCOME => Self::Welcome { instance: first, settled_below: second },
            types::DENIED => Self::Denied(Denied::of_number(first)),
            types::ACCEPTED => Self::Accepted { id, settled: first == 1 },
            types::SETTLED => Self::Settled { below: id, first, last: second },
            types::NO_ROOM => Self::NoRoom { id, retry_after_ms: first },
            types::REFUSED => Self::Refused { id, reason: Reason::of_number(first) },
            types::FLUSHED => Self::Flushed { id, complete: first == 1 },
            types::PONG => Self::Pong { id },
            types::CLOSING => Self::Closing,
            _ => return Err(Malformed::Type),
        };
        nothing_after(body)?;
        Ok((reply, rest))
    }

    /// Appends the reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body: [&[u8]; 2] = [&[], &[]];
        let with = |type_, id, first| Fields { first, ..Fields::of(type_, id) };
        let mut fields = match self {
            Self::Challenge { nonce, proof } => {
                body = [nonce, proof];
                Fields::of(types::CHALLENGE, 0)
            }
            Self::Welcome { instance, settled_below } => {
                Fields { second: *settled_below, ..with(types::WELCOME, 0, *instance) }
            }
            Self::Denied(denied) => with(types::DENIED, 0, denied.number()),
            Self::Accepted { id, settled } => with(types::ACCEPTED, *id, u64::from(*settled)),
            Self::Settled { below, first, last } => {
                Fields { second: *last, ..with(types::SETTLED, *below, *first) }
            }
            Self::NoRoom { id, retry_after_ms } => with(types::NO_ROOM, *id, *retry_after_ms),
            Self::Refused { id, reason } => with(types::REFUSED, *id, reason.number()),
            Self::Flushed { id, complete } => with(types::FLUSHED, *id, u64::from(*complete)),
            Self::Pong { id } => Fields::of(types::PONG, *id),
            Self::Stats { id, text } => {
                body[0] = &text[..text.len().min(STATS_MAX_BYTES)];
                Fields::of(types::STATS_TEXT, *id)
            }
            Self::Closing => Fields::of(types::CLOSING, 0),
        };
        fields.length = u32::try_from(body[0].len() + body[1].len()).unwrap_or(u32::MAX);
        fields.write(out);
        body.iter().for_each(|part| out.extend_from_slice(part));
    }
}
