//! Keys as bytes: every field in a row. One buffer is filled for each span, hashed and compared
//! whole, and copied once when the key is new; a key is one allocation of just its size.

use model::stats::{StatsGroup, TraceRoot};

/// Strings of a key.
pub(super) const TEXTS: usize = 10;
/// Lists of tags of a key: peer tags, additional tags, derived tags.
pub(super) const LISTS: usize = 3;

/// Status, mapping of its sketches, flags, list lengths and string lengths.
const HEADER_BYTES: usize = 4 + 4 + 2 + LISTS * 2 + TEXTS * 4;
const APART_AT: usize = 4;
const FLAGS_AT: usize = 8;
const LISTS_AT: usize = 10;
const TEXTS_AT: usize = LISTS_AT + LISTS * 2;

/// What of a key is neither a string nor a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    pub(super) http_status_code: u32,
    pub(super) synthetics: bool,
    pub(super) is_trace_root: TraceRoot,
    /// Keeps sketches apart that cannot be merged; 0 for all others.
    pub(super) apart: u32,
}

/// Builds one key after the other in the same buffer.
#[derive(Debug, Default)]
pub(super) struct KeyBuffer {
    bytes: Vec<u8>,
    lists: [u16; LISTS],
    /// Where the strings end, and the first list starts.
    texts_end: usize,
    /// Where each list ends.
    ends: [usize; LISTS],
}

impl KeyBuffer {
    /// Starts a key. The order of `texts` is that of [`texts_of`].
    #[inline]
    pub(super) fn start(&mut self, fixed: Fixed, texts: [&str; TEXTS]) {
        self.lists = [0; LISTS];
        let mut header = [0_u8; HEADER_BYTES];
        header[..APART_AT].copy_from_slice(&fixed.http_status_code.to_le_bytes());
        header[APART_AT..FLAGS_AT].copy_from_slice(&fixed.apart.to_le_bytes());
        header[FLAGS_AT] = u8::from(fixed.synthetics) | root_bits(fixed.is_trace_root) << 1;
        for (slot, text) in header[TEXTS_AT..].chunks_exact_mut(4).zip(texts) {
            slot.copy_from_slice(&(text.len() as u32).to_le_bytes());
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&header);
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self.texts_end = self.bytes.len();
        self.ends = [self.texts_end; LISTS];
    }

    /// Adds a tag to a list; lists are filled in their order. `write` appends the tag's bytes.
    #[inline]
    pub(super) fn item(&mut self, list: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(count) = self.lists.get_mut(list).filter(|count| **count < u16::MAX) else { return };
        *count += 1;
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - at - 4) as u32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        let slot = LISTS_AT + list * 2;
        self.bytes[slot..slot + 2].copy_from_slice(&count.to_le_bytes());
        self.ends[list..].fill(self.bytes.len());
    }

    /// The bytes of a list; empty without tags.
    pub(super) fn list(&self, list: usize) -> &[u8] {
        let end = self.ends[list];
        let start = match list.checked_sub(1) {
            Some(before) => self.ends[before],
            None => self.texts_end,
        };
        &self.bytes[start..end]
    }

    /// The key built so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Fills the buffer with the key of a group a client counted.
pub(super) fn write_group(key: &mut KeyBuffer, group: &StatsGroup, apart: u32) {
    let fixed = Fixed {
        http_status_code: group.http_status_code,
        synthetics: group.synthetics,
        is_trace_root: group.is_trace_root,
        apart,
    };
    key.start(fixed, texts_of(group));
    let lists = [&group.peer_tags, &group.additional_metric_tags, &group.span_derived_primary_tags];
    for (list, tags) in lists.into_iter().enumerate() {
        for tag in tags {
            key.item(list, |bytes| bytes.extend_from_slice(tag.as_bytes()));
        }
    }
}

