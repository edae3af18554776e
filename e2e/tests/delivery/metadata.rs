//! Google's metadata server, as it should be and as it should not.

use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Right,
    /// Right after so long; requests before are not answered.
    After(Duration),
    /// 500.
    Fails,
    /// Right but for the header that says who it is.
    Stranger,
    /// No HTTP.
    Garbage,
}

/// A server on loopback. Ends when dropped.
pub(crate) struct Metadata {
    pub(crate) host: String,
    _tasks: JoinSet<()>,
}

impl Metadata {
    /// Starts one.
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("its address").to_string();
        let began = Arc::new(tokio::time::Instant::now());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let began = Arc::clone(&began);
                connections.spawn(async move {
                    let mut request = Vec::new();
                    let mut part = [0; 512];
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut part).await {
                            Ok(length @ 1..) => request.extend_from_slice(&part[..length]),
                            _ => return,
                        }
                    }
                    if let Manner::After(wait) = manner {
                        tokio::time::sleep_until(*began + wait).await;
                    }
                    let answer = answer(manner, &String::from_utf8_lossy(&request));
                    drop(stream.write_all(answer.as_bytes()).await);
                });
            }
        });
        Self { host, _tasks: tasks }
    }
}

fn answer(manner: Manner, request: &str) -> String {
    let asked = |path: &str| request.starts_with(&format!("GET /computeMetadata/v1{path} "));
    let value = if asked("/instance/id") {
        "Instance-17"
    } else if asked("/instance/region") {
        "projects/123/regions/europe-west4"
    } else if asked("/project/project-id") {
        "shop-project"
    } else {
        return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into();
    };
    let knows = request.to_lowercase().contains("metadata-flavor: google");
    let (status, flavor) = match manner {
        Manner::Garbage => return "\u{1}\u{2} this is no HTTP\r\n\r\n".into(),
        Manner::Fails => ("500 Internal Server Error", "Metadata-Flavor: Google\r\n"),
        _ if !knows => ("403 Forbidden", "Metadata-Flavor: Google\r\n"),
        Manner::Stranger => ("200 OK", ""),
        Manner::Right | Manner::After(_) => ("200 OK", "Metadata-Flavor: Google\r\n"),
    };
    format!(
        "HTTP/1.1 {status}\r\n{flavor}content-length: {}\r\nconnection: close\r\n\r\n{value}",
        value.len()
    )
}
