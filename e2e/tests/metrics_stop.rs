//! Stops of DogStatsD: what the kernel has taken arrives, whoever is still sending.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lastlight_e2e::{
    agent::{Agent, Start, datagram_socket},
    clients, full,
};
use std::{
    io::ErrorKind,
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};
use testkit::{
    Backend,
    statsd::{Kind, Mix, Traffic},
};

/// Datagrams of one burst; what a system with small buffers takes (208 KiB, of which each uses 2.3 KiB) too.
const UDP_DATAGRAMS: u64 = 80;
/// A Unix socket has room for few datagrams; the rest waits in the sender.
const UNIX_DATAGRAMS: u64 = 500;

/// Bursts of each kind.
fn runs() -> u64 {
    if full() { 100 } else { 10 }
}

fn traffic(seed: u64) -> Traffic {
    let kinds = Kind::ALL.to_vec();
    Traffic::new(&Mix { contexts: 300, kinds, count_max: 5, seed, ..Mix::default() })
}

struct World {
    backend: Backend,
    agent: Agent,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let backend = Backend::start().await;
        let folder = tempfile::tempdir().unwrap();
        let agent = Start::new(&backend).statsd_sockets(folder.path()).start().await;
        Self { backend, agent, folder }
    }

    fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", self.agent.statsd_port())).unwrap();
        socket
    }

    /// The first so many datagrams arrive, when the agent is stopped now.
    async fn stopped_now(self, traffic: &Traffic, datagrams: u64) {
        self.agent.signal("TERM").await;
        self.ends_with(traffic, datagrams).await;
    }

    async fn ends_with(self, traffic: &Traffic, datagrams: u64) {
        let stopped = self.agent.ends().await;
        let lines = stopped.lines.join("\n");
        assert_eq!(stopped.without_loss().of("metrics").accepted, traffic.samples(datagrams), "{lines}");
        let wrong = traffic.expected(datagrams).differences(&self.backend.metrics());
        assert!(wrong.is_empty(), "{wrong:?}\n{lines}");
        assert_eq!(self.backend.metrics().replaced(), 0);
    }
}

fn connected(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn l82_l83_l87_a_burst_over_udp_with_sigterm_right_after_it_arrives() {
    for run in 0..runs() {
        let (world, traffic) = (World::new().await, traffic(run));
        let socket = world.udp();
        for number in 0..UDP_DATAGRAMS {
            socket.send(traffic.datagram(number)).unwrap();
        }
        world.stopped_now(&traffic, UDP_DATAGRAMS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l82_l83_l87_a_burst_over_a_unix_socket_with_sigterm_right_after_it_arrives() {
    for run in 0..runs() {
        let (world, traffic) = (World::new().await, traffic(run));
        let path = datagram_socket(world.folder.path());
        let traffic = tokio::task::spawn_blocking(move || {
            let socket = connected(&path);
            for number in 0..UNIX_DATAGRAMS {
                socket.send(traffic.datagram(number)).unwrap();
            }
            traffic
        });
        world.stopped_now(&traffic.await.unwrap(), UNIX_DATAGRAMS).await;
    }
}

/// The agent gets neither CPU nor a look at a single datagram before it is told to stop: what arrives was in the
/// kernel.
#[tokio::test(flavor = "multi_thread")]
async fn l87_all_that_waits_in_the_kernel_when_sigterm_comes_arrives() {
    for run in 0..runs() {
        let (world, traffic) = (World::new().await, traffic(run));
        world.agent.signal("STOP").await;
        let (udp, unix) = (world.udp(), connected(&datagram_socket(world.folder.path())));
        unix.set_nonblocking(true).unwrap();
        let over_both = run % 2 == 0;
        let mut sent = 0;
        while sent < UDP_DATAGRAMS && over_both {
            udp.send(traffic.datagram(sent)).unwrap();
            sent += 1;
        }
        loop {
            match unix.send(traffic.datagram(sent)) {
                Ok(_) => sent += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        world.agent.signal("TERM").await;
        world.agent.signal("CONT").await;
        if over_both {
            // Of two sockets neither is the first, so gauges in both have no last value.
            let stopped = world.agent.ends().await;
            assert_eq!(stopped.without_loss().of("metrics").accepted, traffic.samples(sent));
        } else {
            world.ends_with(&traffic, sent).await;
        }
    }
}

async fn python_sends_on(url: impl Fn(&Agent, PathBuf) -> String) {
    const BEFORE: u64 = 2_000;
    let world = World::new().await;
    let url = url(&world.agent, datagram_socket(world.folder.path()));
    let (pid, before) = (world.agent.pid().to_string(), BEFORE.to_string());
    let mut client =
        clients::python("statsd_client.py", &["stop", &pid, &before], &[("DD_DOGSTATSD_URL", &url)]);
    let stopped = world.agent.ends().await;
    let said = client.said().await;
    client.ends().await;
    let books = stopped.without_loss();
    let arrived = world.backend.metrics().total("stop.sent", &["by:python"]);
    #[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
    let accepted = books.of("metrics").accepted as f64;
    assert!((arrived - accepted).abs() < 1e-6, "{arrived} of {accepted}");
    let (before, sent) = (said["before"].as_f64().unwrap(), said["sent"].as_f64().unwrap());
    assert!(
        arrived > before - 0.5 && arrived < sent + 0.5,
        "{arrived}: {said}\n{}",
        stopped.lines.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_that_sends_on_over_udp_has_at_least_what_it_sent_before_sigterm() {
    python_sends_on(|agent, _| format!("udp://127.0.0.1:{}", agent.statsd_port())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_that_sends_on_over_a_unix_socket_has_at_least_what_it_sent_before_sigterm() {
    python_sends_on(|_, path| format!("unix://{}", path.display())).await;
}
