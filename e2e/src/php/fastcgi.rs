//! A FastCGI client: one request, one connection, every wait bounded.

use crate::BOUND;
use std::{io, path::Path};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

const VERSION: u8 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const RESPONDER: u16 = 1;
const RECORD_MAX_BYTES: usize = 0xffff;
const HEADER_BYTES: usize = 8;
/// All of an answer.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a worker answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status of HTTP.
    pub status: u16,
    /// Lines of its head.
    pub headers: Vec<String>,
    /// Body.
    pub body: String,
    /// What it wrote to its error stream.
    pub errors: String,
}

/// Sends a request with these parameters and this body, and reads the whole answer.
///
/// # Errors
/// When the other side refuses, breaks off, talks nonsense, or is silent for a minute.
pub async fn ask(socket: &Path, parameters: &[(String, String)], body: &[u8]) -> io::Result<Answer> {
    let asked = timeout(BOUND, async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&request(parameters, body)).await?;
        answer(stream).await
    });
    asked.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn request(parameters: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // No flags: the other side closes the connection after its answer.
    let [high, low] = RESPONDER.to_be_bytes();
    record(&mut bytes, BEGIN_REQUEST, &[high, low, 0, 0, 0, 0, 0, 0]);
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        length(&mut pairs, name.len());
        length(&mut pairs, value.len());
        pairs.extend_from_slice(name.as_bytes());
        pairs.extend_from_slice(value.as_bytes());
    }
    stream(&mut bytes, PARAMS, &pairs);
    stream(&mut bytes, STDIN, body);
    bytes
}

/// A stream ends by an empty record.
fn stream(to: &mut Vec<u8>, kind: u8, content: &[u8]) {
    content.chunks(RECORD_MAX_BYTES).for_each(|piece| record(to, kind, piece));
    record(to, kind, &[]);
}

fn record(to: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let length = u16::try_from(content.len()).expect("a piece of a record's length");
    to.extend_from_slice(&[VERSION, kind, 0, 1]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(&[0, 0]);
    to.extend_from_slice(content);
}

fn length(to: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => to.push(short),
        _ => {
            let long = u32::try_from(length).expect("a parameter's length") | 1 << 31;
            to.extend_from_slice(&long.to_be_bytes());
        }
    }
}

async fn answer(mut stream: UnixStream) -> io::Result<Answer> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    loop {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let content = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut bytes = vec![0; content + usize::from(header[6])];
        stream.read_exact(&mut bytes).await?;
        bytes.truncate(content);
        match header[1] {
            STDOUT => output.append(&mut bytes),
            STDERR => errors.append(&mut bytes),
            END_REQUEST => break,
            kind => return Err(io::Error::other(format!("a record of kind {kind}"))),
        }
        if output.len() + errors.len() > ANSWER_MAX_BYTES {
            return Err(io::Error::other("an endless answer"));
        }
    }
    let output = String::from_utf8_lossy(&output);
    let (head, body) = output.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let headers: Vec<_> = head.lines().map(str::to_owned).collect();
    let status = headers.iter().find_map(|line| line.strip_prefix("Status: ")?.get(..3)?.parse().ok());
    let errors = String::from_utf8_lossy(&errors).into_owned();
    Ok(Answer { status: status.unwrap_or(200), headers, body: body.to_owned(), errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_the_specification_says() {
        let parameters = [("A".to_owned(), "b".to_owned()), ("LONG".to_owned(), "x".repeat(200))];
        let bytes = request(&parameters, b"body");
        assert_eq!(bytes[..16], [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        // 1 + 1 + 1 + 1, then 1 + 4 + 4 + 200.
        assert_eq!(bytes[16..24], [1, 4, 0, 1, 0, 213, 0, 0]);
        assert_eq!(bytes[24..33], [1, 1, b'A', b'b', 4, 0x80, 0, 0, 200]);
        let rest = &bytes[24 + 213..];
        assert_eq!(rest[..8], [1, 4, 0, 1, 0, 0, 0, 0]);
        assert_eq!(rest[8..], *b"\x01\x05\0\x01\0\x04\0\0body\x01\x05\0\x01\0\0\0\0");
    }
}
