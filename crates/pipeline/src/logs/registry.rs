//! How far each followed file was read, as text that survives a restart: it is neither read twice nor skipped
//! (losses.md L103; that it is written as a whole or not at all is the writer's part).
//!
//! ```text
//! lastlight-offsets 1
//! <updated, ns> <device> <inode> <fingerprint bytes> <fingerprint hash> <offset> <path>
//! end <entries> <hash of all before>
//! ```
//!
//! Numbers are decimal, hashes hexadecimal. In a path `%`, control characters are written `%xx`.

use super::tail::{Fingerprint, Position, fnv1a};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// Files it remembers; those that were not read for longest leave first.
pub const REGISTRY_MAX_ENTRIES: usize = 1_000;
/// Bytes of one path; a file with a longer one is read from its beginning after a restart.
pub const REGISTRY_PATH_MAX_BYTES: usize = 4_096;
/// Bytes of text that are read at all: more than the biggest registry with paths as they are in practice.
pub const REGISTRY_MAX_BYTES: usize = 4 * 1024 * 1024;

const FIRST_LINE: &str = "lastlight-offsets 1";

/// Positions by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    updated_ns: i64,
    position: Position,
}

/// A registry that cannot be read: say it and begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError(String);

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RegistryError {}

impl Registry {
    /// How far the file was read under this path.
    pub fn get(&self, path: &str) -> Option<&Position> {
        self.entries.get(path).map(|entry| &entry.position)
    }

    /// Remembers a position. Returns the path that had to leave for it, if any: its own when it is longer than
    /// [`REGISTRY_PATH_MAX_BYTES`].
    #[must_use = "a file that is forgotten is read again after a restart"]
    pub fn set(&mut self, path: &str, position: Position, now_ns: i64) -> Option<String> {
        if path.len() > REGISTRY_PATH_MAX_BYTES {
            return Some(path.to_owned());
        }
        let entry = Entry { updated_ns: now_ns, position };
        if let Some(known) = self.entries.get_mut(path) {
            *known = entry;
            return None;
        }
        let leaves = if self.entries.len() >= REGISTRY_MAX_ENTRIES { self.oldest() } else { None };
        if let Some(path) = &leaves {
            self.entries.remove(path);
        }
        self.entries.insert(path.to_owned(), entry);
        leaves
    }

    /// Forgets a file.
    pub fn remove(&mut self, path: &str) {
        self.entries.remove(path);
    }

    /// Paths and positions, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Position)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), &entry.position))
    }

    /// Files it remembers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its text, at most [`REGISTRY_MAX_BYTES`]: the oldest entries are left out where they do not fit.
    pub fn encode(&self) -> String {
        let mut entries: Vec<_> = self.entries.iter().collect();
        model::order::sort_by(&mut entries, |a, b| {
            b.1.updated_ns.cmp(&a.1.updated_ns).then_with(|| a.0.cmp(b.0))
        });
        let mut text = format!("{FIRST_LINE}\n");
        let mut count = 0;
        for (path, Entry { updated_ns, position }) in entries {
            let before = text.len();
            let Position { device, inode, fingerprint: Fingerprint { bytes, hash }, offset } = position;
            write!(text, "{updated_ns} {device} {inode} {bytes} {hash:x} {offset} ")
                .expect("a string takes all");
            escape(&mut text, path);
            text.push('\n');
            if text.len() > REGISTRY_MAX_BYTES - LAST_LINE_MAX_BYTES {
                text.truncate(before);
                break;
            }
            count += 1;
        }
        let hash = fnv1a(text.as_bytes());
        writeln!(text, "end {count} {hash:x}").expect("a string takes all");
        text
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When it is too big, of another version, cut off or changed. Nothing of it is used then: a wrong offset skips
    /// logs silently.
    pub fn decode(text: &str) -> Result<Self, RegistryError> {
        let damaged = |what: String| Err(RegistryError(what));
        if text.len() > REGISTRY_MAX_BYTES {
            return damaged(format!("it has {} bytes, more than {REGISTRY_MAX_BYTES}", text.len()));
        }
        let Some(rest) = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_prefix('\n')) else {
            let first: String = text.lines().next().unwrap_or("").chars().take(40).collect();
            return damaged(format!("it begins with {first:?}, not with {FIRST_LINE:?}"));
        };
        let Some(end) = text.strip_suffix('\n').and_then(|text| text.rfind('\n')).map(|at| at + 1) else {
            return damaged("it is cut off".to_owned());
        };
        let (body, last) = text.split_at(end);
        let body = &rest[..body.len() - (text.len() - rest.len())];
        let mut last = last.trim_end_matches('\n').split(' ');
        let (Some("end"), Some(count), Some(hash), None) =
            (last.next(), last.next(), last.next(), last.next())
        else {
            return damaged("it is cut off".to_owned());
        };
        // As text: `AF` and `af` are one number, and only one of them was written.
        if hash != format!("{:x}", fnv1a(&text.as_bytes()[..end])) {
            return damaged("it was changed".to_owned());
        }
        let mut entries = BTreeMap::new();
        for line in body.lines() {
            let Some((path, entry)) = entry(line) else {
                return damaged(format!("{:?} is no entry", line.chars().take(80).collect::<String>()));
            };
            entries.insert(path, entry);
        }
        if count != entries.len().to_string() || entries.len() > REGISTRY_MAX_ENTRIES {
            return damaged(format!("it has {} entries, not {count}", entries.len()));
        }
        Ok(Self { entries })
    }

    fn oldest(&self) -> Option<String> {
        self.entries
            .iter()
            .min_by_key(|(path, entry)| (entry.updated_ns, *path))
            .map(|(path, _)| path.clone())
    }
}

