//! Reading by the table: aliases, defaults, errors and where each value came from.

use super::parse::{self, Why};
use super::secret::mask;
use super::source::Strings;
use super::table::{self, Kind, Setting};
use super::{ConfigError, Said, Source};
use std::time::Duration;

/// Characters of a value that an error or the report shows.
const SHOWN_MAX_CHARACTERS: usize = 200;

/// Reads settings one after another and keeps what was said and what was wrong.
pub(super) struct Reader<'a> {
    strings: &'a dyn Strings,
    /// Defaults that are not the table's, and why.
    defaults: Vec<(&'static Setting, String, &'static str)>,
    pub(super) said: Vec<Said>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(strings: &'a dyn Strings) -> Self {
        let mut reader = Self {
            strings,
            defaults: Vec::new(),
            said: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        for name in strings.unreadable() {
            if let Some(setting) = table::find(&name) {
                reader.errors.push(ConfigError {
                    variable: name,
                    value: Some("(not UTF-8)".into()),
                    why: "its value is not text".into(),
                    allowed: setting.kind.allowed(),
                });
            }
        }
        reader
    }

    /// Another default than the table's, to be said before the setting is read.
    pub(super) fn default_to(
        &mut self,
        setting: &'static Setting,
        text: impl Into<String>,
        how: &'static str,
    ) {
        self.defaults.push((setting, text.into(), how));
    }

    /// A setting that has a default. After an error the default stands in, so that reading goes on.
    pub(super) fn value<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Result<T, Why>,
    ) -> T {
        let mut value = None;
        self.read(setting, true, &mut |text| parse(text).map(|parsed| value = Some(parsed)));
        value.expect("the table's defaults are valid")
    }

    /// A setting that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Result<T, Why>,
    ) -> Option<T> {
        let mut value = None;
        self.read(setting, false, &mut |text| parse(text).map(|parsed| value = Some(parsed)));
        value
    }

    /// Gives what is said to `parse`; with `always` the table's default where nothing was taken. One function for all
    /// types of values: there are as many types of `parse` as settings.
    fn read(
        &mut self,
        setting: &'static Setting,
        always: bool,
        parse: &mut dyn FnMut(&str) -> Result<(), Why>,
    ) {
        let (text, source, taken) = match self.find(setting) {
            Some((name, text)) => {
                let parsed = parse(&text);
                let taken = parsed.is_ok();
                if let Err(why) = parsed {
                    self.errors.push(ConfigError {
                        variable: name.to_owned(),
                        value: Some(shown(setting, &text)),
                        why,
                        allowed: setting.kind.allowed(),
                    });
                }
                (text, Source::Variable(name), taken)
            }
            None => {
                let (text, source) = match self.defaults.iter().find(|(of, ..)| std::ptr::eq(*of, setting)) {
                    Some((_, text, how)) => (text.clone(), Source::Derived((*how).to_owned())),
                    None => (setting.default.to_owned(), Source::Default),
                };
                let taken = !text.is_empty() && parse(&text).is_ok();
                (text, source, taken)
            }
        };
        self.said.push(Said { setting, text, source });
        if always && !taken {
            // Its caller says what is wrong when this fails.
            parse(setting.default).ok();
        }
    }

    /// The first alias that is set to something, with a warning about others that say something else.
    fn find(&mut self, setting: &'static Setting) -> Option<(&'static str, String)> {
        let mut found: Option<(&'static str, String)> = None;
        for name in setting.names {
            let Some(text) = self.strings.get(name) else { continue };
            let text = text.trim();
            match &found {
                _ if text.is_empty() => {}
                None => found = Some((name, text.to_owned())),
                Some((winner, first)) if first != text => {
                    self.warnings.push(format!("{name} is ignored: {winner} is set too and wins"));
                }
                Some(_) => {}
            }
        }
        found
    }

    pub(super) fn boolean(&mut self, setting: &'static Setting) -> bool {
        self.value(setting, parse::boolean)
    }

    pub(super) fn text(&mut self, setting: &'static Setting) -> Option<String> {
        self.optional(setting, |text| Ok(text.to_owned()))
    }

    pub(super) fn integer(&mut self, setting: &'static Setting) -> i64 {
        self.value(setting, |text| integer(setting, text))
    }

    pub(super) fn optional_integer(&mut self, setting: &'static Setting) -> Option<i64> {
        self.optional(setting, |text| integer(setting, text))
    }

    pub(super) fn decimal(&mut self, setting: &'static Setting) -> f64 {
        let Kind::Decimal { min, max, .. } = setting.kind else { unreachable!("{}", setting.name()) };
        self.value(setting, |text| parse::decimal(text, min, max))
    }

    pub(super) fn bytes(&mut self, setting: &'static Setting) -> usize {
        let Kind::Bytes { min, max } = setting.kind else { unreachable!("{}", setting.name()) };
        usize::try_from(self.value(setting, |text| parse::bytes(text, min, max))).unwrap_or(usize::MAX)
    }

    pub(super) fn duration(&mut self, setting: &'static Setting) -> Duration {
        self.value(setting, |text| duration(setting, text))
    }

    pub(super) fn optional_duration(&mut self, setting: &'static Setting) -> Option<Duration> {
        self.optional(setting, |text| duration(setting, text))
    }

    /// One of the words of the setting, in lower case; empty when it is not set and has no default.
    pub(super) fn choice(&mut self, setting: &'static Setting) -> String {
        let Kind::Choice(words) = setting.kind else { unreachable!("{}", setting.name()) };
        let parse = |text: &str| {
            let text = text.to_ascii_lowercase();
            if words.contains(&text.as_str()) { Ok(text) } else { Err("it is none of the words".to_owned()) }
        };
        self.optional(setting, parse).unwrap_or_else(|| setting.default.to_owned())
    }

    /// Some of the words of the setting, in lower case, each once.
    pub(super) fn some_of(&mut self, setting: &'static Setting) -> Vec<String> {
        let Kind::SomeOf(words) = setting.kind else { unreachable!("{}", setting.name()) };
        let parse = |text: &str| {
            let mut given: Vec<String> = Vec::new();
            for word in parse::word_list(&text.to_ascii_lowercase())? {
                if !words.contains(&word.as_str()) {
                    return Err(format!("{word:?} is none of the words"));
                }
                if !given.contains(&word) {
                    given.push(word);
                }
            }
            Ok(given)
        };
        self.optional(setting, parse).unwrap_or_default()
    }

    /// A variable said something, right or wrong.
    pub(super) fn is_set(&mut self, setting: &'static Setting) -> bool {
        self.last(setting).is_some_and(|said| matches!(said.source, Source::Variable(_)))
    }

    /// An error that involves more than one setting.
    pub(super) fn conflict(&mut self, setting: &'static Setting, why: String) {
        let said = self.said.iter().rev().find(|said| std::ptr::eq(said.setting, setting));
        let (variable, value) = match said {
            Some(Said { source: Source::Variable(name), text, .. }) => (*name, shown(setting, text)),
            Some(said) => (setting.name(), shown(setting, &said.text)),
            None => (setting.name(), String::new()),
        };
        let variable = variable.to_owned();
        self.errors.push(ConfigError { variable, value: Some(value), why, allowed: setting.kind.allowed() });
    }

    /// Notes what is in effect where no variable said anything.
    pub(super) fn replace_default(&mut self, setting: &'static Setting, text: &str, how: &str) {
        let is_default = self.last(setting).is_some_and(|said| said.source == Source::Default);
        if is_default {
            self.replace(setting, text, how);
        }
    }

    /// Notes what is in effect, whatever was said.
    pub(super) fn replace(&mut self, setting: &'static Setting, text: &str, how: &str) {
        if let Some(said) = self.last(setting) {
            text.clone_into(&mut said.text);
            said.source = Source::Derived(how.to_owned());
        }
    }

    fn last(&mut self, setting: &'static Setting) -> Option<&mut Said> {
        self.said.iter_mut().rev().find(|said| std::ptr::eq(said.setting, setting))
    }
}

