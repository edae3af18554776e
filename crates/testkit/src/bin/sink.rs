//! `testkit-sink`: a bare HTTP server that reads bodies and throws them away, and a bare UDP socket whose
//! datagrams are read and thrown away. The limits of any agent.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lexopt::prelude::*;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt},
};
use std::{
    convert::Infallible,
    io::IoSliceMut,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};

const USAGE: &str = "\
testkit-sink [--port PORT] [--udp PORT]

Takes HTTP requests on 127.0.0.1. With --udp it takes datagrams instead, listens for connections only so that its start
can be seen, and prints how many datagrams and bytes came when it is told to stop.";

/// Datagrams of one call.
const CALL_DATAGRAMS: usize = 64;
/// Longest datagram.
const DATAGRAM_MAX_BYTES: usize = 8192;
/// What is asked for; the system may allow less.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// How soon a silent socket notices the stop.
const LOOK_UP: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let done = parse().and_then(|ports| match ports {
        Some((port, None)) => serve(port),
        Some((port, Some(udp))) => discard_datagrams(port, udp),
        None => Ok(()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testkit-sink: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The port of the HTTP server, and that of the UDP socket.
type Ports = (u16, Option<u16>);

fn parse() -> Result<Option<Ports>, Box<dyn std::error::Error>> {
    let mut port = 0;
    let mut udp = None;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => port = arguments.value()?.parse()?,
            Long("udp") => udp = Some(arguments.value()?.parse()?),
            Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some((port, udp)))
}

#[tokio::main]
async fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?.port());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(async move {
                        let service = hyper::service::service_fn(discard);
                        let http = hyper::server::conn::http1::Builder::new();
                        // A connection that ends badly is the load generator's to report.
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    });
                }
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => return Ok(()),
        }
    }
}

async fn discard(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}

static STOPPED: AtomicBool = AtomicBool::new(false);

fn discard_datagrams(port: u16, udp: u16) -> Result<(), Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, udp))?;
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES)?;
    }
    socket.set_read_timeout(Some(LOOK_UP))?;
    // Waits for the stop, and answers whoever asks whether this has started.
    let waiting = thread::spawn(move || {
        let result = serve(port).map_err(|error| error.to_string());
        STOPPED.store(true, Ordering::Relaxed);
        result
    });
    let mut memory = vec![0; CALL_DATAGRAMS * DATAGRAM_MAX_BYTES];
    let (mut datagrams, mut bytes) = (0_u64, 0_u64);
    while !STOPPED.load(Ordering::Relaxed) {
        let mut slices: Vec<_> =
            memory.chunks_mut(DATAGRAM_MAX_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(CALL_DATAGRAMS, None);
        match recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_WAITFORONE, None) {
            Ok(messages) => {
                for message in messages {
                    datagrams += 1;
                    bytes += message.bytes as u64;
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    println!("{}", serde_json::json!({ "datagrams": datagrams, "bytes": bytes }));
    waiting.join().map_err(|_| "the listener's thread panicked")?.map_err(Into::into)
}