/// The group of a key, with nothing counted.
pub(super) fn read_group(key: &[u8]) -> StatsGroup {
    let mut group = StatsGroup::default();
    let Some((header, rest)) = key.split_at_checked(HEADER_BYTES) else { return group };
    let mut reader = Reader(rest);
    group.http_status_code = u32_at(header, 0);
    group.synthetics = header[FLAGS_AT] & 1 == 1;
    group.is_trace_root = match header[FLAGS_AT] >> 1 {
        1 => TraceRoot::Yes,
        2 => TraceRoot::No,
        _ => TraceRoot::NotSet,
    };
    let fields = [
        &mut group.service,
        &mut group.name,
        &mut group.resource,
        &mut group.span_type,
        &mut group.span_kind,
        &mut group.grpc_status_code,
        &mut group.http_method,
        &mut group.http_endpoint,
        &mut group.service_source,
        &mut group.db_type,
    ];
    for (position, field) in fields.into_iter().enumerate() {
        *field = reader.text(u32_at(header, TEXTS_AT + position * 4));
    }
    let lists =
        [&mut group.peer_tags, &mut group.additional_metric_tags, &mut group.span_derived_primary_tags];
    for (position, list) in lists.into_iter().enumerate() {
        let at = LISTS_AT + position * 2;
        let count = u16::from_le_bytes([header[at], header[at + 1]]);
        for _ in 0..count {
            let length = u32_at(reader.take(4), 0);
            list.push(reader.text(length));
        }
    }
    group
}

/// The strings of a key that was started with any texts.
pub(super) fn read_texts(key: &[u8]) -> [String; TEXTS] {
    let Some((header, rest)) = key.split_at_checked(HEADER_BYTES) else { return Default::default() };
    let mut reader = Reader(rest);
    std::array::from_fn(|position| reader.text(u32_at(header, TEXTS_AT + position * 4)))
}

fn texts_of(group: &StatsGroup) -> [&str; TEXTS] {
    [
        &group.service,
        &group.name,
        &group.resource,
        &group.span_type,
        &group.span_kind,
        &group.grpc_status_code,
        &group.http_method,
        &group.http_endpoint,
        &group.service_source,
        &group.db_type,
    ]
}

fn root_bits(root: TraceRoot) -> u8 {
    match root {
        TraceRoot::NotSet => 0,
        TraceRoot::Yes => 1,
        TraceRoot::No => 2,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

struct Reader<'k>(&'k [u8]);

impl<'k> Reader<'k> {
    fn take(&mut self, length: usize) -> &'k [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn text(&mut self, length: u32) -> String {
        String::from_utf8_lossy(self.take(length as usize)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group() -> impl Strategy<Value = StatsGroup> {
        let tags = || prop::collection::vec(".{0,9}", 0..4);
        let texts = prop::collection::vec("\\PC{0,12}", TEXTS);
        (texts, any::<u32>(), any::<bool>(), 0_usize..3, tags(), tags(), tags()).prop_map(
            |(texts, http_status_code, synthetics, root, peer, additional, derived)| StatsGroup {
                service: texts[0].clone(),
                name: texts[1].clone(),
                resource: texts[2].clone(),
                span_type: texts[3].clone(),
                span_kind: texts[4].clone(),
                grpc_status_code: texts[5].clone(),
                http_method: texts[6].clone(),
                http_endpoint: texts[7].clone(),
                service_source: texts[8].clone(),
                db_type: texts[9].clone(),
                http_status_code,
                synthetics,
                is_trace_root: [TraceRoot::NotSet, TraceRoot::Yes, TraceRoot::No][root],
                peer_tags: peer,
                additional_metric_tags: additional,
                span_derived_primary_tags: derived,
                ..StatsGroup::default()
            },
        )
    }

    fn key_of(group: &StatsGroup) -> Vec<u8> {
        let mut key = KeyBuffer::default();
        write_group(&mut key, group, 0);
        key.bytes().to_vec()
    }

    proptest! {
        #[test]
        fn a_key_holds_every_field(group in group()) {
            prop_assert_eq!(read_group(&key_of(&group)), group);
        }

        #[test]
        fn keys_are_equal_exactly_when_the_groups_are(group in group(), which in 0..7) {
            let mut other = group.clone();
            match which {
                0 => {}
                1 => other.service.push('x'),
                // The same bytes in a row, parted elsewhere.
                2 => other.name = format!("{}{}", std::mem::take(&mut other.service), other.name),
                3 => other.http_status_code ^= 1,
                4 => other.synthetics ^= true,
                5 => other.peer_tags.push(String::new()),
                _ => other.additional_metric_tags.splice(0..0, other.peer_tags.drain(..)).for_each(drop),
            }
            prop_assert_eq!(key_of(&group) == key_of(&other), group == other);
        }

        #[test]
        fn damaged_keys_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_group(&bytes);
            read_texts(&bytes);
        }
    }
}
