//! One process, one server, clients: what is said and what is counted.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use lastlight_channel as sidecar;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use sidecar::frame::{Carried, INLINE_MAX_BYTES, Message, PAYLOAD_MAX_BYTES, PROTOCOL};
use sidecar::{
    Answer, Client, ClientOptions, Headers, NotTaken, Outgoing, Reason, Rendezvous, Server, ServerOptions,
    Trouble,
};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use support::{Raw, Recorder, WAIT_MAX, bytes, client, outgoing, serve, serve_at, serve_with, soon, until};

fn with(options: ClientOptions, rendezvous: &Arc<Rendezvous>) -> Client {
    Client::new(Arc::clone(rendezvous), options, None)
}

#[test]
fn what_was_submitted_arrives_by_every_way() {
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let by_parts = ClientOptions { files_max_count: 0, ..ClientOptions::default() };
    let lengths = [0, 1, 1000, INLINE_MAX_BYTES, INLINE_MAX_BYTES + 1, 1 << 20, 5 << 20];
    for mut client in [client(&rendezvous), with(by_parts, &rendezvous)] {
        for (seed, length) in lengths.into_iter().enumerate() {
            let payload = bytes(seed, length);
            client.submit(outgoing(&payload)).unwrap();
            assert!(client.flush(WAIT_MAX));
            assert_eq!(service.accepted.lock().unwrap().pop(), Some((1, payload)));
        }
        let counts = client.close(WAIT_MAX);
        let sent = lengths.len() as u64;
        assert_eq!((counts.submitted, counts.accepted, counts.lost), (sent, sent, 0));
        assert_eq!((counts.connected, counts.resent), (1, 0));
    }
    let stopped = serving.stop(soon()).unwrap();
    assert!(stopped.in_time);
    assert_eq!(stopped.counts.accepted, 2 * lengths.len() as u64);
    assert_eq!(stopped.counts.accepted_bytes, 2 * lengths.iter().sum::<usize>() as u64);
    assert_eq!((stopped.counts.clients, stopped.counts.malformed), (2, 0));
}

#[test]
fn headers_arrive_and_their_bounds_are_kept() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    let service = Recorder::new(move |submission| {
        let list = submission.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
        theirs.lock().unwrap().push((submission.kind, list.collect::<Vec<_>>()));
        Answer::Accepted
    });
    let (rendezvous, _serving) = serve(&service);
    for options in
        [ClientOptions::default(), ClientOptions { files_max_count: 0, ..ClientOptions::default() }]
    {
        let mut client = with(options, &rendezvous);
        let value = bytes(3, 8000);
        let headers: &[(&[u8], &[u8])] = &[(b"a", b""), (b"content-type", &value)];
        for payload in [&b"x"[..], &bytes(1, 100_000)] {
            client.submit(Outgoing { kind: 513, headers, payload }).unwrap();
        }
        assert!(client.flush(WAIT_MAX));
        let list = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>();
        let expected = (513, list);
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [expected.clone(), expected]);
        let long = bytes(3, 9000);
        let over = Outgoing { kind: 1, headers: &[(b"a", &long)], payload: b"" };
        assert_eq!(client.submit(over), Err(NotTaken::Headers));
        let many = [(&b"a"[..], &b"b"[..]); 33];
        assert_eq!(client.submit(Outgoing { headers: &many, ..over }), Err(NotTaken::Headers));
        let big = vec![0; PAYLOAD_MAX_BYTES + 1];
        assert_eq!(client.submit(outgoing(&big)), Err(NotTaken::TooBig));
        assert_eq!((client.counts().submitted, client.counts().not_taken), (2, 3));
    }
}

#[test]
fn l136_what_a_small_send_buffer_does_not_take_goes_another_way() {
    let service = Recorder::taking_all();
    let (rendezvous, _serving) = serve(&service);
    for files_max_count in [16, 0] {
        let options = ClientOptions { send_buffer_bytes: 1, files_max_count, ..ClientOptions::default() };
        let mut client = with(options, &rendezvous);
        for (seed, length) in [100, 3000, 20_000, INLINE_MAX_BYTES, 300_000].into_iter().enumerate() {
            let payload = bytes(seed, length);
            client.submit(outgoing(&payload)).unwrap();
            assert!(client.flush(WAIT_MAX), "{length} bytes: {:?}", client.last_trouble());
            assert_eq!(service.accepted.lock().unwrap().pop(), Some((1, payload)));
        }
        assert_eq!((client.counts().connected, client.counts().disconnected), (1, 0));
    }
}

