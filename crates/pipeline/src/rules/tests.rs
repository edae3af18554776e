use super::*;
use model::{List, SpanEvent};

fn rule_set(replace: &[(&str, &str, &str)]) -> RuleSet {
    let replace = replace.iter().map(|(name, pattern, by)| ReplaceRule::new(name, pattern, by).unwrap());
    RuleSet::new(Rules { replace: replace.collect(), ..Rules::default() })
}

/// The string tags of a span, `resource.name` standing for its resource, after the rules.
fn check(rules: &[(&str, &str, &str)], tags: &[(&'static str, &'static str)], want: &[(&str, &str)]) {
    let arena = Bump::new();
    let mut span = Span::new_in(&arena);
    for (key, value) in tags {
        match *key {
            "resource.name" => span.resource = value,
            _ => span.meta.push((key, value)),
        }
    }
    rule_set(rules).replace(&arena, &mut span);
    for (key, value) in want {
        let got = if *key == "resource.name" { Some(span.resource) } else { span.meta(key) };
        assert_eq!(got, Some(*value), "{key} after {rules:?}");
    }
}

#[test]
fn rules_replace_what_the_reference_replaces() {
    check(
        &[
            ("http.url", "(token/)([^/]*)", "${1}?"),
            ("http.url", "guid", "[REDACTED]"),
            ("custom.tag", "(/foo/bar/).*", "${1}extra"),
            ("a", "b", "c"),
        ],
        &[("http.url", "some/guid/token/abcdef/abc"), ("custom.tag", "/foo/bar/foo")],
        &[("http.url", "some/[REDACTED]/token/?/abc"), ("custom.tag", "/foo/bar/extra")],
    );
    check(
        &[
            ("*", "(token/)([^/]*)", "${1}?"),
            ("*", "this", "that"),
            ("http.url", "guid", "[REDACTED]"),
            ("custom.tag", "(/foo/bar/).*", "${1}extra"),
            ("resource.name", "prod", "stage"),
        ],
        &[
            ("resource.name", "this is prod"),
            ("http.url", "some/[REDACTED]/token/abcdef/abc"),
            ("other.url", "some/guid/token/abcdef/abc"),
            ("custom.tag", "/foo/bar/foo"),
            ("_hidden", "this"),
        ],
        &[
            ("resource.name", "that is stage"),
            ("http.url", "some/[REDACTED]/token/?/abc"),
            ("other.url", "some/guid/token/?/abc"),
            ("custom.tag", "/foo/bar/extra"),
            ("_hidden", "this"),
        ],
    );
}

#[test]
fn a_rule_for_one_tag_leaves_the_resource_alone() {
    check(
        &[("tag", "x", "y")],
        &[("resource.name", "x"), ("tag", "x")],
        &[("resource.name", "x"), ("tag", "y")],
    );
}

#[test]
fn numbers_are_matched_as_text_and_may_become_text() {
    let arena = Bump::new();
    let mut span = Span::new_in(&arena);
    span.metrics.extend_from_slice_copy(&[
        ("card", 4111.0),
        ("ratio", 0.25),
        ("_hidden", 4111.0),
        ("big", 1e20),
    ]);
    rule_set(&[("*", "^4111$", "hidden"), ("ratio", "0\\.25", "0.5"), ("big", "^10{20}$", "1")])
        .replace(&arena, &mut span);
    assert_eq!(span.meta.as_slice(), [("card", "hidden")]);
    assert_eq!(span.metrics.as_slice(), [("ratio", 0.5), ("_hidden", 4111.0), ("big", 1.0)]);
}

