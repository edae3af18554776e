//! Texts and tags of a trace: texts one after the other in one buffer, tags of a span as a chain.

/// Most bytes of a tag's name; the agent cuts there too (`facts/trace-intake.md` §5.2).
pub const KEY_MAX_BYTES: usize = 200;
/// Most bytes of any other text; the agent cuts there too (`facts/trace-intake.md` §5.2).
pub const TEXT_MAX_BYTES: usize = 25_000;
/// Most tags of one span.
pub const SPAN_TAGS_MAX_COUNT: u16 = 1_000;

/// What replaces the end of a text that was cut.
const CUT_SUFFIX: &[u8] = b"...";
/// What a store keeps for the next request, each.
const KEPT_BYTES: usize = 256 * 1024;
/// Bytes that one tag takes beside its texts.
pub(crate) const TAG_BYTES: usize = size_of::<Tag>();

/// A text of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    at: u32,
    bytes: u32,
}

impl Text {
    /// No text, which is something else than an empty one.
    pub(crate) const NONE: Self = Self { at: u32::MAX, bytes: 0 };

    pub(crate) fn is_none(self) -> bool {
        self.at == u32::MAX
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Text(Text),
    Number(f64),
}

#[derive(Clone, Copy, Debug)]
struct Tag {
    key: Text,
    value: Value,
    next: u32,
}

/// End of a chain.
const NO_TAG: u32 = u32::MAX;

/// The tags of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tags {
    first: u32,
    last: u32,
    count: u16,
}

impl Default for Tags {
    fn default() -> Self {
        Self { first: NO_TAG, last: NO_TAG, count: 0 }
    }
}

/// There was no room.
#[derive(Debug)]
pub(crate) struct Full;

/// All texts and tags of a trace.
#[derive(Debug, Default)]
pub(crate) struct Store {
    text: Vec<u8>,
    tags: Vec<Tag>,
    bytes_max: usize,
    /// Texts that were too long and are recorded without their end.
    pub(crate) cut: u64,
}

impl Store {
    pub(crate) fn new(bytes_max: usize) -> Self {
        // Places are 32 bits wide.
        Self { bytes_max: bytes_max.min(1 << 30), ..Self::default() }
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.tags.clear();
        self.tags.shrink_to(KEPT_BYTES / TAG_BYTES);
        self.cut = 0;
    }

