//! The sockets that lines come in by, bound before anything slow and served by one stage, so that a stop drains
//! them side by side.

use super::listen::{self, Hearing, Listening};
use super::{DogStatsD, Framing, TransportBook};
use crate::config;
use crate::intake::TransportState;
use crate::intake::server::{self, Accepting, Connection};
use crate::logging::SayOnce;
use crate::settings;
use crate::transport::datagram::{DatagramOptions, Udp, UnixDatagram};
use crate::transport::{BindError, Transport, TransportName, Unix};
use lifecycle::Close;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Whom the advice of a bind error names.
const STREAM_VARIABLE: &str = "DD_DOGSTATSD_STREAM_SOCKET";

/// Bound sockets. The kernel queues what clients send.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    udp: Vec<Udp>,
    unix: Option<UnixDatagram>,
    stream: Option<Unix>,
}

impl Sockets {
    /// Binds what is configured, and says what could not be bound (losses.md L56: that is never the end of it).
    pub(crate) fn bind(config: &config::DogStatsD) -> (Self, Vec<BindError>) {
        let mut errors = Vec::new();
        let mut sockets = Self::default();
        if !config.enabled {
            return (sockets, errors);
        }
        let options =
            |dual_stack| DatagramOptions { receive_buffer_bytes: config.receive_buffer_bytes, dual_stack };
        for wanted in &config.udp {
            // The other family of a port that could not be had would hear half of the clients.
            if wanted.optional && !errors.is_empty() {
                continue;
            }
            let bound = Udp::bind(wanted.address, &options(wanted.address.ip().is_unspecified()));
            let bound = match (bound, wanted.fallback) {
                // There is no such family here. A taken port would be taken for half of the clients only.
                (Err(error), Some(fallback)) if error.error.kind() != io::ErrorKind::AddrInUse => {
                    Udp::bind(fallback, &options(false))
                }
                (bound, _) => bound,
            };
            match bound {
                Ok(socket) => sockets.udp.push(socket),
                Err(error) if wanted.optional => log::debug!("{error}"),
                Err(error) => errors.push(error),
            }
        }
        if let Some(address) = &config.socket {
            match UnixDatagram::bind(&settings::unix_address(address), &options(false)) {
                Ok(socket) => sockets.unix = Some(socket),
                Err(error) => errors.push(error),
            }
        }
        if let Some(address) = &config.stream_socket {
            match Unix::bind_for(&settings::unix_address(address), STREAM_VARIABLE) {
                Ok(socket) => sockets.stream = Some(socket),
                Err(error) => errors.push(error),
            }
        }
        (sockets, errors)
    }

    /// Whether anything is bound.
    pub(crate) fn is_empty(&self) -> bool {
        self.udp.is_empty() && self.unix.is_none() && self.stream.is_none()
    }

    /// Where UDP clients reach the agent first.
    pub(crate) fn udp_address(&self) -> Option<SocketAddr> {
        self.udp.first().map(Udp::address)
    }

    /// What is bound.
    pub(crate) fn names(&self) -> Vec<TransportName> {
        use crate::transport::datagram::Datagrams as _;
        let datagrams = self.udp.iter().map(|udp| udp.name().clone());
        let unix = self.unix.iter().map(|unix| unix.name().clone());
        let stream = self.stream.iter().map(|stream| stream_name(stream.name()));
        datagrams.chain(unix).chain(stream).collect()
    }

    /// Books for each, in the order of [`Sockets::names`].
    pub(crate) fn books(&self) -> Vec<Arc<TransportBook>> {
        self.names().into_iter().map(|name| Arc::new(TransportBook::new(name))).collect()
    }
}

/// A stream socket is no receiver of traces, and is called apart.
fn stream_name(name: &TransportName) -> TransportName {
    TransportName { kind: "unix_stream", address: name.address.clone() }
}

/// Serves every socket, as one stage: it ends when it is asked to close and all of them are drained, or when one
/// of them died, which the stack notices.
pub(crate) async fn serve(
    sockets: Sockets,
    dogstatsd: Arc<DogStatsD>,
    config: config::DogStatsD,
    accepting: Accepting,
    say: Arc<SayOnce>,
    hearing: Hearing,
    close: Close,
) {
    let mut books = dogstatsd.transports.iter().map(Arc::clone);
    let listening = |book, eol_required| Listening {
        dogstatsd: Arc::clone(&dogstatsd),
        book,
        framing: Framing { eol_required },
        datagram_max_bytes: config.datagram_max_bytes,
        say: Arc::clone(&say),
        _hearing: hearing.clone(),
    };
    let mut served: JoinSet<()> = JoinSet::new();
    // Boxed: a task of each type would be code of its own.
    let mut serve = |listener: Connection| drop(served.spawn(listener));
    for (udp, book) in sockets.udp.into_iter().zip(books.by_ref()) {
        let pause_max = Some(listen::pause_max(udp.receive_buffer_bytes()));
        let listening = listening(book, config.eol_required.udp);
        serve(Box::pin(listen::datagrams(udp, listening, pause_max, close.clone())));
    }
    for (unix, book) in sockets.unix.into_iter().zip(books.by_ref()) {
        let listening = listening(book, config.eol_required.uds);
        serve(Box::pin(listen::datagrams(unix, listening, None, close.clone())));
    }
    for (stream, book) in sockets.stream.into_iter().zip(books) {
        let state = Arc::new(TransportState::new(book.name.clone()));
        let framing = Framing { eol_required: config.eol_required.uds };
        let (dogstatsd, hearing, max_bytes) =
            (Arc::clone(&dogstatsd), hearing.clone(), config.datagram_max_bytes);
        let connection = move |stream, close| {
            let (dogstatsd, book) = (Arc::clone(&dogstatsd), Arc::clone(&book));
            listen::frames(stream, dogstatsd, book, framing, max_bytes, hearing.clone(), close)
        };
        serve(Box::pin(server::listen(stream, state, accepting.clone(), connection, close.clone())));
    }
    tokio::select! {
        () = async { while served.join_next().await.is_some() && close.is_requested() {} } => {}
        () = close.abandoned() => {}
    }
    served.shutdown().await;
    // Only now: without a sender left, whoever serves connections, and whoever waits for what they bring, is done.
    drop((accepting, hearing));
}
