//! Every bound that several crates share, with its unit in its name, and the relations between them.
//!
//! A bound only one module needs stands in that module. The relations are checked by the compiler:
//! losses.md L1, a payload that was accepted and could never be sent, was a missing relation.

/// One mebibyte.
const MIB: usize = 1024 * 1024;

/// Default of `LASTLIGHT_MEMORY`: all telemetry held at one time, over all signals.
pub const MEMORY_DEFAULT_BYTES: usize = 64 * MIB;
/// The least `LASTLIGHT_MEMORY` that still lets the biggest trace request in.
pub const MEMORY_MIN_BYTES: usize = 36 * MIB;

/// Default of `DD_APM_MAX_PAYLOAD_SIZE`: body of one trace or stats request
/// (`facts/trace-intake.md` §3.3).
pub const REQUEST_BODY_MAX_BYTES: usize = 26_214_400;
/// Body of one proxied request, the reference's bound for profiles; half of the memory bound where that is less.
pub const PROXIED_BODY_MAX_BYTES: usize = 50 * MIB;
/// Body of one EVP proxy request (`facts/trace-intake.md` §3.3).
pub const EVP_BODY_MAX_BYTES: usize = 10_000_000;
/// Decoded form of one chunk, in the arena of the worker that decodes it.
pub const CHUNK_ARENA_MAX_BYTES: usize = 32 * MIB;
/// Bodies up to this are decoded whole before the first chunk is processed; bigger ones are
/// checked in a first pass and then decoded chunk by chunk.
pub const WHOLE_DECODE_MAX_BYTES: usize = 256 * 1024;

/// Uncompressed protobuf of one outgoing trace batch (`facts/trace-intake.md` §3.3). A chunk that is
/// bigger is split at its spans; a single span that is bigger is sent alone.
pub const TRACE_BATCH_MAX_BYTES: usize = 3_200_000;
/// Groups in one outgoing stats payload (`facts/delivery.md` §4).
pub const STATS_BATCH_MAX_GROUPS: usize = 4_000;
/// Buckets times groups a statistics view may hold before new keys go to the overflow group.
pub const STATS_BUCKET_MAX_KEYS: usize = 7_000;

/// Default of `DD_DOGSTATSD_BUFFER_SIZE`: one datagram, or one frame of a stream (`facts/dogstatsd.md` §1).
pub const DATAGRAM_MAX_BYTES: usize = 8_192;
/// One DogStatsD line, over HTTP too, where bodies may be bigger than any datagram.
pub const METRIC_LINE_MAX_BYTES: usize = 65_535;
/// Default of `LASTLIGHT_METRIC_CONTEXTS`: different metrics with their tags at one time.
pub const METRIC_CONTEXTS_DEFAULT: usize = 1_000_000;

/// Uncompressed and compressed size and points of one series payload (`facts/delivery.md` §3.7).
pub const SERIES_BATCH_MAX_BYTES: usize = 5_242_880;
/// See [`SERIES_BATCH_MAX_BYTES`].
pub const SERIES_PACKED_MAX_BYTES: usize = 512_000;
/// See [`SERIES_BATCH_MAX_BYTES`].
pub const SERIES_BATCH_MAX_POINTS: usize = 10_000;
/// Uncompressed size of one payload of sketches, events or checks (`facts/delivery.md` §3.7).
pub const SKETCH_BATCH_MAX_BYTES: usize = 4 * MIB;
/// Their compressed size.
pub const SKETCH_PACKED_MAX_BYTES: usize = 5 * MIB / 2;

/// One log (`facts/delivery.md` §6): what is longer goes in parts that say so. Below the intake's 1 MB, which counts
/// the other fields too.
pub const LOG_MAX_BYTES: usize = 900_000;
/// The message of one log as the text of a JSON string, where an escaped byte takes up to six and one that is not UTF-8
/// takes three: what would be longer is cut.
pub const LOG_ESCAPED_MAX_BYTES: usize = 2 * LOG_MAX_BYTES;
/// Uncompressed size of one payload of logs (`facts/delivery.md` §6).
pub const LOG_BATCH_MAX_BYTES: usize = 5_000_000;
/// Logs of one payload.
pub const LOG_BATCH_MAX_COUNT: usize = 1_000;

/// Nesting of msgpack values a decoder follows.
pub const MSGPACK_MAX_DEPTH: usize = 32;

/// Share of the memory bound, in percent, that statistics may take while they are counted; what is left is
/// the room for requests and queues.
pub const COUNTING_MEMORY_PERCENT: usize = 25;
/// Share of the room, in percent, that statistics on their way may take.
pub const STATS_MEMORY_PERCENT: usize = 25;
/// Share of the room, in percent, that metrics may take: their contexts, and what is on its way.
pub const METRICS_MEMORY_PERCENT: usize = 70;
/// Share of the room, in percent, that series, and as much again that distributions may take while they wait
/// for the backend; the oldest give way.
pub const METRICS_QUEUE_MEMORY_PERCENT: usize = 20;
/// Share of the room, in percent, that events, and as much again that service checks may take.
pub const EVENTS_MEMORY_PERCENT: usize = 2;
/// Share of the room, in percent, that logs may take: what waits for its request, and requests that wait.
pub const LOGS_MEMORY_PERCENT: usize = 70;
/// Share of the room, in percent, that requests with logs may take while they wait for the backend; the oldest give way.
pub const LOGS_QUEUE_MEMORY_PERCENT: usize = 25;
/// Share of the room, in percent, that proxied requests may take.
pub const PROXIED_MEMORY_PERCENT: usize = 50;
/// Share of the room, in percent, that one additional endpoint's queue may take; it evicts its oldest.
pub const ADDITIONAL_ENDPOINT_MEMORY_PERCENT: usize = 12;

// The biggest request fits the room of the smallest memory bound.
const _: () = assert!(REQUEST_BODY_MAX_BYTES < MEMORY_MIN_BYTES / 100 * (100 - COUNTING_MEMORY_PERCENT));
const _: () = assert!(MEMORY_MIN_BYTES <= MEMORY_DEFAULT_BYTES);
// A batch is far smaller than the memory bound, so that several are in flight.
const _: () = assert!(TRACE_BATCH_MAX_BYTES * 4 <= MEMORY_MIN_BYTES);
const _: () = assert!(WHOLE_DECODE_MAX_BYTES <= REQUEST_BODY_MAX_BYTES);
// The shares that can be full at the same time leave room for traces.
const _: () = assert!(STATS_MEMORY_PERCENT + PROXIED_MEMORY_PERCENT < 100);
const _: () = assert!(LOGS_QUEUE_MEMORY_PERCENT < LOGS_MEMORY_PERCENT);
const _: () = assert!(STATS_MEMORY_PERCENT + LOGS_MEMORY_PERCENT < 100);
// The longest log still goes into a payload, alone: one whose message is escaped, and one that came as JSON, in which
// nothing is left to escape but each byte may be one that is not UTF-8.
const _: () = assert!(LOG_ESCAPED_MAX_BYTES < LOG_BATCH_MAX_BYTES && 3 * LOG_MAX_BYTES < LOG_BATCH_MAX_BYTES);
const _: () = assert!(STATS_MEMORY_PERCENT + METRICS_MEMORY_PERCENT + 2 * EVENTS_MEMORY_PERCENT < 100);
