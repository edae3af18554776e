//! What users want filtered and masked, applied to logs in the order in which they wrote it, each rule on the result of
//! the one before, as the reference agent documents.

use super::multi_line::Grouping;
use crate::config::{LogRule, LogRuleKind};
use model::log::TRUNCATED;
use std::borrow::Cow;

/// What the rules say of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// It goes as it is.
    Keep,
    /// It goes with this text.
    Masked(Vec<u8>),
    /// It does not go: the user wants it so.
    Filtered {
        /// Name of the rule.
        rule: &'r str,
    },
}

/// The rules, in the user's order.
#[derive(Debug, Default)]
pub struct LogRules(Vec<LogRule>);

impl LogRules {
    /// Rules that filter and mask; what `rules` says of lines that belong together is [`Grouping::new`]'s.
    pub fn new(rules: &[LogRule]) -> Self {
        Self(rules.iter().filter(|rule| rule.kind() != LogRuleKind::MultiLine).cloned().collect())
    }

    /// Whether there is none, so that every log is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies them to one log. Patterns see bytes that are no UTF-8 as U+FFFD, and so does the backend where a rule
    /// masked.
    pub fn apply(&self, message: &[u8]) -> Verdict<'_> {
        if self.0.is_empty() {
            return Verdict::Keep;
        }
        let mut text = String::from_utf8_lossy(message);
        let mut masked = false;
        for rule in &self.0 {
            let matches = |text: &str| rule.pattern().is_some_and(|pattern| pattern.is_match(text));
            let filtered = match rule.kind() {
                LogRuleKind::ExcludeAtMatch => matches(&text),
                LogRuleKind::IncludeAtMatch => !matches(&text),
                LogRuleKind::ExcludeTruncated => {
                    let marker = TRUNCATED.as_bytes();
                    message.starts_with(marker) || message.ends_with(marker)
                }
                LogRuleKind::MultiLine => false,
                LogRuleKind::MaskSequences => {
                    if let Some(replaced) = replace(rule, &text) {
                        text = Cow::Owned(replaced);
                        masked = true;
                    }
                    false
                }
            };
            if filtered {
                return Verdict::Filtered { rule: rule.name() };
            }
        }
        if masked { Verdict::Masked(text.into_owned().into_bytes()) } else { Verdict::Keep }
    }
}

/// The text with every match replaced; `None` when nothing matches.
fn replace(rule: &LogRule, text: &str) -> Option<String> {
    let mut replaced: Option<String> = None;
    rule.template()?.replace(rule.pattern()?, text, |part| {
        replaced.get_or_insert_with(|| String::with_capacity(text.len())).push_str(part);
    });
    replaced
}

impl Grouping {
    /// How lines are put together: by the user's first `multi_line` rule, which the automatic detection never
    /// contradicts; else automatically, or not at all.
    pub fn new(rules: &[LogRule], automatic: bool) -> Self {
        let rule =
            rules.iter().filter(|rule| rule.kind() == LogRuleKind::MultiLine).find_map(LogRule::pattern);
        match rule {
            Some(pattern) => Self::Begins(pattern.clone()),
            None if automatic => Self::Automatic,
            None => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[(&str, &str, &str)]) -> LogRules {
        let rules: Vec<_> = entries
            .iter()
            .map(|(kind, pattern, placeholder)| LogRule::new(kind, kind, pattern, placeholder).unwrap())
            .collect();
        LogRules::new(&rules)
    }

    fn masked(text: &str) -> Verdict<'_> {
        Verdict::Masked(text.as_bytes().to_vec())
    }

    #[test]
    fn without_rules_every_log_is_kept_as_it_is() {
        assert!(rules(&[("multi_line", "x", "")]).is_empty());
        assert_eq!(rules(&[]).apply(b"\xFF"), Verdict::Keep);
    }

