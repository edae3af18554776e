//! The connection of a client: from nothing to a server that has proven itself.

use super::Trouble;
use crate::descriptor::Descriptor;
use crate::frame::{Message, PROTOCOL, Reply};
use crate::peer::Peer;
use crate::rendezvous::{Rendezvous, ServedBy};
use crate::secret::{Nonces, Role, random};
use crate::socket::{self, Received};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// Bytes that the kernel keeps for itself in a send buffer.
const KERNEL_SHARE_BYTES: usize = 32;

/// How far it is.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    /// Greeted, and waiting for the server's proof.
    Greeting {
        socket: Descriptor,
        nonce: [u8; crate::frame::PROOF_BYTES],
        /// Who served before.
        former: ServedBy,
        since: Instant,
    },
    /// Both have proven themselves, as far as we know.
    Up {
        socket: Descriptor,
        server: ServedBy,
    },
}

impl Link {
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Down => None,
            Self::Greeting { socket, .. } | Self::Up { socket, .. } => Some(socket.as_fd()),
        }
    }

    /// Whether there is a connection whose descriptor the host has closed.
    pub(super) fn is_stolen(&self) -> bool {
        match self {
            Self::Down => false,
            Self::Greeting { socket, .. } | Self::Up { socket, .. } => socket.get().is_none(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// Connects and greets. Does not wait.
    pub(super) fn greet(
        rendezvous: &Rendezvous,
        client: u64,
        send_buffer_bytes: usize,
        now: Instant,
    ) -> Result<Self, Trouble> {
        let former = rendezvous.server();
        let socket = rendezvous.connect().map_err(|error| match error {
            Errno::CONNREFUSED | Errno::NOENT => Trouble::NoServer,
            // The backlog is full.
            Errno::AGAIN => Trouble::Busy,
            error => Trouble::System(error.raw_os_error()),
        })?;
        // Of whoever listened first: the owner. Another user's process that has the name is not even greeted.
        let listener = Peer::of(&socket).map_err(|_| Trouble::NoServer)?;
        if listener.uid != rendezvous.owner().uid {
            return Err(Trouble::Squatted);
        }
        set_socket_send_buffer_size(&socket, send_buffer_bytes).ok();
        let nonce = random().map_err(|_| Trouble::System(0))?;
        let mut hello = Vec::new();
        Message::Hello { protocol: PROTOCOL, client, nonce }.encode(&mut hello);
        match socket::send(&socket, &hello, None) {
            Ok(true) => Ok(Self::Greeting { socket: Descriptor::new(socket), nonce, former, since: now }),
            Ok(false) => Err(Trouble::Busy),
            Err(_) => Err(Trouble::Lost),
        }
    }

    /// Looks whether the server has proven itself, and then proves us. What follows may be sent at once: it is read after
    /// the proof.
    pub(super) fn prove(
        self,
        rendezvous: &Rendezvous,
        handshake_max: Duration,
        buffer: &mut [u8],
        now: Instant,
    ) -> Result<Self, Trouble> {
        let Self::Greeting { socket: held, nonce, former, since } = self else { return Ok(self) };
        let socket = held.as_fd();
        let length = match socket::receive(socket, buffer) {
            Ok(Received::Message(length, None)) => length,
            Ok(Received::Nothing) if now < since + handshake_max => {
                return Ok(Self::Greeting { socket: held, nonce, former, since });
            }
            Ok(Received::Nothing) => return Err(Trouble::NoServer),
            Ok(Received::End) => return Err(Trouble::Lost),
            Ok(Received::Unfit | Received::Message(_, Some(_))) | Err(_) => return Err(Trouble::Squatted),
        };
        let (server_nonce, proof) = match Reply::decode(&buffer[..length]) {
            Ok((Reply::Challenge { nonce, proof }, _)) => (nonce, proof),
            Ok((Reply::Denied(denied), _)) => return Err(Trouble::Denied(denied)),
            _ => return Err(Trouble::Squatted),
        };
        let nonces = Nonces { client: nonce, server: server_nonce };
        let (secret, name) = (rendezvous.secret(), rendezvous.name());
        if !secret.is_proven(Role::Server, name, &nonces, &proof) {
            return Err(Trouble::Squatted);
        }
        let server = rendezvous.server();
        if matches!(former, ServedBy::Other(_)) && former != server {
            // Accepted by one that is gone, and held open by its children.
            return Err(Trouble::Lost);
        }
        let mut message = Vec::new();
        Message::Proof { proof: secret.prove(Role::Client, name, &nonces) }.encode(&mut message);
        match socket::send(socket, &message, None) {
            Ok(true) => Ok(Self::Up { socket: held, server }),
            _ => Err(Trouble::Lost),
        }
    }

    /// Ends the connection for every process that inherited it.
    pub(super) fn hang_up(&mut self) {
        if !self.is_stolen()
            && let Some(socket) = self.socket()
        {
            socket::hang_up(socket);
        }
        *self = Self::Down;
    }
}

/// The longest datagram that a socket takes whose send buffer was asked to have so many bytes: the kernel gives less where
/// `net.core.wmem_max` is less (losses.md L136).
pub(super) fn datagram_max_bytes(send_buffer_bytes: usize) -> Result<usize, Errno> {
    let socket = crate::rendezvous::new_socket()?;
    set_socket_send_buffer_size(&socket, send_buffer_bytes).ok();
    Ok(socket_send_buffer_size(&socket)?.saturating_sub(KERNEL_SHARE_BYTES))
}