#[test]
fn no_room_is_an_answer_and_the_client_comes_again() {
    let refusals = AtomicUsize::new(0);
    let service = Recorder::new(move |_| {
        if refusals.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            Answer::Accepted
        } else {
            Answer::NoRoom { retry_after: Duration::from_millis(2) }
        }
    });
    let (rendezvous, serving) = serve(&service);
    let mut client = client(&rendezvous);
    for seed in 0..10 {
        client.submit(outgoing(&bytes(seed, 100))).unwrap();
    }
    // Asked for only when the server has all of it.
    assert!(client.flush(WAIT_MAX));
    assert_eq!(client.counts().accepted, 10);
    let counts = client.close(WAIT_MAX);
    assert_eq!((counts.submitted, counts.accepted, counts.lost, counts.resent), (10, 10, 0, 0));
    assert_eq!(counts.no_room_answers, 20);
    let server = serving.stop(soon()).unwrap().counts;
    assert_eq!((server.submitted, server.accepted, server.no_room), (30, 10, 20));
    assert_eq!(service.count(), 10);
}

#[test]
fn refused_for_good_is_counted_on_both_sides_and_not_sent_again() {
    let service = Recorder::new(|submission| match submission.kind {
        1 => Answer::Accepted,
        _ => Answer::Refused(Reason::Kind),
    });
    let (rendezvous, serving) = serve(&service);
    let mut client = client(&rendezvous);
    client.submit(outgoing(b"a")).unwrap();
    client.submit(Outgoing { kind: 2, headers: &[], payload: b"b" }).unwrap();
    assert!(client.flush(WAIT_MAX));
    assert_eq!(client.last_refusal(), Some(Reason::Kind));
    let counts = client.close(WAIT_MAX);
    assert_eq!((counts.accepted, counts.refused, counts.lost), (1, 1, 0));
    let server = serving.stop(soon()).unwrap().counts;
    assert_eq!((server.submitted, server.accepted, server.refused), (2, 1, 1));
}

#[test]
fn l124_l139_a_panic_of_the_service_is_an_answer_and_costs_no_place() {
    let service = Recorder::new(|submission| {
        assert_ne!(submission.kind, 2, "as the test wants it");
        Answer::Accepted
    });
    let options = ServerOptions { connections_max_count: 2, ..ServerOptions::default() };
    let (rendezvous, serving) = serve_with(&service, options);
    for _ in 0..8 {
        let mut client = client(&rendezvous);
        client.submit(Outgoing { kind: 2, headers: &[], payload: b"b" }).unwrap();
        client.submit(outgoing(&bytes(1, 100_000))).unwrap();
        assert!(client.flush(WAIT_MAX));
        assert_eq!(client.last_refusal(), Some(Reason::Panicked));
        assert_eq!(client.close(WAIT_MAX).accepted, 1);
    }
    let server = serving.stop(soon()).unwrap().counts;
    assert_eq!((server.panics, server.refused, server.accepted, server.clients), (8, 8, 8, 8));
}

#[test]
fn submitting_never_waits_and_says_at_once_that_there_is_no_room() {
    // Nobody serves, so nothing is ever answered.
    let rendezvous = Rendezvous::bind().unwrap();
    let options = ClientOptions {
        outstanding_max_count: 8,
        outstanding_max_bytes: 100_000,
        ..ClientOptions::default()
    };
    let mut client = with(options, &rendezvous);
    for seed in 0..8 {
        client.submit(outgoing(&bytes(seed, 10))).unwrap();
    }
    let full = client.submit(outgoing(b"one more"));
    assert!(matches!(full, Err(NotTaken::NoRoom { retry_after }) if !retry_after.is_zero()));
    let mut other = with(ClientOptions { outstanding_max_count: 1000, ..options }, &rendezvous);
    let taken = (0..100).take_while(|seed| other.submit(outgoing(&bytes(*seed, 9000))).is_ok()).count();
    assert_eq!(taken, 11, "100,000 bytes and not more");
    assert_eq!(other.counts().no_room, 1);
    assert_eq!(client.counts().waiting, 8);
    let counts = client.close(Duration::from_millis(20));
    assert_eq!((counts.submitted, counts.lost, counts.no_room, counts.waiting), (8, 8, 1, 0));
    // A whole window's bytes are one submission's when there is no other.
    let mut single = with(options, &rendezvous);
    assert!(single.submit(outgoing(&bytes(1, 1 << 20))).is_ok());
    assert!(single.submit(outgoing(b"x")).is_err());
}

