//! Tags of the peer: which span has which, and what of them may be part of a key
//! (`facts/trace-intake.md` §9.3, §9.4).

use super::key::KeyBuffer;
use crate::config::StatsConfig;
use crate::facts::SpanFacts;
use hashbrown::HashTable;
use model::Span;
use std::net::Ipv6Addr;

/// The reference's peer tags.
pub const PEER_TAGS: [&str; 43] = [
    BASE_SERVICE,
    "active_record.db.vendor",
    "amqp.destination",
    "amqp.exchange",
    "amqp.queue",
    "aws.queue.name",
    "aws.s3.bucket",
    "bucketname",
    "cassandra.keyspace",
    "db.cassandra.contact.points",
    "db.couchbase.seed.nodes",
    "db.hostname",
    "db.instance",
    "db.name",
    "db.namespace",
    "db.system",
    "db.type",
    "dns.hostname",
    "grpc.host",
    "hostname",
    "http.host",
    "http.server_name",
    "messaging.destination",
    "messaging.destination.name",
    "messaging.kafka.bootstrap.servers",
    "messaging.rabbitmq.exchange",
    "messaging.system",
    "mongodb.db",
    "msmq.queue.path",
    "net.peer.name",
    "network.destination.ip",
    "network.destination.name",
    "out.host",
    "peer.hostname",
    "peer.service",
    "queuename",
    "rpc.service",
    "rpc.system",
    "sequel.db.vendor",
    "server.address",
    "streamname",
    "tablename",
    "topicname",
];

const BASE_SERVICE: &str = "_dd.base_service";
/// Bits that stand for the keys.
const BITS: usize = 2_048;
/// What stands for an address.
const BLOCKED_IP: &str = "blocked-ip-address";
/// Addresses of the machine itself and of its cloud's metadata: few, and telling.
const ALLOWED_IPS: [&str; 5] = ["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "169.254.170.2"];

/// Whether spans of a kind count even when neither top level nor measured.
#[inline]
pub(super) fn is_counted(span_kind: &str) -> bool {
    has_peer(span_kind) || is(span_kind, "server")
}

/// Whether spans of a kind talk to a peer.
#[inline]
fn has_peer(span_kind: &str) -> bool {
    is(span_kind, "client") || is(span_kind, "producer") || is(span_kind, "consumer")
}

/// Compares without regard to case; most kinds differ in length or first letter already.
#[inline]
fn is(span_kind: &str, kind: &str) -> bool {
    span_kind.len() == kind.len()
        && span_kind.as_bytes().first().map(u8::to_ascii_lowercase) == kind.as_bytes().first().copied()
        && span_kind.eq_ignore_ascii_case(kind)
}

/// The configured peer tags, and where a span has them.
#[derive(Debug)]
pub(super) struct PeerTags {
    /// Sorted, each once.
    keys: Vec<Box<str>>,
    /// Positions in `keys`, by [`cheap_hash`].
    index: HashTable<u16>,
    /// The same hashes as a set of bits: nearly all tags of a span fail here.
    bits: Box<[u64; BITS / 64]>,
    /// Positions in `keys` and in the span's tags, of the span looked at last.
    found: Vec<(u16, u32)>,
}

impl PeerTags {
    pub(super) fn new(config: &StatsConfig) -> Self {
        let mut keys: Vec<Box<str>> = Vec::new();
        if config.peer_tags_aggregation {
            keys.extend(PEER_TAGS.iter().map(|key| Box::from(*key)));
            keys.extend(
                config.extra_peer_tags.iter().filter(|key| !key.is_empty()).map(|key| key.as_str().into()),
            );
        }
        model::order::sort(&mut keys);
        keys.dedup();
        keys.truncate(usize::from(u16::MAX));
        let mut index = HashTable::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            index.insert_unique(cheap_hash(key), position as u16, |position| {
                cheap_hash(&keys[usize::from(*position)])
            });
        }
        let mut bits = Box::new([0; BITS / 64]);
        for key in &keys {
            let (word, bit) = bit_of(cheap_hash(key));
            bits[word] |= bit;
        }
        Self { keys, index, bits, found: Vec::new() }
    }

    /// Writes the peer tags of a span into list `list` of a key. With `blocked` their values are
    /// replaced by it.
    pub(super) fn write(
        &mut self,
        span: &Span<'_>,
        facts: &SpanFacts<'_>,
        blocked: Option<&str>,
        key: &mut KeyBuffer,
        list: usize,
    ) {
        if self.keys.is_empty() {
            return;
        }
        if has_peer(facts.span_kind) {
            self.find(span);
            for (name, tag) in &self.found {
                let Some((_, value)) = span.meta.get(*tag as usize) else { continue };
                write_tag(key, list, &self.keys[usize::from(*name)], value, blocked);
            }
        } else if !facts.base_service.is_empty()
            && (facts.span_kind.is_empty() || is(facts.span_kind, "internal"))
        {
            // Custom instrumentation that overrides the service: that alone tells spans apart.
            write_tag(key, list, BASE_SERVICE, facts.base_service, blocked);
        }
    }

    /// Finds the span's peer tags in one pass over its tags, in the order of the keys.
    fn find(&mut self, span: &Span<'_>) {
        self.found.clear();
        for (position, (tag, _)) in span.meta.iter().enumerate() {
            let hash = cheap_hash(tag);
            let (word, bit) = bit_of(hash);
            if self.bits[word] & bit == 0 {
                continue;
            }
            let keys = &self.keys;
            if let Some(name) = self.index.find(hash, |name| *keys[usize::from(*name)] == **tag) {
                self.found.push((*name, position as u32));
            }
        }
        if self.found.len() > 1 {
            // The last value of a tag that stands twice counts, and empty values do not.
            self.found.sort_unstable_by_key(|(name, position)| (*name, std::cmp::Reverse(*position)));
            self.found.dedup_by_key(|(name, _)| *name);
        }
        self.found.retain(|(_, position)| {
            span.meta.get(*position as usize).is_some_and(|(_, value)| !value.is_empty())
        });
    }
}

