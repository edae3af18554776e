//! A service that remembers, and peers that do not keep to the protocol.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "all of this is test code")]

use lastlight_channel as sidecar;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recv, sendmsg, socket_with, socketpair,
};
use sidecar::frame::{Message, PROTOCOL, Reply};
use sidecar::{
    Answer, Client, ClientOptions, Flushing, Outgoing, Rendezvous, ServerOptions, Service, Serving,
    Submission,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bound of each wait. Nothing here takes that long; a hang does.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

pub type Decide = Box<dyn FnMut(&Submission<'_>) -> Answer + Send>;

/// Remembers what it accepted.
pub struct Recorder {
    pub accepted: Mutex<Vec<(u16, Vec<u8>)>>,
    pub decide: Mutex<Decide>,
    /// Flushes that are not answered; `None` answers them at once.
    pub flushes: Mutex<Option<Vec<Flushing>>>,
}

impl Recorder {
    pub fn new(decide: impl FnMut(&Submission<'_>) -> Answer + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            accepted: Mutex::default(),
            decide: Mutex::new(Box::new(decide)),
            flushes: Mutex::default(),
        })
    }

    pub fn taking_all() -> Arc<Self> {
        Self::new(|_| Answer::Accepted)
    }

    pub fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }
}

impl Service for Recorder {
    fn submit(&self, submission: Submission<'_>) -> Answer {
        // Poisoned by the panics that tests want.
        let mut decide = self.decide.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let answer = decide(&submission);
        if answer == Answer::Accepted {
            let taken = (submission.kind, submission.payload.into_owned());
            self.accepted.lock().unwrap().push(taken);
        }
        answer
    }

    fn flush(&self, _deadline: Instant, flushing: Flushing) {
        match &mut *self.flushes.lock().unwrap() {
            Some(held) => held.push(flushing),
            None => flushing.done(true),
        }
    }

    fn stats(&self) -> String {
        format!("service_accepted {}\n", self.count())
    }
}

pub fn serve(service: &Arc<Recorder>) -> (Arc<Rendezvous>, Serving) {
    serve_with(service, ServerOptions::default())
}

pub fn serve_with(service: &Arc<Recorder>, options: ServerOptions) -> (Arc<Rendezvous>, Serving) {
    let rendezvous = Rendezvous::bind().unwrap();
    let serving = serve_at(&rendezvous, service, options);
    (rendezvous, serving)
}

pub fn serve_at(rendezvous: &Arc<Rendezvous>, service: &Arc<Recorder>, options: ServerOptions) -> Serving {
    let lock = rendezvous.try_serve().expect("nobody serves");
    Serving::start(lock, Arc::clone(service) as Arc<dyn Service>, options).unwrap()
}

pub fn client(rendezvous: &Arc<Rendezvous>) -> Client {
    Client::new(Arc::clone(rendezvous), ClientOptions::default(), None)
}

pub fn outgoing(payload: &[u8]) -> Outgoing<'_> {
    Outgoing { kind: 1, headers: &[], payload }
}

/// So many bytes, different for each seed.
pub fn bytes(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ seed ^ (at >> 8)) as u8).collect()
}

pub fn soon() -> Instant {
    Instant::now() + WAIT_MAX
}

/// Waits for what no descriptor tells.
pub fn until(mut condition: impl FnMut() -> bool) {
    let end = soon();
    while !condition() {
        assert!(Instant::now() < end, "it does not come");
        std::thread::yield_now();
    }
}

/// A connection that says what it likes.
pub struct Raw {
    pub socket: OwnedFd,
    secret: [u8; 32],
    name: Vec<u8>,
}

impl Raw {
    pub fn connect(rendezvous: &Rendezvous) -> Self {
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let name = rendezvous.name().to_vec();
        connect(&socket, &SocketAddrUnix::new_abstract_name(&name).unwrap()).unwrap();
        Self { socket, secret: secret(rendezvous), name }
    }

    /// One that knows the secret.
    pub fn proven(rendezvous: &Rendezvous) -> Self {
        let raw = Self::connect(rendezvous);
        raw.say(&Message::Hello { protocol: PROTOCOL, client: 7, nonce: [7; 32] });
        let mut buffer = [0; 1024];
        let length = raw.receive(&mut buffer).expect("a challenge");
        let (Reply::Challenge { nonce, .. }, _) = Reply::decode(&buffer[..length]).unwrap() else {
            panic!("no challenge");
        };
        raw.say(&Message::Proof { proof: raw.proof(b'c', [7; 32], nonce) });
        let length = raw.receive(&mut buffer).expect("a welcome");
        assert!(matches!(Reply::decode(&buffer[..length]).unwrap().0, Reply::Welcome { .. }));
        raw
    }

    /// Written anew from the words of `secret.rs`.
    pub fn proof(&self, role: u8, client: [u8; 32], server: [u8; 32]) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.secret);
        let statement = [&[role][..], &PROTOCOL.to_le_bytes(), &client, &server, &self.name].concat();
        ring::hmac::sign(&key, &statement).as_ref().try_into().unwrap()
    }

    pub fn say(&self, message: &Message<'_>) {
        self.send(&encoded(message), &[]);
    }

    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        // The server may have hung up over the last one.
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).ok();
    }

    /// A datagram; `None` at the end of the connection.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        let bound = Timespec { tv_sec: WAIT_MAX.as_secs() as i64, tv_nsec: 0 };
        let count = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&bound)).unwrap();
        assert_eq!(count, 1, "the server does not answer");
        match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => None,
            Ok((length, _)) => Some(length),
            // Something of ours was not read; what was sent comes after.
            Err(_) => match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) if length > 0 => Some(length),
                _ => None,
            },
        }
    }

    /// All replies up to the end of the connection, as text.
    pub fn rest(&self) -> Vec<String> {
        let mut replies = Vec::new();
        let mut buffer = [0; 1 << 15];
        while let Some(length) = self.receive(&mut buffer) {
            replies.extend(each(&buffer[..length]));
        }
        replies
    }

    /// The replies of the next datagram, as text.
    pub fn next(&self) -> Vec<String> {
        let mut buffer = [0; 1 << 15];
        self.receive(&mut buffer).map_or_else(Vec::new, |length| each(&buffer[..length]))
    }
}

fn each(mut datagram: &[u8]) -> Vec<String> {
    let mut replies = Vec::new();
    while !datagram.is_empty() {
        let (reply, rest) = Reply::decode(datagram).unwrap();
        replies.push(format!("{reply:?}"));
        datagram = rest;
    }
    replies
}

pub fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// Two ends over which a rendezvous can be handed.
pub fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// The same rendezvous as a program has it that is started: nothing but the kernel tells it who serves.
pub fn handed_over(rendezvous: &Rendezvous) -> Arc<Rendezvous> {
    let (ours, theirs) = pair();
    rendezvous.hand_over(ours.as_fd()).unwrap();
    Rendezvous::take_over(&theirs, soon()).unwrap()
}

/// As a program learns it that is started.
pub fn secret(rendezvous: &Rendezvous) -> [u8; 32] {
    let (ours, theirs) = pair();
    rendezvous.hand_over(ours.as_fd()).unwrap();
    let mut buffer = [0; 512];
    recv(&theirs, &mut buffer[..], RecvFlags::empty()).unwrap();
    buffer[20..52].try_into().unwrap()
}
