//! What came in by each transport, by type, and what was not taken, by reason.

use crate::transport::TransportName;
use model::metric::MetricType;
use pipeline::metrics::Refused;
use std::sync::{Mutex, PoisonError};
use wire::dogstatsd::LineError;

/// Counts of one transport, or of one batch of packets.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Datagrams, frames, or pieces of a stream or body.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Values taken, by [`MetricType`].
    pub(crate) samples: [u64; MetricType::ALL.len()],
    /// Values taken and dropped by policy: the blocklist, histograms of which nothing is to be sent.
    pub(crate) blocked: u64,
    /// Events taken.
    pub(crate) events: u64,
    /// Service checks taken.
    pub(crate) checks: u64,
    /// Lines refused, by [`LineError`].
    pub(crate) bad_lines: [u64; LineError::ALL.len()],
    /// Values refused, by [`Refused`].
    pub(crate) refused: [u64; Refused::ALL.len()],
    /// Events and service checks for which there was no room.
    pub(crate) no_room: u64,
    /// Packets that were longer than the buffer; their last line is lost (losses.md L48).
    pub(crate) truncated: u64,
    /// Frames that were longer than the buffer, lost as a whole.
    pub(crate) oversized: u64,
    /// Packets whose last line lacked the newline that `DD_DOGSTATSD_EOL_REQUIRED` asks for.
    pub(crate) unterminated: u64,
    /// Datagrams that the kernel dropped (losses.md L39).
    pub(crate) kernel_dropped: u64,
    /// Batches whose processing panicked: a bug.
    pub(crate) panicked: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            samples: [0; MetricType::ALL.len()],
            blocked: 0,
            events: 0,
            checks: 0,
            bad_lines: [0; LineError::ALL.len()],
            refused: [0; Refused::ALL.len()],
            no_room: 0,
            truncated: 0,
            oversized: 0,
            unterminated: 0,
            kernel_dropped: 0,
            panicked: 0,
        }
    }
}

impl Tally {
    /// Counts values of one type as taken, or as refused for a reason.
    #[inline]
    pub(crate) fn sampled(&mut self, metric_type: MetricType, values: u64, result: Result<(), Refused>) {
        match result {
            Ok(()) => self.samples[metric_type as usize] += values,
            Err(why) if why.is_policy() => self.blocked += values,
            Err(why) => self.refused[why as usize] += values,
        }
    }

    /// Counts of what was taken, over all types.
    pub(crate) fn taken(&self) -> u64 {
        self.samples.iter().sum::<u64>() + self.blocked + self.events + self.checks
    }

    /// Counts of what was not taken for lack of room.
    pub(crate) fn without_room(&self) -> u64 {
        self.refused[Refused::ContextsFull as usize]
            + self.refused[Refused::MemoryFull as usize]
            + self.no_room
    }

    /// What was not taken, by reason: those that occurred.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let lines = LineError::ALL.iter().map(|error| (error.name(), self.bad_lines[*error as usize]));
        let samples = Refused::ALL.iter().map(|why| (why.name(), self.refused[*why as usize]));
        let rest = [
            ("no_room", self.no_room),
            ("truncated", self.truncated),
            ("oversized_frame", self.oversized),
            ("unterminated", self.unterminated),
            ("kernel_dropped", self.kernel_dropped),
            ("panicked", self.panicked),
        ];
        lines.chain(samples).chain(rest).filter(|(_, count)| *count > 0)
    }

    fn add(&mut self, other: &Self) {
        fn all(sums: &mut [u64], more: &[u64]) {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum += more;
            }
        }
        all(&mut self.samples, &other.samples);
        all(&mut self.bad_lines, &other.bad_lines);
        all(&mut self.refused, &other.refused);
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.blocked += other.blocked;
        self.events += other.events;
        self.checks += other.checks;
        self.no_room += other.no_room;
        self.truncated += other.truncated;
        self.oversized += other.oversized;
        self.unterminated += other.unterminated;
        self.kernel_dropped += other.kernel_dropped;
        self.panicked += other.panicked;
    }
}

/// The counts of one transport since the start.
#[derive(Debug)]
pub(crate) struct TransportBook {
    pub(crate) name: TransportName,
    counts: Mutex<Tally>,
}

impl TransportBook {
    pub(crate) fn new(name: TransportName) -> Self {
        Self { name, counts: Mutex::default() }
    }

    pub(crate) fn add(&self, tally: &Tally) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
    }

    pub(crate) fn read(&self) -> Tally {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