#[test]
fn what_was_submitted_before_there_was_a_server_arrives() {
    let rendezvous = Rendezvous::bind().unwrap();
    let mut clients: Vec<_> = (0..20).map(|_| client(&rendezvous)).collect();
    for (seed, client) in clients.iter_mut().enumerate() {
        client.submit(outgoing(&bytes(seed, 100))).unwrap();
    }
    let service = Recorder::taking_all();
    let serving = serve_at(&rendezvous, &service, ServerOptions::default());
    for client in clients {
        let counts = client.close(WAIT_MAX);
        // In the backlog, and not refused.
        assert_eq!((counts.accepted, counts.disconnected), (1, 0));
    }
    assert_eq!(serving.stop(soon()).unwrap().counts.clients, 20);
}

#[test]
fn a_flush_ends_when_the_service_says_so() {
    let service = Recorder::taking_all();
    *service.flushes.lock().unwrap() = Some(Vec::new());
    let (rendezvous, _serving) = serve(&service);
    let mut client = client(&rendezvous);
    client.submit(outgoing(b"x")).unwrap();
    let flushed = std::thread::spawn(move || client.flush(WAIT_MAX));
    let take = || service.flushes.lock().unwrap().as_mut().and_then(Vec::pop);
    let mut held = None;
    until(|| {
        held = take();
        held.is_some()
    });
    // Others are served meanwhile.
    assert!(support::client(&rendezvous).ping(WAIT_MAX));
    assert!(!flushed.is_finished());
    held.unwrap().done(true);
    assert!(flushed.join().unwrap());
}

#[test]
fn l147_a_flush_returns_by_its_deadline_when_the_service_never_does() {
    let service = Recorder::taking_all();
    *service.flushes.lock().unwrap() = Some(Vec::new());
    let (rendezvous, _serving) = serve(&service);
    let mut client = client(&rendezvous);
    let began = Instant::now();
    assert!(!client.flush(Duration::from_millis(50)));
    assert!(began.elapsed() < WAIT_MAX);
    // A question is not the answer to a later one.
    assert!(client.ping(WAIT_MAX));
    assert_eq!(client.counts().connected, 1);
}

