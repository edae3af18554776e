//! Names that carry dimensions, such as `airflow.job.duration.my_job`, become names with tags
//! (`dogstatsd_mapper_profiles`, `facts/dogstatsd.md` §4).

use crate::rules::pattern;
use regex::bytes::{Captures, Regex};

/// Rules for the names with one prefix.
#[derive(Clone, Debug)]
pub struct Profile {
    prefix: String,
    mappings: Vec<Compiled>,
}

/// One rule as it is written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mapping {
    /// What the name must match as a whole (wildcard) or where the pattern says (regex).
    pub pattern: String,
    /// How the pattern is read.
    pub match_type: MatchType,
    /// The new name; `$1` and `${1}` stand for what was matched.
    pub name: String,
    /// Tags to add: key, and a value in which `$1` and `${1}` stand for what was matched.
    pub tags: Vec<(String, String)>,
}

/// How a pattern is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MatchType {
    /// `*` matches what has no dot.
    #[default]
    Wildcard,
    /// A regular expression.
    Regex,
}

#[derive(Clone, Debug)]
struct Compiled {
    pattern: Regex,
    name: String,
    tags: Vec<(String, String)>,
}

impl Profile {
    /// Checks the rules of one profile. A `prefix` of `*` or nothing stands for every name.
    ///
    /// # Errors
    /// What is wrong with which rule, in words.
    pub fn new(name: &str, prefix: &str, mappings: &[Mapping]) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a mapper profile has no name: give it one".into());
        }
        let mappings = mappings.iter().enumerate().map(|(index, mapping)| {
            compile(mapping)
                .map_err(|error| format!("mapper profile {name:?}, mapping {}: {error}", index + 1))
        });
        let prefix = if prefix == "*" { "" } else { prefix };
        Ok(Self { prefix: prefix.to_owned(), mappings: mappings.collect::<Result<_, _>>()? })
    }

    /// Writes the new name and the tags to add, separated by commas, behind what is in `name` and `tags`.
    /// False, and nothing is written, where no rule matches.
    pub(super) fn map(&self, from: &[u8], name: &mut Vec<u8>, tags: &mut Vec<u8>) -> bool {
        if !from.starts_with(self.prefix.as_bytes()) {
            return false;
        }
        for mapping in &self.mappings {
            let Some(captures) = mapping.pattern.captures(from) else { continue };
            expand(&mapping.name, &captures, name);
            for (key, value) in &mapping.tags {
                if !tags.is_empty() {
                    tags.push(b',');
                }
                tags.extend_from_slice(key.as_bytes());
                tags.push(b':');
                expand(value, &captures, tags);
            }
            return true;
        }
        false
    }
}

fn compile(mapping: &Mapping) -> Result<Compiled, String> {
    let Mapping { pattern, match_type, name, tags } = mapping;
    if pattern.is_empty() {
        return Err("`match` is empty: say which names it is for".into());
    }
    if name.is_empty() {
        return Err(format!("`name` of {pattern:?} is empty: say what the metric is to be called"));
    }
    let written = match match_type {
        MatchType::Regex => pattern::rewrite(pattern),
        MatchType::Wildcard => wildcard(pattern)?,
    };
    let compiled =
        Regex::new(&written).map_err(|error| format!("{pattern:?} is not a regular expression: {error}"))?;
    if let Some((key, _)) = tags.iter().find(|(key, _)| key.is_empty() || key.contains(',')) {
        return Err(format!("tag {key:?} of {pattern:?}: a key is not empty and has no comma"));
    }
    Ok(Compiled { pattern: compiled, name: name.clone(), tags: tags.clone() })
}

/// The regular expression of a pattern in which each `*` matches what has no dot.
fn wildcard(pattern: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*.".contains(&byte);
    if let Some(other) = pattern.chars().find(|char| !u8::try_from(*char).is_ok_and(allowed)) {
        return Err(format!(
            "{pattern:?} has {other:?}: a wildcard pattern is of letters, digits and `-_*.`; for more set `match_type` to `regex`"
        ));
    }
    if pattern.contains("**") {
        return Err(format!("{pattern:?} has `**`: each `*` is one part of a name"));
    }
    Ok(format!("^{}$", pattern.replace('.', r"\.").replace('*', r"([^.]*)")))
}

/// Writes a template with what was matched in place of `$1`, `${1}` and `${name}`.
fn expand(template: &str, captures: &Captures<'_>, out: &mut Vec<u8>) {
    captures.expand(template.as_bytes(), out);
}