/// `end`, a number, a hash and the newline.
const LAST_LINE_MAX_BYTES: usize = 64;

fn escape(text: &mut String, path: &str) {
    for char in path.chars() {
        if char.is_ascii_control() || char == '%' {
            write!(text, "%{:02x}", u32::from(char)).expect("a string takes all");
        } else {
            text.push(char);
        }
    }
}

fn unescape(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        out.push(char::from(u8::from_str_radix(after.get(..2)?, 16).ok()?));
        rest = &after[2..];
    }
    out.push_str(rest);
    Some(out)
}

fn entry(line: &str) -> Option<(String, Entry)> {
    let mut fields = line.splitn(7, ' ');
    let mut next = || fields.next();
    let updated_ns = next()?.parse().ok()?;
    let device = next()?.parse().ok()?;
    let inode = next()?.parse().ok()?;
    let bytes = next()?.parse().ok()?;
    let hash = u64::from_str_radix(next()?, 16).ok()?;
    let offset = next()?.parse().ok()?;
    let path = unescape(next()?)?;
    let position = Position { device, inode, fingerprint: Fingerprint { bytes, hash }, offset };
    Some((path, Entry { updated_ns, position }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(offset: u64) -> Position {
        Position { device: 1, inode: 2, fingerprint: Fingerprint::of(b"a"), offset }
    }

    fn some() -> Registry {
        let mut registry = Registry::default();
        assert_eq!(registry.set("/var/log/a b%.log", position(3), -5), None);
        assert_eq!(registry.set("/var/log/\n", position(u64::MAX), 7), None);
        registry
    }

    #[test]
    fn the_text_is_this() {
        let text = some().encode();
        let (lines, last) = text.split_at(text.find("end").unwrap());
        assert_eq!(
            lines,
            "lastlight-offsets 1\n7 1 2 1 af63dc4c8601ec8c 18446744073709551615 /var/log/%0a\n\
             -5 1 2 1 af63dc4c8601ec8c 3 /var/log/a b%25.log\n"
        );
        assert!(last.starts_with("end 2 ") && last.ends_with('\n'), "{last:?}");
    }

    #[test]
    fn another_version_is_told_from_a_damaged_one() {
        let error = Registry::decode("lastlight-offsets 2\nend 0 0\n").unwrap_err().to_string();
        assert!(error.contains("\"lastlight-offsets 2\""), "{error}");
        assert!(Registry::decode("").is_err());
    }

    #[test]
    fn the_oldest_leaves_first() {
        let mut registry = Registry::default();
        for number in 0..REGISTRY_MAX_ENTRIES {
            assert_eq!(registry.set(&format!("/{number}"), position(1), number as i64), None);
        }
        assert_eq!(registry.set("/0", position(2), 5_000), None, "one that is known leaves nobody out");
        assert_eq!(registry.set("/new", position(1), 5_001), Some("/1".to_owned()));
        assert_eq!(registry.len(), REGISTRY_MAX_ENTRIES);
        assert_eq!(registry.get("/0"), Some(&position(2)));
        let long = "x".repeat(REGISTRY_PATH_MAX_BYTES + 1);
        assert_eq!(registry.set(&long, position(1), 6_000), Some(long));
    }

    #[test]
    fn the_text_is_bounded_and_what_does_not_fit_is_the_oldest() {
        let mut registry = Registry::default();
        for number in 0..REGISTRY_MAX_ENTRIES {
            let path = format!("{number}{}", "%".repeat(REGISTRY_PATH_MAX_BYTES - 4));
            assert_eq!(registry.set(&path, position(1), number as i64), None);
        }
        let text = registry.encode();
        assert!(text.len() <= REGISTRY_MAX_BYTES);
        let read = Registry::decode(&text).unwrap();
        assert!(read.len() > 300 && read.len() < REGISTRY_MAX_ENTRIES);
        assert!(read.iter().all(|(path, _)| !path.starts_with("0%") && !path.starts_with("1%")));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in prop::collection::vec((".{0,40}", any::<[u64; 4]>(), any::<u16>(), any::<i64>()), 0..20),
        ) {
            let mut registry = Registry::default();
            for (path, [device, inode, hash, offset], bytes, now_ns) in entries {
                let position = Position { device, inode, fingerprint: Fingerprint { bytes, hash }, offset };
                prop_assert_eq!(registry.set(&path, position, now_ns), None);
            }
            prop_assert_eq!(Registry::decode(&registry.encode()), Ok(registry));
        }

        /// Beside L103: what was written in part is no registry, rather than a shorter one.
        #[test]
        fn l103_a_registry_that_was_cut_off_or_changed_is_not_used(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
            let text = some().encode();
            let at = at.index(text.len());
            prop_assert!(Registry::decode(&text[..at]).is_err());
            let mut changed = text.clone().into_bytes();
            let same = changed[at] == byte;
            changed[at] = byte;
            prop_assert_eq!(Registry::decode(&String::from_utf8(changed).unwrap()).is_ok(), same);
        }

        /// With a hash that is right: what is left to refuse is what the lines say.
        #[test]
        fn any_text_is_read_as_it_is_written_or_refused(lines in "([0-9]{1,3} ){0,6}[ -~\n]{0,60}\n") {
            let text = format!("{FIRST_LINE}\n{lines}");
            let text = format!("{text}end {} {:x}\n", lines.lines().count(), fnv1a(text.as_bytes()));
            if let Ok(registry) = Registry::decode(&text) {
                prop_assert_eq!(registry.len(), lines.lines().count());
                prop_assert_eq!(Registry::decode(&registry.encode()), Ok(registry));
            }
        }
    }
}
