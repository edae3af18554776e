//! Whole spans, and the cache seen from outside.

use super::*;
use crate::config::{CreditCardConfig, JsonConfig};
use model::SpanEvent;
use proptest::prelude::*;

fn obfuscator(change: impl FnOnce(&mut ObfuscationConfig)) -> Obfuscator {
    let mut config = ObfuscationConfig::default();
    change(&mut config);
    Obfuscator::new(config)
}

/// Resource and tags of a span after obfuscation.
fn run(
    obfuscator: &Obfuscator,
    span_type: &str,
    resource: &str,
    meta: &[(&str, &str)],
) -> (String, Vec<(String, String)>) {
    let arena = Bump::new();
    let mut span = Span::new_in(&arena);
    span.span_type = arena.alloc_str(span_type);
    span.resource = arena.alloc_str(resource);
    for (key, value) in meta {
        span.meta.push((arena.alloc_str(key), arena.alloc_str(value)));
    }
    obfuscator.span(&arena, &mut span);
    let meta = span.meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    (span.resource.to_owned(), meta)
}

/// The only tag of a span after obfuscation.
fn tag(obfuscator: &Obfuscator, span_type: &str, key: &str, value: &str) -> String {
    let (_, meta) = run(obfuscator, span_type, "resource", &[(key, value)]);
    meta.into_iter().next().expect("the tag").1
}

