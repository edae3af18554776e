//! Unix datagram sockets: a path, or a name in the abstract namespace (Linux).

use super::receive::{self, Drops};
use super::{DatagramOptions, Datagrams, Packets, Received};
use crate::transport::socket_file::{self, SocketFile};
use crate::transport::{BindError, TransportName, UnixAddress};
use std::io;
use std::os::unix::net::UnixDatagram as StdSocket;
use std::path::Path;
use tokio::io::Interest;
use tokio::net::UnixDatagram as Socket;

/// The setting that says where it stands, for the advice.
const VARIABLE: &str = "DD_DOGSTATSD_SOCKET";

/// A bound Unix datagram socket; removes its file when dropped.
///
/// The kernel does not drop here: a client whose datagrams nobody reads waits, or is told.
#[derive(Debug)]
pub struct UnixDatagram {
    socket: Socket,
    name: TransportName,
    drops: Drops,
    _file: Option<SocketFile>,
}

impl UnixDatagram {
    /// Binds `address`. A stale socket file is replaced; one that somebody serves is not.
    /// To be called within the runtime.
    ///
    /// # Errors
    /// When the socket cannot be had; the advice says why.
    pub fn bind(address: &UnixAddress, options: &DatagramOptions) -> Result<Self, BindError> {
        let name = TransportName { kind: "unix_datagram", address: address.to_string() };
        let (socket, file) = match address {
            UnixAddress::File(path) => {
                let bind = |path: &Path| adopt(StdSocket::bind(path)?);
                let (socket, file) = socket_file::bind(path, &name, VARIABLE, bind)?;
                (socket, Some(file))
            }
            UnixAddress::Abstract(text) => (
                socket_file::bind_abstract(text, &name, VARIABLE, |a| adopt(StdSocket::bind_addr(a)?))?,
                None,
            ),
        };
        receive::prepare(&socket, options);
        Ok(Self { socket, name, drops: Drops::default(), _file: file })
    }
}

impl Datagrams for UnixDatagram {
    async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    fn receive(&self, packets: &mut Packets) -> io::Result<Received> {
        receive::receive(
            packets,
            |packets| receive::batch(&self.socket, &self.drops, packets),
            |call| self.socket.try_io(Interest::READABLE, call),
        )
    }

    fn name(&self) -> &TransportName {
        &self.name
    }
}

fn adopt(socket: StdSocket) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    Socket::from_std(socket)
}
