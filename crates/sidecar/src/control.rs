//! What a server and who started it say to each other: one message a packet, each way.
//!
//! The end of the file is a message too. To the server: no process of the tree is left, as each inherited the other end.
//! To who started it: the server is gone.

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Longest text in a message, bytes; what is beyond is cut.
const TEXT_MAX_BYTES: usize = 8 << 10;
/// Longest message, bytes: its number, one of eight bytes at most, and a text.
const MESSAGE_MAX_BYTES: usize = 1 + 8 + TEXT_MAX_BYTES;

const READY: u8 = 1;
const NOT_NEEDED: u8 = 2;
const FAILED: u8 = 3;
const STOPPED: u8 = 4;
const STOP: u8 = 16;

/// By a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// It serves from here on.
    Ready {
        /// Of the channel.
        protocol: u32,
        /// Of the program.
        version: String,
    },
    /// Another process serves; it ends.
    NotNeeded,
    /// It cannot serve, for this reason; it ends.
    Failed(String),
    /// What became of everything, as the last line of the agent; it ends.
    Stopped(String),
}

/// To a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// Deliver what is held, and end.
    Stop {
        /// In so many milliseconds.
        within_ms: u64,
    },
}

impl Said {
    /// Of this program.
    pub(crate) fn ready() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self::Ready { protocol: channel::frame::PROTOCOL.into(), version }
    }

    fn encode(&self) -> Vec<u8> {
        let (number, text) = match self {
            Self::Ready { protocol, version } => {
                let mut message = vec![READY];
                message.extend(protocol.to_le_bytes());
                message.extend(cut(version).as_bytes());
                return message;
            }
            Self::NotNeeded => (NOT_NEEDED, ""),
            Self::Failed(text) => (FAILED, text.as_str()),
            Self::Stopped(text) => (STOPPED, text.as_str()),
        };
        let mut message = vec![number];
        message.extend(cut(text).as_bytes());
        message
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let (number, rest) = message.split_first()?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(ToOwned::to_owned);
        match *number {
            READY => {
                let (protocol, version) = rest.split_first_chunk()?;
                Some(Self::Ready { protocol: u32::from_le_bytes(*protocol), version: text(version)? })
            }
            NOT_NEEDED => rest.is_empty().then_some(Self::NotNeeded),
            FAILED => text(rest).map(Self::Failed),
            STOPPED => text(rest).map(Self::Stopped),
            _ => None,
        }
    }
}

impl Told {
    fn encode(self) -> Vec<u8> {
        let Self::Stop { within_ms } = self;
        let mut message = vec![STOP];
        message.extend(within_ms.to_le_bytes());
        message
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let within_ms = message.strip_prefix(&[STOP])?.try_into().ok()?;
        Some(Self::Stop { within_ms: u64::from_le_bytes(within_ms) })
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX_BYTES)]
}

/// Both ends. Nobody inherits them over `exec`.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Says it, if anybody is there to hear it and has read what was said before.
pub(crate) fn say(control: impl AsFd, said: &Said) {
    send_now(control, &said.encode());
}

/// Tells it, if the server is there.
pub(crate) fn tell(control: impl AsFd, told: Told) {
    send_now(control, &told.encode());
}

fn send_now(control: impl AsFd, message: &[u8]) {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    while send(&control, message, flags) == Err(Errno::INTR) {}
}

/// The next order. `None` when nobody is left to give one.
///
/// # Errors
/// `WouldBlock` when there is none now; `InvalidData` for a message that is no order, which is gone.
pub(crate) fn hear(control: impl AsFd) -> io::Result<Option<Told>> {
    receive(control, Told::decode)
}

/// The next thing the server said. `None` when it is gone.
///
/// # Errors
/// As [`hear`].
pub(crate) fn heard(control: impl AsFd) -> io::Result<Option<Said>> {
    receive(control, Said::decode)
}

fn receive<T>(control: impl AsFd, decode: impl FnOnce(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    // A byte longer than any message, so that a longer one is seen.
    let mut buffer = [0; MESSAGE_MAX_BYTES + 1];
    let bytes = loop {
        match recv(&control, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((bytes, _)) => break bytes,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
            // Whatever it is, nothing will come any more.
            Err(_) => return Ok(None),
        }
    };
    match &buffer[..bytes] {
        [] => Ok(None),
        message => decode(message).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![".{0,40}", Just("é".repeat(TEXT_MAX_BYTES))]
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            (any::<u32>(), texts()).prop_map(|(protocol, version)| Said::Ready { protocol, version }),
            Just(Said::NotNeeded),
            texts().prop_map(Said::Failed),
            texts().prop_map(Said::Stopped),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard_but_for_what_is_too_long(said in said()) {
            let (server, owner) = pair().unwrap();
            say(&server, &said);
            let expected = match said {
                Said::Ready { protocol, version } => Said::Ready { protocol, version: cut(&version).to_owned() },
                Said::NotNeeded => Said::NotNeeded,
                Said::Failed(text) => Said::Failed(cut(&text).to_owned()),
                Said::Stopped(text) => Said::Stopped(cut(&text).to_owned()),
            };
            prop_assert_eq!(heard(&owner).unwrap(), Some(expected));
        }

        #[test]
        fn any_bytes_are_a_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(said) = Said::decode(&bytes) {
                prop_assert_eq!(said.encode(), bytes.clone());
            }
            if let Some(told) = Told::decode(&bytes) {
                prop_assert_eq!(told.encode(), bytes);
            }
        }

        #[test]
        fn an_order_arrives(within_ms in any::<u64>()) {
            let (server, owner) = pair().unwrap();
            tell(&owner, Told::Stop { within_ms });
            prop_assert_eq!(hear(&server).unwrap(), Some(Told::Stop { within_ms }));
        }
    }

    #[test]
    fn nothing_a_wrong_message_and_the_end_are_three_things() {
        let (server, owner) = pair().unwrap();
        assert_eq!(hear(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        send_now(&owner, &[0xff; 3]);
        send_now(&owner, &vec![0; MESSAGE_MAX_BYTES + 100]);
        assert_eq!(hear(&server).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(hear(&server).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(owner);
        assert_eq!(hear(&server).unwrap(), None);
    }
}
