//! Short texts that occurred before in the same body.
//!
//! Keys of tags, services and most values stand in a body once for each span. Whoever was found to be
//! valid UTF-8 need not be checked again: comparing a few words is far cheaper. And since the earlier
//! slice is handed out, whoever compares pointers first knows equal texts at once.

use std::str::Utf8Error;

/// Slots of the table; a power of two. The distinct short texts of a payload are mostly fewer.
const SLOTS: usize = 256;
/// Longer texts rarely repeat.
const REPEATED_MAX_BYTES: usize = 32;

/// A table of texts, each at one place; a later text takes the place of an earlier one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeated<'a> {
    /// Allocated for the first text, so that readers of numbers cost nothing.
    slots: Option<Box<[&'a str; SLOTS]>>,
}

impl<'a> Repeated<'a> {
    /// The bytes as text: an equal slice seen before, or these very bytes.
    ///
    /// # Errors
    /// When they are not UTF-8.
    #[inline]
    pub(crate) fn text(&mut self, bytes: &'a [u8]) -> Result<&'a str, Utf8Error> {
        if bytes.len() > REPEATED_MAX_BYTES {
            return std::str::from_utf8(bytes);
        }
        let slots = self.slots.get_or_insert_with(|| Box::new([""; SLOTS]));
        let slot = &mut slots[slot_of(bytes)];
        if !is_same(slot.as_bytes(), bytes) {
            *slot = std::str::from_utf8(bytes)?;
        }
        Ok(slot)
    }
}

/// Mixes the length and the ends of a text. Whoever chooses texts that collide only makes them be
/// checked each time.
#[inline]
fn slot_of(bytes: &[u8]) -> usize {
    let (head, tail) = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(head), Some(tail)) => (u32::from_le_bytes(*head), u32::from_le_bytes(*tail)),
        _ => match bytes {
            [] => (0, 0),
            [first, rest @ ..] => (u32::from(*first), u32::from(rest.last().copied().unwrap_or(0))),
        },
    };
    let mixed = u64::from(head) << 32 | u64::from(tail);
    let hash = mixed.wrapping_add(bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

/// Compares texts of up to 32 bytes by their ends, which overlap or meet.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    macro_rules! ends {
        ($bytes:literal, $word:ty) => {
            if let (Some(a_head), Some(b_head), Some(a_tail), Some(b_tail)) = (
                a.first_chunk::<$bytes>(),
                b.first_chunk::<$bytes>(),
                a.last_chunk::<$bytes>(),
                b.last_chunk::<$bytes>(),
            ) {
                let head = <$word>::from_ne_bytes(*a_head) ^ <$word>::from_ne_bytes(*b_head);
                let tail = <$word>::from_ne_bytes(*a_tail) ^ <$word>::from_ne_bytes(*b_tail);
                return head | tail == 0;
            }
        };
    }
    ends!(16, u128);
    ends!(8, u64);
    ends!(4, u32);
    a.iter().zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const _: () = assert!(SLOTS.is_power_of_two() && REPEATED_MAX_BYTES <= 2 * size_of::<u128>());

    #[test]
    fn an_equal_text_is_the_earlier_slice() {
        let body = *b"http.method http.method";
        let mut repeated = Repeated::default();
        let first = repeated.text(&body[..11]).unwrap();
        let second = repeated.text(&body[12..]).unwrap();
        assert_eq!(second, "http.method");
        assert!(std::ptr::eq(first, second));
    }

    #[test]
    fn what_is_not_utf8_is_refused_each_time() {
        let mut repeated = Repeated::default();
        for bytes in [&b"\xff"[..], b"abc\xc3", b"caf\xc3\xa9 \xe2\x82", &[0x80; 40]] {
            assert!(repeated.text(bytes).is_err());
            assert!(repeated.text(bytes).is_err());
        }
        assert_eq!(repeated.text("café".as_bytes()), Ok("café"));
    }

    proptest! {
        /// Few letters and lengths around the widths of the words, so that texts collide and nearly agree.
        #[test]
        fn it_agrees_with_a_plain_check(
            texts in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![b'a', b'b', 0xc3, 0xa9]), 0..40), 0..200),
        ) {
            let mut repeated = Repeated::default();
            for text in &texts {
                prop_assert_eq!(repeated.text(text).ok(), std::str::from_utf8(text).ok());
            }
        }

        #[test]
        fn texts_are_the_same_when_all_their_bytes_are(
            text in prop::collection::vec(any::<u8>(), 0..=REPEATED_MAX_BYTES),
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            prop_assert!(is_same(&text, &text.clone()));
            if !text.is_empty() {
                let mut other = text.clone();
                other[at.index(text.len())] ^= 1_u8 << bit;
                prop_assert!(!is_same(&text, &other));
                prop_assert!(!is_same(&text, &text[1..]));
            }
        }
    }
}
