//! Keys that cannot be printed by accident.

use std::fmt;

/// A key. `Debug` and `Display` show its last four characters at most, as the reference does.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Characters that stay readable.
const SHOWN_CHARACTERS: usize = 4;

impl Secret {
    /// Wraps a key; surrounding white space, a common paste error, is removed.
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }

    /// The key itself, for the request header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// `****` and the last four characters; shorter texts hide all, so that little is never told of little.
pub fn mask(text: &str) -> String {
    let count = text.chars().count();
    let shown = if count >= 4 * SHOWN_CHARACTERS { SHOWN_CHARACTERS } else { 0 };
    let tail: String = text.chars().skip(count - shown).collect();
    format!("****{tail}")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_shows_its_last_four_characters_and_a_short_text_none() {
        assert_eq!(Secret::new(" 0123456789abcdef0123456789abcdef\n").to_string(), "****cdef");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "****");
        assert_eq!(mask(""), "****");
    }

    proptest! {
        #[test]
        fn a_masked_text_never_tells_more_than_a_quarter(text in ".{0,80}") {
            let shown = mask(&text).chars().count() - 4;
            prop_assert!(shown * 4 <= text.chars().count());
        }
    }
}
