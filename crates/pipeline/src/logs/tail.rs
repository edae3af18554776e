//! What to read of a file that is followed: decided from what was known of it and what stands there now.

/// First bytes of a file that tell it from another with the same inode number. Enough to reach past a banner or the
/// first timestamps, and one read.
pub const FINGERPRINT_MAX_BYTES: usize = 1_024;

/// The first bytes of a file, in short. A file grows: it is compared with as many bytes as there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many bytes it is of; at most [`FINGERPRINT_MAX_BYTES`].
    pub bytes: u16,
    /// Their FNV-1a hash of 64 bits: it is kept on disk, so that it must be the same in every version.
    pub hash: u64,
}

impl Fingerprint {
    /// That of a file beginning with `head`, of which at most [`FINGERPRINT_MAX_BYTES`] count.
    pub fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(FINGERPRINT_MAX_BYTES)];
        Self { bytes: head.len() as u16, hash: fnv1a(head) }
    }

    /// Whether a file beginning with `head` may be the one this was taken of.
    pub fn matches(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.bytes)).is_some_and(|head| fnv1a(head) == self.hash)
    }
}

/// FNV-1a, 64 bits.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Device it is on; 0 where the system tells none.
    pub device: u64,
    /// Its number there; 0 where the system tells none.
    pub inode: u64,
    /// Its first bytes.
    pub fingerprint: Fingerprint,
    /// Bytes from its beginning whose logs are safe.
    pub offset: u64,
}

impl Position {
    /// Where the same file is read on from `offset`, with what is now known of it.
    pub fn of(found: &Found<'_>, offset: u64) -> Self {
        let fingerprint = Fingerprint::of(found.head);
        Self { device: found.device, inode: found.inode, fingerprint, offset }
    }

    /// Whether `found` is the file this was taken of, under whatever name: for finding the rest of a file that was
    /// renamed.
    pub fn is_of(&self, found: &Found<'_>) -> bool {
        self.inode == found.inode && self.fingerprint.matches(found.head) && found.size >= self.offset
    }
}

/// What stands under a name now.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// See [`Position::device`].
    pub device: u64,
    /// See [`Position::inode`].
    pub inode: u64,
    /// Its size, bytes. Ask for it before the head is read: a file may grow meanwhile.
    pub size: u64,
    /// Its first bytes, [`FINGERPRINT_MAX_BYTES`] or all there are.
    pub head: &'a [u8],
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Read on from here, bytes from the beginning. For a file that was not known: from 0.
    ReadFrom(u64),
    /// Another file has the name: read the known one to its end where it still is open or can be found
    /// ([`Position::is_of`]), then this one from 0.
    Rotated,
    /// The same file was emptied and perhaps written anew: read from 0. What was written between the last read and
    /// that is gone.
    Truncated,
    /// Nothing new.
    Nothing,
}

/// Decides what to read of `now`, where `known` is what is known of the name.
///
/// The device is no part of the identity where inode and first bytes agree: its number may change when a volume is
/// mounted again. A file that shrank below what was read, or whose first bytes changed, was truncated.
pub fn decide(known: Option<&Position>, now: &Found<'_>) -> Decision {
    let Some(known) = known else { return Decision::ReadFrom(0) };
    let same_head = known.fingerprint.matches(now.head);
    if known.inode != now.inode {
        return Decision::Rotated;
    }
    if known.device != now.device && !(same_head && known.fingerprint.bytes > 0) {
        return Decision::Rotated;
    }
    if now.size < known.offset || !same_head {
        return Decision::Truncated;
    }
    if now.size == known.offset { Decision::Nothing } else { Decision::ReadFrom(known.offset) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(inode: u64, content: &[u8]) -> Found<'_> {
        let head = &content[..content.len().min(FINGERPRINT_MAX_BYTES)];
        Found { device: 1, inode, size: content.len() as u64, head }
    }

    #[test]
    fn a_file_that_was_not_known_is_read_from_its_beginning() {
        assert_eq!(decide(None, &found(7, b"a\n")), Decision::ReadFrom(0));
        assert_eq!(decide(None, &found(7, b"")), Decision::ReadFrom(0));
    }

    #[test]
    fn another_file_under_the_name_is_a_rotation() {
        let known = Position::of(&found(7, b"a\nb\n"), 4);
        assert_eq!(decide(Some(&known), &found(8, b"a\nb\n")), Decision::Rotated);
        assert!(known.is_of(&found(7, b"a\nb\nc\n")), "renamed, it is still found");
        assert!(!known.is_of(&found(8, b"a\nb\n")));
    }

    #[test]
    fn a_file_written_anew_is_read_from_its_beginning_although_it_is_longer_than_before() {
        let known = Position::of(&found(7, b"old\n"), 4);
        assert_eq!(decide(Some(&known), &found(7, b"")), Decision::Truncated);
        assert_eq!(decide(Some(&known), &found(7, b"ol")), Decision::Truncated);
        assert_eq!(decide(Some(&known), &found(7, b"new and longer\n")), Decision::Truncated);
    }

    #[test]
    fn a_volume_mounted_again_is_not_read_again() {
        let known = Position::of(&found(7, b"a\n"), 2);
        let elsewhere = Found { device: 2, ..found(7, b"a\nb\n") };
        assert_eq!(decide(Some(&known), &elsewhere), Decision::ReadFrom(2));
        assert_eq!(decide(Some(&known), &Found { device: 2, ..found(7, b"x\nb\n") }), Decision::Rotated);
        let empty = Position::of(&found(7, b""), 0);
        assert_eq!(decide(Some(&empty), &elsewhere), Decision::Rotated, "nothing tells that it is the same");
    }

    #[test]
    fn the_hash_on_disk_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_F739_67E8);
    }

    proptest! {
        #[test]
        fn a_file_that_grows_is_read_on_where_it_was_left(
            content in prop::collection::vec(any::<u8>(), 0..3_000),
            cut in any::<prop::sample::Index>(),
            safe in any::<prop::sample::Index>(),
        ) {
            let seen = &content[..cut.index(content.len() + 1)];
            let offset = safe.index(seen.len() + 1) as u64;
            let known = Position::of(&found(7, seen), offset);
            let want = if offset == content.len() as u64 { Decision::Nothing } else { Decision::ReadFrom(offset) };
            prop_assert_eq!(decide(Some(&known), &found(7, &content)), want);
        }
    }
}
