//! The compat package, unmodified, starts our binary instead of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    BOUND,
    agent::{binary, free_port, variables},
    clients,
};
use testkit::Backend;

async fn function(platform: &[(&str, &str)], origin: &str) {
    let backend = Backend::start().await;
    let port = free_port();
    let (backend_url, url) = (backend.url(), format!("http://127.0.0.1:{port}"));
    let lastlight = binary().display().to_string();
    // The package copies the binary into the temporary folder.
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().display().to_string();
    let settings = variables(&backend_url, port);
    let mut environment: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.extend([
        ("DD_SERVERLESS_COMPAT_PATH", lastlight.as_str()),
        ("DD_TRACE_AGENT_URL", url.as_str()),
        ("TMPDIR", temporary.as_str()),
        // Nobody answers for the cloud's metadata here.
        ("GCE_METADATA_HOST", "127.0.0.1:9"),
    ]);
    environment.extend_from_slice(platform);
    let mut client = clients::python("compat_client.py", &["3"], &environment);
    let sent = client.sent().await;
    client.ends().await;
    // The package does not wait for the agent: it ends because its parent has.
    let arrived = |backend: &Backend| {
        let metrics = backend.metrics();
        backend.missing(sent.spans.iter().copied()).is_empty()
            && backend.stats_hits() >= sent.counted
            && metrics.total("function.calls", &[]) > 2.9
            && metrics.sketch("function.size", &[]).count == 3
    };
    backend.wait_until(arrived, BOUND).await.unwrap();
    // The mini agent sends none of these: the function is gone before it would.
    let metrics = backend.metrics();
    let tag = format!("origin:{origin}");
    assert_eq!(metrics.total("function.calls", &["by:python", &tag]).round(), 3.0);
    assert_eq!(metrics.total("function.time.count", &[&tag]).round(), 3.0);
    let sizes = metrics.sketch("function.size", &[&tag]);
    assert_eq!((sizes.count, sizes.sum), (3, 4.5));
    let spans = backend.spans();
    assert_eq!(spans.len(), 3);
    for span in &spans {
        assert_eq!(span.meta.get("_dd.origin").map(String::as_str), Some(origin), "{span:?}");
        assert!(span.meta.contains_key("functionname"), "{span:?}");
    }
    assert!(folder.path().join("datadog/lastlight").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_google_function_of_the_first_generation() {
    function(&[("FUNCTION_NAME", "resize"), ("GCP_PROJECT", "e2e")], "cloudfunction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_google_function_of_the_second_generation() {
    function(&[("K_SERVICE", "resize"), ("FUNCTION_TARGET", "main")], "cloudfunction").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_azure_function() {
    let platform = [
        ("FUNCTIONS_EXTENSION_VERSION", "~4"),
        ("FUNCTIONS_WORKER_RUNTIME", "python"),
        ("WEBSITE_SITE_NAME", "resize"),
        ("WEBSITE_OWNER_NAME", "00000000-0000-0000-0000-000000000000+group-EastUSwebspace-Linux"),
        ("WEBSITE_RESOURCE_GROUP", "group"),
    ];
    function(&platform, "azurefunction").await;
}
