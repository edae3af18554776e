//! What users want replaced, rejected and ignored, applied to spans and to statistics
//! (`facts/trace-intake.md` §6). A rule means what it means to the reference agent, whose syntax is Go's.

pub(crate) mod pattern;
pub(crate) mod template;
#[cfg(test)]
mod tests;

use crate::config::{ReplaceRule, ReplaceTarget, Rules, TagRegexRule, TagRule};
use bumpalo::collections::String as ArenaString;
use model::stats::StatsGroup;
use model::{AttributeValue, Bump, Span};
use regex::Regex;
use std::fmt::Write as _;
use template::Template;

/// Tags of the agent and the tracers, which `*` leaves alone.
const HIDDEN_PREFIX: char = '_';

/// The rules of [`Rules`], ready to be applied.
#[derive(Debug)]
pub struct RuleSet {
    replace: Vec<Replacement>,
    reject: Vec<TagRule>,
    reject_regex: Vec<TagRegexRule>,
    require: Vec<TagRule>,
    require_regex: Vec<TagRegexRule>,
    ignore_resources: Vec<Regex>,
}

impl RuleSet {
    /// Prepares the rules.
    pub fn new(rules: Rules) -> Self {
        Self {
            replace: rules.replace.into_iter().map(Replacement::new).collect(),
            reject: rules.reject,
            reject_regex: rules.reject_regex,
            require: rules.require,
            require_regex: rules.require_regex,
            ignore_resources: rules.ignore_resources,
        }
    }

    /// Whether a trace, or a group of statistics, with this resource is ignored.
    pub fn ignores(&self, resource: &str) -> bool {
        self.ignore_resources.iter().any(|pattern| pattern.is_match(resource))
    }

    /// Whether a trace with this root is rejected, or lacks what is required. Only the root's own string
    /// tags count, as received: before obfuscation and replacement.
    pub fn rejects(&self, root: &Span<'_>) -> bool {
        let has = |rule: &TagRule| {
            // The reference takes `key:` for `key`.
            let wanted = rule.value.as_deref().filter(|value| !value.is_empty());
            root.meta(&rule.key).is_some_and(|value| wanted.is_none_or(|wanted| wanted == value))
        };
        let matches = |rule: &TagRegexRule| {
            let pattern = rule.pattern.as_ref();
            root.meta(&rule.key).is_some_and(|value| pattern.is_none_or(|pattern| pattern.is_match(value)))
        };
        self.reject.iter().any(has)
            || self.reject_regex.iter().any(matches)
            || !self.require.iter().all(has)
            || !self.require_regex.iter().all(matches)
    }

    /// Whether anything is replaced at all.
    pub fn replaces(&self) -> bool {
        !self.replace.is_empty()
    }

    /// Applies the replace rules to a span, in their order.
    pub fn replace<'a>(&self, arena: &'a Bump, span: &mut Span<'a>) {
        for rule in &self.replace {
            rule.span(arena, span);
        }
    }

    /// Applies the replace rules to a group of statistics a tracer computed: resource and HTTP status are
    /// what it shares with spans.
    pub fn replace_in_stats(&self, group: &mut StatsGroup) {
        for rule in &self.replace {
            rule.stats(group);
        }
    }
}

/// One replace rule.
#[derive(Debug)]
struct Replacement {
    target: ReplaceTarget,
    pattern: Regex,
    template: Template,
}

impl Replacement {
    fn new(rule: ReplaceRule) -> Self {
        let template = Template::new(&rule.replacement, &rule.pattern);
        Self { target: rule.target, pattern: rule.pattern, template }
    }