    #[test]
    fn a_log_is_excluded_by_any_match_and_included_by_all() {
        let excluding = rules(&[("exclude_at_match", r"\w+@example\.com", "")]);
        assert_eq!(excluding.apply(b"by joe@example.com"), Verdict::Filtered { rule: "exclude_at_match" });
        assert_eq!(excluding.apply(b"by joe@example.org"), Verdict::Keep);
        let including = rules(&[("include_at_match", "a", ""), ("include_at_match", "b", "")]);
        assert_eq!(including.apply(b"ab"), Verdict::Keep);
        assert_eq!(including.apply(b"a"), Verdict::Filtered { rule: "include_at_match" });
    }

    #[test]
    fn each_rule_sees_the_result_of_the_one_before() {
        let mask_first =
            rules(&[("mask_sequences", "secret", "[masked]"), ("exclude_at_match", "secret", "")]);
        assert_eq!(mask_first.apply(b"a secret secret"), masked("a [masked] [masked]"));
        let exclude_first = rules(&[("exclude_at_match", "secret", ""), ("mask_sequences", "secret", "x")]);
        assert_eq!(exclude_first.apply(b"a secret"), Verdict::Filtered { rule: "exclude_at_match" });
        let exclude_masked = rules(&[("mask_sequences", "secret", "xyz"), ("exclude_at_match", "xyz", "")]);
        assert_eq!(exclude_masked.apply(b"a secret"), Verdict::Filtered { rule: "exclude_at_match" });
    }

    #[test]
    fn groups_stand_in_placeholders() {
        let card = rules(&[("mask_sequences", r"(\d{4})-\d{4}-(\d{4})", "${1}-****-$2")]);
        assert_eq!(card.apply(b"paid by 4000-1234-5678."), masked("paid by 4000-****-5678."));
        assert_eq!(card.apply(b"paid in cash"), Verdict::Keep);
        assert_eq!(rules(&[("mask_sequences", "^.*$", "")]).apply(b"all"), masked(""));
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_and_masked_as_well() {
        let mask = rules(&[("mask_sequences", "key=[a-z]+", "key=?")]);
        assert_eq!(mask.apply(b"\xFF key=abc"), masked("\u{FFFD} key=?"));
        assert_eq!(mask.apply(b"\xFF nothing"), Verdict::Keep);
    }

    #[test]
    fn parts_of_long_logs_can_be_excluded() {
        let exclude = rules(&[("exclude_truncated", "", "")]);
        assert_eq!(exclude.apply(b"a...TRUNCATED..."), Verdict::Filtered { rule: "exclude_truncated" });
        assert_eq!(exclude.apply(b"...TRUNCATED...b"), Verdict::Filtered { rule: "exclude_truncated" });
        assert_eq!(exclude.apply(b"a ...TRUNCATED... b"), Verdict::Keep);
    }

    #[test]
    fn a_rule_that_cannot_be_applied_says_why() {
        let reason = |kind, name, pattern| LogRule::new(kind, name, pattern, "").unwrap_err();
        assert!(reason("drop", "mine", "a").contains("unknown type \"drop\""));
        assert!(reason("", "mine", "a").contains("no \"type\""));
        assert!(reason("exclude_at_match", "", "a").contains("no \"name\""));
        assert!(reason("exclude_at_match", "mine", "").contains("\"mine\" has no \"pattern\""));
        assert!(reason("exclude_at_match", "mine", "(").contains("not a regular expression"));
        assert!(reason("multi_line", "mine", "a)(?:b").contains("not a regular expression"));
    }

    #[test]
    fn the_users_rule_goes_before_the_automatic_detection() {
        let rule = LogRule::new("multi_line", "mine", r"\d|x", "").unwrap();
        let Grouping::Begins(pattern) = Grouping::new(&[rule], true) else { panic!("not the user's rule") };
        assert!(pattern.is_match("1") && pattern.is_match("x") && !pattern.is_match(" x"));
        assert!(matches!(Grouping::new(&[], true), Grouping::Automatic));
        assert!(matches!(Grouping::new(&[], false), Grouping::Off));
    }
}