/// Holds up the server's thread until it is told to go on.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn pass(&self) {
        let passed = self.0.lock().unwrap();
        drop(self.1.wait_timeout_while(passed, WAIT_MAX, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[test]
fn l128_l147_every_call_returns_by_its_deadline_when_the_server_hangs() {
    let gate = Arc::new(Gate::default());
    let theirs = Arc::clone(&gate);
    let is_hanging = Arc::new(AtomicBool::new(false));
    let hangs = Arc::clone(&is_hanging);
    let service = Recorder::new(move |_| {
        hangs.store(true, Ordering::Release);
        theirs.pass();
        Answer::Accepted
    });
    let (rendezvous, serving) = serve(&service);
    let mut first = client(&rendezvous);
    assert!(first.connect(WAIT_MAX));
    first.submit(outgoing(b"x")).unwrap();
    until(|| is_hanging.load(Ordering::Acquire));
    let short = Duration::from_millis(30);
    assert!(!first.flush(short) && !first.ping(short) && first.stats(short).is_none());
    for seed in 0..10 {
        first.submit(outgoing(&bytes(seed, 10))).unwrap();
    }
    let mut second = client(&rendezvous);
    assert!(!second.connect(short) && !second.ping(short));
    second.submit(outgoing(b"y")).unwrap();
    assert_eq!(second.close(short).lost, 1);
    // The owner's exit is not held up either.
    let stopped = serving.stop(Instant::now() + short).unwrap();
    assert!(!stopped.in_time);
    assert!(rendezvous.try_serve().is_none(), "the thread still serves");
    gate.open();
    let counts = first.close(WAIT_MAX);
    // Answered before the server went, however late it was read.
    assert_eq!((counts.submitted, counts.accepted, counts.lost), (11, 11, 0));
    assert!(rendezvous.wait_to_serve(soon()).is_some());
}

#[test]
fn l128_a_stop_answers_what_was_sent_and_leaves_the_rest_to_the_next_server() {
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let mut connected: Vec<_> = (0..10).map(|_| client(&rendezvous)).collect();
    for client in &mut connected {
        assert!(client.ping(WAIT_MAX));
        for seed in 0..5 {
            client.submit(outgoing(&bytes(seed, 50_000))).unwrap();
        }
    }
    // Connected clients, and one that says nothing, hold nothing up.
    let _idle = Raw::proven(&rendezvous);
    let stopped = serving.stop(soon()).unwrap();
    assert!(stopped.in_time);
    assert_eq!((stopped.counts.accepted, stopped.counts.answers_lost), (50, 0));
    let next = Recorder::taking_all();
    let serving = serve_at(&rendezvous, &next, ServerOptions::default());
    for mut client in connected {
        client.submit(outgoing(b"after")).unwrap();
        let counts = client.close(WAIT_MAX);
        assert_eq!((counts.submitted, counts.accepted, counts.resent, counts.lost), (6, 6, 0, 0));
    }
    assert_eq!(serving.stop(soon()).unwrap().counts.accepted, 10);
}

#[test]
fn l147_who_does_not_read_its_answers_is_not_read_and_then_closed() {
    let service = Recorder::taking_all();
    let options = ServerOptions { stalled_max: Duration::from_millis(50), ..ServerOptions::default() };
    let (rendezvous, serving) = serve_with(&service, options);
    let raw = Raw::proven(&rendezvous);
    let payload = Carried::Inline(b"x");
    let message = Message::Submit { id: 1, kind: 1, resent: false, headers: Headers::default(), payload };
    rustix::net::sockopt::set_socket_timeout(
        &raw.socket,
        rustix::net::sockopt::Timeout::Send,
        Some(WAIT_MAX),
    )
    .unwrap();
    let mut sent = 0;
    while serving.counts().timeouts == 0 {
        raw.say(&message);
        sent += 1;
        assert!(sent < 10_000_000);
    }
    assert!(client(&rendezvous).ping(WAIT_MAX));
    let counts = serving.stop(soon()).unwrap().counts;
    assert!(counts.answers_lost > 0);
    assert_eq!(counts.timeouts, 1);
    assert!(raw.receive(&mut [0; 1 << 15]).is_some(), "what was answered before");
}

#[test]
fn l147_a_handshake_that_does_not_go_on_is_closed() {
    let service = Recorder::taking_all();
    let options = ServerOptions { handshake_max: Duration::from_millis(40), ..ServerOptions::default() };
    let (rendezvous, serving) = serve_with(&service, options);
    let silent = Raw::connect(&rendezvous);
    let greeted = Raw::connect(&rendezvous);
    greeted.say(&Message::Hello { protocol: PROTOCOL, client: 1, nonce: [1; 32] });
    assert_eq!(silent.rest().len(), 0);
    assert_eq!(greeted.rest().len(), 1, "a challenge and the end");
    until(|| serving.counts().timeouts == 2);
    assert_eq!(serving.counts().clients, 0);
}

#[test]
fn l147_a_payload_that_does_not_go_on_is_closed() {
    let service = Recorder::taking_all();
    let options = ServerOptions { stalled_max: Duration::from_millis(40), ..ServerOptions::default() };
    let (rendezvous, serving) = serve_with(&service, options);
    let raw = Raw::proven(&rendezvous);
    let payload = Carried::Part { total: 100, offset: 0, part: b"x" };
    raw.say(&Message::Submit { id: 1, kind: 1, resent: false, headers: Headers::default(), payload });
    assert_eq!(raw.rest().len(), 0);
    let counts = serving.counts();
    assert_eq!((counts.timeouts, counts.broken_off, counts.submitted), (1, 1, 0));
}

#[test]
fn parts_of_many_share_one_bound() {
    let service = Recorder::taking_all();
    let options = ServerOptions { parts_max_bytes: 50_000, ..ServerOptions::default() };
    let (rendezvous, serving) = serve_with(&service, options);
    let part = bytes(1, 30_000);
    let begin = |raw: &Raw, offset| {
        let payload = Carried::Part { total: 60_000, offset, part: &part };
        raw.say(&Message::Submit { id: 1, kind: 1, resent: false, headers: Headers::default(), payload });
    };
    let (first, second) = (Raw::proven(&rendezvous), Raw::proven(&rendezvous));
    begin(&first, 0);
    first.say(&Message::Ping { id: 2 });
    assert_eq!(first.next(), ["Pong { id: 2 }"]);
    begin(&second, 0);
    begin(&second, 30_000);
    assert!(second.next()[0].starts_with("NoRoom { id: 1"));
    drop(first);
    until(|| serving.counts().broken_off == 1);
    let payload = Carried::Part { total: 30_000, offset: 0, part: &part };
    second.say(&Message::Submit { id: 3, kind: 1, resent: false, headers: Headers::default(), payload });
    assert_eq!(second.next(), ["Accepted { id: 3, settled: true }"]);
}

#[test]
fn what_is_counted_can_be_asked_for() {
    let service = Recorder::taking_all();
    let (rendezvous, _serving) = serve(&service);
    let mut client = client(&rendezvous);
    client.submit(outgoing(b"x")).unwrap();
    let text = client.stats(WAIT_MAX).unwrap();
    assert!(text.contains("clients 1\n") && text.contains("\naccepted 1\n"), "{text}");
    assert!(text.ends_with("service_accepted 1\n"), "{text}");
}

#[test]
fn one_thread_of_a_process_serves() {
    let rendezvous = Rendezvous::bind().unwrap();
    let lock = rendezvous.try_serve().unwrap();
    let others: Vec<_> = (0..8)
        .map(|_| {
            let rendezvous = Arc::clone(&rendezvous);
            std::thread::spawn(move || rendezvous.try_serve().is_some())
        })
        .collect();
    assert!(others.into_iter().all(|other| !other.join().unwrap()));
    assert_eq!(rendezvous.server(), sidecar::ServedBy::Us);
    drop(lock);
    assert_eq!(rendezvous.server(), sidecar::ServedBy::Nobody);
    assert!(rendezvous.try_serve().is_some());
}

#[test]
fn a_lock_of_a_thread_with_descriptors_of_its_own_is_ours_and_still_the_only_one() {
    let rendezvous = Rendezvous::bind().unwrap();
    let (taken, may_end) = (std::sync::mpsc::sync_channel(1), std::sync::mpsc::sync_channel::<()>(1));
    let theirs = rendezvous.try_clone().unwrap();
    let flags = rustix::io::fcntl_getfd(theirs.listener()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        let lock = theirs.try_serve().unwrap();
        taken.0.send(()).unwrap();
        may_end.1.recv_timeout(WAIT_MAX).unwrap_err();
        drop(lock);
    });
    taken.1.recv_timeout(WAIT_MAX).unwrap();
    assert_eq!(rendezvous.server(), sidecar::ServedBy::Us);
    assert!(rendezvous.try_serve().is_none());
    // What shares no memory with it has the kernel's word alone.
    let apart = support::handed_over(&rendezvous);
    assert_eq!(apart.server(), sidecar::ServedBy::Us);
    assert!(apart.try_serve().is_none());
    // Descriptors that are closed here are not the thread's.
    drop(apart);
    assert!(support::handed_over(&rendezvous).try_serve().is_none());
    drop(may_end.0);
    thread.join().unwrap();
    assert_eq!(rendezvous.server(), sidecar::ServedBy::Nobody);
    assert!(rendezvous.try_serve().is_some());
}

/// Whether a turn has something to do.
fn is_readable(server: &Server) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(server, PollFlags::IN)], Some(&now)) == Ok(1)
}

