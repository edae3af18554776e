//! How long texts may be (`facts/trace-intake.md` §5.2). Lengths are bytes; no character is split.

use bumpalo::collections::String as ArenaString;
use model::{Bump, Span};

/// Longest resource.
pub const RESOURCE_MAX_BYTES: usize = 5_000;
/// Longest resource with feature `big_resource`.
pub const BIG_RESOURCE_MAX_BYTES: usize = 15_000;
/// Longest key of a tag, before [`ELLIPSIS`].
pub const KEY_MAX_BYTES: usize = 200;
/// Longest value of a tag, before [`ELLIPSIS`].
pub const VALUE_MAX_BYTES: usize = 25_000;
/// Marks a key or value that was cut.
pub const ELLIPSIS: &str = "...";

/// The longest start of `text` that has at most `max_bytes` bytes.
pub fn at(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes { text } else { &text[..text.floor_char_boundary(max_bytes)] }
}

/// Cuts the resource and the tags of a span.
pub fn span<'a>(arena: &'a Bump, span: &mut Span<'a>, resource_max_bytes: usize) {
    span.resource = at(span.resource, resource_max_bytes);
    for entry in span.meta.iter_mut() {
        meta_entry(arena, entry);
    }
    for (key, _) in span.metrics.iter_mut() {
        metric_key(arena, key);
    }
}

/// Cuts one string tag; structured ones (`_dd.….json`) stay whole.
#[inline]
pub(crate) fn meta_entry<'a>(arena: &'a Bump, (key, value): &mut (&'a str, &'a str)) {
    if key.len() > KEY_MAX_BYTES || value.len() > VALUE_MAX_BYTES {
        cut_meta_entry(arena, key, value);
    }
}

/// Cuts the key of one numeric tag.
#[inline]
pub(crate) fn metric_key<'a>(arena: &'a Bump, key: &mut &'a str) {
    if key.len() > KEY_MAX_BYTES {
        *key = with_ellipsis(arena, key, KEY_MAX_BYTES);
    }
}

#[cold]
fn cut_meta_entry<'a>(arena: &'a Bump, key: &mut &'a str, value: &mut &'a str) {
    if is_structured(key) {
        return;
    }
    *key = with_ellipsis(arena, key, KEY_MAX_BYTES);
    *value = with_ellipsis(arena, value, VALUE_MAX_BYTES);
}

fn with_ellipsis<'a>(arena: &'a Bump, text: &'a str, max_bytes: usize) -> &'a str {
    if text.len() <= max_bytes {
        return text;
    }
    let kept = at(text, max_bytes);
    let mut cut = ArenaString::with_capacity_in(kept.len() + ELLIPSIS.len(), arena);
    cut.push_str(kept);
    cut.push_str(ELLIPSIS);
    cut.into_bump_str()
}

fn is_structured(key: &str) -> bool {
    key.starts_with("_dd.") && [".json", ".msgpack", ".protobuf"].iter().any(|suffix| key.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_falls_between_characters() {
        // The reference's published vectors.
        for (text, max_bytes, want) in [
            ("", 5, ""),
            ("télé", 5, "tél"),
            ("télé", 2, "t"),
            ("ééééé", 5, "éé"),
            ("ééééé", 18, "ééééé"),
            ("ééééé", 10, "ééééé"),
            ("ééééé", 6, "ééé"),
            ("肋", 2, ""),
            ("🠠a", 4, "🠠"),
            ("⃠⃠a", 6, "⃠⃠"),
            ("àa", 2, "à"),
        ] {
            assert_eq!(at(text, max_bytes), want, "{text:?} at {max_bytes}");
        }
    }

    #[test]
    fn structured_tags_stay_whole() {
        let arena = Bump::new();
        let long_key = "k".repeat(KEY_MAX_BYTES + 1);
        let long_value = "v".repeat(VALUE_MAX_BYTES + 1);
        for suffix in ["json", "msgpack", "protobuf"] {
            let structured = format!("_dd.{long_key}.{suffix}");
            let plain = format!("key.{suffix}");
            let mut cut = Span::new_in(&arena);
            cut.meta.push((&structured, &long_value));
            cut.meta.push((&plain, &long_value));
            span(&arena, &mut cut, RESOURCE_MAX_BYTES);
            assert_eq!(cut.meta[0], (structured.as_str(), long_value.as_str()));
            assert_eq!(cut.meta[1].0, plain);
            assert_eq!(cut.meta[1].1.len(), VALUE_MAX_BYTES + ELLIPSIS.len());
        }
    }

    #[test]
    fn keys_values_and_resource_are_cut_at_their_bounds() {
        let arena = Bump::new();
        let text = "é".repeat(20_000);
        let mut cut = Span::new_in(&arena);
        cut.resource = &text;
        cut.meta.push((&text, &text));
        cut.metrics.push((&text, 1.0));
        span(&arena, &mut cut, BIG_RESOURCE_MAX_BYTES);
        assert_eq!(cut.resource.len(), 15_000);
        assert_eq!(cut.meta[0].0, format!("{}...", "é".repeat(100)));
        assert_eq!(cut.meta[0].1, format!("{}...", "é".repeat(12_500)));
        assert_eq!(cut.metrics[0].0, cut.meta[0].0);
    }

    proptest! {
        #[test]
        fn a_cut_is_a_start_within_the_bound(text in "\\PC{0,40}", max_bytes in 0_usize..100) {
            let cut = at(&text, max_bytes);
            prop_assert!(text.starts_with(cut));
            prop_assert!(cut.len() <= max_bytes);
            // Nothing more would fit than less than one character.
            prop_assert!(cut == text || cut.len() + 4 > max_bytes);
        }
    }
}
