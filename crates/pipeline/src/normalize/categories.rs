//! Unicode's general categories, which the reference's tag rule is written in. Rust's own
//! `is_alphabetic` takes combining marks for letters, which would keep what the reference replaces.

use regex_syntax::hir::{Class, HirKind};
use std::cmp::Ordering;
use std::sync::LazyLock;

/// Ranges of characters in ascending order.
type Ranges = Box<[(char, char)]>;

/// The categories the tag rule asks for.
pub(super) struct Categories {
    letter: Ranges,
    upper: Ranges,
    digit: Ranges,
}

static SHARED: LazyLock<Categories> = LazyLock::new(|| Categories {
    letter: ranges(r"\p{L}"),
    upper: ranges(r"\p{Lu}"),
    digit: ranges(r"\p{Nd}"),
});

impl Categories {
    /// The tables, made when first asked for: most processes never see a tag that needs them.
    pub(super) fn shared() -> &'static Self {
        &SHARED
    }

    pub(super) fn is_letter(&self, char: char) -> bool {
        holds(&self.letter, char)
    }

    pub(super) fn is_upper(&self, char: char) -> bool {
        holds(&self.upper, char)
    }

    pub(super) fn is_digit(&self, char: char) -> bool {
        holds(&self.digit, char)
    }
}

fn holds(ranges: &[(char, char)], char: char) -> bool {
    ranges
        .binary_search_by(|(start, end)| {
            if *end < char {
                Ordering::Less
            } else if *start > char {
                Ordering::Greater
            } else {
                Ordering::Equal
            }
        })
        .is_ok()
}

fn ranges(class: &str) -> Ranges {
    let hir = regex_syntax::parse(class).expect("a class of a category compiled in");
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().map(|range| (range.start(), range.end())).collect()
        }
        kind => unreachable!("a Unicode class parsed as {kind:?}"),
    }
}
