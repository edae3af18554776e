//! The log intake over the wire.

use super::{
    tests::{post_with, request},
    *,
};

const PATH: &str = "/api/v2/logs";

async fn post(backend: &Backend, headers: &str, body: &[u8]) -> String {
    post_with(backend, PATH, headers, body).await.unwrap().split(' ').nth(1).unwrap().to_owned()
}

fn body(logs: usize, message: &str) -> Vec<u8> {
    let log =
        format!(r#"{{"message":"{message}","status":"info","timestamp":1,"service":"s","ddtags":"a:b"}}"#);
    format!("[{}]", vec![log; logs].join(",")).into_bytes()
}

#[tokio::test]
async fn logs_are_decoded_in_every_encoding_and_counted_by_path() {
    let backend = Backend::start().await;
    let plain = body(2, "m");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, &plain).unwrap();
    for (headers, bytes) in [
        ("", plain.clone()),
        ("content-encoding: zstd\r\n", zstd::encode_all(&*plain, 1).unwrap()),
        ("content-encoding: gzip\r\n", gzip.finish().unwrap()),
        ("", b"[{\"message\":".to_vec()),
    ] {
        assert_eq!(post(&backend, headers, &bytes).await, "202");
    }
    let logs = backend.logs();
    assert_eq!(logs.len(), 6);
    assert!(logs.iter().all(|log| log.message == "m" && log.has_tag("a:b")));
    let counts = backend.counts();
    assert_eq!((counts.logs, counts.undecodable, counts.paths[PATH].requests), (6, 1, 4));
    assert!(matches!(&backend.acknowledged(PATH)[0].body, Body::Logs(sent) if *sent == logs[..2]));
    let dump = backend.dump();
    assert_eq!(
        (dump["logs"][0]["service"].as_str(), dump["requests"][0]["body"].as_str()),
        (Some("s"), Some("logs"))
    );
    let waited = request(&backend, "POST", "/_control/wait", "", br#"{"logs":6}"#).await.unwrap();
    assert!(waited.starts_with("HTTP/1.1 200"), "{waited}");
}

#[tokio::test]
async fn logs_that_were_refused_have_not_arrived() {
    let backend = Backend::start().await;
    backend.behave(Behaviour::status(503).times(1));
    assert_eq!(post(&backend, "", &body(1, "m")).await, "503");
    assert_eq!(post(&backend, "", &body(1_000, "m")).await, "202");
    assert_eq!(post(&backend, "", &body(1_001, "m")).await, "413");
    let long = zstd::encode_all(&*body(1, &"x".repeat(5_000_000)), 1).unwrap();
    assert_eq!(post(&backend, "content-encoding: zstd\r\n", &long).await, "413");
    assert_eq!((backend.logs().len(), backend.counts().logs, backend.counts().oversized), (1_000, 1_000, 2));
}

#[tokio::test]
async fn hundreds_of_thousands_of_logs_are_held_whatever_is_kept() {
    let full = body(1_000, &"x".repeat(100));
    for keep in [Keep::Everything, Keep::Ids, Keep::Counts] {
        let backend = Backend::start_with(Options { keep, ..Options::default() }).unwrap();
        for _ in 0..200 {
            assert_eq!(post(&backend, "", &full).await, "202");
        }
        assert_eq!(backend.counts().logs, 200_000);
        let logs = backend.logs();
        assert_eq!((logs.len(), logs[199_999].message.len()), (200_000, 100));
    }
}
