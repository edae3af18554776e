//! The TCP receiver.

use super::{BindError, Transport, TransportName};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// Connections the kernel holds before we accept them: what a program sends in our first millisecond.
const BACKLOG: u32 = 1024;
/// How long a successor waits for a lastlight that is draining to let go of the port.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(10);
/// Pause between two tries for the port.
const SUCCESSOR_PAUSE: Duration = Duration::from_millis(50);
/// How long the holder of the port has to say who it is.
const HOLDER_ANSWER: Duration = Duration::from_millis(300);
/// How much of the holder's answer is read.
const HOLDER_ANSWER_MAX_BYTES: usize = 16 * 1024;

/// A bound TCP listener.
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    name: TransportName,
    address: SocketAddr,
}

impl Tcp {
    /// Binds `address`. A port held by a lastlight that is draining is waited for, bounded.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let give_up = Instant::now() + SUCCESSOR_WAIT;
        loop {
            let error = match Self::bind_now(address) {
                Ok(bound) => return Ok(bound),
                Err(error) => error,
            };
            let in_use = error.error.kind() == io::ErrorKind::AddrInUse;
            if in_use && Instant::now() < give_up && holder_is_draining(address).await {
                sleep(SUCCESSOR_PAUSE).await;
                continue;
            }
            return Err(error);
        }
    }

    /// Binds `address`, without waiting for anything.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn bind_now(address: SocketAddr) -> Result<Self, BindError> {
        match listen(address) {
            Ok(listener) => {
                let address = listener.local_addr().unwrap_or(address);
                Ok(Self { listener, name: name(address), address })
            }
            Err(error) => {
                let in_use = error.kind() == io::ErrorKind::AddrInUse;
                Err(BindError { name: name(address), error, advice: advice(address, in_use) })
            }
        }
    }

    /// The bound address, with the port the system chose when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Transport for Tcp {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.listener.accept().await?;
        // Replies are small and written at once; a failure here costs latency only.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    fn name(&self) -> &TransportName {
        &self.name
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without it a restart could not bind while old connections linger; on Windows it would steal.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn name(address: SocketAddr) -> TransportName {
    TransportName { kind: "tcp", address: address.to_string() }
}

fn advice(address: SocketAddr, in_use: bool) -> String {
    if in_use {
        format!(
            "another process (another agent?) owns port {}: stop it, or choose a port with DD_APM_RECEIVER_PORT",
            address.port()
        )
    } else {
        "check DD_BIND_HOST and DD_APM_RECEIVER_PORT".to_owned()
    }
}

/// Whether the process that holds the port is a lastlight on its way out.
async fn holder_is_draining(address: SocketAddr) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect(reachable(address)).await?;
        stream.write_all(b"GET /lastlight/status HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(HOLDER_ANSWER_MAX_BYTES as u64).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match timeout(HOLDER_ANSWER, answer).await {
        Ok(Ok(answer)) => {
            let answer = String::from_utf8_lossy(&answer);
            answer.contains("\"agent\":\"lastlight\"") && answer.contains("\"state\":\"draining\"")
        }
        // It let go between our bind and our question: try again.
        Ok(Err(error)) => {
            matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
        }
        Err(_) => false,
    }
}

/// The address at which a listener bound to every interface is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let ip = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
