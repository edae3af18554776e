//! Trace statistics in msgpack: what tracers send to `/v0.6/stats` and what the backend takes
//! (`facts/trace-intake.md` §4.5). Sketches within are protobuf (see [`crate::sketch`]).

mod decode;
mod encode;

pub use decode::{DECODED_BYTES_PER_BODY_BYTE, DECODED_MIN_BYTES, decode_client_stats, decode_stats_payload};
pub use encode::encode_stats_payload;