    /// Bytes held for later.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.text.capacity() + self.tags.capacity() * TAG_BYTES
    }

    #[inline]
    pub(crate) fn get(&self, text: Text) -> &[u8] {
        let at = text.at as usize;
        self.text.get(at..at + text.bytes as usize).unwrap_or_default()
    }

    /// Stores a text.
    #[inline]
    pub(crate) fn text(&mut self, text: &[u8]) -> Result<Text, Full> {
        self.put(text, TEXT_MAX_BYTES, 0)
    }

    /// Stores a text in place of another, over it when it is long enough.
    pub(crate) fn replace(&mut self, old: &mut Text, text: &[u8]) -> Result<(), Full> {
        let at = old.at as usize;
        if !old.is_none() && text.len() <= old.bytes as usize && std::str::from_utf8(text).is_ok() {
            self.text[at..at + text.len()].copy_from_slice(text);
            old.bytes = text.len() as u32;
        } else {
            *old = self.text(text)?;
        }
        Ok(())
    }

    /// Sets a tag of `tags`, in place of one of the same name.
    pub(crate) fn tag(&mut self, tags: &mut Tags, key: &[u8], value: TagValue<'_>) -> Result<(), Full> {
        if let Some(found) = self.find(*tags, key) {
            let mut value_now = self.tags[found].value;
            match (&mut value_now, value) {
                (Value::Text(old), TagValue::Text(new)) => self.replace(old, new)?,
                (now, TagValue::Text(new)) => *now = Value::Text(self.text(new)?),
                (now, TagValue::Number(new)) => *now = Value::Number(new),
            }
            self.tags[found].value = value_now;
            return Ok(());
        }
        // What a host records must not end it for want of memory.
        if tags.count == SPAN_TAGS_MAX_COUNT || self.tags.try_reserve(1).is_err() {
            return Err(Full);
        }
        let before = self.text.len();
        let key = self.put(key, KEY_MAX_BYTES, TAG_BYTES)?;
        let value = match value {
            TagValue::Number(value) => Value::Number(value),
            TagValue::Text(value) => match self.put(value, TEXT_MAX_BYTES, TAG_BYTES) {
                Ok(value) => Value::Text(value),
                Err(full) => {
                    self.text.truncate(before);
                    return Err(full);
                }
            },
        };
        let place = self.tags.len() as u32;
        self.tags.push(Tag { key, value, next: NO_TAG });
        match tags.last {
            NO_TAG => tags.first = place,
            last => self.tags[last as usize].next = place,
        }
        tags.last = place;
        tags.count += 1;
        Ok(())
    }

    pub(crate) fn has(&self, tags: Tags, key: &[u8]) -> bool {
        self.find(tags, key).is_some()
    }

    /// The tags of a span, in the order they were first set.
    pub(crate) fn tags(&self, tags: Tags) -> impl Iterator<Item = (&[u8], Value)> {
        self.chain(tags).map(|place| (self.get(self.tags[place].key), self.tags[place].value))
    }

    fn chain(&self, tags: Tags) -> impl Iterator<Item = usize> {
        let mut next = tags.first;
        std::iter::from_fn(move || {
            let place = next as usize;
            next = self.tags.get(place)?.next;
            Some(place)
        })
    }

    fn find(&self, tags: Tags, key: &[u8]) -> Option<usize> {
        self.chain(tags).find(|place| self.get(self.tags[*place].key) == key)
    }

    /// `more`: bytes that must find room too.
    #[inline]
    fn put(&mut self, text: &[u8], max_bytes: usize, more: usize) -> Result<Text, Full> {
        if text.len() <= max_bytes && std::str::from_utf8(text).is_ok() {
            return self.append(text, more);
        }
        self.put_repaired(text, max_bytes, more)
    }

    #[cold]
    fn put_repaired(&mut self, text: &[u8], max_bytes: usize, more: usize) -> Result<Text, Full> {
        // One byte may become three; what is far behind the cut is not looked at.
        let looked_at = &text[..text.len().min(max_bytes + 4)];
        let mut repaired = String::from_utf8_lossy(looked_at).into_owned();
        if text.len() > looked_at.len() || repaired.len() > max_bytes {
            repaired.truncate(repaired.floor_char_boundary(max_bytes - CUT_SUFFIX.len()));
            let mut repaired = repaired.into_bytes();
            repaired.extend_from_slice(CUT_SUFFIX);
            let text = self.append(&repaired, more)?;
            self.cut += 1;
            return Ok(text);
        }
        self.append(repaired.as_bytes(), more)
    }

    #[inline]
    fn append(&mut self, text: &[u8], more: usize) -> Result<Text, Full> {
        let used = self.text.len() + self.tags.len() * TAG_BYTES;
        if used + text.len() + more > self.bytes_max {
            return Err(Full);
        }
        self.text.try_reserve(text.len()).map_err(|_| Full)?;
        let at = self.text.len() as u32;
        self.text.extend_from_slice(text);
        Ok(Text { at, bytes: text.len() as u32 })
    }
}

/// What a tag is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TagValue<'a> {
    Text(&'a [u8]),
    Number(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_big_request_leaves_no_big_memory() {
        let mut store = Store::new(1 << 24);
        for _ in 0..1_000 {
            let mut tags = Tags::default();
            for tag in 0..20_u8 {
                store.tag(&mut tags, &[b'a' + tag], TagValue::Text(&[b'x'; 200])).unwrap();
            }
        }
        assert!(store.held_bytes() > 4_000_000);
        store.clear();
        assert!(store.held_bytes() <= 2 * KEPT_BYTES);
    }

    #[test]
    fn a_value_set_again_and_again_takes_its_bytes_once() {
        let mut store = Store::new(1_000);
        let mut tags = Tags::default();
        for _ in 0..1_000 {
            store.tag(&mut tags, b"key", TagValue::Text(b"0123456789")).unwrap();
        }
        assert_eq!(store.text.len(), 13);
    }
}
