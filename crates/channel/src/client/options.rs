//! Bounds of a client, and what it says.

use crate::frame::Denied;
use crate::rendezvous::Rendezvous;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Submissions without an answer; one more is [`NotTaken::NoRoom`]. A worker that does nothing but answer makes some five in a
/// millisecond, so this is a server that others keep from running for 200 ms; the bytes are bounded by themselves.
pub const OUTSTANDING_MAX_COUNT: usize = 1024;
/// Their bytes, in memory and memory files. One submission that is bigger is taken when there is no other.
pub const OUTSTANDING_MAX_BYTES: usize = 8 << 20;
/// Memory files, of those and of copies: each is a descriptor of the host.
pub const FILES_MAX_COUNT: usize = 16;
/// Bytes of copies of what was accepted and has not settled, in memory and memory files.
pub const RETAINED_MAX_BYTES: usize = 1 << 20;
/// Asked for each connection's send buffer, bytes; the kernel may give less.
pub const SEND_BUFFER_BYTES: usize = 512 << 10;
/// How long an answer is awaited before it is asked whether the server still lives, and how often after that. Within it,
/// and the time of one backoff, a dead server is replaced by whoever may.
pub const SERVER_CHECK_PERIOD: Duration = Duration::from_millis(100);
/// How long an answer of a living server is awaited before another connection is tried.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The first pause before a connection is tried again; each further one is twice as long.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest pause.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Has somebody serve: called when nobody does, with pauses as between connections for as long as no server is of use.
/// Several processes may call theirs at once, and the [`crate::ServingLock`] decides. It returns in bounded time, for which the client's
/// call waits; it may take the lock for a server of this process.
pub type Promote = Box<dyn FnMut(&Arc<Rendezvous>) -> io::Result<()> + Send>;

/// Bounds of a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// [`OUTSTANDING_MAX_COUNT`].
    pub outstanding_max_count: usize,
    /// [`OUTSTANDING_MAX_BYTES`].
    pub outstanding_max_bytes: usize,
    /// [`FILES_MAX_COUNT`]; 0 where memory files are refused, which is also found out.
    pub files_max_count: usize,
    /// [`RETAINED_MAX_BYTES`]. The oldest copies go first, and are counted as [`crate::ClientCounts::unretained`]. With 0 what was
    /// accepted is the server's alone.
    pub retained_max_bytes: usize,
    /// [`SEND_BUFFER_BYTES`].
    pub send_buffer_bytes: usize,
    /// [`crate::HANDSHAKE_MAX`].
    pub handshake_max: Duration,
    /// [`ANSWER_MAX`].
    pub answer_max: Duration,
    /// [`BACKOFF_FIRST`].
    pub backoff_first: Duration,
    /// [`BACKOFF_MAX`].
    pub backoff_max: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            outstanding_max_count: OUTSTANDING_MAX_COUNT,
            outstanding_max_bytes: OUTSTANDING_MAX_BYTES,
            files_max_count: FILES_MAX_COUNT,
            retained_max_bytes: RETAINED_MAX_BYTES,
            send_buffer_bytes: SEND_BUFFER_BYTES,
            handshake_max: crate::server::HANDSHAKE_MAX,
            answer_max: ANSWER_MAX,
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
        }
    }
}

/// A payload on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What it is, by an agreement of client and service.
    pub kind: u16,
    /// Beside the payload: see [`crate::frame::HEADERS_MAX_BYTES`] and [`crate::frame::HEADERS_MAX_COUNT`].
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// At most [`crate::frame::PAYLOAD_MAX_BYTES`].
    pub payload: &'a [u8],
}

/// Why a payload was not taken. It is the caller's, and was counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotTaken {
    /// Too much has no answer yet.
    NoRoom {
        /// Not before.
        retry_after: Duration,
    },
    /// Over [`crate::frame::PAYLOAD_MAX_BYTES`].
    TooBig,
    /// Headers over their bounds.
    Headers,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// Nobody serves, or nobody answered in time.
    NoServer,
    /// More wait for the server than may.
    Busy,
    /// Whoever has the name does not know the secret.
    Squatted,
    /// The server does not serve us.
    Denied(Denied),
    /// The connection ended.
    Lost,
    /// The server stopped.
    Stopped,
    /// An error of the system, by its number.
    System(i32),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer => f.write_str("no sidecar answers"),
            Self::Busy => f.write_str("too many wait for the sidecar"),
            Self::Squatted => f.write_str("the sidecar's socket is somebody else's"),
            Self::Denied(why) => write!(f, "the sidecar does not serve this process: {why:?}"),
            Self::Lost => f.write_str("the connection to the sidecar was lost"),
            Self::Stopped => f.write_str("the sidecar stopped"),
            Self::System(number) => {
                write!(f, "no connection to the sidecar: {}", io::Error::from_raw_os_error(*number))
            }
        }
    }
}
