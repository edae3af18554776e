//! One kept connection and as much HTTP/1.1 as an agent's answers need.

use super::Target;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

/// Head of an answer.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// A connection with the bytes read ahead.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// An answer.
pub(super) struct Exchanged {
    pub(super) status: u16,
    /// The other side closes the connection after it.
    pub(super) closes: bool,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Connection {
    /// The open connection, or a new one.
    pub(super) fn reuse<'a>(
        kept: &'a mut Option<Self>,
        target: &Target,
        answer_max: Duration,
    ) -> io::Result<&'a mut Self> {
        if kept.is_none() {
            *kept = Some(Self::open(target, answer_max)?);
        }
        kept.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn open(target: &Target, answer_max: Duration) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match target {
            Target::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(answer_max))?;
                stream.set_write_timeout(Some(answer_max))?;
                Box::new(stream)
            }
            Target::Unix(path) => {
                let stream = unix(path)?;
                stream.set_read_timeout(Some(answer_max))?;
                stream.set_write_timeout(Some(answer_max))?;
                Box::new(stream)
            }
        };
        Ok(Self { stream, buffer: Vec::with_capacity(HEAD_MAX_BYTES) })
    }

    /// Sends a request and reads its answer.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Exchanged> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > HEAD_MAX_BYTES {
                return Err(invalid("a long head"));
            }
            self.fill()?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| invalid("no status"))?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = match length {
            Some(length) => length.trim().parse().map_err(|_| invalid("a length that is no number"))?,
            None if status == 204 => 0,
            None => return Err(invalid("an answer without a length")),
        };
        while self.buffer.len() < head + length {
            self.fill()?;
        }
        Ok(Exchanged { status, closes: text.contains("connection: close") })
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn unix(path: &std::path::Path) -> io::Result<UnixStream> {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr},
    };
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        None => UnixStream::connect(path),
    }
}

#[cfg(not(target_os = "linux"))]
fn unix(path: &std::path::Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
