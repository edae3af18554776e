//! A sender that costs little: prepared datagrams, many to a call where the system can.

use super::{Kind, KindTotal, Mix, Traffic};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, IoSlice, Write},
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsFd,
    os::unix::net::{UnixDatagram, UnixStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// At a rate, what is due is sent in bursts so far apart. A burst that is late is followed by the next one
/// after half of that.
const BURST_EVERY: Duration = Duration::from_micros(500);
/// The most that one burst may make up for.
const BURST_MAX: Duration = Duration::from_millis(1);
/// Datagrams of one call.
const CALL_DATAGRAMS: usize = 32;

/// Where to send.
#[derive(Clone, Debug)]
pub enum Target {
    /// UDP to `127.0.0.1` and a port.
    Udp(u16),
    /// A Unix datagram socket. The sender waits while the receiver's queue is full.
    UnixDatagram(PathBuf),
    /// A Unix stream socket: each datagram after its length in four bytes, the lowest first.
    UnixStream(PathBuf),
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to send.
    pub target: Target,
    /// What to send.
    pub mix: Mix,
    /// Samples a second; `None`: as fast as it goes.
    pub rate: Option<f64>,
    /// For how long at most.
    pub duration: Duration,
    /// How many samples at most; rounded up to whole datagrams.
    pub samples_max: u64,
}

impl Load {
    /// A load of the default mix, as fast as it goes.
    pub fn new(target: Target, duration: Duration) -> Self {
        Self { target, mix: Mix::default(), rate: None, duration, samples_max: u64::MAX }
    }
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Samples in them.
    pub samples: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Calls that failed, each for a datagram that was sent again or, with UDP, left out.
    pub failed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Samples a second.
    pub samples_per_second: f64,
    /// CPU time of the sending thread, system time included.
    pub cpu_seconds: f64,
    /// What must arrive, by kind; nothing when a UDP datagram was left out.
    pub kinds: BTreeMap<Kind, KindTotal>,
}

/// Sends a load. Blocks the thread.
///
/// # Errors
/// When the target cannot be connected to, or goes away.
pub fn run(load: &Load) -> io::Result<Report> {
    let traffic = Traffic::new(&load.mix);
    let mut socket = Socket::connect(&load.target)?;
    let slices: Vec<_> = traffic.datagrams().iter().map(|datagram| [IoSlice::new(datagram)]).collect();
    let datagrams_max = load.samples_max.div_ceil(load.mix.samples_per_datagram as u64);
    let mut report = Report::default();
    let cpu = cpu_seconds();
    let begin = Instant::now();
    let mut burst = begin;
    let mut next = 0;
    loop {
        let now = Instant::now();
        let left = datagrams_max - next;
        if left == 0 || now.duration_since(begin) >= load.duration {
            break;
        }
        let due = match load.rate {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "numbers of datagrams of one run, not negative"
            )]
            Some(rate) => {
                let by_now = now.duration_since(begin).as_secs_f64() + BURST_EVERY.as_secs_f64();
                let per_second = rate / load.mix.samples_per_datagram as f64;
                let most = (per_second * BURST_MAX.as_secs_f64()).ceil() as u64;
                ((by_now * per_second) as u64).saturating_sub(next).min(most).min(left)
            }
            None => left.min(1024),
        };
        let end = next + due;
        while next < end {
            let first = usize::try_from(next % slices.len() as u64).unwrap_or(0);
            let wanted = usize::try_from(end - next).unwrap_or(usize::MAX).min(CALL_DATAGRAMS);
            let some = &slices[first..slices.len().min(first + wanted)];
            match socket.send(some) {
                Ok(sent) => {
                    report.bytes += some[..sent].iter().map(|[slice]| slice.len() as u64).sum::<u64>();
                    report.datagrams += sent as u64;
                    next += sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What an earlier datagram met (nobody listened), told late; or no room for now.
                Err(error) if socket.is_udp() && report.failed < 1_000_000 => {
                    report.failed += 1;
                    if error.kind() != io::ErrorKind::ConnectionRefused {
                        next += 1;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if load.rate.is_some() {
            burst = (burst + BURST_EVERY).max(Instant::now() - BURST_EVERY / 2);
            pause(burst.saturating_duration_since(Instant::now()));
        }
    }
    report.seconds = begin.elapsed().as_secs_f64();
    report.cpu_seconds = cpu_seconds() - cpu;
    report.samples = traffic.samples(next);
    if report.datagrams == next {
        report.kinds = traffic.expected(next).kinds;
    } else {
        report.samples -= (next - report.datagrams) * load.mix.samples_per_datagram as u64;
    }
    #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
    {
        report.samples_per_second = report.samples as f64 / report.seconds;
    }
    Ok(report)
}

/// CPU time of this thread, when the system tells it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a thread of the load generator, which serves nothing else")]
fn pause(duration: Duration) {
    if !duration.is_zero() {
        thread::sleep(duration);
    }
}

enum Socket {
    Udp(UdpSocket, Batch),
    UnixDatagram(UnixDatagram, Batch),
    UnixStream(UnixStream, Vec<u8>),
}

impl Socket {
    fn connect(target: &Target) -> io::Result<Self> {
        Ok(match target {
            Target::Udp(port) => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.connect((Ipv4Addr::LOCALHOST, *port))?;
                Self::Udp(socket, Batch::new())
            }
            Target::UnixDatagram(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Self::UnixDatagram(socket, Batch::new())
            }
            Target::UnixStream(path) => Self::UnixStream(UnixStream::connect(path)?, Vec::new()),
        })
    }

    fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(..))
    }

    /// Sends some of these: how many.
    fn send(&mut self, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        match self {
            Self::Udp(socket, batch) => batch.send(socket, datagrams),
            Self::UnixDatagram(socket, batch) => batch.send(socket, datagrams),
            Self::UnixStream(stream, buffer) => {
                buffer.clear();
                for [datagram] in datagrams {
                    let length = u32::try_from(datagram.len()).expect("datagrams are small");
                    buffer.extend_from_slice(&length.to_le_bytes());
                    buffer.extend_from_slice(datagram);
                }
                stream.write_all(buffer)?;
                Ok(datagrams.len())
            }
        }
    }
}

#[cfg(target_os = "linux")]
struct Batch(nix::sys::socket::MultiHeaders<()>);

#[cfg(target_os = "linux")]
impl Batch {
    fn new() -> Self {
        Self(nix::sys::socket::MultiHeaders::preallocate(CALL_DATAGRAMS, None))
    }

    fn send(&mut self, socket: &impl AsFd, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        use nix::sys::socket::{MsgFlags, sendmmsg};
        use std::os::fd::AsRawFd;
        let descriptor = socket.as_fd().as_raw_fd();
        let connected = [None; CALL_DATAGRAMS];
        Ok(sendmmsg(descriptor, &mut self.0, datagrams, connected, [], MsgFlags::empty())?.count())
    }
}

#[cfg(not(target_os = "linux"))]
struct Batch;

#[cfg(not(target_os = "linux"))]
impl Batch {
    fn new() -> Self {
        Self
    }

    fn send(&mut self, socket: &impl AsFd, datagrams: &[[IoSlice<'_>; 1]]) -> io::Result<usize> {
        use nix::sys::socket::{MsgFlags, send};
        use std::os::fd::AsRawFd;
        for [datagram] in datagrams {
            send(socket.as_fd().as_raw_fd(), datagram, MsgFlags::empty())?;
        }
        Ok(datagrams.len())
    }
}