/// Length and three characters: enough to tell a peer tag from nearly all other tags of a span, at a
/// fraction of the cost of a hash. Keys that agree in them are compared.
#[inline]
fn cheap_hash(tag: &str) -> u64 {
    let bytes = tag.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return 0 };
    let middle = bytes[bytes.len() / 2];
    let mixed = u32::from_le_bytes([*first, *last, middle, bytes.len() as u8]);
    let hash = u64::from(mixed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 32
}

#[inline]
fn bit_of(hash: u64) -> (usize, u64) {
    let bit = hash as usize % BITS;
    (bit / 64, 1 << (bit % 64))
}

fn write_tag(key: &mut KeyBuffer, list: usize, name: &str, value: &str, blocked: Option<&str>) {
    key.item(list, |bytes| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b':');
        match blocked {
            Some(blocked) => bytes.extend_from_slice(blocked.as_bytes()),
            None => quantize_addresses(value, bytes),
        }
    });
}

/// Appends a comma-separated list of hosts in which addresses are replaced: there are too many for
/// a key. Entries that are equal then are merged.
pub(super) fn quantize_addresses(hosts: &str, out: &mut Vec<u8>) {
    if is_plain_name(hosts) {
        out.extend_from_slice(hosts.as_bytes());
        return;
    }
    if !hosts.contains(',') {
        quantize_address(hosts, out);
        return;
    }
    let start = out.len();
    for host in hosts.split(',') {
        let comma = out.len();
        out.push(b',');
        quantize_address(host, out);
        let (before, new) = out.split_at(comma + 1);
        // A comma stands before each entry, the first one too.
        if before[start..comma].split(|byte| *byte == b',').skip(1).any(|old| old == new) {
            out.truncate(comma);
        }
    }
    out.remove(start);
}

/// Neither a list nor an address, which nearly all are: an address has colons or starts with a number,
/// perhaps after `ip-`.
#[inline]
fn is_plain_name(hosts: &str) -> bool {
    let bytes = hosts.as_bytes();
    // No way out of the loop: names are short.
    let separated = bytes.iter().fold(false, |found, byte| found | matches!(byte, b',' | b':'));
    !separated && !bytes.first().is_some_and(u8::is_ascii_digit) && !bytes.starts_with(b"ip-")
}

