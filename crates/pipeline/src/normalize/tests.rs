use super::*;
use proptest::prelude::*;

/// Runs `rule` on each input and compares.
fn check(rule: impl for<'a> Fn(&'a Bump, &'a str) -> &'a str, vectors: &[(&str, &str)]) {
    let arena = Bump::new();
    for (input, want) in vectors {
        assert_eq!(rule(&arena, input), *want, "of {input:?}");
    }
}

#[test]
fn tags_become_what_the_reference_publishes() {
    let a888 = "a".repeat(888);
    let dogs = format!("a{}b", "🐶".repeat(799));
    let zeros = format!("A{} {}", "0".repeat(196), "0".repeat(12));
    let zeros_cut = format!("a{}_00", "0".repeat(196));
    check(
        tag,
        &[
            ("#test_starting_hash", "test_starting_hash"),
            ("TestCAPSandSuch", "testcapsandsuch"),
            ("Test Conversion Of Weird !@#$%^&**() Characters", "test_conversion_of_weird_characters"),
            ("$#weird_starting", "weird_starting"),
            ("allowed:c0l0ns", "allowed:c0l0ns"),
            ("1love", "love"),
            ("ünicöde", "ünicöde"),
            ("ünicöde:metäl", "ünicöde:metäl"),
            ("Data🐨dog🐶 繋がっ⛰てて", "data_dog_繋がっ_てて"),
            (" spaces   ", "spaces"),
            (" #hashtag!@#spaces #__<>#  ", "hashtag_spaces"),
            (":testing", ":testing"),
            ("_foo", "foo"),
            (":::test", ":::test"),
            ("contiguous_____underscores", "contiguous_underscores"),
            ("foo_", "foo"),
            ("\u{017F}odd_\u{017F}case\u{017F}", "\u{017F}odd_\u{017F}case\u{017F}"),
            ("", ""),
            (" ", ""),
            ("ok", "ok"),
            ("™Ö™Ö™™Ö™", "ö_ö_ö"),
            ("AlsO:ök", "also:ök"),
            (":still_ok", ":still_ok"),
            ("___trim", "trim"),
            ("12.:trim@", ":trim"),
            ("12.:trim@@", ":trim"),
            ("fun:ky__tag/1", "fun:ky_tag/1"),
            ("fun:ky@tag/2", "fun:ky_tag/2"),
            ("fun:ky@@@tag/3", "fun:ky_tag/3"),
            ("tag:1/2.3", "tag:1/2.3"),
            ("---fun:k####y_ta@#g/1_@@#", "fun:k_y_ta_g/1"),
            ("AlsO:œ#@ö))œk", "also:œ_ö_œk"),
            ("test\u{FFFD}\u{FFFD}aaa", "test_aaa"),
            ("test\u{FFFD}\u{FFFD}", "test"),
            ("a\u{FFFD}", "a"),
            ("a\u{FFFD}\u{FFFD}b", "a_b"),
            (&a888, &a888[..200]),
            (&dogs, "a"),
            (&zeros, &zeros_cut),
        ],
    );
}

#[test]
fn a_capital_whose_lower_form_has_another_width_stays() {
    check(tag, &[("İstanbul", "İstanbul"), ("ȺA", "Ⱥa"), ("ÉA", "éa")]);
}

#[test]
fn combining_marks_are_no_letters() {
    // Thai vowel sign above: alphabetic to Rust, category Mn to the reference.
    check(tag, &[("ก\u{0E34}ข", "ก_ข")]);
}