    /// The text with every match replaced, or `None` when nothing matches.
    fn text<'a>(&self, arena: &'a Bump, text: &str) -> Option<&'a str> {
        let mut out = None;
        self.template.replace(&self.pattern, text, |part| {
            out.get_or_insert_with(|| ArenaString::with_capacity_in(text.len(), arena)).push_str(part);
        });
        out.map(ArenaString::into_bump_str)
    }

    fn span<'a>(&self, arena: &'a Bump, span: &mut Span<'a>) {
        if matches!(self.target, ReplaceTarget::Resource | ReplaceTarget::AllTags)
            && let Some(replaced) = self.text(arena, span.resource)
        {
            span.resource = replaced;
        }
        if self.target == ReplaceTarget::Resource {
            return;
        }
        for (_, value) in span.meta.iter_mut().filter(|(key, _)| self.concerns(key)) {
            if let Some(replaced) = self.text(arena, value) {
                *value = replaced;
            }
        }
        self.metrics(arena, span);
        for (key, value) in span.events.iter_mut().flat_map(|event| event.attributes.iter_mut()) {
            if self.concerns(key) {
                self.attribute(arena, value);
            }
        }
    }

    fn concerns(&self, key: &str) -> bool {
        match &self.target {
            ReplaceTarget::AllTags => !key.starts_with(HIDDEN_PREFIX),
            ReplaceTarget::Resource => false,
            ReplaceTarget::Tag(tag) => tag == key,
        }
    }

    /// Numbers are matched as text; what is no number any more becomes a string tag.
    fn metrics<'a>(&self, arena: &'a Bump, span: &mut Span<'a>) {
        let mut position = 0;
        let mut text = String::new();
        while let Some((key, value)) = span.metrics.get(position).copied() {
            position += 1;
            if !self.concerns(key) {
                continue;
            }
            text.clear();
            write_decimal(&mut text, value);
            let Some(replaced) = self.text(arena, &text) else { continue };
            match replaced.parse() {
                Ok(number) => span.metrics[position - 1].1 = number,
                Err(_) => {
                    position -= 1;
                    span.metrics.remove(position);
                    span.set_meta(key, replaced);
                }
            }
        }
    }

    fn attribute<'a>(&self, arena: &'a Bump, value: &mut AttributeValue<'a>) {
        let mut number = String::new();
        match value {
            AttributeValue::String(text) => {
                if let Some(replaced) = self.text(arena, text) {
                    *text = replaced;
                }
                return;
            }
            AttributeValue::Array(values) => {
                for value in values.iter_mut() {
                    self.attribute(arena, value);
                }
                return;
            }
            AttributeValue::Bool(value) => number.push_str(if *value { "true" } else { "false" }),
            AttributeValue::Int(value) => number = value.to_string(),
            AttributeValue::Double(value) => write_decimal(&mut number, *value),
        }
        if let Some(replaced) = self.text(arena, &number) {
            *value = attribute_of(replaced);
        }
    }

    fn stats(&self, group: &mut StatsGroup) {
        let all = self.target == ReplaceTarget::AllTags;
        if all || self.target == ReplaceTarget::Resource {
            let mut replaced = None;
            self.template.replace(&self.pattern, &group.resource, |part| {
                replaced.get_or_insert_with(String::new).push_str(part);
            });
            if let Some(replaced) = replaced {
                group.resource = replaced;
            }
        }
        if all || matches!(&self.target, ReplaceTarget::Tag(tag) if tag == "http.status_code") {
            let mut replaced = String::new();
            self.template.replace(&self.pattern, &group.http_status_code.to_string(), |part| {
                replaced.push_str(part);
            });
            // Empty when nothing matched: no number either.
            if let Ok(status) = replaced.parse() {
                group.http_status_code = status;
            }
        }
    }
}

/// Writes a number as the reference does to match it: without an exponent, as short as it can be read
/// back. Not into the arena, which would keep every number a rule was tried on.
fn write_decimal(text: &mut String, value: f64) {
    if value == f64::INFINITY {
        text.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        text.push_str("-Inf");
    } else {
        write!(text, "{value}").expect("a string takes every text");
    }
}

/// The value a replaced text stands for.
fn attribute_of(text: &str) -> AttributeValue<'_> {
    if let Ok(number) = text.parse() {
        AttributeValue::Int(number)
    } else if let Ok(number) = text.parse() {
        AttributeValue::Double(number)
    } else if let Ok(value) = text.parse() {
        AttributeValue::Bool(value)
    } else {
        AttributeValue::String(text)
    }
}