/// The descriptors that the kernel looks at for it.
fn registered(server: &Server) -> Vec<i32> {
    let info = format!("/proc/self/fdinfo/{}", server.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(info).unwrap();
    let numbers = text.lines().filter_map(|line| line.strip_prefix("tfd:"));
    numbers.map(|rest| rest.split_ascii_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Turns until nothing is to be done now.
fn turns(server: &mut Server) -> Option<Instant> {
    let end = soon();
    loop {
        let turn = server.turn();
        assert!(!turn.is_lost && Instant::now() < end);
        match turn.next {
            Some(at) if at <= Instant::now() => {}
            next if !is_readable(server) => return next,
            _ => {}
        }
    }
}

#[test]
fn a_server_is_driven_by_its_descriptor_and_waits_for_nothing() {
    let service = Recorder::taking_all();
    *service.flushes.lock().unwrap() = Some(Vec::new());
    let rendezvous = Rendezvous::bind().unwrap();
    let mut clients: Vec<_> = (0..40).map(|_| client(&rendezvous)).collect();
    clients.iter_mut().for_each(Client::pump);
    let lock = rendezvous.try_serve().unwrap();
    let mut server = Server::new(lock, Arc::clone(&service) as Arc<_>, ServerOptions::default()).unwrap();
    assert!(is_readable(&server), "somebody connected before there was a server");
    // Handshakes are to be over in time.
    assert!(turns(&mut server).is_some());
    clients.iter_mut().for_each(Client::pump);
    assert_eq!(turns(&mut server), None, "nobody is late, so nothing wakes it");
    assert_eq!(server.counts().clients, 40);
    let turn = server.turn();
    assert_eq!((turn.next, turn.is_lost), (None, false));
    for (seed, client) in clients.iter_mut().enumerate() {
        client.submit(outgoing(&bytes(seed, 100))).unwrap();
    }
    assert!(is_readable(&server));
    turns(&mut server);
    clients.iter_mut().for_each(Client::pump);
    assert!(clients.iter().all(|client| client.counts().accepted == 1));
    // A flush has a deadline, and its end comes from elsewhere.
    assert!(!clients[0].flush(Duration::from_millis(1)));
    turns(&mut server);
    let flushing = service.flushes.lock().unwrap().as_mut().and_then(Vec::pop).unwrap();
    assert!(!is_readable(&server));
    flushing.done(true);
    assert!(is_readable(&server));
    assert_eq!(turns(&mut server), None);
    // Who leaves is forgotten, by the kernel too, even where a child has copies of its descriptors, which stay open.
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let copy = |number: &i32| pidfd_getfd(&ourselves, *number, PidfdGetfdFlags::empty()).unwrap();
    let copies: Vec<_> = registered(&server).iter().map(copy).collect();
    assert_eq!(copies.len(), 40 + 2);
    clients.truncate(5);
    turns(&mut server);
    assert_eq!(registered(&server).len(), 5 + 2);
    // But for that of the listener, which would cost the lock if it were closed here.
    std::mem::forget(copies);
    clients[0].submit(outgoing(b"last")).unwrap();
    let stopped = server.stop(soon());
    assert_eq!((stopped.in_time, stopped.counts.accepted), (true, 41));
    assert_eq!(rendezvous.server(), sidecar::ServedBy::Nobody);
    clients[0].pump();
    assert_eq!((clients[0].counts().accepted, clients[0].counts().resent), (2, 0));
}

#[test]
fn a_lock_that_another_process_took_is_found_lost_at_the_next_connection() {
    let service = Recorder::taking_all();
    let rendezvous = Rendezvous::bind().unwrap();
    let lock = rendezvous.try_serve().unwrap();
    let mut server = Server::new(lock, service, ServerOptions::default()).unwrap();
    // A host that closes a descriptor of the listener costs us the lock.
    drop(rendezvous.try_clone().unwrap());
    let apart = support::handed_over(&rendezvous);
    let (taken, may_end) = (std::sync::mpsc::sync_channel(1), std::sync::mpsc::sync_channel::<()>(1));
    let other = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        let lock = apart.try_serve();
        taken.0.send(lock.is_some()).unwrap();
        may_end.1.recv_timeout(WAIT_MAX).unwrap_err();
    });
    assert_eq!(taken.1.recv_timeout(WAIT_MAX), Ok(true));
    assert!(!server.turn().is_lost, "nobody came");
    let mut late = client(&rendezvous);
    late.pump();
    assert!(server.turn().is_lost);
    assert!(server.stop(soon()).in_time);
    drop(may_end.0);
    other.join().unwrap();
    // Who came waits for the next one.
    let next = Recorder::taking_all();
    let _serving = serve_at(&rendezvous, &next, ServerOptions::default());
    assert!(late.ping(WAIT_MAX));
}

#[test]
fn l127_the_servers_thread_blocks_every_signal() {
    let service = Recorder::taking_all();
    let (rendezvous, _serving) = serve(&service);
    assert!(client(&rendezvous).ping(WAIT_MAX));
    let mut blocked = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        if status.starts_with("Name:\tlastlight-serve\n") {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
            blocked.push(u64::from_str_radix(mask, 16).unwrap());
        }
    }
    assert!(!blocked.is_empty());
    // But for SIGKILL and SIGSTOP, which cannot be, and the two that glibc keeps.
    let all = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);
    assert!(blocked.iter().all(|mask| mask & all == all), "{blocked:x?}");
}

