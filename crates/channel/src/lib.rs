//! The channel between language runtimes and the one sidecar of their process tree: who meets where, who serves, who may
//! connect, and how a payload changes hands so that it is either answered for or still the sender's.
//!
//! Facts: sidecar.md, losses.md J and K. Nothing here knows telemetry, HTTP or C; what is served is a [`Service`].
//! Linux only so far: abstract names, memory files, record locks.
//!
//! ```no_run
//! # #[cfg(target_os = "linux")] {
//! # use lastlight_channel as sidecar;
//! use sidecar::{Answer, Client, ClientOptions, Flushing, Outgoing, Rendezvous, ServerOptions, Service, Serving, Submission};
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! struct Agent;
//! impl Service for Agent {
//!     fn submit(&self, submission: Submission<'_>) -> Answer { Answer::Accepted }
//!     fn flush(&self, deadline: Instant, flushing: Flushing) { flushing.done(true) }
//! }
//!
//! // Before the host forks: a listening socket and a secret, which every child inherits.
//! let rendezvous = Rendezvous::bind().expect("a socket");
//! // In the process that is to serve, now or later; `None` where another one does. Hosts with an event loop drive a `Server`.
//! let lock = rendezvous.try_serve().expect("nobody serves");
//! let serving = Serving::start(lock, Arc::new(Agent), ServerOptions::default()).expect("a thread");
//! // In any process of the tree, the serving one too. With a `Promote` it has a server started when there is none.
//! let mut client = Client::new(rendezvous, ClientOptions::default(), None);
//! let taken = client.submit(Outgoing { kind: 1, headers: &[], payload: b"spans" });
//! client.flush(Duration::from_secs(1));
//! client.close(Duration::from_secs(1));
//! serving.stop(Instant::now() + Duration::from_secs(1));
//! # }
//! ```
//!
//! # Who serves
//! Whoever holds the [`ServingLock`], a record lock on the listening socket (why, see [`Rendezvous`]). Everything else is
//! inherited: a child can connect, and serve, without finding anything. Where nobody serves, connections wait in the
//! backlog. After a death the lock is free at once; the next client that has a [`Promote`] calls it at its next call, or within
//! [`SERVER_CHECK_PERIOD`] in a call that waits, plus the pause after a lost connection. Of several that start servers the lock
//! decides.
//!
//! A [`Server`] has no thread: it is a descriptor and a [`Server::turn`], for any event loop, and what a turn costs does not grow
//! with clients that say nothing. [`Serving`] is the loop for hosts that have none.
//!
//! A connection outlives its server where the server's children inherited its end of it, so that no end of file tells of the
//! death (losses.md L129). A client whose answers are late asks the kernel who holds the lock, and connects anew when that
//! is not who took it in. Both sides `shutdown` what they end, since closing alone would not reach those children.
//!
//! # Who may connect
//! First the kernel's word: a process of the owner's user, of the server's, or root, or a descendant of the owner or the
//! server, whoever's. Who is none of these is refused without a word about the secret, and counted. When the owner is gone,
//! descent cannot be told any more, and the secret alone decides. Then both sides prove that they know the secret, without
//! sending it (`secret.rs`): a squatter of the name gets a nonce, and the client knows. What this does not keep out is a
//! process of the same user that can trace us: it can read the secret.
//!
//! # How a payload travels
//! Up to [`frame::INLINE_MAX_BYTES`], or less where the socket's buffer is small, in the datagram; above that in a memory
//! file that the client seals and the server *reads*, after having looked at its seals and its size; where memory files are
//! refused, in parts. One descriptor at most comes with a message, every one is owned when it arrives, and no length that a
//! peer says is allocated before as many bytes are there.
//!
//! # What is promised
//! - [`Client::submit`] makes system calls and never waits, but for its [`Promote`] where nobody serves. Without room it says so
//!   at once, and the payload is the caller's.
//! - What it took is sent until it is answered, over as many connections and servers as it takes, by the client's own calls (it
//!   has no thread). Not answered when the connection ended: sent again, marked as [`Submission::resent`], so a payload is
//!   accepted at least once, and twice only when a server died, or hung for [`ANSWER_MAX`], between taking it and answering.
//! - Accepted is not delivered: the client keeps a copy until the service drops the [`Settling`], that is when it was delivered,
//!   or dropped for a reason that was counted. A server that dies loses nothing of which a client has a copy: the next server
//!   gets all of it, marked, and nothing that the client knew to be settled. The same server never gets it twice, however often
//!   the client comes again; nor does anybody when the server said that it stops, and so sees through what it accepted.
//!   Which server is which, a number says that each draws by lot.
//! - Copies are bounded ([`RETAINED_MAX_BYTES`], and of descriptors [`FILES_MAX_COUNT`] with what is on its way): the oldest go
//!   first and are counted ([`ClientCounts::unretained`]). They are the client process's: what it had accepted by a server that
//!   is killed after the client's end, or by one that is killed after it said that it stops, is lost with that server.
//! - Six ends of connections or servers over one submission, and it is given up and counted: it may be what kills servers. From
//!   the second end on what was unanswered goes alone.
//! - What no longer has a client's process to send it is gone with that process; [`Client::close`] waits and counts. It also waits
//!   for the next server where copies are all that is left of what a dead one had accepted.
//! - Every wait has an end: handshakes, parts, answers on both sides, and every call that takes a time returns in it, however
//!   the other side hangs. [`Serving::stop`] too, which first answers what clients had sent.
//! - Who does not read its answers is not read, and closed after [`STALLED_MAX`]; what only tells that something has settled
//!   waits for as long as it takes, at most one datagram a turn, and is told at once however much it has become.
//! - A fork costs nothing and doubles nothing: state is of a process, by its number, and a child's copy is empty.
//! - Idle, nobody wakes up: a server's descriptor is silent and its next turn has no time unless somebody is late.
//!
//! # What it does not do
//! - A client that makes no calls notices nothing: its copies wait for its next call.
//! - Descriptors that the server's process holds when it forks (its ends of connections, a memory file that it is just reading)
//!   stay in the child until that ends: at most [`CONNECTIONS_MAX_COUNT`] and three. Closing them there needs a handler of
//!   `fork`, which has no safe call; a server on a thread with a table of descriptors of its own leaves none
//!   ([`Rendezvous::try_clone`]).
//! - A host that closes descriptors that are not its own takes ours with it. Each is known by its file's identity, so that
//!   what has its number by then is neither used nor closed ([`Descriptor`]). A client connects anew, by the name. That
//!   process can serve no more, nor tell who does; a server that has a table of descriptors of its own serves on.
//! - Processes that were not forked from the owner and got no [`Rendezvous::hand_over`] cannot connect.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod client;
mod counts;
mod descriptor;
pub mod frame;
mod memory_file;
mod peer;
mod rendezvous;
mod secret;
mod server;
mod service;
mod socket;

pub use client::{
    ANSWER_MAX, BACKOFF_FIRST, BACKOFF_MAX, Client, ClientOptions, FILES_MAX_COUNT, NotTaken,
    OUTSTANDING_MAX_BYTES, OUTSTANDING_MAX_COUNT, Outgoing, Promote, RETAINED_MAX_BYTES, SEND_BUFFER_BYTES,
    SERVER_CHECK_PERIOD, Trouble,
};
pub use counts::{ClientCounts, ServerCounts};
pub use descriptor::Descriptor;
pub use frame::{Denied, Headers, Reason};
pub use peer::{Owner, Peer};
pub use rendezvous::{BACKLOG_MAX_COUNT, Rendezvous, ServedBy, ServingLock};
pub use server::{
    CONNECTIONS_MAX_COUNT, HANDSHAKE_MAX, PARTS_MAX_BYTES, STALLED_MAX, Server, ServerOptions, Serving,
    Stopped, Turn,
};
pub use service::{Announced, Answer, Flushing, Service, Settling, Submission};
