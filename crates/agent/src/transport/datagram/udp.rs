//! UDP.
//!
//! On Unix the socket is known to the runtime only while somebody waits for it: it would otherwise wake a thread
//! for each datagram, also while the reader lets some gather.

use super::receive::{self, Drops};
use super::{DatagramOptions, Datagrams, Packets, Received};
use crate::transport::{BindError, TransportName};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::net::UdpSocket;
#[cfg(target_os = "linux")]
use std::net::{Ipv4Addr, Ipv6Addr};
#[cfg(not(unix))]
use tokio::io::Interest;
#[cfg(not(unix))]
use tokio::net::UdpSocket;

/// A bound UDP socket.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    name: TransportName,
    address: SocketAddr,
    drops: Drops,
}

impl Udp {
    /// Binds `address`.
    /// To be called within the runtime.
    ///
    /// # Errors
    /// When the port cannot be had: an outcome for the caller to weigh, never a panic (losses.md L56).
    pub fn bind(address: SocketAddr, options: &DatagramOptions) -> Result<Self, BindError> {
        let name = TransportName { kind: "udp", address: address.to_string() };
        match open(address, options) {
            Ok(socket) => {
                receive::prepare(&socket, options);
                let address = socket.local_addr().unwrap_or(address);
                let name = TransportName { address: address.to_string(), ..name };
                Ok(Self { socket, name, address, drops: Drops::default() })
            }
            Err(error) => {
                let advice = advice(address, error.kind() == io::ErrorKind::AddrInUse);
                Err(BindError { name, error, advice })
            }
        }
    }

    /// The bound address, with the port that the system chose when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The receive buffer that was granted, in the unit in which it is asked for.
    pub fn receive_buffer_bytes(&self) -> usize {
        receive::buffer_bytes(&self.socket)
    }
}

impl Datagrams for Udp {
    #[cfg(unix)]
    async fn readable(&self) -> io::Result<()> {
        // A second descriptor of the socket, known to the runtime until it is dropped.
        tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?.readable().await
    }

    #[cfg(unix)]
    fn receive(&self, packets: &mut Packets) -> io::Result<Received> {
        receive::batch(&self.socket, &self.drops, packets)
    }

    #[cfg(not(unix))]
    async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    #[cfg(not(unix))]
    fn receive(&self, packets: &mut Packets) -> io::Result<Received> {
        receive::receive(
            packets,
            |packets| receive::batch(&self.socket, &self.drops, packets),
            |call| self.socket.try_io(Interest::READABLE, call),
        )
    }

    #[cfg(target_os = "linux")]
    fn ask_for_drops(&self) {
        // From the socket to itself, so that no other is needed. Where it fails, the last drops stay unknown.
        // Beside the runtime, which does not know of a fresh socket that it can be written to.
        SockRef::from(&self.socket).send_to(&[], &reachable(self.address).into()).ok();
    }

    fn name(&self) -> &TransportName {
        &self.name
    }
}

fn open(address: SocketAddr, options: &DatagramOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // Systems differ in what they do unasked.
        socket.set_only_v6(!options.dual_stack)?;
    }
    // No SO_REUSEADDR: two agents would share the port, and one of them hear nothing.
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    #[cfg(unix)]
    return Ok(socket.into());
    #[cfg(not(unix))]
    UdpSocket::from_std(socket.into())
}

fn advice(address: SocketAddr, in_use: bool) -> String {
    if in_use {
        format!(
            "another process (another agent?) owns port {}: stop it, choose a port with DD_DOGSTATSD_PORT \
             (0 is off), or use a socket with DD_DOGSTATSD_SOCKET",
            address.port()
        )
    } else {
        "check DD_BIND_HOST and DD_DOGSTATSD_PORT, or use a socket with DD_DOGSTATSD_SOCKET".to_owned()
    }
}

/// The address at which a socket bound to every interface is reached.
#[cfg(target_os = "linux")]
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        _ if !address.ip().is_unspecified() => address.ip(),
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