#[test]
fn l130_an_owner_that_executes_itself_anew_binds_beside_its_former_life() {
    let former = Rendezvous::bind().unwrap();
    let now = Rendezvous::bind().unwrap();
    assert_ne!(former.name(), now.name());
    let service = Recorder::taking_all();
    let _serving = serve_at(&now, &service, ServerOptions::default());
    assert!(client(&now).ping(WAIT_MAX));
    let mut old = client(&former);
    assert!(!old.ping(Duration::from_millis(20)), "nobody serves the former life's name");
    let _old = serve_at(&former, &service, ServerOptions::default());
    assert!(old.ping(WAIT_MAX));
}

#[test]
fn what_a_client_had_sent_when_it_was_killed_is_read_to_its_end() {
    let rendezvous = Rendezvous::bind().unwrap();
    let lock = rendezvous.try_serve().unwrap();
    let service = Recorder::taking_all();
    let mut server = Server::new(lock, Arc::clone(&service) as Arc<_>, ServerOptions::default()).unwrap();
    let theirs = Arc::clone(&rendezvous);
    let connecting = std::thread::spawn(move || {
        let mut client = client(&theirs);
        assert!(client.ping(WAIT_MAX));
        client
    });
    until(|| {
        server.turn();
        connecting.is_finished()
    });
    let mut client = connecting.join().unwrap();
    // More than is read in one turn, after which its answers find nobody.
    (0..200).for_each(|_| assert!(client.submit(outgoing(b"x")).is_ok()));
    drop(client);
    for _ in 0..50 {
        server.turn();
    }
    assert_eq!(service.count(), 200);
}