fn pairs(meta: &[(&str, &str)]) -> Vec<(String, String)> {
    meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_statement_is_obfuscated_in_the_resource_and_added_as_a_tag() {
    for span_type in ["sql", "cassandra"] {
        let obfuscator = obfuscator(|_| {});
        let (resource, meta) = run(&obfuscator, span_type, "SELECT 1 FROM t", &[("a", "b")]);
        assert_eq!(resource, "SELECT ? FROM t");
        assert_eq!(meta, pairs(&[("a", "b"), ("sql.query", "SELECT ? FROM t")]));
    }
}

#[test]
fn a_raw_statement_in_any_tag_goes_with_the_resource() {
    let raw = "SELECT 1";
    let meta = [
        ("sql.query", raw),
        ("db.statement", raw),
        ("db.query.text", "UPDATE t SET a = 'x'"),
        ("other", raw),
    ];
    let (_, meta) = run(&obfuscator(|_| {}), "sql", raw, &meta);
    let expected = [
        ("sql.query", "SELECT ?"),
        ("db.statement", "SELECT ?"),
        ("db.query.text", "UPDATE t SET a = ?"),
        ("other", raw),
    ];
    assert_eq!(meta, pairs(&expected));
}

#[test]
fn without_a_resource_the_tags_are_still_obfuscated_and_none_is_added() {
    let (resource, meta) =
        run(&obfuscator(|_| {}), "sql", "", &[("sql.query", "SELECT 1"), ("db.statement", "")]);
    assert_eq!(resource, "");
    assert_eq!(meta, pairs(&[("sql.query", "SELECT ?"), ("db.statement", "")]));
    assert_eq!(run(&obfuscator(|_| {}), "sql", "", &[]).1, []);
}

#[test]
fn a_statement_that_cannot_be_read_is_hidden_whole_every_time() {
    let obfuscator = obfuscator(|_| {});
    for _ in 0..3 {
        let (resource, meta) = run(&obfuscator, "sql", "SELECT 'secret", &[]);
        assert_eq!(resource, UNREADABLE_SQL);
        assert_eq!(meta, pairs(&[("sql.query", UNREADABLE_SQL)]));
    }
    assert_eq!(obfuscator.cache_stats().hits, 1, "kept when it was met again");
}

#[test]
fn db_type_selects_the_dialect() {
    let obfuscator = obfuscator(|_| {});
    let (resource, _) = run(&obfuscator, "sql", "SELECT a #>> '{b}' FROM t", &[("db.type", "postgresql")]);
    assert_eq!(resource, "SELECT a #>> ? FROM t");
    let (resource, _) = run(&obfuscator, "sql", "SELECT a #>> '{b}' FROM t", &[("db.type", "mysql")]);
    assert_eq!(resource, "SELECT a");
    let (resource, _) = run(&obfuscator, "sql", "SELECT * FROM #t", &[("db.type", "mssql")]);
    assert_eq!(resource, "SELECT * FROM #t");
}

#[test]
fn the_mode_of_the_settings_is_used() {
    for (mode, expected) in [
        (SqlMode::Default, "SELECT a, ?"),
        (SqlMode::ObfuscateOnly, "SELECT  a AS b, ? -- c"),
        (SqlMode::NormalizeOnly, "SELECT a AS b, 1"),
        (SqlMode::ObfuscateAndNormalize, "SELECT a AS b, ?"),
    ] {
        let obfuscator = obfuscator(|config| config.sql_mode = mode);
        assert_eq!(run(&obfuscator, "sql", "SELECT  a AS b, 1 -- c", &[]).0, expected);
    }
}

#[test]
fn redis_and_valkey_commands_lose_their_values() {
    let standard = obfuscator(|_| {});
    let strict = obfuscator(|config| {
        config.redis.remove_all_args = true;
        config.valkey.remove_all_args = true;
    });
    let off = obfuscator(|config| {
        config.redis.enabled = false;
        config.valkey.enabled = false;
    });
    for (span_type, key) in [("redis", "redis.raw_command"), ("valkey", "valkey.raw_command")] {
        assert_eq!(run(&standard, span_type, "set k v\nget k", &[]).0, "SET GET");
        assert_eq!(run(&off, span_type, "set k v\nget k", &[]).0, "SET GET");
        assert_eq!(tag(&standard, span_type, key, "SET k v"), "SET k ?");
        assert_eq!(tag(&strict, span_type, key, "SET k v"), "SET ?");
        assert_eq!(tag(&off, span_type, key, "SET k v"), "SET k v");
    }
}

#[test]
fn memcached_commands_lose_their_values_or_go_whole() {
    let raw = "set mykey 0 60 5\r\nvalue";
    assert_eq!(tag(&obfuscator(|_| {}), "memcached", "memcached.command", raw), "");
    let keep = obfuscator(|config| config.memcached.keep_command = true);
    for (command, expected) in [
        (raw, "set mykey 0 60 5"),
        ("get mykey", "get mykey"),
        ("add newkey 0 60 5\r\nvalue\r\nvalue1", "add newkey 0 60 5"),
        ("\t", ""),
    ] {
        assert_eq!(tag(&keep, "memcached", "memcached.command", command), expected);
    }
    let off = obfuscator(|config| config.memcached.enabled = false);
    assert_eq!(tag(&off, "memcached", "memcached.command", raw), raw);
}

#[test]
fn documents_of_each_database_are_obfuscated() {
    let raw = r#"{"a":1}"#;
    let off = obfuscator(|config| {
        config.mongodb.enabled = false;
        config.elasticsearch.enabled = false;
        config.opensearch.enabled = false;
    });
    for (span_type, key) in [
        ("mongodb", "mongodb.query"),
        ("elasticsearch", "elasticsearch.body"),
        ("elasticsearch", "opensearch.body"),
        ("opensearch", "opensearch.body"),
        ("opensearch", "elasticsearch.body"),
    ] {
        assert_eq!(tag(&obfuscator(|_| {}), span_type, key, raw), r#"{"a":"?"}"#);
        assert_eq!(tag(&off, span_type, key, raw), raw);
    }
}

#[test]
fn a_document_may_hold_statements() {
    let obfuscator = obfuscator(|config| {
        config.mongodb = JsonConfig {
            enabled: true,
            keep_values: vec!["keep".into()],
            obfuscate_sql_values: vec!["sql".into()],
        };
    });
    let document = r#"{"sql":"SELECT 1","keep":1,"b":{"sql":"SELECT '"}}"#;
    assert_eq!(
        tag(&obfuscator, "mongodb", "mongodb.query", document),
        r#"{"sql":"SELECT ?","keep":1,"b":{"sql":"Non-parsable SQL query"}}"#
    );
}

#[test]
fn urls_lose_what_the_settings_say() {
    let url = "http://u:p@h/1?q=2";
    let all = obfuscator(|config| {
        config.http = HttpConfig { remove_query_string: true, remove_paths_with_digits: true };
    });
    for span_type in ["web", "http"] {
        assert_eq!(tag(&obfuscator(|_| {}), span_type, "http.url", url), "http://h/1?q=2");
        assert_eq!(tag(&all, span_type, "http.url", url), "http://h/??");
    }
    assert_eq!(tag(&all, "custom", "http.url", url), url);
}

#[test]
fn card_numbers_go_from_tags_and_events() {
    let arena = Bump::new();
    let card = "4111 1111 1111 1111";
    let mut span = Span::new_in(&arena);
    span.meta.push(("card", card));
    span.meta.push(("version", card));
    let mut array = model::List::new_in(&arena);
    array.push(AttributeValue::String(card));
    array.push(AttributeValue::Bool(true));
    array.push(AttributeValue::Int(1));
    let mut attributes = model::List::new_in(&arena);
    attributes.push(("text", AttributeValue::String(card)));
    attributes.push(("whole", AttributeValue::Int(4_111_111_111_111_111)));
    attributes.push(("double", AttributeValue::Double(4_111_111_111_111_111.0)));
    attributes.push(("list", AttributeValue::Array(array)));
    attributes.push(("version", AttributeValue::String(card)));
    span.events.push(SpanEvent { time_unix_nano: 0, name: "event", attributes });
    let off = obfuscator(|config| {
        config.credit_cards = CreditCardConfig { enabled: false, ..config.credit_cards.clone() }
    });
    off.span(&arena, &mut span);
    assert_eq!(span.meta("card"), Some(card));
    obfuscator(|_| {}).span(&arena, &mut span);
    assert_eq!(span.meta.as_slice(), [("card", "?"), ("version", card)]);
    assert_eq!(
        format!("{:?}", span.events[0].attributes),
        "[(\"text\", String(\"?\")), (\"whole\", String(\"?\")), (\"double\", String(\"?\")), \
         (\"list\", Array([String(\"?\"), Bool(true), Int(1)])), (\"version\", String(\"4111 1111 1111 1111\"))]"
    );
}

#[test]
fn stack_traces_go_when_asked_for() {
    let trace = "Error\n  at x:1";
    let remove = obfuscator(|config| config.remove_stack_traces = true);
    assert_eq!(tag(&remove, "web", "error.stack", trace), "?");
    assert_eq!(tag(&obfuscator(|_| {}), "web", "error.stack", trace), trace);
}

#[test]
fn resources_of_stats_groups_are_obfuscated_by_type() {
    let obfuscator = obfuscator(|_| {});
    let cases = [
        ("sql", "", "SELECT 1", "SELECT ?"),
        ("cassandra", "", "SELECT 'x", UNREADABLE_SQL),
        ("sql", "", "", ""),
        ("sql", "postgresql", "a #> '{b}'", "a #> ?"),
        ("redis", "", "set k v", "SET"),
        ("valkey", "", "GET", "GET"),
        ("web", "", "GET /1", "GET /1"),
    ];
    for (span_type, db_type, resource, expected) in cases {
        assert_eq!(obfuscator.stats_resource(span_type, db_type, resource), expected);
    }
}

#[test]
fn a_statement_met_again_is_found_and_means_the_same() {
    let obfuscator = obfuscator(|_| {});
    for want in [(0, 2, 0), (0, 4, 2), (2, 4, 2), (4, 4, 2)] {
        assert_eq!(run(&obfuscator, "sql", "SELECT 1", &[]).0, "SELECT ?");
        assert_eq!(run(&obfuscator, "sql", "SELECT a", &[]).0, "SELECT a");
        let stats = obfuscator.cache_stats();
        assert_eq!((stats.hits, stats.misses, stats.entries), want);
        assert_eq!(stats.bytes > 0, stats.entries > 0);
    }
}

#[test]
fn statements_that_are_never_met_again_are_not_kept() {
    let obfuscator = obfuscator(|_| {});
    for n in 0..1_000 {
        run(&obfuscator, "sql", &format!("SELECT a FROM b WHERE c = {n}"), &[]);
    }
    assert_eq!(obfuscator.cache_stats().entries, 0);
}

#[test]
fn long_statements_are_obfuscated_without_being_cached() {
    let obfuscator = obfuscator(|_| {});
    let statement = format!("SELECT '{}'", "x".repeat(cache::STATEMENT_MAX_BYTES));
    assert_eq!(run(&obfuscator, "sql", &statement, &[]).0, "SELECT ?");
    assert_eq!(obfuscator.cache_stats(), CacheStats::default());
}

#[test]
fn workers_share_an_obfuscator() {
    let obfuscator = obfuscator(|config| config.cache_max_bytes = 64 * 1024);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let obfuscator = &obfuscator;
            scope.spawn(move || {
                for n in 0..2_000 {
                    let table = (n * (worker + 1)) % 700;
                    let (resource, _) =
                        run(obfuscator, "sql", &format!("SELECT {n} FROM t_{table} WHERE a = 'x'"), &[]);
                    assert_eq!(resource, format!("SELECT ? FROM t_{table} WHERE a = ?"));
                }
            });
        }
    });
    let stats = obfuscator.cache_stats();
    assert_eq!(stats.hits + stats.misses, 8_000);
    assert!(stats.bytes <= 64 * 1024);
}

