//! Datagram sockets of both kinds, real ones, on loopback and in temporary directories.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Client};

const MAX_BYTES: usize = 1000;

fn bind(address: impl Into<SocketAddr>, options: &DatagramOptions) -> Udp {
    Udp::bind(address.into(), options).expect("a free port")
}

fn loopback() -> Udp {
    bind((Ipv4Addr::LOCALHOST, 0), &DatagramOptions::default())
}

fn client_of(server: &Udp) -> Client {
    let any: SocketAddr = match server.address() {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 0).into(),
    };
    let client = Client::bind(any).expect("a client");
    client.connect(server.address()).expect("connected");
    client
}

/// Tries of a test to receive what was sent: the kernel may take a moment, and all of them take seconds.
const TRIES: usize = 5_000_000;

/// The next `count` packets, and that there are no more.
fn take(socket: &impl Datagrams, count: usize) -> Vec<(Vec<u8>, bool)> {
    let mut packets = Packets::new(MAX_BYTES);
    let mut got = Vec::new();
    for _ in 0..TRIES {
        let received = socket.receive(&mut packets).expect("received");
        assert_eq!(received.packets, packets.len());
        assert_eq!(received.kernel_dropped, 0);
        got.extend(packets.iter().map(|packet| (packet.bytes.to_vec(), packet.truncated)));
        if received.packets == 0 && got.len() >= count {
            break;
        }
    }
    assert_eq!(got.len(), count);
    got
}

#[tokio::test]
async fn packets_come_in_batches_and_in_order() {
    let server = loopback();
    let client = client_of(&server);
    let sent: Vec<_> = (0..150).map(|n| (format!("a:{n}|c").into_bytes(), false)).collect();
    for (bytes, _) in &sent {
        client.send(bytes).expect("sent");
    }
    assert_eq!(take(&server, sent.len()), sent);
}

#[tokio::test]
async fn a_full_batch_says_that_there_may_be_more() {
    let server = loopback();
    let client = client_of(&server);
    let mut packets = Packets::new(MAX_BYTES);
    let slots = packets.slots();
    for count in [1, 8, 9, slots - 1, slots, slots + 1] {
        for _ in 0..count {
            client.send(b"a:1|c").expect("sent");
        }
        let received = server.receive(&mut packets).expect("received");
        let mut batch = received.packets;
        assert_eq!(received.more, batch == slots);
        for _ in 0..TRIES {
            if batch == count {
                break;
            }
            batch += server.receive(&mut packets).expect("received").packets;
        }
        assert_eq!(batch, count);
    }
    packets.clear();
    assert!(packets.is_empty() && packets.iter().next().is_none());
}