fn quantize_address(host: &str, out: &mut Vec<u8>) {
    // Nearly no host is an address, and the look at its start is far cheaper than the search for schemes.
    let may_be = |first: &u8| first.is_ascii_hexdigit() || matches!(first, b':' | b'[');
    if !host.as_bytes().first().is_some_and(may_be) && !host.starts_with("ip-") && !host.contains(':') {
        out.extend_from_slice(host.as_bytes());
        return;
    }
    let (prefix, rest) = split_prefix(host);
    let (name, port) = split_port(rest).unwrap_or((rest, ""));
    let Some(end) = address_end(name).filter(|end| !ALLOWED_IPS.contains(&&name[..*end])) else {
        out.extend_from_slice(host.as_bytes());
        return;
    };
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(BLOCKED_IP.as_bytes());
    if !port.is_empty() {
        out.push(b':');
        out.extend_from_slice(port.as_bytes());
    }
    out.extend_from_slice(&name.as_bytes()[end..]);
}

/// `ip-` as in host names of AWS, or a scheme with two or three slashes.
fn split_prefix(host: &str) -> (&str, &str) {
    if let Some(rest) = host.strip_prefix("ip-") {
        return ("ip-", rest);
    }
    if !host.contains(':') {
        return ("", host);
    }
    for scheme in ["dnspoll", "ftp", "file", "http", "https"] {
        let Some(at) = host.find(scheme) else { continue };
        let after = &host[at + scheme.len()..];
        for slashes in [":///", "://"] {
            if let Some(rest) = after.strip_prefix(slashes).filter(|rest| !rest.is_empty()) {
                return (&host[at..host.len() - rest.len()], rest);
            }
        }
    }
    ("", host)
}

/// `host:port` or `[host]:port`, with brackets nowhere else and no further colon in a bare host.
fn split_port(host: &str) -> Option<(&str, &str)> {
    let (name, port) = host.rsplit_once(':')?;
    let (name, bare) = match name.strip_prefix('[') {
        Some(rest) => (rest.strip_suffix(']')?, false),
        None => (name, true),
    };
    let stray = name.contains(['[', ']']) || port.contains(['[', ']']) || (bare && name.contains(':'));
    (!stray).then_some((name, port))
}

/// Where the address ends that a name starts with; an IPv6 address must be all of it.
fn address_end(name: &str) -> Option<usize> {
    let bytes = name.as_bytes();
    if !bytes.first().is_some_and(|first| first.is_ascii_hexdigit() || *first == b':') {
        return None;
    }
    let separator = *bytes.iter().find(|byte| matches!(byte, b'.' | b'_' | b'-' | b':' | b'%'))?;
    match separator {
        b'%' => None,
        b':' => {
            let address = match name.split_once('%') {
                Some((address, zone)) if !zone.is_empty() => address,
                Some(_) => return None,
                None => name,
            };
            address.parse::<Ipv6Addr>().is_ok().then_some(name.len())
        }
        separator => ipv4_end(bytes, separator),
    }
}