proptest! {
    #[test]
    fn no_span_panics(
        span_type in prop::sample::select(vec![
            "sql", "cassandra", "redis", "valkey", "memcached", "web", "http", "mongodb", "elasticsearch", "opensearch", "",
        ]),
        db_type in prop::sample::select(vec!["", "postgresql", "mssql", "mysql", "oracle"]),
        mode in prop::sample::select(vec![
            SqlMode::Default, SqlMode::ObfuscateOnly, SqlMode::NormalizeOnly, SqlMode::ObfuscateAndNormalize,
        ]),
        text in "(?s).{0,60}|[\\PC'\"`$\\\\-]{0,60}",
    ) {
        let obfuscator = obfuscator(|config| {
            config.sql_mode = mode;
            config.memcached.keep_command = true;
            config.http = HttpConfig { remove_query_string: true, remove_paths_with_digits: true };
            config.credit_cards.luhn = true;
        });
        let meta: Vec<_> = [
            "sql.query", "redis.raw_command", "valkey.raw_command", "memcached.command", "http.url", "mongodb.query",
            "elasticsearch.body", "opensearch.body",
        ]
        .iter()
        .map(|key| (*key, text.as_str()))
        .chain([("db.type", db_type)])
        .collect();
        let first = run(&obfuscator, span_type, &text, &meta);
        prop_assert_eq!(run(&obfuscator, span_type, &text, &meta), first);
    }
}