#[test]
fn l145_reconnecting_pauses_longer_and_longer() {
    let rendezvous = Rendezvous::bind().unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    let promote = move |_: &Arc<Rendezvous>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Err(std::io::Error::other("as the test wants it"))
    };
    let options = ClientOptions {
        outstanding_max_count: 64,
        handshake_max: Duration::from_millis(1),
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        ..ClientOptions::default()
    };
    let mut client = Client::new(rendezvous, options, Some(Box::new(promote)));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(600) {
        client.submit(outgoing(b"x")).ok();
    }
    let tries = client.counts().disconnected;
    // At least 10, 20, 40, 80, 100, 100 ms and so on lie between them, on any machine.
    assert!((2..=10).contains(&tries), "{tries} connections");
    assert!(starts.load(Ordering::Relaxed) <= tries as usize + 1);
    assert!(matches!(client.last_trouble(), Some(Trouble::NoServer | Trouble::System(_))));
    assert_eq!(client.counts().submitted, 64);
}

#[test]
fn l145_servers_are_started_with_pauses_while_none_is_of_use() {
    let rendezvous = Rendezvous::bind().unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    // It says that it started one, and nobody serves.
    let promote = move |_: &Arc<Rendezvous>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let options = ClientOptions { backoff_first: Duration::from_secs(1), ..ClientOptions::default() };
    let mut client = Client::new(rendezvous, options, Some(Box::new(promote)));
    // Nobody answers, which is looked at ten times a second.
    assert!(!client.connect(Duration::from_millis(900)));
    let starts = starts.load(Ordering::Relaxed);
    assert!((1..=2).contains(&starts), "{starts} starts");
    assert_eq!(client.counts().promoted, starts as u64);
}