#[test]
fn attributes_of_events_are_replaced_and_keep_their_kind_where_they_can() {
    let arena = Bump::new();
    let mut attributes = List::new_in(&arena);
    let mut array = List::new_in(&arena);
    array.push(AttributeValue::String("a secret"));
    array.push(AttributeValue::Int(7));
    attributes.push(("text", AttributeValue::String("a secret")));
    attributes.push(("array", AttributeValue::Array(array)));
    attributes.push(("flag", AttributeValue::Bool(true)));
    attributes.push(("double", AttributeValue::Double(5.0)));
    attributes.push(("int", AttributeValue::Int(12)));
    let mut span = Span::new_in(&arena);
    span.events.push(SpanEvent { time_unix_nano: 1, name: "e", attributes });
    rule_set(&[("*", "secret", "?"), ("*", "true", "false"), ("int", "12", "1.5"), ("array", "7", "x")])
        .replace(&arena, &mut span);
    assert_eq!(
        format!("{:?}", span.events[0].attributes),
        r#"[("text", String("a ?")), ("array", Array([String("a ?"), String("x")])), ("flag", Bool(false)), ("double", Double(5.0)), ("int", Double(1.5))]"#
    );
}

#[test]
fn statistics_follow_the_rules_for_resource_and_status() {
    for (rules, resource, status, want) in [
        (
            [
                ("http.status_code", "400", "200"),
                ("resource.name", "prod", "stage"),
                ("*", "123abc", "[REDACTED]"),
            ],
            "this is 123abc on prod",
            400,
            ("this is [REDACTED] on stage", 200),
        ),
        (
            [("*", "200", "202"), ("*", "202", "none"), ("other", "code", "x")],
            "/code/200/profile",
            200,
            ("/code/none/profile", 202),
        ),
    ] {
        let mut group =
            StatsGroup { resource: resource.into(), http_status_code: status, ..StatsGroup::default() };
        rule_set(&rules).replace_in_stats(&mut group);
        assert_eq!((group.resource.as_str(), group.http_status_code), want);
    }
}

/// Whether a root with the tag `env:prod` is rejected.
fn check_filter(rules: Rules, want: bool) {
    let arena = Bump::new();
    let mut root = Span::new_in(&arena);
    root.meta.push(("env", "prod"));
    root.metrics.push(("number", 1.0));
    let text = format!("{rules:?}");
    assert_eq!(RuleSet::new(rules).rejects(&root), want, "{text}");
}

#[test]
fn a_root_is_rejected_for_what_it_has_or_lacks() {
    let exact = |rule: &str| vec![TagRule::new(rule).unwrap()];
    let regex = |rule: &str| vec![TagRegexRule::new(rule).unwrap()];
    for (rule, has) in [("env", true), ("env:prod", true), ("env:", true), ("env:pro", false), ("x", false)] {
        check_filter(Rules { reject: exact(rule), ..Rules::default() }, has);
        check_filter(Rules { require: exact(rule), ..Rules::default() }, !has);
    }
    for (rule, has) in
        [("env:^pr", true), ("env", true), ("env:^x", false), ("x:.*", false), ("number", false)]
    {
        check_filter(Rules { reject_regex: regex(rule), ..Rules::default() }, has);
        check_filter(Rules { require_regex: regex(rule), ..Rules::default() }, !has);
    }
    check_filter(Rules::default(), false);
}

#[test]
fn resources_are_ignored_wherever_they_match() {
    let rules = Rules { ignore_resources: vec![Regex::new("GET /health").unwrap()], ..Rules::default() };
    let rules = RuleSet::new(rules);
    assert!(rules.ignores("web GET /healthz"));
    assert!(!rules.ignores("GET /"));
}

#[test]
fn l21_a_rule_that_cannot_be_applied_is_an_error_that_names_it() {
    for pattern in ["(token", r"\1", r"[b-a]"] {
        let error = ReplaceRule::new("*", pattern, "?").unwrap_err();
        assert!(error.to_string().contains(&format!("{pattern:?}")), "{error}");
    }
    // Go's syntax is no reason to refuse a rule, nor to let through what it hides.
    check(
        &[("*", r"\b{id}\b|\d{4}", "?")],
        &[("a", "1234 ٤٤٤٤"), ("b", "x{id}y")],
        &[("a", "? ٤٤٤٤"), ("b", "x?y")],
    );
}
