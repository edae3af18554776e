//! Why a line was refused.

use std::fmt;

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $says:literal;)*) => {
        /// Why a line was refused. Nothing of it is used; its neighbours are not concerned.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
        #[repr(u8)]
        pub enum LineError { $($(#[$doc])* $variant),* }

        impl LineError {
            /// Every reason, in the order in which books list them; `error as usize` is its place.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in books, logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn says(self) -> &'static str {
                match self { $(Self::$variant => $says),* }
            }
        }
    };
}

errors! {
    /// Nothing stands before the first `:`, or there is none before the first `|`.
    NoName = "no_name", "no name; a metric is name:value|type";
    /// Nothing stands between the name and the type.
    NoValue = "no_value", "no value; a metric is name:value|type";
    /// There is no `|`, or nothing behind it.
    NoType = "no_type", "no type; a metric is name:value|type with type g, c, h, d, ms or s";
    /// The type is none of those known.
    UnknownType = "unknown_type", "unknown type; known are g, c, h, d, ms and s";
    /// A value is no number.
    BadValue = "bad_value", "a value is no number; right are 1, -2.5, 1e3";
    /// A value is infinite, not a number, or too big for a double.
    NotFinite = "not_finite", "a value is not finite or exceeds 1.8e308";
    /// The sample rate is no number, or outside of what a rate can be.
    BadRate = "bad_rate", "the sample rate behind @ is no number above 0 and at most 1";
    /// The timestamp is no whole number of seconds, or before 1970.
    BadTimestamp = "bad_timestamp", "the timestamp behind T is no number of seconds since 1970";
    /// The head of an event is wrong.
    BadEvent = "bad_event",
        "not an event; right is _e{5,4}:title|text with the lengths in bytes, and a title";
    /// The name or the state of a service check is wrong.
    BadServiceCheck = "bad_service_check",
        "not a service check; right is _sc|name|status with status 0, 1, 2 or 3";
    /// It is longer than any line may be.
    TooLong = "too_long", "longer than 65535 bytes";
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.says())
    }
}

impl std::error::Error for LineError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = LineError::ALL.iter().map(|error| error.name()).collect();
        assert_eq!(names.len(), LineError::ALL.len());
        for (place, error) in LineError::ALL.iter().enumerate() {
            assert_eq!(*error as usize, place);
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn the_bound_is_said_as_it_is() {
        let bound = model::limits::METRIC_LINE_MAX_BYTES.to_string();
        assert!(LineError::TooLong.to_string().contains(&bound));
    }
}
