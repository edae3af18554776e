//! What Google's metadata server adds (`facts/platforms.md` §2). Fetched beside everything else, never before
//! a socket is bound or a program started (losses.md L13, L102); what it does not tell is unknown (losses.md L9).

use crate::config::parse::Why;
use crate::forward::connect::Stream;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Bound of one request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(300);
/// Bound of all of them; a server that is not up yet is asked again until then.
pub const OVERALL_TIMEOUT: Duration = Duration::from_millis(1_800);
/// Pause before a failed request is made again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Biggest answer that is read; real ones have some dozen bytes.
const ANSWER_MAX_BYTES: usize = 1_024;
/// Port when the host names none.
const DEFAULT_PORT: u16 = 80;

/// What is known of the instance; `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `/instance/id`.
    pub instance_id: Option<String>,
    /// Last part of `/instance/region`.
    pub region: Option<String>,
    /// `/project/project-id`.
    pub project: Option<String>,
}

impl Metadata {
    pub(super) fn instance_id(&self) -> Option<String> {
        self.instance_id.clone()
    }

    pub(super) fn region(&self) -> Option<String> {
        self.region.clone()
    }

    pub(super) fn project(&self) -> Option<String> {
        self.project.clone()
    }
}

/// One thing to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Id of the instance.
    InstanceId,
    /// Region of the instance.
    Region,
    /// Id of the project.
    Project,
}

impl Item {
    /// Path on the server.
    pub fn path(self) -> &'static str {
        match self {
            Self::InstanceId => "/computeMetadata/v1/instance/id",
            Self::Region => "/computeMetadata/v1/instance/region",
            Self::Project => "/computeMetadata/v1/project/project-id",
        }
    }

    /// The request: a GET without body. The server refuses requests without the flavor header.
    ///
    /// # Errors
    /// When the host does not fit a header.
    pub fn request(self, host: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        Request::get(self.path())
            .header("Host", host)
            .header("Metadata-Flavor", "Google")
            .header("Connection", "close")
            .body(Full::default())
    }

    /// The value in an answer, or `None` when the answer is not the metadata server's or makes no sense.
    pub fn read(self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        // Anyone may answer for that name outside Google; only the real server says its flavor.
        let is_google = headers.get("Metadata-Flavor").is_some_and(|flavor| flavor == "Google");
        if status != StatusCode::OK || !is_google {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?.trim().to_lowercase();
        let value = match self {
            Self::Region => text.rsplit('/').next().unwrap_or_default(),
            Self::InstanceId | Self::Project => &text,
        };
        let sound = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c));
        sound.then(|| value.to_owned())
    }
}

/// Checks `GCE_METADATA_HOST`: a host with or without port.
///
/// # Errors
/// When it is none.
pub fn host(text: &str) -> Result<String, Why> {
    let url = crate::config::BaseUrl::new(&format!("http://{text}"))?;
    if !url.is_bare() {
        return Err("it is not a host with or without a port".into());
    }
    Ok(text.to_owned())
}

/// Asks the server for all three at once. Ends within [`OVERALL_TIMEOUT`], and always has an answer.
pub async fn fetch(host: &str) -> Metadata {
    let deadline = Instant::now() + OVERALL_TIMEOUT;
    let (instance_id, region, project) = tokio::join!(
        look_up(host, Item::InstanceId, deadline),
        look_up(host, Item::Region, deadline),
        look_up(host, Item::Project, deadline),
    );
    Metadata { instance_id, region, project }
}

async fn look_up(host: &str, item: Item, deadline: Instant) -> Option<String> {
    loop {
        match timeout_at(deadline, timeout(REQUEST_TIMEOUT, ask(host, item))).await.ok()? {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => log::debug!("metadata server: {}: {error}", item.path()),
            Err(_) => log::debug!("metadata server: {}: no answer within {REQUEST_TIMEOUT:?}", item.path()),
        }
        let again = Instant::now() + RETRY_PAUSE;
        if again >= deadline {
            return None;
        }
        sleep_until(again).await;
    }
}

