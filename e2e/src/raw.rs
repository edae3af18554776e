//! Requests by hand, right and wrong.

use crate::BOUND;
use std::path::Path;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Lines of the head after the first.
    pub headers: Vec<String>,
    /// Body.
    pub body: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A request that is right, and closes its connection.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Posts msgpack to a TCP port.
pub async fn post(port: u16, path: &str, body: &[u8]) -> Answer {
    send(port, &request("POST", path, "content-type: application/msgpack\r\n", body)).await
}

/// Sends bytes and reads the answer, until the other side closes.
///
/// # Panics
/// When there is no answer.
pub async fn send(port: u16, bytes: &[u8]) -> Answer {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    exchange(stream, bytes).await.expect("an answer")
}

/// The same over a Unix socket.
///
/// # Panics
/// When there is no answer.
pub async fn send_unix(path: &Path, bytes: &[u8]) -> Answer {
    let stream = UnixStream::connect(path).await.expect("a connection");
    exchange(stream, bytes).await.expect("an answer")
}

/// Sends bytes; the answer, or nothing when the connection is closed without one.
///
/// # Panics
/// When the connection stays open for a minute.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Option<Answer> {
    // A refusal may come, and the connection close, before everything is written.
    drop(stream.write_all(bytes).await);
    read(stream).await
}

/// Reads an answer until the connection closes.
///
/// # Panics
/// When the connection stays open for a minute.
pub async fn read(mut stream: impl AsyncRead + Unpin) -> Option<Answer> {
    let mut received = Vec::new();
    let ended = timeout(BOUND, stream.read_to_end(&mut received)).await;
    // A reset after the answer loses nothing.
    drop(ended.expect("the connection is closed within a minute"));
    let text = String::from_utf8_lossy(&received).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, headers: lines.map(str::to_owned).collect(), body: body.to_owned() })
}
