//! DogStatsD from socket to backend.

use crate::support::{Agent, PATIENCE, Setup, Stopped, held, post, spans};
use lastlight_agent::config::{Config, UdpAddress, source::Fixed};
use lastlight_agent::{Deadline, Instant, bind};
use model::{Signal, Why};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use testkit::{Backend, Behaviour};
use tokio::io::AsyncWriteExt as _;

const SERIES: &str = "/api/v2/series";
const SKETCHES: &str = "/api/beta/sketches";
const PROXY: &str = "/dogstatsd/v2/proxy";

/// A client of the agent's UDP port.
fn udp(agent: &Agent) -> UdpSocket {
    udp_to(agent.udp.expect("a UDP socket"))
}

fn udp_to(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(address).expect("a peer");
    socket
}

/// Lines over HTTP, which is answered when they are taken.
async fn lines(agent: &Agent, lines: &str) {
    assert_eq!(agent.send(post(PROXY, lines)).await.status, 200);
}

fn samples(stopped: &Stopped) -> u64 {
    stopped.book(Signal::Metrics).accepted
}

fn frame(lines: &str) -> Vec<u8> {
    let length = u32::try_from(lines.len()).expect("a short frame").to_le_bytes();
    [&length, lines.as_bytes()].concat()
}

#[tokio::test]
async fn l81_l82_l83_every_transport_feeds_one_aggregate_that_a_stop_flushes() {
    let agent = Setup::new().await.start().await;
    for _ in 0..10 {
        udp(&agent).send(b"hits:1|c|#by:all\nlevel:7|g").expect("sent");
        let datagram = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
        datagram.send_to(b"hits:2|c|#by:all\n", agent.path("dsd.socket")).expect("sent");
        let mut stream =
            tokio::net::UnixStream::connect(agent.path("stream.socket")).await.expect("a connection");
        stream.write_all(&frame("hits:3|c|#by:all")).await.expect("written");
        stream.write_all(&frame("hits:4|c|#by:all\nhits:5|c|#by:all\n")).await.expect("written");
        lines(&agent, "hits:6|c|#by:all").await;
    }
    let stopped = agent.stop().await;
    let metrics = stopped.backend.metrics();
    assert_eq!(metrics.total("hits", &["by:all"]), 210.0);
    assert_eq!(metrics.gauge("level", &[]), Some(7.0));
    assert_eq!((samples(&stopped), stopped.book(Signal::Metrics).delivered), (70, 70));
}

#[tokio::test]
async fn l44_l45_l46_l50_every_type_says_what_the_reference_would() {
    let agent = Setup::new().await.start().await;
    lines(
        &agent,
        "a:1|c\na:2|c|@0.5\ng:1|g\ng:5|g\nh:1:2:3|h\nt:4|ms\ns:a|s\ns:b|s\ns:a|s\nd:1:2:3:4|d|#x:y\n\
         _e{5,4}:title|text|t:error|s:nginx|#a:b\n_sc|db.up|2|m:down\n",
    )
    .await;
    let stopped = agent.stop().await;
    let backend = &stopped.backend;
    let series = backend.series();
    let point = |name: &str| {
        let series: Vec<_> = series.iter().filter(|series| series.metric == name).collect();
        assert_eq!((series.len(), series[0].points.len()), (1, 1), "{name}");
        (series[0].series_type, series[0].interval, series[0].points[0].1)
    };
    assert_eq!(point("a"), (2, 10, 0.5));
    assert_eq!(point("g"), (3, 0, 5.0));
    assert_eq!(point("h.max"), (3, 0, 3.0));
    assert_eq!(point("h.median"), (3, 0, 2.0));
    assert_eq!(point("h.avg"), (3, 0, 2.0));
    assert_eq!(point("h.count"), (2, 10, 0.3));
    assert_eq!(point("h.95percentile"), (3, 0, 3.0));
    assert_eq!(point("t.max"), (3, 0, 4.0));
    assert_eq!(point("s"), (3, 0, 2.0));
    assert!(series.iter().all(|series| series.host == "here"), "{series:?}");
    let sketch = backend.metrics().sketch("d", &["x:y"]);
    assert_eq!((sketch.count, sketch.min, sketch.max, sketch.sum), (4, 1.0, 4.0, 10.0));
    let events = backend.events();
    assert_eq!((events.len(), &*events[0].source, &*events[0].alert_type), (1, "nginx", "error"));
    let checks = backend.checks();
    assert_eq!((checks.len(), &*checks[0].name, checks[0].status), (1, "db.up", 2));
    for (signal, units) in [(Signal::Metrics, 15), (Signal::Events, 1), (Signal::Checks, 1)] {
        let book = stopped.book(signal);
        assert_eq!((book.accepted, book.delivered), (units, units), "{}", signal.name());
    }
}