/// One request. An answer that is not the server's is final; a failure on the way is not.
async fn ask(host: &str, item: Item) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
    let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (!name.contains(':') || name.ends_with(']'))
    });
    let stream = if has_port {
        TcpStream::connect(host).await?
    } else {
        TcpStream::connect((host.trim_matches(['[', ']']), DEFAULT_PORT)).await?
    };
    // Types of the backend's connections, whose code then serves.
    let stream = Stream::new(TokioIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(async move {
        let answer = sender.send_request(item.request(host)?).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?.to_bytes();
        Ok(item.read(head.status, &head.headers, &body))
    });
    tokio::select! {
        answer = &mut exchange => answer,
        // The server closed: what it sent before is still to be read.
        _ = &mut connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Runs a server that answers by the request's text, beside the look-up.
    async fn against(answer: impl Fn(&str) -> Option<String>) -> (Metadata, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut requests = Vec::new();
        let mut unanswered = Vec::new();
        let server = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut part = [0; 512];
                    match stream.read(&mut part).await {
                        Ok(count) if count > 0 => request.extend_from_slice(&part[..count]),
                        _ => break,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                match answer(&request) {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => unanswered.push(stream),
                }
                requests.push(request);
            }
        };
        let metadata = tokio::select! {
            metadata = fetch(&host) => metadata,
            () = server => unreachable!("the server never ends"),
        };
        (metadata, requests)
    }

    fn google(body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    fn honest(request: &str) -> Option<String> {
        Some(google(match request {
            request if request.contains("/instance/id") => "0087AB",
            request if request.contains("/instance/region") => "projects/123/regions/europe-west1",
            _ => "My-Project",
        }))
    }

    #[tokio::test]
    async fn three_requests_with_the_flavor_header_tell_instance_region_and_project() {
        let (metadata, requests) = against(honest).await;
        let expected = Metadata {
            instance_id: Some("0087ab".into()),
            region: Some("europe-west1".into()),
            project: Some("my-project".into()),
        };
        assert_eq!(metadata, expected);
        assert_eq!(requests.len(), 3);
        for request in requests {
            assert!(request.starts_with("GET /computeMetadata/v1/"), "{request}");
            assert!(request.to_lowercase().contains("metadata-flavor: google"), "{request}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn l09_a_silent_server_means_unknown_within_the_bound() {
        let before = Instant::now();
        let (metadata, _) = against(|_| None).await;
        assert_eq!(metadata, Metadata::default());
        assert!(before.elapsed() <= OVERALL_TIMEOUT + Duration::from_millis(10), "{:?}", before.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn l09_an_absent_server_means_unknown_within_the_bound() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let before = Instant::now();
        assert_eq!(fetch(&closed.to_string()).await, Metadata::default());
        assert!(before.elapsed() <= OVERALL_TIMEOUT + Duration::from_millis(10));
    }

    #[tokio::test]
    async fn one_wrong_answer_costs_one_value_and_is_final() {
        let (metadata, requests) = against(|request| match request {
            request if request.contains("/instance/id") => {
                Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".into())
            }
            request if request.contains("/region") => {
                Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into())
            }
            request => honest(request),
        })
        .await;
        assert_eq!(metadata, Metadata { project: Some("my-project".into()), ..Metadata::default() });
        assert_eq!(requests.len(), 3);
    }

    #[test]
    fn an_override_names_a_host() {
        for good in ["metadata.google.internal", "169.254.169.254", "localhost:8080", "[::1]:80"] {
            assert_eq!(host(good).as_deref(), Ok(good));
        }
        for bad in ["", "http://x", "a/b", "a b", "x:99999", "user@host"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_an_odd_tag(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut headers = HeaderMap::new();
            headers.insert("Metadata-Flavor", "Google".parse().unwrap());
            for item in [Item::InstanceId, Item::Region, Item::Project] {
                if let Some(value) = item.read(StatusCode::OK, &headers, &body) {
                    prop_assert!(!value.is_empty() && !value.contains([',', ' ', '\n', '/']));
                }
            }
        }
    }
}
