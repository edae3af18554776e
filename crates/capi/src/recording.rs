//! A trace of the process that records it: what a clock, a process's number and randomness add to the tracer.

use crate::ffi::random;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};
use tracer::{Trace, TraceOptions};

/// Bytes of an encoded trace that are kept for the next one.
const KEPT_MAX_BYTES: usize = 256 << 10;
/// What a trace says of itself and of its context when it is encoded, and a span, at most; bytes.
const TRACE_MAX_BYTES: usize = 16 << 10;
const SPAN_MAX_BYTES: usize = 1 << 10;
/// A key or a value with the length and the number that go with it, bytes.
const TEXT_EXTRA_BYTES: usize = 32;

/// A trace, and whose it is.
pub(crate) struct Recording {
    /// For what changes nothing in a child but its own copy.
    pub(crate) trace: Trace,
    process_id: u32,
    encoded: Vec<u8>,
    /// At least as many as the trace will have when it is encoded, bytes.
    bytes: usize,
    /// What every span repeats of its process, bytes.
    repeated: usize,
}

impl Recording {
    pub(crate) fn new(mut options: TraceOptions) -> Self {
        let process_id = std::process::id();
        options.tracer_version = env!("CARGO_PKG_VERSION").to_owned();
        options.process_id = process_id;
        options.runtime_id = runtime_id(process_id);
        let repeated = options.service.len() + options.env.len() + options.version.len();
        let trace = Trace::new(options, random());
        Self { trace, process_id, encoded: Vec::new(), bytes: TRACE_MAX_BYTES, repeated }
    }

    /// Counts a text that is recorded.
    pub(crate) fn note(&mut self, text: &[u8]) {
        // What is not UTF-8 becomes three bytes each.
        let factor = if std::str::from_utf8(text).is_ok() { 1 } else { 3 };
        self.bytes += text.len().min(tracer::TEXT_MAX_BYTES) * factor + TEXT_EXTRA_BYTES;
    }

    /// Counts a span that begins.
    pub(crate) fn note_span(&mut self, name: &[u8]) {
        self.note(name);
        self.bytes += SPAN_MAX_BYTES + self.repeated;
    }

    /// Forgets what was recorded.
    pub(crate) fn reset(&mut self) {
        self.trace.reset();
        self.bytes = TRACE_MAX_BYTES;
    }

    /// The trace, unless it is an ancestor's.
    pub(crate) fn to_read(&self) -> Option<&Trace> {
        (self.process_id == std::process::id()).then_some(&self.trace)
    }

    /// The trace of this process: empty where it was inherited by a fork.
    pub(crate) fn here(&mut self) -> &mut Trace {
        let process_id = std::process::id();
        if process_id != self.process_id {
            self.process_id = process_id;
            self.bytes = TRACE_MAX_BYTES;
            self.trace.enter_process(process_id, &runtime_id(process_id), random());
        }
        &mut self.trace
    }

    /// The bytes of the trace; `None` where there is no memory for them. To be given back by [`Recording::keep`].
    pub(crate) fn encode(&mut self) -> Option<Vec<u8>> {
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        // What found no room in the trace was counted too.
        let spans_max = self.trace.len() * (SPAN_MAX_BYTES + self.repeated);
        let max = TRACE_MAX_BYTES + tracer::BYTES_MAX_DEFAULT + spans_max;
        encoded.try_reserve(self.bytes.min(max)).ok()?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.trace.encode(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), &mut encoded);
        Some(encoded)
    }

    /// Keeps the memory of a trace for the next one, unless it is much.
    pub(crate) fn keep(&mut self, encoded: Vec<u8>) {
        if encoded.capacity() <= KEPT_MAX_BYTES {
            self.encoded = encoded;
        }
    }
}

/// A UUID of this process, the same for all its traces: a secret of the tree, and the process's number.
fn runtime_id(process_id: u32) -> String {
    static SECRET: AtomicU64 = AtomicU64::new(0);
    if SECRET.load(Relaxed) == 0 {
        // Who comes second takes the first one's.
        SECRET.compare_exchange(0, random().max(1), Relaxed, Relaxed).ok();
    }
    let secret = SECRET.load(Relaxed);
    let high = mixed(secret ^ (u64::from(process_id) << 32));
    let low = mixed(high ^ secret.rotate_left(32) ^ u64::from(process_id));
    // Version 4, variant 1: as all tracers' are.
    let (third, fourth) = (high & 0x0fff | 0x4000, low >> 48 & 0x3fff | 0x8000);
    format!(
        "{:08x}-{:04x}-{third:04x}-{fourth:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        low & 0xffff_ffff_ffff
    )
}

/// Every bit of the result depends on every bit of the number (the finisher of splitmix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_runtime_id_and_another_process_another() {
        assert_eq!(runtime_id(1), runtime_id(1));
        assert_ne!(runtime_id(1), runtime_id(2));
        let id = runtime_id(7);
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!((lengths, &id[14..15]), (vec![8, 4, 4, 4, 12], "4"));
        assert!("89ab".contains(&id[19..20]));
    }

    #[test]
    fn a_trace_in_a_child_is_empty_and_has_ids_of_its_own() {
        let mut recording = Recording::new(TraceOptions::default());
        let span = recording.here().start(None, b"a", 1).unwrap();
        let before = recording.here().ids(span).unwrap();
        // As a fork leaves it.
        recording.process_id = 1;
        assert!(recording.here().is_empty());
        let span = recording.here().start(None, b"a", 1).unwrap();
        assert_ne!(recording.here().ids(span).unwrap(), before);
    }
}