#[tokio::test]
async fn readiness_returns_after_the_socket_was_emptied() {
    let server = loopback();
    let client = client_of(&server);
    let mut packets = Packets::new(MAX_BYTES);
    for n in 0..100 {
        client.send(b"a:1|c").expect("sent");
        // Beside the runtime's belief, and then with it.
        if n % 2 == 0 {
            while server.receive(&mut packets).expect("received").packets == 0 {}
        } else {
            loop {
                server.readable().await.expect("readable");
                if server.receive(&mut packets).expect("received").packets == 1 {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn l87_what_was_sent_is_read_before_the_runtime_knows() {
    let server = loopback();
    client_of(&server).send(b"a:1|c").expect("sent");
    // Nothing was awaited, so that the runtime cannot have noticed.
    assert_eq!(take(&server, 1), [(b"a:1|c".to_vec(), false)]);
}

#[tokio::test]
async fn l48_a_longer_datagram_is_told_from_one_that_fits() {
    let server = loopback();
    let client = client_of(&server);
    let lengths = [0, 1, MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1, MAX_BYTES + 63, MAX_BYTES + 64, 60_000];
    for length in lengths {
        client.send(&vec![b'x'; length]).expect("sent");
    }
    let got = take(&server, lengths.len());
    let told: Vec<_> = got.iter().map(|(bytes, truncated)| (bytes.len(), *truncated)).collect();
    let expected: Vec<_> =
        lengths.iter().map(|length| (*length.min(&MAX_BYTES), *length > MAX_BYTES)).collect();
    assert_eq!(told, expected);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn l39_what_the_kernel_dropped_is_counted() {
    let options = DatagramOptions { receive_buffer_bytes: Some(20_000), ..DatagramOptions::default() };
    let server = bind((Ipv4Addr::LOCALHOST, 0), &options);
    let client = client_of(&server);
    let mut packets = Packets::new(MAX_BYTES);
    let (mut sent, mut received, mut dropped) = (0, 0, 0);
    for round in 1..=3u64 {
        let before = dropped;
        for _ in 0..200 * round {
            client.send(&[b'x'; 500]).expect("sent");
            sent += 1;
        }
        for _ in 0..TRIES {
            let batch = server.receive(&mut packets).expect("received");
            dropped += batch.kernel_dropped;
            received += packets.iter().filter(|packet| !packet.bytes.is_empty()).count() as u64;
            if received + dropped >= sent {
                break;
            }
            if batch.packets == 0 {
                // What was received was queued before the first drop, which the kernel tells with the next one.
                server.ask_for_drops();
            }
        }
        assert!(dropped > before, "too little was sent");
        assert_eq!(received + dropped, sent, "after round {round}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_drop_counter_that_wraps_or_goes_back_counts_nothing_twice() {
    let drops = receive::Drops::default();
    let told = [0, 5, 5, 3, u32::MAX / 2, u32::MAX - 1, 2, u32::MAX, 3];
    let counted: u64 = told.iter().map(|told| drops.since_last(*told)).sum();
    assert_eq!(counted, u64::from(u32::MAX) + 1 + 3);
}

#[tokio::test]
async fn the_receive_buffer_is_as_asked_for() {
    let options = DatagramOptions { receive_buffer_bytes: Some(32_768), ..DatagramOptions::default() };
    assert_eq!(bind((Ipv4Addr::LOCALHOST, 0), &options).receive_buffer_bytes(), 32_768);
    let unasked = socket2::SockRef::from(&Client::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket"))
        .recv_buffer_size()
        .expect("a size");
    assert!(loopback().receive_buffer_bytes() >= unasked / 2, "raised, never lowered");
}

#[tokio::test]
async fn ipv6_takes_ipv4_when_asked() {
    let server = bind((Ipv6Addr::LOCALHOST, 0), &DatagramOptions::default());
    client_of(&server).send(b"six").expect("sent");
    assert_eq!(take(&server, 1), [(b"six".to_vec(), false)]);

    let options = DatagramOptions { dual_stack: true, ..DatagramOptions::default() };
    let server = bind((Ipv6Addr::UNSPECIFIED, 0), &options);
    let port = server.address().port();
    let four = Client::bind((Ipv4Addr::LOCALHOST, 0)).expect("a client");
    four.send_to(b"four", (Ipv4Addr::LOCALHOST, port)).expect("sent");
    assert_eq!(take(&server, 1), [(b"four".to_vec(), false)]);
    let six = Client::bind((Ipv6Addr::LOCALHOST, 0)).expect("a client");
    six.send_to(b"six", (Ipv6Addr::LOCALHOST, port)).expect("sent");
    assert_eq!(take(&server, 1), [(b"six".to_vec(), false)]);
}

#[tokio::test]
async fn ipv6_leaves_ipv4_to_others_when_not_asked() {
    // Of several ports, as one may happen to be somebody's.
    let leaves = |_| {
        let server = bind((Ipv6Addr::UNSPECIFIED, 0), &DatagramOptions::default());
        Client::bind((Ipv4Addr::LOCALHOST, server.address().port())).is_ok()
    };
    assert!((0..10).any(leaves));
}

#[tokio::test]
async fn l56_a_busy_port_is_an_error_that_says_what_to_do() {
    let first = loopback();
    let error = Udp::bind(first.address(), &DatagramOptions::default()).expect_err("busy");
    assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    let said = error.to_string();
    for word in [&first.address().to_string(), "DD_DOGSTATSD_PORT", "DD_DOGSTATSD_SOCKET"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_batch_is_bounded_in_memory_and_never_empty_of_slots() {
    for (datagram_max_bytes, slots) in [(0, 64), (1, 64), (8192, 64), (65_535, 32), (10_000_000, 4)] {
        assert_eq!(Packets::new(datagram_max_bytes).slots(), slots, "{datagram_max_bytes}");
    }
}

#[cfg(unix)]
mod unix {
    use super::*;
    use crate::transport::UnixAddress;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixDatagram as Client, UnixListener};
    use std::path::PathBuf;

    fn in_a_directory() -> (tempfile::TempDir, PathBuf, UnixAddress) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("dsd.socket");
        (directory, path.clone(), UnixAddress::File(path))
    }

    fn bind(address: &UnixAddress) -> Result<UnixDatagram, crate::transport::BindError> {
        UnixDatagram::bind(address, &DatagramOptions::default())
    }

    #[tokio::test]
    async fn a_path_is_served_to_everyone_and_removed() {
        let (_directory, path, address) = in_a_directory();
        let server = bind(&address).expect("bound");
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o722);
        let client = Client::unbound().expect("a client");
        let cut = vec![b'x'; MAX_BYTES + 1];
        for bytes in [b"a:1|c".as_slice(), &cut[1..], &cut] {
            client.send_to(bytes, &path).expect("sent");
        }
        server.readable().await.expect("readable");
        let expected = [(b"a:1|c".to_vec(), false), (cut[1..].to_vec(), false), (cut[1..].to_vec(), true)];
        assert_eq!(take(&server, 3), expected);
        drop(server);
        assert!(!path.exists(), "the file goes with its socket");
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_of_any_type_is_not() {
        let (_directory, path, address) = in_a_directory();
        drop(Client::bind(&path).expect("bound"));
        assert!(path.exists(), "stale");
        let first = bind(&address).expect("the stale socket is replaced");
        let error = bind(&address).expect_err("the live socket is not");
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.advice.contains("DD_DOGSTATSD_SOCKET"), "{error}");
        drop(first);
        let _stream = UnixListener::bind(&path).expect("bound");
        assert_eq!(bind(&address).expect_err("live").error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_successors_socket_survives_its_predecessor() {
        let (_directory, path, address) = in_a_directory();
        let first = bind(&address).expect("bound");
        std::fs::remove_file(&path).expect("removed");
        let _second = bind(&address).expect("bound again");
        drop(first);
        assert!(path.exists(), "the predecessor removed its successor's socket");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_abstract_name_leaves_no_file_and_is_owned_once() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("lastlight-datagrams-{}", std::process::id());
        let address = UnixAddress::Abstract(name.clone());
        let server = bind(&address).expect("bound");
        assert_eq!(server.name().to_string(), format!("unix_datagram @{name}"));
        let error = bind(&address).expect_err("owned");
        assert!(error.advice.contains("DD_DOGSTATSD_SOCKET"), "{error}");
        let to = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        Client::unbound().expect("a client").send_to_addr(b"a:1|c", &to).expect("sent");
        assert_eq!(take(&server, 1), [(b"a:1|c".to_vec(), false)]);
    }
}
