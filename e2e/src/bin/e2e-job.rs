//! `e2e-job LOGS SAMPLES SPANS SECONDS [STATSD_PORT PORT]`: a job that logs, counts and traces side by side, evenly over
//! its time, as a program with the usual clients does, and ends.
//!
//! Lines are `<number> line of the job …`, one in ten of them on standard error. Samples go in datagrams as full as clients
//! make them, half of them of the counter `job.count`, half of the distribution `job.value`. Spans have the ids 1 to
//! SPANS and go in v0.4 payloads, each waited for.

use std::{
    error::Error,
    io::{BufWriter, Read, Write},
    net::{TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};
use testkit::payload;

/// Bytes of a datagram: what clients put in one, so that no network splits it.
const DATAGRAM_BYTES: usize = 1_432;
/// Spans of one payload.
const PAYLOAD_SPANS: u64 = 100;
/// Pieces in which each kind is spread over the time.
const STEPS: u64 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).map_or(Ok(0), |word| word.parse::<u64>());
    let (logs, samples, spans) = (number(0)?, number(1)?, number(2)?);
    let pace = Pace { begin: Instant::now(), whole: Duration::from_secs(number(3)?) };
    let (statsd, port) = (u16::try_from(number(4)?)?, u16::try_from(number(5)?)?);
    thread::scope(|threads| {
        let counting =
            threads.spawn(move || count(samples, statsd, &pace).map_err(|error| error.to_string()));
        let tracing = threads.spawn(move || trace(spans, port, &pace).map_err(|error| error.to_string()));
        let logged = log(logs, &pace);
        for other in [counting, tracing] {
            other.join().map_err(|_| "a thread panicked")??;
        }
        Ok(logged?)
    })
}

/// Spreads things over a time.
#[derive(Clone, Copy)]
struct Pace {
    begin: Instant,
    whole: Duration,
}

impl Pace {
    /// Calls `each` with the parts of 0 to `all`, each in its time.
    fn spread<E>(
        &self,
        all: u64,
        mut each: impl FnMut(std::ops::Range<u64>) -> Result<(), E>,
    ) -> Result<(), E> {
        let steps = if self.whole.is_zero() { 1 } else { STEPS };
        for step in 0..steps {
            let due = self.whole.mul_f64(step as f64 / steps as f64);
            #[expect(clippy::disallowed_methods, reason = "a thread of a test program that paces itself")]
            thread::sleep(due.saturating_sub(self.begin.elapsed()));
            each(all * step / steps..all * (step + 1) / steps)?;
        }
        Ok(())
    }
}

fn log(all: u64, pace: &Pace) -> Result<(), std::io::Error> {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let mut stdout = BufWriter::new(stdout.lock());
    pace.spread(all, |part| {
        for number in part {
            let line = format!("{number} line of the job, as long as lines of programs usually are\n");
            if number % 10 == 0 {
                // Line by line, as everybody's standard error.
                stderr.lock().write_all(line.as_bytes())?;
            } else {
                stdout.write_all(line.as_bytes())?;
            }
        }
        stdout.flush()
    })
}

fn count(all: u64, port: u16, pace: &Pace) -> Result<(), std::io::Error> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut datagram = Vec::new();
    pace.spread(all, |part| {
        for number in part {
            let line = if number % 2 == 0 {
                format!("job.count:1|c|#shard:{}\n", number / 2 % 10)
            } else {
                format!("job.value:{}|d|#shard:{}\n", number % 1_000, number / 2 % 10)
            };
            if datagram.len() + line.len() > DATAGRAM_BYTES {
                socket.send_to(&datagram, ("127.0.0.1", port))?;
                datagram.clear();
            }
            datagram.extend_from_slice(line.as_bytes());
        }
        Ok::<(), std::io::Error>(())
    })?;
    // A client that is closed sends what it still has.
    if !datagram.is_empty() {
        socket.send_to(&datagram, ("127.0.0.1", port))?;
    }
    Ok(())
}

fn trace(all: u64, port: u16, pace: &Pace) -> Result<(), Box<dyn Error>> {
    if all == 0 {
        return Ok(());
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let payloads = all.div_ceil(PAYLOAD_SPANS);
    pace.spread(payloads, |part| {
        for payload in part {
            let first = payload * PAYLOAD_SPANS + 1;
            let traces: Vec<_> =
                (first..all.min(first + PAYLOAD_SPANS - 1) + 1).map(|id| vec![payload::span(id)]).collect();
            let body = payload::v04(&traces);
            let head = format!(
                "POST /v0.4/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/msgpack\r\n\
                 x-datadog-trace-count: {}\r\ncontent-length: {}\r\n\r\n",
                traces.len(),
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat())?;
            answered(&mut stream)?;
        }
        Ok::<(), Box<dyn Error>>(())
    })
}

/// Reads one answer, which must be 200.
fn answered(stream: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let length = stream.read(&mut part)?;
        answer.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if length == 0 {
                return Err("no answer".into());
            }
            continue;
        };
        let declared = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= declared.unwrap_or(0) {
            return if head.starts_with("http/1.1 200") { Ok(()) } else { Err(head.to_owned().into()) };
        }
    }
}