#[test]
fn services_become_what_the_reference_publishes() {
    let long = "Too$Long$.".repeat(11);
    let long_normal = "too_long_.".repeat(10);
    check(
        |arena, text| service(arena, text, "").0,
        &[
            ("good", "good"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.site.platform-db-replica1", "127.site.platform-db-replica1"),
            ("hyphenated-service-name", "hyphenated-service-name"),
            ("🐨animal-db🐶", "_animal-db"),
            ("🐨1animal-db🐶", "_1animal-db"),
            ("1🐨1animal-db🐶", "1_1animal-db"),
            (&long, &long_normal),
            ("bad$service", "bad_service"),
            ("Bad Service!!", "bad_service"),
            ("retargeting(api-Staging ", "retargeting_api-staging"),
            ("", "unnamed-service"),
            ("  ", "unnamed-service"),
        ],
    );
    let arena = Bump::new();
    assert_eq!(service(&arena, "", "php"), ("unnamed-php-service", Some(Fault::ServiceEmpty)));
    assert_eq!(service(&arena, "!", "php"), ("unnamed-php-service", Some(Fault::ServiceInvalid)));
    assert_eq!(service(&arena, &long, "php").1, Some(Fault::ServiceTruncated));
}

#[test]
fn a_peer_of_which_nothing_is_left_is_empty() {
    let arena = Bump::new();
    assert_eq!(peer_service(&arena, ""), ("", None));
    assert_eq!(peer_service(&arena, "!!"), ("", Some(Fault::PeerServiceInvalid)));
    assert_eq!(peer_service(&arena, "My DB"), ("my_db", None));
    assert_eq!(peer_service(&arena, &"x".repeat(101)).1, Some(Fault::PeerServiceTruncated));
}

#[test]
fn names_become_what_the_reference_publishes() {
    let long = "Too-Long-.".repeat(11);
    let long_normal = "Too_Long.".repeat(10);
    check(
        |arena, text| name(arena, text).0,
        &[
            ("", UNNAMED_OPERATION),
            ("good", "good"),
            (&long, &long_normal),
            ("bad-name", "bad_name"),
            ("&&a_-b-", "a_b"),
            ("a_.b", "a.b"),
            ("9", UNNAMED_OPERATION),
            ("/", UNNAMED_OPERATION),
            ("pylons.controller", "pylons.controller"),
            ("trace-api.request", "trace_api.request"),
            ("é.a", "a"),
            ("a é", "a"),
            ("web.request_", "web.request"),
        ],
    );
    let arena = Bump::new();
    assert_eq!(name(&arena, "").1, Some(Fault::NameEmpty));
    assert_eq!(name(&arena, "9").1, Some(Fault::NameInvalid));
    assert_eq!(name(&arena, &long).1, Some(Fault::NameTruncated));
}

#[test]
fn what_is_normal_is_not_copied() {
    let arena = Bump::new();
    let before = arena.allocated_bytes();
    for text in ["web-api", "postgres.query", "a:b/c.d_e"] {
        assert!(std::ptr::eq(tag(&arena, text), text));
        assert!(std::ptr::eq(tag_value(&arena, text), text));
    }
    assert!(std::ptr::eq(name(&arena, "http.request").0, "http.request"));
    assert_eq!(arena.allocated_bytes(), before);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_:./ é🐶ÉİǅΣ-]{0,30}",
        "\\PC{0,60}",
        // Around the bounds, with characters of every width.
        "[a_ é肋🐶]{180,420}",
    ]
}

proptest! {
    #[test]
    fn normalizing_twice_is_normalizing_once(text in any_text()) {
        let arena = Bump::new();
        for rule in [tag, tag_value] {
            let once = rule(&arena, &text);
            prop_assert_eq!(rule(&arena, once), once);
        }
        let once = name(&arena, &text).0;
        prop_assert_eq!(name(&arena, once), (once, None));
        let once = service(&arena, &text, "go").0;
        prop_assert_eq!(service(&arena, once, "go").0, once);
    }

    #[test]
    fn a_normal_tag_keeps_the_bounds(text in any_text()) {
        let arena = Bump::new();
        for rule in [tag, tag_value] {
            let normal = rule(&arena, &text);
            prop_assert!(normal.chars().count() <= TAG_MAX_CHARS);
            prop_assert!(normal.len() < TAG_MAX_BYTES + 4);
            prop_assert!(!normal.ends_with('_') && !normal.contains("__"));
        }
        prop_assert!(!tag(&arena, &text).starts_with(|c: char| c == '_' || c.is_ascii_digit()));
    }

    #[test]
    fn the_fast_path_agrees_with_the_slow_one(text in "[a-c_:.0A-]{0,12}") {
        let arena = Bump::new();
        prop_assert_eq!(tag(&arena, &text), rewrite_tag(&arena, &text, true));
        prop_assert_eq!(tag_value(&arena, &text), rewrite_tag(&arena, &text, false));
    }

    #[test]
    fn a_normal_name_keeps_the_bounds(text in any_text()) {
        let arena = Bump::new();
        let normal = name(&arena, &text).0;
        prop_assert!(normal.len() <= NAME_MAX_BYTES);
        prop_assert!(normal.starts_with(|c: char| c.is_ascii_alphabetic()));
        prop_assert!(!normal.ends_with('_') && !normal.contains("__"));
    }
}
