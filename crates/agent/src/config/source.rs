//! Where settings come from: the environment, and nothing else.
//!
//! This is the only file of the workspace that reads the environment.

use std::collections::BTreeMap;

/// A source of named texts.
pub trait Strings {
    /// The text under a name; `None` when the name is not set, or its value is not text (see
    /// [`Strings::unreadable`]). An empty value is a value.
    fn get(&self, name: &str) -> Option<String>;

    /// Every name that is set, in no particular order.
    fn names(&self) -> Vec<String>;

    /// Names whose values are not UTF-8: reported rather than taken for unset.
    fn unreadable(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment;

#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
impl Strings for Environment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).and_then(|value| value.into_string().ok())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn unreadable(&self) -> Vec<String> {
        std::env::vars_os()
            .filter(|(_, value)| value.to_str().is_none())
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

/// A fixed set of texts, for tests and for hosts that configure the agent themselves.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    values: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Fixed {
    /// Nothing is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one more text.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets one more name to something that is not UTF-8.
    #[must_use]
    pub fn with_unreadable(mut self, name: &str) -> Self {
        self.unreadable.push(name.to_owned());
        self
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Fixed {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, unreadable: Vec::new() }
    }
}

impl Strings for Fixed {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.values.keys().chain(&self.unreadable).cloned().collect()
    }

    fn unreadable(&self) -> Vec<String> {
        self.unreadable.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_lists_the_names_it_answers_for() {
        let names = Environment.names();
        let readable = |name: &&String| !Environment.unreadable().contains(name);
        assert!(!names.is_empty());
        for name in names.iter().filter(readable) {
            assert!(Environment.get(name).is_some(), "{name} is listed but has no value");
        }
        assert_eq!(Environment.get("LASTLIGHT_NOBODY_SETS_THIS"), None);
    }

    #[test]
    fn a_fixed_source_keeps_empty_values_and_names_unreadable_ones() {
        let strings = Fixed::from_iter([("A", "1"), ("B", "")]).with_unreadable("C");
        assert_eq!(strings.get("A").as_deref(), Some("1"));
        assert_eq!(strings.get("B").as_deref(), Some(""));
        assert_eq!(strings.get("C"), None);
        assert_eq!(strings.names(), ["A", "B", "C"]);
        assert_eq!(strings.unreadable(), ["C"]);
    }
}
