//! How metrics reach us and what happens to them (`facts/dogstatsd.md` §1, §4; `facts/settings.md` §5).

use super::SocketAddress;
use model::limits::{DATAGRAM_MAX_BYTES, METRIC_CONTEXTS_DEFAULT};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Usual UDP port.
pub(super) const PORT_DEFAULT: u16 = 8125;

/// How metrics reach us and what happens to them.
#[derive(Clone, Debug, PartialEq)]
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
    /// Biggest datagram, or frame of a stream, bytes; a bigger one is cut and counted.
    pub datagram_max_bytes: usize,
    /// Receive buffer asked of the system, bytes; `None`: ours.
    pub receive_buffer_bytes: Option<usize>,
    /// Where a line counts only when a newline ends it.
    pub eol_required: EolRequired,
    /// What happens to what was received.
    pub metrics: MetricsSettings,
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

/// What happens to metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsSettings {
    /// Put in front of names, with the dot at its end; empty: nothing.
    pub namespace: String,
    /// Names that start so get no namespace.
    pub namespace_exclusions: Vec<String>,
    /// Names that are discarded, as they are after mapping and with their namespace.
    pub blocklist: Vec<String>,
    /// Names that start with one of the blocklist are discarded too.
    pub blocklist_match_prefix: bool,
    /// Rules that give metrics another name and tags; the first that fits wins.
    pub mapper_profiles: Vec<MapperProfile>,
    /// What becomes of a histogram.
    pub histogram_aggregates: Vec<HistogramAggregate>,
    /// Its percentiles, in percent from 1 to 99.
    pub histogram_percentiles: Vec<u8>,
    /// A histogram is sent as a distribution too, its name behind this prefix; `None`: it is not.
    pub histogram_copy_to_distribution: Option<String>,
    /// Added to everything, each once: `DD_TAGS`, `DD_EXTRA_TAGS`, then `DD_DOGSTATSD_TAGS`.
    pub tags: Vec<String>,
    /// `DD_ENV`, for the tag.
    pub env: Option<String>,
    /// `DD_SERVICE`, for the tag.
    pub service: Option<String>,
    /// `DD_VERSION`, for the tag.
    pub version: Option<String>,
    /// How long a counter without samples is told as 0, seconds.
    pub expiry_seconds: u64,
    /// How long a context without samples is kept, seconds.
    pub context_expiry_seconds: u64,
    /// Different metrics with their tags at one time.
    pub contexts_max: usize,
    /// Series carry a tag that tells this instance from others; distributions do not need it.
    pub instance_tag: bool,
}

/// Rules for metrics whose names start alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapperProfile {
    /// For people.
    pub name: String,
    /// The names it is for; `*` for all.
    pub prefix: String,
    /// The rules, in order.
    pub mappings: Vec<Mapping>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What a name must look like as a whole.
    pub pattern: String,
    /// How `pattern` is written.
    pub match_type: MatchType,
    /// The new name; `$1` and so on stand for what the pattern found.
    pub name: String,
    /// Keys and values of tags; `$1` as above.
    pub tags: Vec<(String, String)>,
}

/// How a pattern is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchType {
    /// `*` stands for everything up to the next dot.
    #[default]
    Wildcard,
    /// A regular expression.
    Regex,
}

/// What is told of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistogramAggregate {
    /// The greatest value.
    Max,
    /// The least value.
    Min,
    /// The value in the middle.
    Median,
    /// The mean.
    Avg,
    /// How many there were.
    Count,
    /// The sum.
    Sum,
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
            metrics: MetricsSettings::default(),
        }
    }
}

impl Default for MetricsSettings {
    /// What counts when nothing is said.
    fn default() -> Self {
        use HistogramAggregate::{Avg, Count, Max, Median};
        Self {
            namespace: String::new(),
            namespace_exclusions: Vec::new(),
            blocklist: Vec::new(),
            blocklist_match_prefix: false,
            mapper_profiles: Vec::new(),
            histogram_aggregates: vec![Max, Median, Avg, Count],
            histogram_percentiles: vec![95],
            histogram_copy_to_distribution: None,
            tags: Vec::new(),
            env: None,
            service: None,
            version: None,
            expiry_seconds: 300,
            context_expiry_seconds: 20,
            contexts_max: METRIC_CONTEXTS_DEFAULT,
            instance_tag: false,
        }
    }
}
