//! How metrics reach us and what happens to them (`facts/dogstatsd.md` §1, §4; `facts/settings.md` §5).

use super::SocketAddress;
use model::limits::DATAGRAM_MAX_BYTES;
use pipeline::metrics::MetricsConfig;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Usual UDP port.
pub(super) const PORT_DEFAULT: u16 = 8125;

/// How metrics reach us and what happens to them.
#[derive(Clone, Debug)]
pub struct DogStatsD {
    /// Metrics are accepted at all (`DD_USE_DOGSTATSD`), over whatever transport.
    pub enabled: bool,
    /// UDP sockets; empty: none. Port 0, which only code can say, lets the system choose.
    pub udp: Vec<UdpAddress>,
    /// Unix datagram socket.
    pub socket: Option<SocketAddress>,
    /// Unix stream socket, of frames with their length in front.
    pub stream_socket: Option<SocketAddress>,
    /// Windows named pipe, without `\\.\pipe\`.
    pub pipe_name: Option<String>,
    /// Biggest datagram, or frame of a stream, bytes; a bigger datagram is cut, a bigger frame skipped.
    pub datagram_max_bytes: usize,
    /// Receive buffer asked of the system, bytes; `None`: ours.
    pub receive_buffer_bytes: Option<usize>,
    /// Where a line counts only when a newline ends it.
    pub eol_required: EolRequired,
    /// What happens to what was received. Its platform tags come from [`crate::platform::metric_tags`], its
    /// instance tag from who starts the agent when `instance_tag` is set.
    pub metrics: MetricsConfig,
    /// Series carry a tag that tells this instance from others.
    pub instance_tag: bool,
}

/// One UDP socket to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpAddress {
    /// Where. `[::]` takes IPv4 too.
    pub address: SocketAddr,
    /// The system may have none of this family, or the port may be taken there: a debug line, no warning.
    pub optional: bool,
    /// What is bound instead when the system has none of this family.
    pub fallback: Option<SocketAddr>,
}

impl UdpAddress {
    /// Both loopback addresses; the one of IPv6 where there is one.
    pub fn loopback(port: u16) -> Vec<Self> {
        let of = |address, optional| Self { address, optional, fallback: None };
        vec![
            of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), false),
            of(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), true),
        ]
    }

    /// Every address of this system, of both families where there are both.
    pub fn everywhere(port: u16) -> Vec<Self> {
        vec![Self {
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            optional: false,
            fallback: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        }]
    }

    /// One address and no other.
    pub fn only(address: SocketAddr) -> Vec<Self> {
        vec![Self { address, optional: false, fallback: None }]
    }
}

/// Transports on which a line counts only when a newline ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EolRequired {
    /// UDP.
    pub udp: bool,
    /// Unix sockets, of datagrams and of streams.
    pub uds: bool,
    /// The named pipe.
    pub named_pipe: bool,
}

impl Default for DogStatsD {
    /// What counts when nothing is said.
    fn default() -> Self {
        Self {
            enabled: true,
            udp: UdpAddress::loopback(PORT_DEFAULT),
            socket: None,
            stream_socket: None,
            pipe_name: None,
            datagram_max_bytes: DATAGRAM_MAX_BYTES,
            receive_buffer_bytes: None,
            eol_required: EolRequired::default(),
            metrics: MetricsConfig::default(),
            instance_tag: false,
        }
    }
}
