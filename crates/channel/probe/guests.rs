//! Programs that were not forked: a stranger, and a server that got the rendezvous over a socket.

use crate::tree::Log;
use lastlight_channel::frame::{Message, PROTOCOL, Reply};
use lastlight_channel::{Rendezvous, ServerOptions, Serving};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with,
};
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// `knock NAME`: greets whoever has the name, and prints the type of the reply.
pub(crate) fn knock(arguments: &[&str]) {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let socket = socket.expect("a socket");
    let name = SocketAddrUnix::new_abstract_name(arguments[0].as_bytes()).expect("a name");
    connect(&socket, &name).expect("somebody listens");
    let mut hello = Vec::new();
    Message::Hello { protocol: PROTOCOL, client: 1, nonce: [1; 32] }.encode(&mut hello);
    send(&socket, &hello, SendFlags::NOSIGNAL).ok();
    let mut buffer = [0; 4096];
    let mut read = || recv(&socket, &mut buffer[..], RecvFlags::empty()).map(|(length, _)| length);
    // A reset is said before what was sent.
    let length = read().or_else(|_| read()).unwrap_or(0);
    match Reply::decode(&buffer[..length]) {
        Ok((Reply::Challenge { .. }, _)) => println!("challenge"),
        Ok((reply, _)) => println!("{reply:?}"),
        Err(_) => println!("nothing"),
    }
}

/// `serve LOG`: takes a rendezvous over standard input, serves it, says so, and stops when standard input ends.
pub(crate) fn serve(arguments: &[&str]) {
    let within = Instant::now() + Duration::from_secs(30);
    let rendezvous = Rendezvous::take_over(std::io::stdin(), within).expect("a rendezvous");
    let lock = rendezvous.wait_to_serve(within).expect("nobody else serves");
    let log = Arc::new(Log::open(arguments[0]));
    let serving = Serving::start(lock, log, ServerOptions::default()).expect("a thread");
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
    let stopped = serving.stop(Instant::now() + Duration::from_secs(30)).expect("our server");
    println!("stopped in_time={} accepted={}", stopped.in_time, stopped.counts.accepted);
}
