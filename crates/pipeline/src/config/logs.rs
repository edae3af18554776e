//! Processing rules of logs (`DD_LOGS_CONFIG_PROCESSING_RULES`, `facts/settings.md`).

use super::compile;
use crate::rules::template::Template;
use regex::Regex;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRuleKind {
    /// `exclude_at_match`: a log that matches is filtered.
    ExcludeAtMatch,
    /// `include_at_match`: a log that does not match is filtered.
    IncludeAtMatch,
    /// `mask_sequences`: what matches is replaced.
    MaskSequences,
    /// `multi_line`: a line that the pattern matches at its beginning begins a log. It decides how lines are put
    /// together ([`crate::logs::Grouping`]), before the other rules.
    MultiLine,
    /// `exclude_truncated`: a part of a log that was longer than one log may be is filtered.
    ExcludeTruncated,
}

/// One processing rule, compiled.
#[derive(Clone, Debug)]
pub struct LogRule {
    kind: LogRuleKind,
    name: String,
    pattern: Option<Regex>,
    template: Option<Template>,
}

impl LogRule {
    /// Checks one entry; `kind` is its `type`. Patterns are in Go's syntax, and so is the placeholder (`$1` and
    /// `${name}` stand for groups).
    ///
    /// # Errors
    /// What is wrong and what to write instead: an unknown type, no name, no pattern where one is needed, or one
    /// that is not a regular expression.
    pub fn new(kind: &str, name: &str, pattern: &str, placeholder: &str) -> Result<Self, String> {
        let kind = match kind {
            "exclude_at_match" => LogRuleKind::ExcludeAtMatch,
            "include_at_match" => LogRuleKind::IncludeAtMatch,
            "mask_sequences" => LogRuleKind::MaskSequences,
            "multi_line" => LogRuleKind::MultiLine,
            "exclude_truncated" => LogRuleKind::ExcludeTruncated,
            "" => return Err(format!("the rule {name:?} has no \"type\"")),
            other => {
                return Err(format!(
                    "the rule {name:?} has the unknown type {other:?}: use exclude_at_match, include_at_match, \
                     mask_sequences, multi_line or exclude_truncated"
                ));
            }
        };
        if name.is_empty() {
            return Err("a rule has no \"name\"".to_owned());
        }
        if kind == LogRuleKind::ExcludeTruncated {
            return Ok(Self { kind, name: name.to_owned(), pattern: None, template: None });
        }
        if pattern.is_empty() {
            return Err(format!("the rule {name:?} has no \"pattern\""));
        }
        // Checked alone first: `a)(?:b` is no pattern, although it would be one within the group.
        let alone = compile(pattern).map_err(|error| format!("the rule {name:?}: {error}"))?;
        let pattern = match kind {
            LogRuleKind::MultiLine => {
                compile(&format!("^(?:{pattern})")).map_err(|error| format!("the rule {name:?}: {error}"))?
            }
            _ => alone,
        };
        let template = (kind == LogRuleKind::MaskSequences).then(|| Template::new(placeholder, &pattern));
        Ok(Self { kind, name: name.to_owned(), pattern: Some(pattern), template })
    }

    /// What it does.
    pub fn kind(&self) -> LogRuleKind {
        self.kind
    }

    /// What the user calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it looks for; nothing for `exclude_truncated` alone. That of a `multi_line` rule is anchored.
    pub(crate) fn pattern(&self) -> Option<&Regex> {
        self.pattern.as_ref()
    }

    /// What stands for a match, for `mask_sequences` alone.
    pub(crate) fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }
}
