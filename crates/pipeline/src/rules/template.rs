//! What stands for a match: text and groups, in Go's syntax.
//!
//! Rust's own expansion differs where it hurts: it takes `$01` for group 1, ends a name at a letter beyond
//! ASCII, and takes any text between `${` and `}` for a name.

use regex::Regex;

/// A replacement, parsed once.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// Empty where the group did not take part in the match.
    Group(usize),
}

impl Template {
    /// Parses a replacement for matches of `pattern`. Groups the pattern lacks stand for nothing.
    pub(crate) fn new(replacement: &str, pattern: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = replacement;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                text.push('$');
                rest = after;
            } else if let Some((name, after)) = group_name(after) {
                if let Some(group) = group(name, pattern) {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Group(group));
                }
                rest = after;
            } else {
                text.push('$');
                rest = after;
            }
        }
        text.push_str(rest);
        // An empty replacement is an empty text: it still deletes what matches.
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        Self(parts)
    }

    /// Emits `text` with every match replaced, part by part; emits nothing when nothing matches.
    pub(crate) fn replace(&self, pattern: &Regex, text: &str, mut emit: impl FnMut(&str)) {
        let mut end = 0;
        if let [Part::Text(replacement)] = self.0.as_slice() {
            for found in pattern.find_iter(text) {
                emit(&text[end..found.start()]);
                emit(replacement);
                end = found.end();
            }
            // An empty match at 0 alone leaves `end` at 0: then the text follows what was emitted.
            if end > 0 || pattern.is_match(text) {
                emit(&text[end..]);
            }
            return;
        }
        // Groups cost an allocation even when nothing matches.
        if !pattern.is_match(text) {
            return;
        }
        for groups in pattern.captures_iter(text) {
            let found = groups.get_match();
            emit(&text[end..found.start()]);
            for part in &self.0 {
                match part {
                    Part::Text(text) => emit(text),
                    Part::Group(group) => emit(groups.get(*group).map_or("", |found| found.as_str())),
                }
            }
            end = found.end();
        }
        emit(&text[end..]);
    }
}

/// Reads `name` or `{name}` at the start; the name is as long as possible.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let (text, braced) = match text.strip_prefix('{') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

/// The group a name stands for, if the pattern has it.
fn group(name: &str, pattern: &Regex) -> Option<usize> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && (name.len() == 1 || !name.starts_with('0')) {
        return name.parse().ok().filter(|group| *group < pattern.captures_len());
    }
    pattern.capture_names().position(|known| known == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, replacement: &str, text: &str, want: &str) {
        let pattern = Regex::new(pattern).unwrap();
        let mut out = String::new();
        Template::new(replacement, &pattern).replace(&pattern, text, |part| out.push_str(part));
        assert_eq!(out, want, "{pattern} → {replacement:?} in {text:?}");
    }

    #[test]
    fn groups_stand_for_what_they_matched() {
        check("(token/)([^/]*)", "${1}?", "some/guid/token/abcdef/abc", "some/guid/token/?/abc");
        check("(a)(b)?", "[$1|$2|$0]", "ab a", "[a|b|ab] [a||a]");
        check("(?P<user>[a-z]+)@", "$user at ", "joe@x", "joe at x");
        check("(?P<user>[a-z]+)@", "${user}+", "joe@x", "joe+x");
    }

    #[test]
    fn a_name_is_as_long_as_possible_and_unknown_ones_are_empty() {
        check("(a)", "<$1x>", "a", "<>");
        check("(a)", "<${1}x>", "a", "<ax>");
        check("(a)", "<$1é>", "a", "<>");
        check("(a)", "<$2>", "a", "<>");
        check("(a)", "<$01>", "a", "<>");
        check("(a)", "<$99999999999999999999>", "a", "<>");
    }

    #[test]
    fn a_dollar_that_names_nothing_stays() {
        check("a", "$$1", "a", "$1");
        check("a", "$", "a", "$");
        check("a", "${", "a", "${");
        check("(a)", "${1", "a", "${1");
        check("(a)", "${a b}", "a", "${a b}");
        check("(a)", "${}$-", "a", "${}$-");
    }

    #[test]
    fn matches_are_replaced_where_go_replaces_them() {
        check("a*", "x", "baaac", "xbxcx");
        check("(a*)", "<$1>", "baaac", "<>b<aaa>c<>");
        check("^", "x", "ab", "xab");
        check("", "-", "é", "-é-");
        check("secret", "", "my secret", "my ");
        check("secret", "$9", "my secret", "my ");
        check("z", "x", "abc", "");
        check("^$", "x", "", "x");
    }
}
