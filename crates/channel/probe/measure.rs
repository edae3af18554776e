//! What a submission costs its caller, against writing the same bytes to a Unix stream socket. Run by hand:
//! `cargo run --release -p lastlight-channel --bin channel-probe -- measure`.

use crate::fork::spawn;
use lastlight_channel::{
    Answer, Client, ClientOptions, Flushing, Outgoing, Rendezvous, ServerOptions, Service, Serving, Settling,
    Submission,
};
use nix::sys::signal::{Signal, kill};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(30);

/// Of this kind submissions settle twenty at a time.
const SETTLED_LATER: u16 = 2;

#[derive(Default)]
struct Nothing(Mutex<Vec<Settling>>);

impl Service for Nothing {
    fn submit(&self, submission: Submission<'_>) -> Answer {
        black_box(submission.payload.len());
        if submission.kind == SETTLED_LATER {
            let mut held = self.0.lock().expect("not poisoned");
            held.push(submission.settling);
            if held.len() == 20 {
                held.clear();
            }
        }
        Answer::Accepted
    }

    fn flush(&self, _deadline: Instant, flushing: Flushing) {
        flushing.done(true);
    }
}

/// Median and 99th percentile in microseconds, of calls after a tenth of them to warm up.
fn time(what: &str, count: usize, mut call: impl FnMut()) {
    (0..count / 10).for_each(|_| call());
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let began = Instant::now();
            call();
            began.elapsed()
        })
        .collect();
    times.sort();
    let micros = |share: usize| times[(count * share / 100).min(count - 1)].as_secs_f64() * 1e6;
    println!("{what:<52} p50 {:>9.1} us   p99 {:>9.1} us", micros(50), micros(99));
}

pub(crate) fn run() {
    let rendezvous = Rendezvous::bind().expect("a name");
    let server = spawn(|| {
        let lock = rendezvous.try_serve().expect("nobody serves");
        let _serving =
            Serving::start(lock, Arc::new(Nothing::default()), ServerOptions::default()).expect("a thread");
        rustix::event::poll(&mut [], None).ok();
    });
    let (mut ours, mut theirs) = UnixStream::pair().expect("sockets");
    // Reads whole payloads as a server would, and answers each with a byte.
    let reader = spawn(|| {
        let mut buffer = vec![0; 1 << 20];
        let mut length = [0; 4];
        while theirs.read_exact(&mut length).is_ok() {
            let length = u32::from_le_bytes(length);
            theirs.read_exact(&mut buffer[..(length & 0x7fff_ffff) as usize]).expect("a payload");
            if length >> 31 == 0 {
                theirs.write_all(b"x").expect("an answer");
            }
        }
    });
    let options = ClientOptions::default();
    let by_parts = ClientOptions { files_max_count: 0, ..options };
    let mut client = Client::new(Arc::clone(&rendezvous), options, None);
    let mut parts = Client::new(Arc::clone(&rendezvous), by_parts, None);
    assert!(client.connect(WAIT_MAX) && parts.connect(WAIT_MAX));
    for (name, length, count) in [
        ("1 kB", 1000, 50_000),
        ("32 kB", 32 << 10, 20_000),
        ("64 kB", 64 << 10, 20_000),
        ("96 kB", 96 << 10, 5000),
        ("1 MB", 1 << 20, 1000),
    ] {
        let payload = vec![7; length];
        let outgoing = Outgoing { kind: 1, headers: &[], payload: &payload };
        let mut stream = |waits: bool| {
            let header = (length as u32 | u32::from(!waits) << 31).to_le_bytes();
            ours.write_all(&header).expect("room");
            ours.write_all(&payload).expect("room");
            if waits {
                ours.read_exact(&mut [0]).expect("an answer");
            }
        };
        time(&format!("{name}: stream, write and answer"), count, || stream(true));
        time(&format!("{name}: channel, submission and answer"), count, || {
            client.submit(outgoing).expect("room");
            assert!(client.settle(WAIT_MAX));
        });
        time(&format!("{name}: channel, the same and settled later"), count, || {
            client.submit(Outgoing { kind: SETTLED_LATER, ..outgoing }).expect("room");
            assert!(client.settle(WAIT_MAX));
        });
        if length > 64 << 10 {
            time(&format!("{name}: channel in parts, submission and answer"), count, || {
                parts.submit(outgoing).expect("room");
                assert!(parts.settle(WAIT_MAX));
            });
        }
        time(&format!("{name}: stream, write alone"), count, || stream(false));
        stream(true);
        // The caller's share: what is unanswered is waited for outside.
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            let taken = client.submit(outgoing);
            times.push(began.elapsed());
            if taken.is_err() || client.counts().waiting >= 6 {
                client.settle(WAIT_MAX);
            }
        }
        let mut times = times.into_iter();
        time_of(&format!("{name}: channel, submission alone"), count, || times.next().unwrap_or_default());
    }
    let began = Instant::now();
    let count = 200;
    for _ in 0..count {
        let mut client = Client::new(Arc::clone(&rendezvous), options, None);
        assert!(client.ping(WAIT_MAX));
    }
    println!("not kept for want of room: {}", client.counts().unretained);
    println!("connect, prove and ping: {:.1} us", began.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    for process in [server, reader] {
        kill(process, Signal::SIGKILL).ok();
        crate::fork::ended_well(process);
    }
}

fn time_of(what: &str, count: usize, next: impl FnMut() -> Duration) {
    let mut times: Vec<_> = std::iter::repeat_with(next).take(count).collect();
    times.sort();
    let micros = |share: usize| times[(count * share / 100).min(count - 1)].as_secs_f64() * 1e6;
    println!("{what:<52} p50 {:>9.1} us   p99 {:>9.1} us", micros(50), micros(99));
}
