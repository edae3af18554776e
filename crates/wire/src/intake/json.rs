//! What events and service checks have in common: JSON, and the tags that mean something.

use serde::Serialize;
use serde::ser::Serializer;

/// The tag that names the host; without a name there is none.
const HOST_TAG: &str = "host:";
/// Tags that talk to the agent and are not shown (`facts/dogstatsd.md` §2.5).
const INTERNAL_TAGS: [&str; 3] =
    ["dd.internal.entity_id:", "dd.internal.card:", "dd.internal.jmx_check_name:"];

/// Appends `value` as JSON.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a vector takes what is written, and every key is a string");
}

/// The host a message means: its own, else that of its last `host:` tag, else the agent's.
pub(super) fn host<'a>(own: Option<&'a str>, tags: &'a str, agent: &'a str) -> &'a str {
    own.filter(|host| !host.is_empty())
        .or_else(|| tags.split(',').filter_map(|tag| tag.strip_prefix(HOST_TAG)).next_back())
        .unwrap_or(agent)
}

/// A message's tags without empty and magic ones, then those of everything, as an array.
pub(super) struct Tags<'a> {
    pub(super) own: &'a str,
    pub(super) extra: &'a [&'a str],
}

impl<'a> Tags<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a str> {
        let shown = |tag: &&str| {
            !tag.is_empty()
                && !tag.starts_with(HOST_TAG)
                && !INTERNAL_TAGS.iter().any(|prefix| tag.starts_with(prefix))
        };
        self.own.split(',').filter(shown).chain(self.extra.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Appends objects that are JSON already, as an array.
pub(super) fn array<'a>(objects: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, object) in objects.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(object);
    }
    out.push(b']');
}
