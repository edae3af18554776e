use super::*;
use crate::config::Config;
use crate::config::source::Fixed;
use crate::platform::{Face, Probe};
use crate::{Running, bind};
use http::{HeaderName, HeaderValue};
use lifecycle::{Deadline, Instant};
use model::limits::LOG_BATCH_MAX_COUNT;
use model::{Book, Books};
use testkit::Backend;

async fn running(more: &[(&str, &str)]) -> Running {
    let strings =
        [("DD_API_KEY", "k"), ("DD_APM_DD_URL", "http://127.0.0.1:9"), ("DD_DD_URL", "http://127.0.0.1:9")];
    let strings = Fixed::from_iter(strings.iter().chain(more).copied());
    let config = Config::load_for(&strings, Face::Library, &Probe::default()).expect("a configuration");
    let bound = bind(config).await.expect("nothing to bind is no error");
    assert!(bound.transports().is_empty(), "no port and no file that nobody asked for");
    bound.start(Arc::new(strings)).expect("an agent")
}

fn local(running: &Running) -> Local {
    running.local().expect("behind a channel").clone()
}

fn hold() -> (Hold, impl Fn() -> bool) {
    let hold: Hold = Arc::new(());
    let kept = Arc::downgrade(&hold);
    (hold, move || kept.upgrade().is_some())
}

const ONE_SPAN: &[u8] = b"\x91\x91\x86\xa7service\xa1s\xa4name\xa1n\xa8resource\xa1r\xa8trace_id\x01\xa7span_id\x02\xa5start\xcf\x17\x00\x00\x00\x00\x00\x00\x00";

fn submit(local: &Local, path: &str, body: &[u8], hold: Hold) -> Result<(), NotAccepted> {
    local.submit(&path.parse().expect("a path"), &HeaderMap::new(), body.into(), hold)
}

async fn stop(running: Running) {
    let books = running.books().clone();
    running.stop("test", Deadline::at(Instant::now() + Duration::from_millis(300))).await;
    for signal in Signal::ALL {
        assert_eq!(books.book(signal).held, 0);
        assert_eq!(books.book(signal).dropped(Why::Forgotten), 0);
    }
}

fn book(books: &Books, signal: Signal) -> Book {
    books.book(signal)
}

#[tokio::test]
async fn each_route_takes_its_bytes_and_settles_them_at_the_stop_at_the_latest() {
    let running = running(&[]).await;
    let local = local(&running);
    let books = running.books().clone();
    let cases: [(&str, &[u8], Signal); 4] = [
        ("/v0.4/traces", ONE_SPAN, Signal::Traces),
        ("/v1/input", br#"[{"message":"m"}]"#, Signal::Logs),
        ("/telemetry/proxy/api/v2/apmtelemetry", b"{}", Signal::Proxied),
        ("/dogstatsd/v2/proxy", b"m:1|c", Signal::Metrics),
    ];
    let mut holds = Vec::new();
    for (path, body, signal) in cases {
        let (hold, is_kept) = hold();
        submit(&local, path, body, hold).unwrap();
        assert_eq!(book(&books, signal).accepted, 1, "{path}");
        assert_eq!(
            is_kept(),
            signal != Signal::Metrics,
            "{path}: until it is settled, unless it is summed up"
        );
        holds.push((path, is_kept));
    }
    drop(local);
    stop(running).await;
    for (path, is_kept) in holds {
        assert!(!is_kept(), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_accepted_is_told_apart_counted_and_let_go_of() {
    let running = running(&[("DD_APM_MAX_PAYLOAD_SIZE", "1024"), ("DD_USE_DOGSTATSD", "false")]).await;
    let local = local(&running);
    let cases: [(&str, &[u8], NotAccepted); 6] = [
        ("/v0.4/traces", b"\x91\xff", NotAccepted::Malformed),
        ("/v0.4/traces", &[0; 1025], NotAccepted::TooLarge),
        ("/nothing", b"", NotAccepted::NoRoute),
        ("/info", b"", NotAccepted::NoRoute),
        ("/dogstatsd/v2/proxy", b"m:1|c", NotAccepted::NoRoute),
        // Without a subdomain there is nowhere to pass it.
        ("/evp_proxy/v2/x", b"", NotAccepted::Malformed),
    ];
    let count = cases.len() as u64;
    for (path, body, why) in cases {
        let (hold, is_kept) = hold();
        assert_eq!(submit(&local, path, body, hold), Err(why), "{path}");
        assert!(!is_kept());
    }
    let refused: u64 = running.intake().door.refused().map(|(_, _, count)| count).sum();
    assert_eq!(refused, count);
    let traces: Uri = "/v0.4/traces".parse().unwrap();
    assert_eq!(local.admits(&traces, &HeaderMap::new(), 1025), Err(NotAccepted::TooLarge));
    assert_eq!(local.admits(&traces, &HeaderMap::new(), 1024), Ok(()));
    drop(local);
    stop(running).await;
}

#[tokio::test]
async fn l150_what_has_no_room_is_the_senders() {
    let running = running(&[("LASTLIGHT_MEMORY", "36MiB")]).await;
    let local = local(&running);
    let body = format!(r#"[{{"message":"{}"}}]"#, "x".repeat(1_000_000));
    let mut taken = 0;
    let refused = loop {
        let (hold, _) = hold();
        match submit(&local, "/telemetry/proxy/x", body.as_bytes(), hold) {
            Ok(()) => taken += 1,
            Err(why) => break why,
        }
        assert!(taken < 100, "a bound");
    };
    assert!(matches!(refused, NotAccepted::Later { .. }), "{refused:?}");
    assert!(taken > 0);
    drop(local);
    stop(running).await;
}

#[tokio::test]
async fn what_is_passed_through_is_booked_as_the_backend_answers() {
    let running = running(&[("DD_EVP_PROXY_CONFIG_DD_URL", "http://127.0.0.1:9")]).await;
    let local = local(&running);
    let headers: HeaderMap =
        [(HeaderName::from_static("x-datadog-evp-subdomain"), HeaderValue::from_static("intake"))]
            .into_iter()
            .collect();
    let (hold, is_kept) = hold();
    let uri = "/evp_proxy/v2/api/v2/exposures".parse().unwrap();
    local.submit(&uri, &headers, b"{}".into(), hold).unwrap();
    assert!(is_kept());
    let books = running.books().clone();
    drop(local);
    stop(running).await;
    assert!(!is_kept());
    assert_eq!(book(&books, Signal::Proxied).lost(), 1, "there is no such backend");
}

#[tokio::test]
async fn a_payload_of_logs_in_two_batches_is_settled_by_the_second() {
    let backend = Backend::start().await;
    let running =
        running(&[("DD_LOGS_CONFIG_LOGS_DD_URL", &backend.url()), ("DD_LOGS_CONFIG_BATCH_WAIT", "60")]).await;
    let (local, books) = (local(&running), running.books().clone());
    let batch = LOG_BATCH_MAX_COUNT as u64;
    let body = format!("[{}]", vec![r#"{"message":"m"}"#; LOG_BATCH_MAX_COUNT + 1].join(","));
    let (hold, is_kept) = hold();
    submit(&local, "/v1/input", body.as_bytes(), hold).unwrap();
    let in_time = async {
        while book(&books, Signal::Logs).delivered < batch {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), in_time).await.expect("a full batch is sent");
    assert!(is_kept(), "of which one log is left");
    drop(local);
    running.stop("test", Deadline::at(Instant::now() + Duration::from_secs(60))).await;
    assert!(!is_kept());
    assert_eq!(book(&books, Signal::Logs).delivered, batch + 1);
}
