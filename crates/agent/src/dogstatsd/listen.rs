//! Sockets into the aggregator: datagrams in batches, streams in frames.

use super::{DogStatsD, Framing, Tally, TransportBook};
use crate::logging::SayOnce;
use crate::transport::datagram::{Datagrams, Packets};
use crate::transport::frames::{Frame, FrameError, Frames};
use crate::transport::is_listener_dead;
use lifecycle::Close;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Packets that a batch should have: below, more are let gather before the next one.
const GATHERED_PACKETS: u32 = 40;
/// A batch of this many leaves no time to gather.
const BUSY_PACKETS: usize = 60;
/// Least time to gather, the grain of the runtime's timers.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest time to gather where the kernel's buffer holds what comes meanwhile: [`DEEP_BUFFER_BYTES`] are some
/// 900 datagrams of 1 KiB, as they come within 10 ms at 1.6 million samples a second.
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// A receive buffer of at least this much is deep.
const DEEP_BUFFER_BYTES: usize = 1024 * 1024;
/// After the stop began, a socket is read until nothing has come for a while ([`crate::linger::Linger`]), and no longer
/// than this in all: clients that keep sending do not keep the stop waiting.
const LINGER_MAX: Duration = Duration::from_millis(100);
/// Pause after an error that may pass.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Held by whoever may still hear samples; the delivery stage waits for all of them to be gone.
pub(crate) type Hearing = mpsc::Sender<Infallible>;

/// What a listener of datagrams is made of.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) dogstatsd: Arc<DogStatsD>,
    pub(crate) book: Arc<TransportBook>,
    pub(crate) framing: Framing,
    pub(crate) datagram_max_bytes: usize,
    pub(crate) say: Arc<SayOnce>,
    pub(crate) _hearing: Hearing,
}

/// How long a socket with such a receive buffer may be left alone while packets gather.
pub(crate) fn pause_max(receive_buffer_bytes: usize) -> Duration {
    if receive_buffer_bytes >= DEEP_BUFFER_BYTES { PAUSE_MAX } else { PAUSE_MIN }
}

