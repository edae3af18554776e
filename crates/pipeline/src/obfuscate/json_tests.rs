//! Vectors of the reference's JSON tests and what must hold for every document.

use super::*;
use proptest::prelude::*;

fn obfuscated(keep: &[&str], sql: &[&str], document: &str) -> String {
    let names = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    let json =
        Json::new(JsonConfig { enabled: true, keep_values: names(keep), obfuscate_sql_values: names(sql) });
    let mut out = "what was there before".to_owned();
    json.obfuscate(document, &mut out, |statement, out| {
        out.push_str("SQL:");
        out.push_str(statement);
    });
    out
}

#[test]
fn values_are_hidden_and_keys_stay() {
    const NESTED: &str = r#"{"query":{"multi_match":{"query":"guide","fields":["_all",{"key":"value","other":["1","2",{"k":"v"}]},"2"]}}}"#;
    const FIELDS: &str = r#"{"fields":["_all",{"key":"value","other":["1","2",{"k":"v"}]},"2"]}"#;
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "{}", "{}"),
        (&[], "[]", "[]"),
        (&["🐵"], r#"{"🐵":"🙊"}"#, r#"{"🐵":"🙊"}"#),
        (&[], r#"{"a":{},"b":{"c":{}}}"#, r#"{"a":{},"b":{"c":{}}}"#),
        (&[], r#"{"a":true,"b":false,"c":null}"#, r#"{"a":"?","b":"?","c":"?"}"#),
        (&[], r#"{ "a" : -1.5e+7 , "b":[ 0, 10 ]}"#, r#"{"a":"?","b":["?","?"]}"#),
        (
            &[],
            NESTED,
            r#"{"query":{"multi_match":{"query":"?","fields":["?",{"key":"?","other":["?","?",{"k":"?"}]},"?"]}}}"#,
        ),
        (
            &["other"],
            NESTED,
            r#"{"query":{"multi_match":{"query":"?","fields":["?",{"key":"?","other":["1","2",{"k":"v"}]},"?"]}}}"#,
        ),
        (&["fields"], FIELDS, FIELDS),
        (&["k"], FIELDS, r#"{"fields":["?",{"key":"?","other":["?","?",{"k":"v"}]},"?"]}"#),
        (&["C"], r#"{"fields":[{"A":1,"B":{"C":3}},"2"]}"#, r#"{"fields":[{"A":"?","B":{"C":3}},"?"]}"#),
        (
            &["hits"],
            r#"{"outer":{"total":2,"max_score":0.9105287,"hits":[{"_index":"bookdb_index","_score":0.9105287}]}}"#,
            r#"{"outer":{"total":"?","max_score":"?","hits":[{"_index":"bookdb_index","_score":0.9105287}]}}"#,
        ),
        (
            &["_index", "title"],
            r#"{"hits":[{"_index":"bookdb_index","_score":0.9,"_source":{"summary":"text","title":"ES in Action"}}]}"#,
            r#"{"hits":[{"_index":"bookdb_index","_score":"?","_source":{"summary":"?","title":"ES in Action"}}]}"#,
        ),
    ];
    for (keep, document, expected) in cases {
        assert_eq!(obfuscated(keep, &[], document), *expected, "{document}");
    }
}

#[test]
fn documents_may_follow_each_other() {
    assert_eq!(
        obfuscated(&[], &[], "{\"a\":1} \n{\"b\":\"x\"}[1]\n"),
        "{\"a\":\"?\"} \n{\"b\":\"?\"}[\"?\"]\n"
    );
    assert_eq!(obfuscated(&["a"], &[], r#"{"a":1} {"b":2}"#), r#"{"a":1} {"b":"?"}"#);
}

#[test]
fn a_value_outside_of_any_document_is_hidden() {
    assert_eq!(obfuscated(&[], &[], r#"{"a":1} "secret" 17"#), r#"{"a":"?"} "?" "?""#);
}

#[test]
fn what_ends_early_or_is_no_json_is_marked() {
    for (document, expected) in [
        ("", ""),
        (" ", "..."),
        ("🤨", "..."),
        ("INVALID", "..."),
        (")", "..."),
        (r#"{"query":""#, r#"{"query":"?"..."#),
        (r#"{"query":"secr"#, r#"{"query":"?"..."#),
        (r#"{"query"#, r#"{"query..."#),
        (r#"{"query":tru"#, r#"{"query":"?"..."#),
        (r#"{"query":1.}"#, r#"{"query":"?"..."#),
        (r#"{"query":[1}"#, r#"{"query":["?"..."#),
        (r#"{"first": "valid"} {"second": "unfini"#, r#"{"first":"?"} {"second":"?"..."#),
    ] {
        assert_eq!(obfuscated(&[], &[], document), expected, "{document}");
    }
}

#[test]
fn values_of_some_keys_are_statements() {
    let sql = |document| obfuscated(&["keep"], &["query"], document);
    assert_eq!(sql(r#"{"query":"SELECT 1","b":2}"#), r#"{"query":"SQL:SELECT 1","b":"?"}"#);
    assert_eq!(sql(r#"{"query":["a"],"b":2}"#), r#"{"query":["?"],"b":"?"}"#);
    assert_eq!(sql(r#"{"keep":{"query":"x","y":1}}"#), r#"{"keep":{"query":"SQL:x","y":1}}"#);
    assert_eq!(sql(r#"{"query":"a \"b\" A😀 \n"}"#), "{\"query\":\"SQL:a \\\"b\\\" A😀 \\n\"}");
    assert_eq!(sql(r#"{"query":"SELECT 'secr"#), r#"{"query":..."#);
}

#[test]
fn deep_nesting_costs_linear_time_and_no_stack() {
    let depth = 500_000;
    let open = "[".repeat(depth);
    assert_eq!(obfuscated(&[], &[], &open).len(), depth + 3);
    let closed = format!("{open}{}", "]".repeat(depth));
    assert_eq!(obfuscated(&[], &[], &closed), closed);
}

proptest! {
    #[test]
    fn no_document_panics(document in r#"(?s)[{}\[\]:,"\\ue0-9tfnul.ké -]{0,60}|.{0,40}"#) {
        obfuscated(&["k"], &["u"], &document);
    }

    #[test]
    fn no_value_survives_and_twice_is_once(
        values in prop::collection::vec("[A-Z]{6,9}", 1..6), cut in 0_usize..40
    ) {
        let mut document = r#"{"list":["#.to_owned();
        for value in &values {
            document.push_str(&format!(r#"{{"key":"{value}"}},"{value}","#));
        }
        document.push_str("1]}");
        let whole = obfuscated(&[], &[], &document);
        prop_assert_eq!(&obfuscated(&[], &[], &whole), &whole);
        let part = obfuscated(&[], &[], &document[..document.len().saturating_sub(cut)]);
        prop_assert!(!part.bytes().any(|byte| byte.is_ascii_uppercase()), "{}", part);
    }
}