/// Datagrams that the kernel has taken before the stop begins.
async fn sent_before_the_stop() {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 10;
    let agent = Setup::new().await.start().await;
    for client in 0..CLIENTS {
        let socket = udp(&agent);
        let unix = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
        unix.connect(agent.path("dsd.socket")).expect("a peer");
        unix.set_nonblocking(true).expect("a mode");
        for _ in 0..EACH {
            let line = format!("burst:1|c|#client:{client}");
            // A Unix socket queues a few datagrams only; what it does not take is not sent.
            let sent = unix.send(line.as_bytes()).is_ok() && client % 2 == 0;
            if !sent {
                socket.send(line.as_bytes()).expect("sent");
            }
        }
    }
    let stopped = agent.stop().await;
    let arrived = stopped.backend.metrics().total("burst", &[]);
    assert!(arrived >= (CLIENTS * EACH) as f64, "{arrived}");
    assert_eq!(arrived, samples(&stopped) as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l87_what_the_kernel_had_taken_before_the_stop_arrives() {
    for _ in 0..20 {
        sent_before_the_stop().await;
    }
}

#[tokio::test]
async fn l87_what_the_kernel_had_taken_before_the_stop_arrives_also_on_one_thread() {
    for _ in 0..20 {
        sent_before_the_stop().await;
    }
}

/// Three agents without a host name that count the same thing for one backend.
async fn three_instances(setting: &str) -> Backend {
    let backend = Backend::start().await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        let strings = Fixed::new()
            .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
            .with("DD_HOSTNAME", "none")
            .with("DD_DD_URL", &backend.url())
            .with("LASTLIGHT_METRIC_INSTANCE_TAG", setting);
        let mut config = Config::load(&strings).expect("a configuration");
        config.receiver.port = Some(0);
        config.dogstatsd.udp = UdpAddress::only(SocketAddr::from(([127, 0, 0, 1], 0)));
        let bound = bind(config).await.expect("the sockets");
        let address = bound.dogstatsd_address().expect("a UDP socket");
        instances.push((bound.start(Arc::new(strings)).expect("a start"), udp_to(address)));
    }
    // Different counts, so that keeping one of them is noticed whichever it is.
    for (count, (_, client)) in (1..).zip(&instances) {
        for _ in 0..count * 10 {
            client.send(b"fleet.hits:1|c\nfleet.busy:1|g\nfleet.time:5|h\nfleet.spread:5|d").expect("sent");
        }
    }
    let stops =
        instances.into_iter().map(|(agent, _)| agent.stop("a test", Deadline::at(Instant::now() + PATIENCE)));
    for stop in stops {
        assert_eq!(stop.await.lost(), 0);
    }
    backend
}

#[tokio::test]
async fn l101_l120_counts_gauges_and_histograms_of_three_instances_add_up() {
    let backend = three_instances("auto").await;
    let metrics = backend.metrics();
    assert_eq!(metrics.total("fleet.hits", &[]), 60.0);
    assert_eq!(metrics.total("fleet.time.count", &[]), 60.0);
    assert_eq!(metrics.contexts("fleet.busy", &[]).len(), 3);
    assert_eq!(metrics.replaced(), 0);
    // The backend adds sketches up by itself, so they cost no further series.
    assert_eq!(metrics.contexts("fleet.spread", &[]).len(), 1);
    assert_eq!(metrics.sketch("fleet.spread", &[]).count, 60);
}

#[tokio::test]
async fn without_the_tag_the_backend_keeps_one_instance_as_with_the_reference() {
    // Each instance is stopped after the other, perhaps in the next bucket: as long as all were in one, one is kept.
    let backend = three_instances("false").await;
    let metrics = backend.metrics();
    let kept = metrics.total("fleet.hits", &[]);
    let buckets = metrics.points("fleet.hits", &[]).len();
    assert!(buckets < 3 && kept < 60.0 || buckets == 3, "{kept} in {buckets}");
    assert_eq!(metrics.contexts("fleet.hits", &[]).len(), 1);
}

#[tokio::test]
async fn l41_l42_l57_a_backend_that_fails_for_a_while_costs_no_sample() {
    let agent = Setup::new().await.start().await;
    for path in [SERIES, SKETCHES] {
        agent.backend.behave(Behaviour::status(503).on(path).times(3));
    }
    lines(&agent, "kept:1:2:3|c\nkept.too:1:2|d").await;
    let stopped = agent.stop().await;
    assert_eq!(stopped.backend.metrics().total("kept", &[]), 6.0);
    assert_eq!(stopped.backend.metrics().sketch("kept.too", &[]).count, 2);
    assert_eq!(stopped.backend.metrics().replaced(), 0, "nothing came twice");
}

#[tokio::test]
async fn l43_any_2xx_is_a_success() {
    for status in [200, 201, 204] {
        let agent = Setup::new().await.start().await;
        agent.backend.behave(Behaviour::status(status).on(SERIES));
        lines(&agent, "taken:1|c").await;
        let stopped = agent.stop().await;
        assert_eq!(stopped.book(Signal::Metrics).delivered, 1, "{status}");
    }
}

#[tokio::test]
async fn an_agent_with_fewer_transports_is_whole() {
    for change in [
        (|config| config.dogstatsd.stream_socket = None) as fn(&mut Config),
        |config| config.dogstatsd.socket = None,
        |config| config.dogstatsd.udp = Vec::new(),
        |config| config.dogstatsd.enabled = false,
    ] {
        let agent = Setup::new().await.change(change).start().await;
        agent.status_until(|_| true).await;
        tokio::select! {
            biased;
            stage = agent.running.died() => panic!("the {stage} ended"),
            () = std::future::ready(()) => {}
        }
        agent.stop().await;
    }
}

#[tokio::test]
async fn metrics_need_no_receiver_of_traces() {
    let agent = Setup::new().await.change(|config| config.receiver.enabled = false).start().await;
    assert_eq!(agent.tcp, None);
    udp(&agent).send(b"alone:1|c").expect("sent");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::select! {
        biased;
        stage = agent.running.died() => panic!("the {stage} ended"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(agent.stop().await.backend.metrics().total("alone", &[]), 1.0);
}

#[tokio::test]
async fn l108_what_the_backend_refuses_is_on_the_books_with_its_reason() {
    let agent = Setup::new().await.start().await;
    agent.backend.behave(Behaviour::status(413).on(SERIES));
    lines(&agent, "big:1:2|c\nfine:1|d").await;
    let stopped = agent.stop_at(Deadline::at(Instant::now() + PATIENCE)).await;
    let book = stopped.book(Signal::Metrics);
    assert_eq!((book.delivered, book.dropped(Why::TooLarge)), (1, 2));
}

#[tokio::test]
async fn l47_l48_l52_l116_a_bad_line_costs_that_line_and_is_counted() {
    let agent = Setup::new().await.with("DD_DOGSTATSD_BUFFER_SIZE", "1024").start().await;
    let client = udp(&agent);
    client
        .send(b"bad:NaN|g\nbad:inf|c\nbad:1|x\nbad:1|c|@0\ngood:1|c\nbad\n\xff\xfe:1|c|#\xff\ngood:1|c")
        .expect("sent");
    let mut long = b"good:1|c\n".repeat(113);
    long.extend_from_slice(b"good:1000000|c");
    assert!(long.len() > 1024);
    client.send(&long).expect("sent");
    let status = agent
        .status_until(|status| status["dogstatsd"]["transports"][0]["packets"].as_u64() == Some(2))
        .await;
    let refused = &status["dogstatsd"]["transports"][0]["refused"];
    assert_eq!(
        (&refused["not_finite"], &refused["unknown_type"], &refused["bad_rate"]),
        (&2.into(), &1.into(), &1.into()),
        "{refused}"
    );
    assert_eq!(refused["truncated"], 1, "{refused}");
    let stopped = agent.stop().await;
    assert_eq!(stopped.backend.metrics().total("good", &[]), 115.0);
    assert_eq!(samples(&stopped), 116);
    assert_eq!(stopped.backend.counts().undecodable, 0, "what is not UTF-8 was replaced");
}

#[tokio::test]
async fn l40_contexts_are_bounded_and_the_overflow_is_counted() {
    let agent = Setup::new().await.change(|config| config.dogstatsd.metrics.contexts_max = 10).start().await;
    let many: String = (0..100).map(|number| format!("many:1|c|#number:{number}\n")).collect();
    lines(&agent, &many).await;
    lines(&agent, "many:1|c|#number:0").await;
    let answer = agent.send(post(PROXY, "new:1|c")).await;
    assert_eq!(answer.status, 429, "nothing of it could be taken: the client may keep it");
    let status = agent.status_until(|_| true).await;
    let proxy =
        status["dogstatsd"]["transports"].as_array().expect("transports").last().expect("http").clone();
    assert_eq!(
        (&proxy["taken"]["count"], &proxy["refused"]["contexts_full"]),
        (&11.into(), &91.into()),
        "{proxy}"
    );
    let stopped = agent.stop().await;
    assert_eq!(stopped.backend.metrics().total("many", &[]), 11.0);
}

#[tokio::test]
async fn l38_l119_more_contexts_than_memory_are_refused_and_counted() {
    let agent = Setup::new().await.with("LASTLIGHT_MEMORY", "36MiB").start().await;
    let tags = "t".repeat(1_000);
    let mut sent = 0;
    for _ in 0..60 {
        let body: String = (0..1_000)
            .map(|_| {
                sent += 1;
                format!("many:1|c|#{tags}:{sent}\n")
            })
            .collect();
        agent.send(post(PROXY, body)).await;
    }
    let status = agent.status_until(|_| true).await;
    let used = status["memory"]["signals"]["metrics"]["used_bytes"].as_u64().expect("bytes");
    let limit = status["memory"]["signals"]["metrics"]["limit_bytes"].as_u64().expect("bytes");
    assert!(used <= limit, "{used} of {limit}");
    let proxy =
        status["dogstatsd"]["transports"].as_array().expect("transports").last().expect("http").clone();
    let refused = proxy["refused"]["memory_full"].as_u64().expect("refusals");
    let stopped = agent.stop().await;
    assert_eq!(samples(&stopped) + refused, sent);
    assert_eq!(stopped.backend.metrics().total("many", &[]), samples(&stopped) as f64);
}

#[tokio::test]
async fn series_that_do_not_fit_one_request_are_split_at_the_intakes_limits() {
    let agent = Setup::new().await.start().await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..30 {
        let body: String = (0..1_000)
            .map(|_| {
                let name: String = (0..90).map(|_| random.alphanumeric()).collect();
                format!("n{name}:1|c\n")
            })
            .collect();
        lines(&agent, &body).await;
    }
    let stopped = agent.stop().await;
    assert_eq!(stopped.book(Signal::Metrics).delivered, 30_000);
    assert_eq!(stopped.backend.series().len(), 30_000, "the backend refuses what is over its limits");
    assert!(stopped.backend.acknowledged(SERIES).len() > 3);
}

#[tokio::test]
async fn l84_a_request_under_way_at_the_stop_is_awaited() {
    let agent = Setup::new().await.start().await;
    agent.backend.behave(held(SERIES));
    lines(&agent, "slow:1|c|T1700000000").await;
    agent
        .status_until(|status| {
            let endpoints = status["endpoints"].as_array().expect("endpoints");
            endpoints.iter().any(|endpoint| endpoint["kind"] == "series" && endpoint["in_flight"] == 1)
        })
        .await;
    let address = agent.address();
    let Agent { running, backend, .. } = agent;
    let release = async {
        // The stop has begun when nobody is let in any more.
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        backend.recover();
        backend.release();
    };
    let (report, ()) = tokio::join!(running.stop("a test", Deadline::at(Instant::now() + PATIENCE)), release);
    assert_eq!(report.lost(), 0, "{report}");
    assert_eq!(backend.metrics().total("slow", &[]), 1.0);
}

#[tokio::test]
async fn l86_metrics_leave_while_traces_still_finish() {
    let agent = Setup::new().await.start().await;
    lines(&agent, "early:1|c").await;
    let request = spans([1]).bytes();
    let (first, rest) = request.split_at(request.len() - 10);
    let mut client = agent.client().await;
    client.write(first).await;
    agent
        .status_until(|status| status["memory"]["signals"]["traces"]["used_bytes"].as_u64() > Some(100))
        .await;
    let Agent { running, backend, .. } = agent;
    let rest = async {
        // The trace is let go only when the metrics are there.
        let arrived = |backend: &Backend| !backend.acknowledged(SERIES).is_empty();
        backend.wait_until(arrived, PATIENCE).await.expect("metrics");
        client.write(rest).await;
        client.answer().await
    };
    let (report, answer) =
        tokio::join!(running.stop("a test", Deadline::at(Instant::now() + PATIENCE)), rest);
    assert_eq!((answer.status, report.lost()), (200, 0), "{report}");
    assert_eq!(backend.missing([1]), [] as [u64; 0]);
}

#[tokio::test]
async fn a_stop_without_time_counts_what_it_could_not_flush() {
    let agent = Setup::new().await.start().await;
    for part in 0..20 {
        let body: String = (0..1_000).map(|number| format!("late:1|c|#number:{part}.{number}\n")).collect();
        lines(&agent, &body).await;
    }
    let stopped = agent.stop_at(Deadline::at(Instant::now())).await;
    let book = stopped.book(Signal::Metrics);
    assert_eq!(book.delivered + book.dropped(Why::Deadline), 20_000);
    assert!(stopped.backend.metrics().total("late", &[]) >= book.delivered as f64);
}

#[tokio::test]
async fn l108_a_series_that_fits_no_request_is_dropped_with_its_reason() {
    // More than the intake takes of series, packed, and less than it takes of sketches.
    let giant_tag = |config: &mut Config| {
        let mut random = fastrand::Rng::with_seed(3);
        config.dogstatsd.metrics.tags = vec![(0..900_000).map(|_| random.alphanumeric()).collect()];
    };
    let agent = Setup::new().await.change(giant_tag).start().await;
    lines(&agent, "big:1:2|c\nfine:1|d").await;
    let stopped = agent.stop_at(Deadline::at(Instant::now() + PATIENCE)).await;
    let book = stopped.book(Signal::Metrics);
    assert_eq!((book.delivered, book.dropped(Why::Oversized)), (1, 2));
}

#[tokio::test]
async fn what_waits_to_be_packed_is_bounded_and_the_overflow_is_counted() {
    let agent = Setup::new().await.start().await;
    let (timestamped, events, checks) = (600_000, 5_000, 5_000);
    let text = "x".repeat(400);
    lines(&agent, &"at:1|g|T1700000000\n".repeat(timestamped)).await;
    lines(&agent, &format!("_e{{1,400}}:t|{text}\n").repeat(events)).await;
    lines(&agent, &format!("_sc|c|0|m:{text}\n").repeat(checks)).await;
    let status = agent.status_until(|_| true).await;
    let proxy =
        status["dogstatsd"]["transports"].as_array().expect("transports").last().expect("http").clone();
    let refused = |why: &str| proxy["refused"][why].as_u64().expect("refusals");
    let stopped = agent.stop().await;
    let taken = |signal| stopped.book(signal).accepted;
    assert_eq!(taken(Signal::Metrics) + refused("memory_full"), timestamped as u64);
    assert_eq!(taken(Signal::Events) + taken(Signal::Checks) + refused("no_room"), (events + checks) as u64);
    assert_eq!(stopped.backend.events().len() as u64, taken(Signal::Events));
}

#[tokio::test]
async fn l105_a_timestamp_is_kept() {
    let agent = Setup::new().await.start().await;
    lines(&agent, "past:5|g|T1700000003\npast:20|c|T1700000003\npast:1|h|T1700000003").await;
    let stopped = agent.stop().await;
    let series = stopped.backend.series();
    let mut points: Vec<_> =
        series.iter().map(|series| (series.series_type, series.points[0].0, series.points[0].1)).collect();
    points.sort_by_key(|point| point.0);
    assert_eq!(points, [(2, 1_700_000_003, 2.0), (3, 1_700_000_003, 5.0)]);
    assert_eq!(samples(&stopped), 2, "a histogram with a timestamp is refused");
}

#[tokio::test]
async fn l118_lines_over_http_are_taken_once_and_not_relayed() {
    let agent = Setup::new().await.start().await;
    let body = "once:1|c\n".repeat(20_000);
    lines(&agent, &body).await;
    assert_eq!(agent.send(post(PROXY, "")).await.status, 200);
    let stopped = agent.stop().await;
    assert_eq!(stopped.backend.metrics().total("once", &[]), 20_000.0);
}

#[tokio::test]
async fn metrics_over_http_are_refused_when_dogstatsd_is_off() {
    let agent = Setup::new().await.with("DD_USE_DOGSTATSD", "false").start().await;
    assert_eq!(agent.send(post(PROXY, "a:1|c")).await.status, 503);
    assert_eq!(agent.udp, None);
    assert_eq!(samples(&agent.stop().await), 0);
}

#[tokio::test]
async fn l56_a_busy_port_is_a_warning_beside_others_and_an_error_alone() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = taken.local_addr().expect("an address").port();
    let strings = |receiver: &str| {
        Fixed::new()
            .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
            .with("DD_BIND_HOST", "127.0.0.1")
            .with("DD_DOGSTATSD_PORT", &port.to_string())
            .with("DD_APM_RECEIVER_ENABLED", receiver)
    };
    let mut config = Config::load(&strings("true")).expect("a configuration");
    config.receiver.port = Some(0);
    let bound = bind(config).await.expect("traces are heard");
    assert_eq!(bound.dogstatsd_address(), None);
    drop(bound);
    let both = Fixed::new()
        .with("DD_API_KEY", "0123456789abcdef0123456789abcdef")
        .with("DD_DOGSTATSD_PORT", &port.to_string())
        .with("DD_APM_RECEIVER_ENABLED", "false");
    let config = Config::load(&both).expect("a configuration");
    assert!(bind(config).await.is_err(), "one family alone is not enough");
    let config = Config::load(&strings("false")).expect("a configuration");
    let error = bind(config).await.expect_err("nobody is heard").to_string();
    assert!(error.contains("DD_DOGSTATSD_PORT") && error.contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn additional_endpoints_get_everything_too() {
    let other = Backend::start().await;
    let endpoints = format!("{{\"{}\": [\"fedcba9876543210fedcba9876543210\"]}}", other.url());
    let agent = Setup::new().await.with("DD_ADDITIONAL_ENDPOINTS", &endpoints).start().await;
    lines(&agent, "both:3|c\nboth:1|d\n_e{1,1}:a|b\n_sc|c|0").await;
    let stopped = agent.stop().await;
    for backend in [&stopped.backend, &other] {
        assert_eq!(backend.metrics().total("both", &[]), 3.0);
        assert_eq!(backend.metrics().sketch("both", &[]).count, 1);
        assert_eq!((backend.events().len(), backend.checks().len()), (1, 1));
    }
    assert_eq!(other.acknowledged(SERIES)[0].headers["dd-api-key"], "fedcba9876543210fedcba9876543210");
}

#[tokio::test]
async fn l54_the_users_tags_are_on_everything_and_clients_own_metrics_keep_their_name() {
    let agent = Setup::new()
        .await
        .with("DD_TAGS", "team:blue")
        .with("DD_DOGSTATSD_TAGS", "tier:web")
        .with("DD_SERVICE", "shop")
        .with("DD_STATSD_METRIC_NAMESPACE", "acme")
        .start()
        .await;
    lines(&agent, "hits:1|c|#a:b\nhits:1|c|#team:blue,a:b\ndatadog.dogstatsd.client.metrics:4|c|#client:go")
        .await;
    let stopped = agent.stop().await;
    let metrics = stopped.backend.metrics();
    let contexts = metrics.contexts("acme.hits", &["a:b"]);
    assert_eq!(contexts.len(), 1, "a tag that everything has tells nothing apart");
    for tag in ["team:blue", "tier:web", "service:shop", "env:test"] {
        assert_eq!(contexts[0].tags.iter().filter(|of| *of == tag).count(), 1, "{tag}");
    }
    assert_eq!(metrics.total("acme.hits", &[]), 2.0);
    assert_eq!(metrics.total("datadog.dogstatsd.client.metrics", &["client:go"]), 4.0);
}

#[tokio::test]
async fn a_stream_client_without_lengths_is_told_apart_and_a_cut_frame_keeps_its_whole_lines() {
    let agent = Setup::new().await.start().await;
    let connect = || tokio::net::UnixStream::connect(agent.path("stream.socket"));
    let mut plain = connect().await.expect("a connection");
    plain.write_all(b"plain:1|c\n").await.expect("written");
    let mut cut = connect().await.expect("a connection");
    cut.write_all(&[&100_u32.to_le_bytes()[..], b"whole:1|c\ncut:1|"].concat()).await.expect("written");
    drop(cut);
    agent
        .status_until(|status| {
            let transports = status["dogstatsd"]["transports"].as_array().expect("transports");
            let stream =
                transports.iter().find(|transport| transport["kind"] == "unix_stream").expect("a stream");
            stream["refused"]["truncated"] == 1 && stream["refused"]["oversized_frame"] == 1
        })
        .await;
    let stopped = agent.stop().await;
    assert_eq!(stopped.backend.metrics().names(), ["whole"]);
}
