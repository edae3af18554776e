//! Trace statistics: what is counted here, and what tracers counted themselves
//! (`facts/trace-intake.md` §8, §9).

pub mod client;
#[cfg(test)]
mod client_tests;
mod concentrator;
#[cfg(test)]
mod concentrator_tests;
mod group;
mod key;
mod peer;
pub mod sketch;
#[cfg(test)]
mod sketch_tests;
pub mod split;
mod table;
mod view;

pub use client::ClientAggregator;
pub use concentrator::{BLOCKED, BUCKET_NS, Concentrator};
pub use group::{normalize_group, normalize_payload};
pub use peer::PEER_TAGS;
pub use table::Counted;
pub use view::View;

/// Hash by which the reference names process tags: FNV-1a of the sorted tags, NUL between them; 0
/// without tags.
pub fn process_tags_hash(process_tags: &str) -> u64 {
    if process_tags.is_empty() {
        return 0;
    }
    let mut tags: Vec<&str> = process_tags.split(',').collect();
    tags.sort_unstable();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut write = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for (position, tag) in tags.iter().enumerate() {
        if position > 0 {
            write(0);
        }
        tag.bytes().for_each(&mut write);
    }
    hash
}
