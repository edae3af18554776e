//! Peers that do not keep to the protocol, before and after they have proven that they know the secret.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use lastlight_channel as sidecar;
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::pwrite;
use sidecar::frame::{Carried, MESSAGE_MAX_BYTES, Message, PAYLOAD_MAX_BYTES, PROTOCOL};
use sidecar::{Answer, Headers, ServerOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use support::{Raw, Recorder, WAIT_MAX, client, encoded, outgoing, serve, serve_with, soon, until};

const ALL_SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

fn submit(payload: Carried<'_>) -> Vec<u8> {
    encoded(&Message::Submit { id: 9, kind: 1, resent: false, headers: Headers::default(), payload })
}

fn file(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let file = memfd_create("hostile", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    pwrite(&file, bytes, 0).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn l123_l125_a_file_that_is_not_what_it_should_be_is_refused_and_the_server_lives() {
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let raw = Raw::proven(&rendezvous);
    let refused = ["Refused { id: 9, reason: Payload }"];
    let message = |bytes| submit(Carried::Descriptor { bytes });
    let unsealed = file(b"12345", SealFlags::empty());
    raw.send(&message(5), &[unsealed.as_fd()]);
    ftruncate(&unsealed, 0).unwrap();
    assert_eq!(raw.next(), refused);
    raw.send(&message(5), &[file(b"12345", ALL_SEALS - SealFlags::SHRINK).as_fd()]);
    assert_eq!(raw.next(), refused);
    for declared in [0, 4, 6, PAYLOAD_MAX_BYTES as u64] {
        raw.send(&message(declared), &[file(b"12345", ALL_SEALS).as_fd()]);
        assert_eq!(raw.next(), refused, "{declared}");
    }
    // Nothing, a pipe that never ends, a directory, the socket itself.
    raw.send(&message(5), &[]);
    assert_eq!(raw.next(), refused);
    let (reader, _writer) = std::io::pipe().unwrap();
    let folder = std::fs::File::open("/").unwrap();
    for other in [reader.as_fd(), folder.as_fd(), raw.socket.as_fd()] {
        raw.send(&message(5), &[other]);
        assert_eq!(raw.next(), refused);
    }
    raw.send(&message(5), &[file(b"12345", ALL_SEALS).as_fd()]);
    assert_eq!(raw.next(), ["Accepted { id: 9, settled: true }"]);
    let counts = serving.stop(soon()).unwrap().counts;
    assert_eq!((counts.accepted, counts.refused, counts.submitted, counts.malformed), (1, 10, 11, 0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how the process finds out which of the two it is")]
fn l148_no_descriptor_is_left_whatever_comes_with_what() {
    // Other tests of this process open descriptors of their own, so the processes are two.
    const MARK: &str = "LASTLIGHT_TEST_ALONE";
    if std::env::var_os(MARK).is_none() {
        let name = "l148_no_descriptor_is_left_whatever_comes_with_what";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name, "--nocapture"]).env(MARK, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let options = ServerOptions { handshake_max: Duration::from_millis(20), ..ServerOptions::default() };
    let service = Recorder::new(|_| Answer::Accepted);
    let (rendezvous, serving) = serve_with(&service, options);
    assert!(client(&rendezvous).ping(WAIT_MAX));
    let connections = |serving: &sidecar::Serving| {
        let counts = serving.counts();
        counts.malformed + counts.timeouts
    };
    let before = descriptors();
    let fds = || (0..30).map(|_| file(b"x", ALL_SEALS)).collect::<Vec<_>>();
    let mut ended = 0;
    for round in 0..40 {
        for (is_proven, bytes, count) in [
            // A flood, with what takes one, with what takes none, with garbage, before anything was proven.
            (true, submit(Carried::Descriptor { bytes: 1 }), 2 + round % 20),
            (true, submit(Carried::Inline(b"x")), 1),
            (true, encoded(&Message::Ping { id: 1 }), 3),
            (true, vec![0xff; 40], 1),
            (false, encoded(&Message::Hello { protocol: PROTOCOL, client: 1, nonce: [1; 32] }), 1),
            (false, vec![1, 2, 3], 25),
        ] {
            let raw = if is_proven { Raw::proven(&rendezvous) } else { Raw::connect(&rendezvous) };
            let fds = fds();
            let borrowed: Vec<_> = fds.iter().take(count).map(AsFd::as_fd).collect();
            raw.send(&bytes, &borrowed);
            assert!(raw.rest().iter().all(|reply| reply == "Denied(Malformed)"));
            ended += 1;
        }
        // One that is abandoned with a file in its queue.
        let raw = Raw::connect(&rendezvous);
        raw.send(&[0; 8], &[file(b"x", ALL_SEALS).as_fd()]);
        drop(raw);
    }
    until(|| connections(&serving) >= ended);
    // Accepted and refused files are closed too.
    let raw = Raw::proven(&rendezvous);
    for declared in [1, 2] {
        raw.send(&submit(Carried::Descriptor { bytes: declared }), &[file(b"x", ALL_SEALS).as_fd()]);
        raw.next();
    }
    drop(raw);
    // The first client's may have been open still.
    until(|| descriptors() <= before);
    assert!(client(&rendezvous).ping(WAIT_MAX));
}

#[test]
fn who_does_not_know_the_secret_is_refused_and_counted() {
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let raw = Raw::connect(&rendezvous);
    raw.say(&Message::Hello { protocol: PROTOCOL, client: 1, nonce: [1; 32] });
    assert_eq!(raw.next().len(), 1);
    raw.say(&Message::Proof { proof: [0; 32] });
    assert_eq!(raw.rest(), ["Denied(Secret)"]);
    // The server's own proof is not a client's.
    let raw = Raw::connect(&rendezvous);
    raw.say(&Message::Hello { protocol: PROTOCOL, client: 1, nonce: [1; 32] });
    let mut buffer = [0; 256];
    let length = raw.receive(&mut buffer).unwrap();
    let (reply, _) = sidecar::frame::Reply::decode(&buffer[..length]).unwrap();
    let sidecar::frame::Reply::Challenge { nonce, proof } = reply else { panic!() };
    assert_eq!(proof, raw.proof(b's', [1; 32], nonce));
    raw.say(&Message::Proof { proof });
    assert_eq!(raw.rest(), ["Denied(Secret)"]);
    let raw = Raw::connect(&rendezvous);
    raw.say(&Message::Hello { protocol: PROTOCOL + 1, client: 1, nonce: [1; 32] });
    assert_eq!(raw.rest(), ["Denied(Protocol)"]);
    // Before the proof nothing is served.
    for message in [Message::Ping { id: 1 }, Message::Stats { id: 1 }, Message::Close] {
        let raw = Raw::connect(&rendezvous);
        raw.say(&message);
        assert_eq!(raw.rest(), ["Denied(Malformed)"]);
    }
    let counts = serving.counts();
    assert_eq!((counts.denied_secret, counts.denied_protocol, counts.malformed), (2, 1, 3));
    assert_eq!((counts.clients, counts.submitted), (0, 0));
}

#[test]
fn parts_that_do_not_follow_each_other_end_the_connection() {
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let part = |total, offset| submit(Carried::Part { total, offset, part: b"1234" });
    for parts in [
        vec![part(12, 4)],
        vec![part(12, 0), part(12, 8)],
        vec![part(12, 0), part(12, 0)],
        vec![part(12, 0), part(16, 4)],
    ] {
        let raw = Raw::proven(&rendezvous);
        parts.iter().for_each(|bytes| raw.send(bytes, &[]));
        assert_eq!(raw.rest(), ["Denied(Malformed)"]);
    }
    assert_eq!(serving.counts().submitted, 0);
    let raw = Raw::proven(&rendezvous);
    [part(12, 0), part(12, 4), part(12, 8)].iter().for_each(|bytes| raw.send(bytes, &[]));
    assert_eq!(raw.next(), ["Accepted { id: 9, settled: true }"]);
}

#[test]
fn a_datagram_that_is_too_long_ends_the_connection() {
    let service = Recorder::taking_all();
    let (rendezvous, serving) = serve(&service);
    let raw = Raw::proven(&rendezvous);
    raw.send(&vec![3; MESSAGE_MAX_BYTES + 2], &[]);
    assert_eq!(raw.rest(), ["Denied(Malformed)"]);
    assert_eq!(serving.counts().malformed, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn l124_garbage_ends_its_connection_and_no_other(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
        types in prop::collection::vec(0_u8..12, 6),
        is_proven: bool,
        cut in 0_usize..40,
        fds in 0_usize..3,
    ) {
        let service = Recorder::taking_all();
        let (rendezvous, serving) = serve(&service);
        let mut honest = client(&rendezvous);
        honest.submit(outgoing(b"before")).unwrap();
        let raw = if is_proven { Raw::proven(&rendezvous) } else { Raw::connect(&rendezvous) };
        for (mut datagram, type_) in datagrams.into_iter().zip(types) {
            // Likely types, and a real message that was cut short.
            datagram[0] = type_;
            let files: Vec<_> = (0..fds).map(|_| file(b"12345", ALL_SEALS)).collect();
            let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            raw.send(&datagram, &borrowed);
        }
        let mut whole = submit(Carried::Inline(b"12345"));
        whole.truncate(cut.max(1));
        if cut < 37 {
            raw.send(&whole, &[]);
        }
        drop(raw);
        honest.submit(outgoing(b"after")).unwrap();
        prop_assert!(honest.flush(WAIT_MAX));
        let counts = honest.close(WAIT_MAX);
        prop_assert_eq!((counts.accepted, counts.connected, counts.resent), (2, 1, 0));
        let stopped = serving.stop(soon()).unwrap();
        prop_assert!(stopped.in_time);
        prop_assert_eq!(stopped.counts.submitted, stopped.counts.accepted + stopped.counts.refused);
    }
}
