//! What a client keeps until it has settled, and what becomes of it when its server ends. The server is driven by the test, and
//! dropping it looks to clients as if it had been killed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use lastlight_channel as sidecar;
use sidecar::frame::{Carried, Message, Reply};
use sidecar::{
    Answer, Client, ClientOptions, Flushing, Headers, Rendezvous, Server, ServerOptions, Service, Settling,
    Submission,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Raw, WAIT_MAX, bytes, outgoing, soon};

/// Accepts everything but what it has no room for, and settles nothing by itself.
#[derive(Default)]
struct Holder {
    /// Payload, whether it was sent before.
    accepted: Mutex<Vec<(Vec<u8>, bool)>>,
    held: Mutex<BTreeMap<u64, Settling>>,
    /// Answers [`Answer::NoRoom`], and settles nonetheless, so often.
    no_room: Mutex<usize>,
}

impl Holder {
    fn settle(&self, ids: impl IntoIterator<Item = u64>) {
        ids.into_iter().for_each(|id| drop(self.held.lock().unwrap().remove(&id).unwrap()));
    }

    fn taken(&self) -> Vec<(Vec<u8>, bool)> {
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

impl Service for Holder {
    fn submit(&self, submission: Submission<'_>) -> Answer {
        let mut no_room = self.no_room.lock().unwrap();
        if *no_room > 0 {
            *no_room -= 1;
            return Answer::NoRoom { retry_after: Duration::ZERO };
        }
        self.accepted.lock().unwrap().push((submission.payload.into_owned(), submission.resent));
        self.held.lock().unwrap().insert(submission.id, submission.settling);
        Answer::Accepted
    }

    fn flush(&self, _deadline: Instant, flushing: Flushing) {
        self.held.lock().unwrap().clear();
        flushing.done(true);
    }
}

struct Driven {
    service: Arc<Holder>,
    server: Server,
}

impl Driven {
    fn new(rendezvous: &Arc<Rendezvous>) -> Self {
        let service = Arc::new(Holder::default());
        let lock = rendezvous.try_serve().unwrap();
        let theirs = Arc::clone(&service) as Arc<dyn Service>;
        Self { service, server: Server::new(lock, theirs, ServerOptions::default()).unwrap() }
    }

    /// Both go on until it is so.
    fn until(&mut self, client: &mut Client, is_so: impl Fn(&Client) -> bool) {
        let end = soon();
        loop {
            client.pump();
            assert!(!self.server.turn().is_lost);
            if is_so(client) {
                return;
            }
            assert!(Instant::now() < end, "it does not come: {client:?}");
        }
    }

    fn send(&mut self, client: &mut Client, payloads: &[Vec<u8>]) {
        for payload in payloads {
            client.submit(outgoing(payload)).unwrap();
        }
        self.until(client, |client| client.counts().waiting == 0);
    }
}

fn payloads(count: usize, length: usize) -> Vec<Vec<u8>> {
    (0..count).map(|seed| bytes(seed, length + seed)).collect()
}

fn by(rendezvous: &Arc<Rendezvous>, options: ClientOptions) -> Client {
    Client::new(Arc::clone(rendezvous), options, None)
}

fn resent(payloads: &[Vec<u8>]) -> Vec<(Vec<u8>, bool)> {
    payloads.iter().map(|payload| (payload.clone(), true)).collect()
}

#[test]
fn l129_what_a_dead_server_had_not_settled_goes_to_the_next_one_marked_and_nothing_else_does() {
    for (options, length) in [
        (ClientOptions::default(), 100),
        (ClientOptions::default(), 90_000),
        (ClientOptions { files_max_count: 0, ..ClientOptions::default() }, 90_000),
        // Copies give up their descriptors for what is new.
        (ClientOptions { files_max_count: 1, outstanding_max_count: 1, ..ClientOptions::default() }, 90_000),
    ] {
        let rendezvous = Rendezvous::bind().unwrap();
        let mut client = by(&rendezvous, options);
        let mut former = Driven::new(&rendezvous);
        let sent = payloads(10, length);
        for payload in &sent {
            former.send(&mut client, std::slice::from_ref(payload));
        }
        let counts = client.counts();
        assert_eq!((counts.accepted, counts.retained, counts.unretained), (10, 10, 0));
        // In any order, and each is told.
        former.service.settle([3]);
        former.until(&mut client, |client| client.counts().retained == 9);
        former.service.settle([9, 1, 7]);
        former.until(&mut client, |client| client.counts().retained == 6);
        assert_eq!(former.server.counts().settled, 4);
        drop(former);
        let mut next = Driven::new(&rendezvous);
        next.until(&mut client, |client| client.counts().taken_back > 0 && client.counts().waiting == 0);
        let left: Vec<_> = [2, 4, 5, 6, 8, 10].iter().map(|id| sent[id - 1].clone()).collect();
        assert_eq!(next.service.taken(), resent(&left));
        let counts = client.counts();
        assert_eq!((counts.submitted, counts.accepted, counts.taken_back, counts.retained), (10, 10, 6, 6));
        assert_eq!((counts.lost, counts.unretained, counts.resent), (0, 0, 0));
        // And so does the one after that, until it has settled.
        next.service.settle([2, 4]);
        next.until(&mut client, |client| client.counts().retained == 4);
        drop(next);
        let mut last = Driven::new(&rendezvous);
        last.until(&mut client, |client| client.counts().taken_back == 10 && client.counts().waiting == 0);
        assert_eq!(last.service.taken(), resent(&left[2..]));
        last.service.settle([5, 6, 8, 10]);
        last.until(&mut client, |client| client.counts().retained == 0);
        drop(last);
        let mut idle = Driven::new(&rendezvous);
        idle.until(&mut client, |client| client.counts().connected == 4);
        assert_eq!((idle.service.taken(), client.counts().taken_back), (Vec::new(), 10));
    }
}

#[test]
fn l129_what_was_not_sent_to_the_dead_server_is_new_to_the_next() {
    let rendezvous = Rendezvous::bind().unwrap();
    let mut client = by(&rendezvous, ClientOptions::default());
    let mut former = Driven::new(&rendezvous);
    let sent = payloads(6, 100);
    former.send(&mut client, &sent[..3]);
    drop(former);
    for payload in &sent[3..5] {
        client.submit(outgoing(payload)).unwrap();
    }
    let mut next = Driven::new(&rendezvous);
    next.send(&mut client, &sent[5..]);
    next.until(&mut client, |client| client.counts().accepted == 6);
    let mut expected = resent(&sent[..3]);
    expected.extend(sent[3..].iter().map(|payload| (payload.clone(), false)));
    let mut taken = next.service.taken();
    taken.sort_by_key(|(payload, _)| payload.len());
    assert_eq!(taken, expected);
}

#[test]
fn l133_after_a_graceful_stop_nothing_that_was_accepted_is_sent_again() {
    let rendezvous = Rendezvous::bind().unwrap();
    let mut client = by(&rendezvous, ClientOptions::default());
    let mut former = Driven::new(&rendezvous);
    let sent = payloads(5, 100);
    former.send(&mut client, &sent[..4]);
    assert_eq!(client.counts().retained, 4);
    // On its way when the server stops.
    client.submit(outgoing(&sent[4])).unwrap();
    let Driven { service, server } = former;
    let stopped = server.stop(soon());
    assert_eq!((stopped.in_time, stopped.counts.accepted, stopped.counts.settled), (true, 5, 0));
    // The service sees it through, after its server.
    service.settle(1..=5);
    let mut next = Driven::new(&rendezvous);
    next.until(&mut client, |client| client.counts().connected == 2);
    assert_eq!(next.service.taken(), []);
    let counts = client.counts();
    assert_eq!((counts.accepted, counts.taken_back, counts.resent, counts.retained), (5, 0, 0, 0));
}

#[test]
fn l140_coming_again_to_the_same_server_doubles_nothing_and_what_settled_meanwhile_is_forgotten() {
    let rendezvous = Rendezvous::bind().unwrap();
    let options = ClientOptions { answer_max: Duration::from_millis(100), ..ClientOptions::default() };
    let mut client = by(&rendezvous, options);
    let mut driven = Driven::new(&rendezvous);
    let sent = payloads(6, 100);
    driven.send(&mut client, &sent);
    driven.service.settle([1, 2, 4]);
    // It hangs for longer than the client waits for an answer.
    assert!(!client.ping(Duration::from_millis(250)));
    assert_eq!(client.counts().disconnected, 1);
    driven.until(&mut client, |client| client.counts().connected == 2 && client.counts().retained == 3);
    driven.service.settle([6]);
    driven.until(&mut client, |client| client.counts().retained == 2);
    assert_eq!(driven.service.taken().len(), 6, "each once");
    driven.service.settle([3, 5]);
    // Told over the connection that is there by then.
    driven.until(&mut client, |client| client.counts().retained == 0);
    let counts = client.counts();
    assert_eq!((counts.accepted, counts.taken_back, counts.resent, counts.unretained), (6, 0, 0, 0));
    // All of it settled while nobody was connected: it is known at the welcome.
    driven.send(&mut client, &sent[..2]);
    assert!(!client.ping(Duration::from_millis(250)));
    driven.until(&mut client, |client| client.counts().connected == 3);
    assert_eq!(client.counts().retained, 2);
    assert_eq!(driven.server.counts().settled, 6);
}

#[test]
fn l150_copies_are_bounded_the_oldest_go_first_and_are_counted() {
    let rendezvous = Rendezvous::bind().unwrap();
    let options = ClientOptions { retained_max_bytes: 10_000, ..ClientOptions::default() };
    let mut client = by(&rendezvous, options);
    let mut former = Driven::new(&rendezvous);
    let sent = payloads(30, 900);
    former.send(&mut client, &sent);
    // Bigger than all of it together.
    former.send(&mut client, &[bytes(1, 11_000)]);
    let counts = client.counts();
    assert_eq!((counts.accepted, counts.retained + counts.unretained), (31, 31));
    assert_eq!(counts.retained, 10, "900 bytes and some, 10 times");
    drop(former);
    let mut next = Driven::new(&rendezvous);
    next.until(&mut client, |client| client.counts().taken_back > 0 && client.counts().waiting == 0);
    assert_eq!(next.service.taken(), resent(&sent[20..]));
    // And none at all.
    let mut bare = by(&rendezvous, ClientOptions { retained_max_bytes: 0, ..options });
    next.send(&mut bare, &sent[..3]);
    assert_eq!((bare.counts().retained, bare.counts().unretained), (0, 3));
}

#[test]
fn what_settles_with_accepting_is_never_kept() {
    let service = support::Recorder::taking_all();
    let (rendezvous, serving) = support::serve(&service);
    let mut client = support::client(&rendezvous);
    for seed in 0..50 {
        client.submit(outgoing(&bytes(seed, 100))).unwrap();
        assert!(client.settle(WAIT_MAX));
        assert_eq!(client.counts().retained, 0);
    }
    let counts = serving.stop(soon()).unwrap().counts;
    assert_eq!((counts.accepted, counts.settled, client.counts().unretained), (50, 50, 0));
}

#[test]
fn who_had_no_room_for_it_settles_nothing() {
    let rendezvous = Rendezvous::bind().unwrap();
    let mut client = by(&rendezvous, ClientOptions::default());
    let mut driven = Driven::new(&rendezvous);
    *driven.service.no_room.lock().unwrap() = 3;
    driven.send(&mut client, &payloads(2, 100));
    assert_eq!((driven.service.taken().len(), client.counts().retained), (2, 2));
    assert_eq!((driven.server.counts().no_room, driven.server.counts().settled), (3, 0));
}

#[test]
fn a_flush_and_a_close_wait_for_the_next_server_when_copies_are_all_there_is() {
    for closes in [false, true] {
        let rendezvous = Rendezvous::bind().unwrap();
        let mut client = by(&rendezvous, ClientOptions::default());
        let mut former = Driven::new(&rendezvous);
        let sent = payloads(4, 100);
        former.send(&mut client, &sent);
        drop(former);
        let next = Arc::new(Holder::default());
        let lock = rendezvous.try_serve().unwrap();
        let theirs = Arc::clone(&next) as Arc<dyn Service>;
        let _serving = sidecar::Serving::start(lock, theirs, ServerOptions::default()).unwrap();
        if closes {
            let counts = client.close(WAIT_MAX);
            assert_eq!((counts.accepted, counts.retained, counts.taken_back), (4, 4, 4));
        } else {
            assert!(client.flush(WAIT_MAX));
            support::until(|| {
                client.pump();
                client.counts().retained == 0
            });
        }
        assert_eq!(next.taken(), resent(&sent));
    }
}

#[test]
fn notices_of_one_turn_are_one_datagram_and_wait_for_who_does_not_read() {
    let rendezvous = Rendezvous::bind().unwrap();
    let service = Arc::new(Holder::default());
    let lock = rendezvous.try_serve().unwrap();
    let options = ServerOptions { stalled_max: Duration::from_millis(1), ..ServerOptions::default() };
    let mut server = Server::new(lock, Arc::clone(&service) as Arc<dyn Service>, options).unwrap();
    let raw = std::thread::scope(|scope| {
        let raw = scope.spawn(|| Raw::proven(&rendezvous));
        while !raw.is_finished() {
            server.turn();
        }
        raw.join().unwrap()
    });
    let submit = |id| {
        let payload = Carried::Inline(b"x");
        raw.say(&Message::Submit { id, kind: 1, resent: false, headers: Headers::default(), payload });
    };
    (1..=3).for_each(submit);
    server.turn();
    assert_eq!(raw.next(), [1, 2, 3].map(|id| format!("Accepted {{ id: {id}, settled: false }}")));
    service.settle([2, 1, 3]);
    server.turn();
    assert_eq!(raw.next(), [format!("Settled {{ below: {}, first: 0, last: 0 }}", u64::MAX)]);
    // Far more notices than the socket takes, and nobody reads: that is no offence.
    let count = 2000;
    for id in 10..10 + count {
        submit(id);
        server.turn();
        raw.next();
    }
    // The first stays, so that each of the others is a notice of its own.
    for id in (12..10 + count).step_by(2) {
        service.settle([id]);
        let turn = server.turn();
        assert_eq!(turn.next, None);
    }
    assert_eq!((server.turn().next, server.counts().timeouts), (None, 0));
    let (mut told, mut datagrams) = (BTreeSet::new(), 0);
    while told.len() < count as usize / 2 - 1 {
        server.turn();
        let mut buffer = [0; 1 << 15];
        let length = raw.receive(&mut buffer).unwrap();
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let (reply, after) = Reply::decode(rest).unwrap();
            rest = after;
            let Reply::Settled { below: 10, first, last } = reply else { panic!("{reply:?}") };
            assert!((first..=last).all(|id| told.insert(id)), "told twice: {reply:?}");
        }
        datagrams += 1;
    }
    assert!(told.into_iter().eq((12..10 + count).step_by(2)));
    assert!(datagrams < count / 2 - 1, "those that had to wait came together");
    // It is served as before.
    raw.say(&Message::Ping { id: 1 });
    server.turn();
    assert_eq!(raw.next(), ["Pong { id: 1 }"]);
}

#[test]
fn what_six_ends_of_connections_left_unanswered_is_given_up_and_from_the_second_on_goes_alone() {
    let rendezvous = Rendezvous::bind().unwrap();
    let mut client = by(&rendezvous, ClientOptions::default());
    let mut first = Driven::new(&rendezvous);
    first.until(&mut client, |client| client.counts().connected == 1);
    let sent = payloads(2, 100);
    for payload in &sent {
        client.submit(outgoing(payload)).unwrap();
    }
    // Gone before it has read them.
    drop(first);
    for ends in 2..=6 {
        let mut driven = Driven::new(&rendezvous);
        support::until(|| {
            client.pump();
            driven.server.turn();
            // It is through with the handshake, and sends behind its proof.
            driven.server.counts().submitted == 0 && client.connect(Duration::ZERO)
        });
        assert_eq!((client.counts().lost, client.counts().waiting), (0, 2), "{ends}");
        drop(driven);
        client.pump();
        let counts = client.counts();
        let lost = if ends == 6 { 1 } else { 0 };
        assert_eq!((counts.lost, counts.waiting), (lost, 2 - lost), "{ends} ends");
    }
    // The first went alone from its second end on, so the other one has ended fewer.
    let mut last = Driven::new(&rendezvous);
    last.until(&mut client, |client| client.counts().waiting == 0);
    assert_eq!(last.service.taken(), resent(&sent[1..]));
    assert_eq!((client.counts().accepted, client.counts().lost), (1, 1));
}
