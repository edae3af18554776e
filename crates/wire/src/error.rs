//! Why bytes could not be understood, and where.

use std::fmt;

/// Why a body was refused. Nothing of it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was wrong.
    pub kind: ErrorKind,
    /// Where, in bytes from the start of the body.
    pub offset: usize,
    /// What stood, or should have stood, there.
    pub what: &'static str,
}

/// What was wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The body ends within a value.
    Eof,
    /// A value is of another type than its place asks for, or out of range.
    Malformed,
    /// Values nest deeper than [`model::limits::MSGPACK_MAX_DEPTH`].
    TooDeep,
    /// The decoded form does not fit the memory set aside for it.
    TooLarge,
}

impl DecodeError {
    #[cold]
    pub(crate) fn eof(offset: usize, what: &'static str) -> Self {
        Self { kind: ErrorKind::Eof, offset, what }
    }

    #[cold]
    pub(crate) fn malformed(offset: usize, what: &'static str) -> Self {
        Self { kind: ErrorKind::Malformed, offset, what }
    }

    #[cold]
    pub(crate) fn too_deep(offset: usize) -> Self {
        Self { kind: ErrorKind::TooDeep, offset, what: "nested values" }
    }

    #[cold]
    pub(crate) fn too_large(offset: usize, what: &'static str) -> Self {
        Self { kind: ErrorKind::TooLarge, offset, what }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offset, what } = self;
        match kind {
            ErrorKind::Eof => write!(f, "the body ends at byte {offset}, where {what} was expected"),
            ErrorKind::Malformed => write!(f, "expected {what} at byte {offset}"),
            ErrorKind::TooDeep => write!(f, "{what} too deep at byte {offset}"),
            ErrorKind::TooLarge => write!(f, "{what} at byte {offset} exceeds the memory for one request"),
        }
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_expected_and_where() {
        assert_eq!(DecodeError::malformed(7, "a string").to_string(), "expected a string at byte 7");
        assert_eq!(
            DecodeError::eof(3, "a map").to_string(),
            "the body ends at byte 3, where a map was expected"
        );
    }
}