/// Takes datagrams until it is asked to close and the kernel's queue is empty (losses.md L87).
///
/// A wake-up costs as much as some tens of packets, so packets are let gather for up to `pause_max`. `None`: never;
/// Unix sockets queue few datagrams, and then their senders wait or lose.
pub(crate) async fn datagrams<D: Datagrams + Sync>(
    socket: D,
    listening: Listening,
    pause_max: Option<Duration>,
    close: Close,
) {
    let mut packets = Packets::new(listening.datagram_max_bytes);
    let mut pause = PAUSE_MIN;
    while !close.is_requested() {
        let result = match listening.receive(&socket, &mut packets) {
            Ok(0) => tokio::select! {
                biased;
                () = close.requested() => break,
                ready = socket.readable() => ready,
            },
            Ok(received) => {
                match pause_max {
                    Some(pause_max) if received < BUSY_PACKETS => {
                        pause = next_pause(pause, received, pause_max);
                        tokio::select! {
                            () = sleep(pause) => {}
                            () = close.requested() => break,
                        }
                    }
                    // Others on this thread have their turn.
                    _ => tokio::task::yield_now().await,
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result
            && !listening.survives(&error).await
        {
            return;
        }
    }
    let end = Instant::now() + LINGER_MAX;
    let mut asked = false;
    while Instant::now() < end {
        match listening.receive(&socket, &mut packets) {
            Ok(0) | Err(_) => {
                if matches!(
                    timeout(listening.dogstatsd.linger.silence(), socket.readable()).await,
                    Ok(Ok(()))
                ) {
                    continue;
                }
                if asked {
                    break;
                }
                // What the kernel dropped last is told with the next datagram only.
                asked = true;
                socket.ask_for_drops();
            }
            Ok(_) => {}
        }
    }
}

/// The time in which [`GATHERED_PACKETS`] gather, by what gathered last time.
fn next_pause(pause: Duration, received: usize, pause_max: Duration) -> Duration {
    let received = u32::try_from(received).unwrap_or(u32::MAX).max(1);
    (pause * GATHERED_PACKETS / received).clamp(PAUSE_MIN, pause_max)
}

impl Listening {
    /// Takes one batch; says how many packets it had.
    fn receive<D: Datagrams>(&self, socket: &D, packets: &mut Packets) -> io::Result<usize> {
        let received = socket.receive(packets)?;
        if received.packets == 0 && received.kernel_dropped == 0 {
            return Ok(0);
        }
        let mut tally = Tally { kernel_dropped: received.kernel_dropped, ..Tally::default() };
        let cut = packets.iter().map(|packet| (packet.bytes, packet.truncated));
        // An empty datagram says nothing; ours asks the kernel for its drops.
        self.dogstatsd.take(cut.filter(|(bytes, _)| !bytes.is_empty()), self.framing, &mut tally);
        self.book.add(&tally);
        if tally.kernel_dropped > 0 {
            self.say.warn("kernel drops", || {
                format!(
                    "the kernel dropped {} datagrams on {}: its buffer was full; raise net.core.rmem_max, or send more lines in each datagram",
                    tally.kernel_dropped, self.book.name
                )
            });
        }
        if tally.truncated > 0 {
            self.say.warn("cut datagrams", || {
                format!(
                    "datagrams on {} were longer than {} bytes and lost their last line; raise DD_DOGSTATSD_BUFFER_SIZE or have the client send smaller ones",
                    self.book.name, self.datagram_max_bytes
                )
            });
        }
        Ok(received.packets)
    }

    /// Says an error; whether the socket is worth another try, after a pause.
    async fn survives(&self, error: &io::Error) -> bool {
        if is_listener_dead(error) {
            log::error!("the socket {} died: {error}", self.book.name);
            return false;
        }
        self.say.warn("receive", || format!("cannot receive on {}: {error}; pausing", self.book.name));
        sleep(ERROR_PAUSE).await;
        true
    }
}

/// Takes the frames of one connection until it ends, or until a stop finds it silent.
pub(crate) async fn frames<S: AsyncRead + Unpin + Send>(
    stream: S,
    dogstatsd: Arc<DogStatsD>,
    book: Arc<TransportBook>,
    framing: Framing,
    frame_max_bytes: usize,
    _hearing: Hearing,
    close: Close,
) {
    let mut frames = Frames::new(stream, frame_max_bytes);
    let mut end: Option<Instant> = None;
    loop {
        let frame = match end {
            None => tokio::select! {
                biased;
                frame = frames.next() => frame,
                () = close.requested() => {
                    end = Some(Instant::now() + LINGER_MAX);
                    continue;
                }
            },
            Some(end) if Instant::now() < end => {
                match timeout(dogstatsd.linger.silence(), frames.next()).await {
                    Ok(frame) => frame,
                    Err(_) => return,
                }
            }
            Some(_) => return,
        };
        let mut tally = Tally::default();
        match frame {
            Ok(Some(Frame::Lines { bytes, truncated })) => {
                dogstatsd.take(std::iter::once((bytes, truncated)), framing, &mut tally);
            }
            Ok(Some(Frame::Oversized { bytes })) => {
                tally.oversized += 1;
                dogstatsd.say.warn("oversized frames", || {
                    format!(
                        "a frame of {bytes} bytes on {} was longer than {frame_max_bytes} and is lost; raise DD_DOGSTATSD_BUFFER_SIZE or have the client send smaller ones",
                        book.name
                    )
                });
            }
            Ok(None) => return,
            Err(error) => {
                if let FrameError::NotFramed { .. } = error {
                    tally.oversized += 1;
                    dogstatsd
                        .say
                        .warn("not framed", || format!("closing a connection on {}: {error}", book.name));
                }
                book.add(&tally);
                return;
            }
        }
        book.add(&tally);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_let_gather_as_long_as_they_are_few_and_the_buffer_is_deep() {
        let deep = pause_max(4 * DEEP_BUFFER_BYTES);
        let mut pause = PAUSE_MIN;
        for _ in 0..9 {
            pause = next_pause(pause, 1, deep);
        }
        assert_eq!(pause, PAUSE_MAX);
        assert_eq!(next_pause(pause, 80, deep), PAUSE_MAX / 2);
        assert_eq!(next_pause(PAUSE_MIN, 1, pause_max(200 * 1024)), PAUSE_MIN);
        assert_eq!(next_pause(PAUSE_MIN, usize::MAX, deep), PAUSE_MIN);
    }
}
