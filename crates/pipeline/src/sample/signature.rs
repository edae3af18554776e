//! What makes two traces alike. Only this process compares signatures, so the hash is ours.

use crate::facts::SpanFacts;
use foldhash::fast::FixedState;
use model::{Bump, Chunk, List, Span};
use std::hash::{BuildHasher, Hasher};

/// The seed is fixed: two samplers of one process agree, and nothing here is a table an attacker
/// could fill (both samplers bound the number of signatures by another modulus).
const STATE: FixedState = FixedState::with_seed(0x6c61_7374_6c69_6768);

/// Signature of a chunk: environment and root with its resource, and the set of all spans without
/// theirs, in any order.
pub(super) fn of_chunk<'a>(
    arena: &'a Bump,
    chunk: &Chunk<'a>,
    root: usize,
    facts: &[SpanFacts<'a>],
    env: &str,
) -> u64 {
    let mut spans = List::with_capacity_in(chunk.spans.len(), arena);
    let no_facts = SpanFacts::default();
    let facts_at = |index: usize| facts.get(index).unwrap_or(&no_facts);
    for (index, span) in chunk.spans.iter().enumerate() {
        spans.push(of_span(span, facts_at(index), env, false));
    }
    spans.sort_unstable();
    spans.dedup();
    let root = chunk.spans.get(root).map_or(0, |span| of_span(span, facts_at(root), env, true));
    spans.iter().fold(root, |signature, span| signature ^ span)
}

/// Signature of a span.
pub(super) fn of_span(span: &Span<'_>, facts: &SpanFacts<'_>, env: &str, with_resource: bool) -> u64 {
    let mut hasher = STATE.build_hasher();
    let resource = if with_resource { span.resource } else { "" };
    for text in [env, span.service, span.name, resource, facts.error_type] {
        hasher.write(text.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.write_u32(facts.http_status_code);
    hasher.write_u8(u8::from(span.error != 0));
    hasher.finish()
}

/// Signature of a service in an environment.
pub(super) fn of_service(service: &str, env: &str) -> u64 {
    STATE.hash_one((service, env))
}