/// Four numbers up to 255 without leading zeros between equal separators; anything may follow.
fn ipv4_end(bytes: &[u8], separator: u8) -> Option<usize> {
    let mut at = 0;
    for octet in 0..4 {
        let start = at;
        let mut value = 0_u32;
        while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
            value = value * 10 + u32::from(digit - b'0');
            at += 1;
            if value > 255 || (at - start > 1 && bytes[start] == b'0') {
                return None;
            }
        }
        if at == start {
            return None;
        }
        if octet < 3 {
            if bytes.get(at) != Some(&separator) {
                return None;
            }
            at += 1;
        }
    }
    // A separator that ends the name made it something else.
    let ends_with_separator = bytes.get(at) == Some(&separator) && at + 1 == bytes.len();
    (!ends_with_separator).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::key::{Fixed, TEXTS, read_group};
    use model::Bump;

    fn quantized(hosts: &str) -> String {
        let mut out = b"before ".to_vec();
        quantize_addresses(hosts, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn addresses_are_replaced_and_names_are_not() {
        for (host, expected) in [
            ("", ""),
            ("db.internal", "db.internal"),
            ("10.1.2.3", "blocked-ip-address"),
            ("10.1.2.3:5432", "blocked-ip-address:5432"),
            ("10-1-2-3", "blocked-ip-address"),
            ("10_1_2_3", "blocked-ip-address"),
            ("10.1-2-3", "10.1-2-3"),
            ("10.1.2.3.", "10.1.2.3."),
            ("10.1.2", "10.1.2"),
            ("10.01.2.3", "10.01.2.3"),
            ("10.1.2.300", "10.1.2.300"),
            ("10.1.2.3.4", "blocked-ip-address.4"),
            ("ip-10-1-2-3.ec2.internal", "ip-blocked-ip-address.ec2.internal"),
            ("http://10.1.2.3:80", "http://blocked-ip-address:80"),
            ("https://10.1.2.3/x", "https://blocked-ip-address/x"),
            ("dnspoll:///10.1.2.3:50051", "dnspoll:///blocked-ip-address:50051"),
            ("2001:db8::1", "blocked-ip-address"),
            ("[2001:db8::1]:443", "blocked-ip-address:443"),
            ("2001:db8::1%eth0", "blocked-ip-address"),
            ("fe80::zz", "fe80::zz"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:8126", "127.0.0.1:8126"),
            ("::1", "::1"),
            ("169.254.169.254", "169.254.169.254"),
            ("fd00:ec2::254", "fd00:ec2::254"),
            ("169.254.170.2", "169.254.170.2"),
            ("beef", "beef"),
        ] {
            assert_eq!(quantized(host), expected, "{host}");
        }
    }

    #[test]
    fn equal_entries_of_a_list_are_merged() {
        for (hosts, expected) in [
            ("10.0.0.1,10.0.0.2", "blocked-ip-address"),
            ("10.0.0.1:1,10.0.0.2:1,10.0.0.3:2", "blocked-ip-address:1,blocked-ip-address:2"),
            ("a,10.0.0.1,a,b,10.0.0.2", "a,blocked-ip-address,b"),
            ("a,,b,", "a,,b"),
            (",a", ",a"),
            (",", ""),
        ] {
            assert_eq!(quantized(hosts), expected, "{hosts}");
        }
    }

    fn tags_of(span_kind: &str, meta: &[(&'static str, &'static str)], config: &StatsConfig) -> Vec<String> {
        let arena = Bump::new();
        let mut span = Span::new_in(&arena);
        span.meta.extend(meta.iter().copied());
        let base_service = span.meta(BASE_SERVICE).unwrap_or_default();
        let facts = SpanFacts { base_service, span_kind: arena.alloc_str(span_kind), ..SpanFacts::default() };
        let mut key = KeyBuffer::default();
        key.start(Fixed::default(), [""; TEXTS]);
        PeerTags::new(config).write(&span, &facts, None, &mut key, 0);
        read_group(key.bytes()).peer_tags
    }

    #[test]
    fn spans_that_talk_to_a_peer_have_all_their_peer_tags_sorted() {
        let meta = [
            ("peer.service", "users"),
            ("db.name", "old"),
            ("out.host", "10.0.0.1:5432"),
            ("http.url", "no peer tag"),
            ("db.name", "main"),
            ("db.instance", ""),
            (BASE_SERVICE, "web"),
        ];
        let expected = [
            "_dd.base_service:web",
            "db.name:main",
            "out.host:blocked-ip-address:5432",
            "peer.service:users",
        ];
        for kind in ["client", "PRODUCER", "Consumer"] {
            assert_eq!(tags_of(kind, &meta, &StatsConfig::default()), expected, "{kind}");
        }
        for kind in ["", "internal"] {
            assert_eq!(tags_of(kind, &meta, &StatsConfig::default()), ["_dd.base_service:web"], "{kind}");
        }
        for kind in ["server", "other"] {
            assert!(tags_of(kind, &meta, &StatsConfig::default()).is_empty(), "{kind}");
        }
    }

    #[test]
    fn extra_keys_join_and_the_setting_switches_all_off() {
        let config =
            StatsConfig { extra_peer_tags: vec!["tenant".into(), String::new()], ..StatsConfig::default() };
        assert_eq!(tags_of("client", &[("tenant", "a")], &config), ["tenant:a"]);
        let off = StatsConfig { peer_tags_aggregation: false, ..config };
        assert!(tags_of("client", &[("tenant", "a"), ("peer.service", "b")], &off).is_empty());
        assert!(tags_of("", &[(BASE_SERVICE, "b")], &off).is_empty());
    }

    #[test]
    fn the_reference_has_43_keys_in_order() {
        assert!(PEER_TAGS.is_sorted() && PEER_TAGS.len() == 43);
    }
}
