//! PHP-FPM with the extension: what a request, a failure and a program's own spans, metrics and logs say when they arrive.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::php::{Fpm, Manager, Mode, Php, Pool, ROOT, Setup};
use testkit::Backend;
use testkit::proto::Span;

/// Answers with the status that the parameter `STATUS` asks for.
const STATUS: (&str, &str) =
    ("index.php", "<?php http_response_code((int) ($_SERVER['STATUS'] ?? 200)); echo 'x';");

async fn a_pool(backend: &Backend, scripts: &[(&str, &str)], lines: &[&str]) -> Option<Fpm> {
    let php = Php::at_hand()?;
    let setup = Setup::new(&php, backend, Mode::Thread).pool(Pool::new("www", Manager::Static(1)));
    let setup = lines.iter().fold(setup, |setup, line| setup.ini(*line));
    Some(setup.start(scripts).await)
}

async fn ask(fpm: &Fpm, script: &str, path: &str, further: &[(&str, &str)]) -> u16 {
    fpm.client().try_ask("www", script, path, further).await.unwrap().status
}

fn meta<'a>(span: &'a Span, name: &str) -> &'a str {
    span.meta.get(name).map_or("", String::as_str)
}

/// The root spans, in the order of their requests.
fn roots(backend: &Backend) -> Vec<Span> {
    let mut roots: Vec<_> = backend.spans().into_iter().filter(|span| span.name == ROOT).collect();
    roots.sort_by_key(|span| span.start);
    roots
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_the_path_without_ids() {
    let backend = Backend::start().await;
    let mapping = "lastlight.resource_uri_mapping_incoming=\"cities/*, /orders/*/items\"";
    let Some(mut fpm) = a_pool(&backend, &[STATUS], &[mapping]).await else { return };
    let paths = [
        ("/", "GET /"),
        ("/users/123/edit?page=2", "GET /users/?/edit"),
        ("/0ab21ce2-006f-4cc6-95d5-d7b550698482/deadbeef00", "GET /?/?"),
        ("/facade/12.5/a1b2c3d", "GET /facade/12.5/a1b2c3d"),
        ("/cities/paris/1", "GET /cities/?/?"),
        ("/orders/abc/items", "GET /orders/?/items"),
        ("/a//b/", "GET /a//b/"),
        ("http://user:secret@shop.example/p/1", "GET /p/?"),
    ];
    for (path, _) in paths {
        assert_eq!(ask(&fpm, "index.php", path, &[]).await, 200, "{path}");
    }
    fpm.stop("QUIT").await;
    let resources: Vec<_> = roots(&backend).into_iter().map(|span| span.resource).collect();
    assert_eq!(resources, paths.map(|(_, resource)| resource));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_keeps_what_is_allowed_of_its_query_and_no_secret() {
    let path = "/x?a=1&token=s3cret&b=2&p%61ss=s3cret&eight";
    for (allowed, url) in [
        ("", "http://shop.example/x"),
        ("a, b", "http://shop.example/x?a=1&b=2"),
        ("*", "http://shop.example/x?a=1&<redacted>&b=2&<redacted>&eight"),
        ("token", "http://shop.example/x?token=s3cret"),
    ] {
        let backend = Backend::start().await;
        let line = format!("lastlight.http_url_query_param_allowed=\"{allowed}\"");
        let Some(mut fpm) = a_pool(&backend, &[STATUS], &[&line]).await else { return };
        ask(&fpm, "index.php", path, &[]).await;
        ask(&fpm, "index.php", "http://user:a@s3cret@shop.example/y", &[("HTTPS", "on")]).await;
        fpm.stop("QUIT").await;
        let urls: Vec<_> = roots(&backend).iter().map(|span| meta(span, "http.url").to_owned()).collect();
        assert_eq!(urls, [url, "http://shop.example/y"], "{allowed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_tells_its_method_status_and_caller_and_fails_from_500_on() {
    let backend = Backend::start().await;
    let Some(mut fpm) = a_pool(&backend, &[STATUS], &[]).await else { return };
    for status in ["200", "404", "500", "503"] {
        let further =
            [("STATUS", status), ("REQUEST_METHOD", "POST"), ("HTTP_USER_AGENT", "curl/8"), ("HTTPS", "on")];
        assert_eq!(ask(&fpm, "index.php", "/", &further).await.to_string(), status);
    }
    fpm.stop("QUIT").await;
    let roots = roots(&backend);
    let told: Vec<_> = roots.iter().map(|span| (meta(span, "http.status_code"), span.error)).collect();
    assert_eq!(told, [("200", 0), ("404", 0), ("500", 1), ("503", 1)]);
    for span in &roots {
        assert_eq!((span.r#type.as_str(), span.resource.as_str()), ("web", "POST /"), "{span:?}");
        assert_eq!(meta(span, "http.method"), "POST");
        assert_eq!(meta(span, "http.useragent"), "curl/8");
        assert_eq!(meta(span, "http.url"), "https://shop.example/");
        assert_eq!((meta(span, "component"), meta(span, "span.kind")), ("fpm-fcgi", "server"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_script_is_on_its_span_without_the_arguments_of_calls() {
    let thrown = "<?php function pay($card) { throw new DomainException(\"no: in time\", 1, new Exception('inner')); } \
                  ini_set('zend.exception_ignore_args', '0'); pay('4111-1111');";
    let caught = "<?php function pay($card) { throw new LogicException('caught'); } \
                  try { pay('4111-1111'); } catch (Throwable $e) { Lastlight\\root_span()->setError($e); }";
    let scripts = [
        ("thrown.php", thrown),
        (
            "fatal.php",
            "<?php ini_set('memory_limit', '4M'); $all = ''; while (true) { $all .= str_repeat('x', 100000); }",
        ),
        ("parse.php", "<?php this is no PHP"),
        ("caught.php", caught),
        ("silenced.php", "<?php @$nothing->property; @trigger_error('warned', E_USER_WARNING); echo 'fine';"),
    ];
    let backend = Backend::start().await;
    let Some(mut fpm) = a_pool(&backend, &scripts, &[]).await else { return };
    for (script, _) in scripts {
        ask(&fpm, script, "/", &[]).await;
    }
    fpm.stop("QUIT").await;
    let roots = roots(&backend);
    let told: Vec<_> = roots.iter().map(|span| (span.error, meta(span, "error.type"))).collect();
    let types = [(1, "DomainException"), (1, "E_ERROR"), (1, "ParseError"), (1, "LogicException"), (0, "")];
    assert_eq!(told.len(), types.len(), "{told:?}");
    assert_eq!(told[0], types[0]);
    assert_eq!(told[1], types[1]);
    assert!(told[2].0 == 1 && told[2].1.to_lowercase().contains("parse"), "{told:?}");
    assert_eq!(told[3..], types[3..]);
    assert_eq!(meta(&roots[0], "error.message"), "no: in time");
    assert!(meta(&roots[1], "error.message").starts_with("Allowed memory size"), "{:?}", roots[1]);
    assert_eq!(meta(&roots[3], "error.message"), "caught");
    for at in [0, 3] {
        let stack = meta(&roots[at], "error.stack");
        assert!(stack.contains("pay()") && stack.contains("{main}"), "{stack}");
    }
    let everything = format!("{roots:?}");
    assert!(!everything.contains("4111"), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_says_itself_arrives_with_its_request() {
    let page = "<?php use function Lastlight\\{start_span, trace, increment, gauge, event, service_check, log};
        $outer = start_span('outer', ['kind' => 'a', 'items' => 3]);
        trace('inner', function ($span) { $span->setResource('r')->setService('other')->setType('sql'); log('paid', 'warn', ['order' => 17]); });
        $outer->finish();
        $open = start_span('left.open');
        increment('orders', 2, ['kind:b', 'forged' => \"x|#admin\\nsteal:1|c\"]);
        gauge(\"steal:1|c\\nsteal\", 1.5);
        event('deployed', \"by\\nhand\", ['team:web'], ['alert_type' => 'success']);
        service_check('db', 1, [], 'slow');";
    let backend = Backend::start().await;
    let Some(mut fpm) =
        a_pool(&backend, &[("index.php", page)], &["lastlight.env=e2e", "lastlight.version=7"]).await
    else {
        return;
    };
    assert_eq!(ask(&fpm, "index.php", "/", &[]).await, 200);
    fpm.stop("QUIT").await;
    let spans = backend.spans();
    let named = |name: &str| {
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:?}"))
    };
    let (root, outer, inner) = (named(ROOT), named("outer"), named("inner"));
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    assert_eq!((outer.parent_id, inner.parent_id), (root.span_id, outer.span_id));
    assert_eq!((meta(outer, "kind"), outer.metrics.get("items")), ("a", Some(&3.0)));
    assert_eq!(
        (inner.resource.as_str(), inner.service.as_str(), inner.r#type.as_str()),
        ("r", "other", "sql")
    );
    let open = named("left.open");
    assert!(
        open.parent_id == root.span_id && open.start + open.duration <= root.start + root.duration,
        "{open:?}"
    );
    assert_eq!((meta(root, "env"), meta(root, "version")), ("e2e", "7"));
    let mut names: Vec<_> = backend.series().into_iter().map(|series| series.metric).collect();
    names.sort();
    // No name and no tag makes another sample.
    assert_eq!(names, ["orders", "steal_1_c_steal"]);
    let logs = backend.logs();
    assert_eq!(logs.len(), 1);
    assert!(format!("{:?}", logs[0]).contains(&inner.span_id.to_string()), "{logs:?}");
    assert!(format!("{:?}", backend.events()).contains("deployed"));
    assert!(format!("{:?}", backend.checks()).contains("slow"));
}
