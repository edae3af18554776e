//! A client of our own for machines where nothing is instrumented: it sends what a small shop would,
//! over TCP, as a tracer would, and over UDP, as a DogStatsD client would.

mod metrics;
mod msgpack;
mod shop;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Nanoseconds of a second.
const NANOSECONDS: i64 = 1_000_000_000;
/// Bound of each wait for the agent.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// First line of the agent's answer; nothing of the rest is read.
const STATUS_LINE_MAX_BYTES: u64 = 1024;

/// Sends the example's payloads, one per pretended process, to the agent's receiver, and its metrics to DogStatsD
/// where that is on. `now` is in nanoseconds since the Unix epoch; the traces end there.
///
/// # Errors
/// When the agent cannot be reached or does not take a payload.
pub(super) fn send(receiver: SocketAddr, dogstatsd: Option<SocketAddr>, now: i64) -> io::Result<()> {
    if let Some(dogstatsd) = dogstatsd {
        let any = match dogstatsd.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0))?;
        for datagram in metrics::datagrams(now / NANOSECONDS) {
            socket.send_to(datagram.as_bytes(), dogstatsd)?;
        }
    }
    for process in shop::processes(now) {
        let body = msgpack::traces(&process.traces);
        post(receiver, process.service, process.traces.len(), &body)?;
    }
    Ok(())
}

fn post(receiver: SocketAddr, service: &str, traces: usize, body: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&receiver, WAIT_MAX)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let head = format!(
        "POST /v0.4/traces HTTP/1.1\r\n\
         Host: {receiver}\r\n\
         Connection: close\r\n\
         Content-Type: application/msgpack\r\n\
         Content-Length: {}\r\n\
         Datadog-Meta-Lang: example\r\n\
         Datadog-Meta-Tracer-Version: {}\r\n\
         X-Datadog-Trace-Count: {traces}\r\n\r\n",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut status = String::new();
    BufReader::new(stream.take(STATUS_LINE_MAX_BYTES)).read_line(&mut status)?;
    match status.split(' ').nth(1).map(str::as_bytes) {
        Some([b'2', _, _]) => Ok(()),
        _ => Err(io::Error::other(format!(
            "the agent did not take the traces of {service}: {:?}",
            status.trim_end()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    /// Answers each connection with a status, and gives the requests' heads.
    fn receiver(status: &'static str, connections: usize) -> (SocketAddr, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads = move || {
            let mut heads = Vec::new();
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut part = [0; 4096];
                loop {
                    let read = stream.read(&mut part).unwrap();
                    request.extend_from_slice(&part[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
                    if request.len() >= head.len() + 4 + length.parse::<usize>().unwrap() {
                        heads.push(head.to_owned());
                        break;
                    }
                }
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .unwrap();
            }
            heads
        };
        (address, thread::spawn(heads))
    }

    #[test]
    fn every_process_posts_its_traces_with_their_number() {
        let processes = shop::processes(0).len();
        let (address, heads) = receiver("200 OK", processes);
        send(address, None, 1_790_000_000_000_000_000).unwrap();
        let heads = heads.join().unwrap();
        assert_eq!(heads.len(), processes);
        assert!(heads.iter().all(|head| head.starts_with("POST /v0.4/traces") && head.contains("X-Datadog-Trace-Count: ")));
    }

    #[test]
    fn metrics_are_sent_where_dogstatsd_is_on() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, heads) = receiver("200 OK", shop::processes(0).len());
        send(address, Some(socket.local_addr().unwrap()), 1_790_000_000_000_000_000).unwrap();
        heads.join().unwrap();
        let mut datagram = [0; 2_000];
        let length = socket.recv(&mut datagram).unwrap();
        assert!(datagram[..length].starts_with(b"shop.queue.depth:"));
    }

    #[test]
    fn a_refusal_is_told() {
        let (address, heads) = receiver("429 Too Many Requests", 1);
        let error = send(address, None, 0).unwrap_err().to_string();
        assert!(error.contains("429"), "{error}");
        heads.join().unwrap();
    }
}