fn integer(setting: &Setting, text: &str) -> Result<i64, Why> {
    let Kind::Integer { min, max, .. } = setting.kind else { unreachable!("{}", setting.name()) };
    parse::integer(text, min, max)
}

fn duration(setting: &Setting, text: &str) -> Result<Duration, Why> {
    let Kind::Duration { min_ms, max_ms } = setting.kind else { unreachable!("{}", setting.name()) };
    parse::duration(text, Duration::from_millis(min_ms), Duration::from_millis(max_ms))
}

/// A value for people: secrets masked, long ones cut.
pub(super) fn shown(setting: &Setting, text: &str) -> String {
    let text = match setting.kind {
        _ if text.is_empty() => String::new(),
        Kind::Secret => mask(text),
        Kind::ProxyUrl => without_password(text),
        Kind::EndpointMap | Kind::LogEndpoints => match parse::endpoints(setting.kind, text) {
            Ok(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(url, key)| format!("{url} ({key})")).collect();
                pairs.join(", ")
            }
            Err(_) => mask(""),
        },
        Kind::Url | Kind::UrlOrSite if text.contains('@') => without_password(text),
        _ => text.to_owned(),
    };
    let mut characters = text.chars();
    let cut: String = characters.by_ref().take(SHOWN_MAX_CHARACTERS).map(printable).collect();
    if characters.next().is_some() { format!("{cut}…") } else { cut }
}

/// A URL whose user and password are hidden.
fn without_password(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{}@{host}", mask("")),
        None => text.to_owned(),
    }
}

/// Control characters must not reach a terminal.
fn printable(c: char) -> String {
    if c.is_control() { c.escape_default().collect() } else { c.to_string() }
}
