//! Settings of the host over those of its environment.

use agent::config::source::{Environment, Strings};
use std::collections::BTreeMap;

/// What the host says itself, and below it the environment, which is read while a handle is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    over: BTreeMap<String, String>,
}

impl Settings {
    /// Says one more; the last of a name counts.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.over.insert(name.to_owned(), value.to_owned());
    }
}

impl Strings for Settings {
    fn get(&self, name: &str) -> Option<String> {
        self.over.get(name).cloned().or_else(|| Environment.get(name))
    }

    fn names(&self) -> Vec<String> {
        let mut names = Environment.names();
        names.retain(|name| !self.over.contains_key(name));
        names.extend(self.over.keys().cloned());
        names
    }

    fn unreadable(&self) -> Vec<String> {
        let mut names = Environment.unreadable();
        names.retain(|name| !self.over.contains_key(name));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_comes_before_its_environment() {
        let name = Environment.names().pop().expect("an environment");
        let mut settings = Settings::default();
        assert_eq!(settings.get(&name), Environment.get(&name));
        settings.set(&name, "a");
        settings.set(&name, "b");
        assert_eq!(settings.get(&name).as_deref(), Some("b"));
        assert_eq!(settings.names().iter().filter(|known| **known == name).count(), 1);
    }
}
