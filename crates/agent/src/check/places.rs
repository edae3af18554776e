//! Where the agent would listen, whether that is free now, and where metrics would go.

use crate::config::{Config, Destination, SocketAddress};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

/// Something to look at on this system.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A UDP port.
    Udp(SocketAddr),
    /// The file of a Unix socket.
    File(&'a Path),
}

/// Looks; says what is in the way.
pub(super) type Look<'a> = &'a dyn Fn(Wanted<'_>) -> Result<(), String>;

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// What comes in by it.
    pub(super) signal: &'static str,
    /// How.
    pub(super) transport: &'static str,
    /// Where.
    pub(super) address: String,
    /// Whether the place is free.
    pub(super) state: String,
}

/// One place of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What goes there.
    pub(super) signal: &'static str,
    /// Where.
    pub(super) url: String,
}

/// Looks at this system. A port is bound and let go of at once; a file is not touched.
pub(super) fn look(wanted: Wanted<'_>) -> Result<(), String> {
    match wanted {
        Wanted::Tcp(address) => TcpListener::bind(address).map(drop).map_err(|error| error.to_string()),
        Wanted::Udp(address) => UdpSocket::bind(address).map(drop).map_err(|error| error.to_string()),
        Wanted::File(path) => {
            if path.exists() {
                Err("there is a file; it is replaced if nobody listens there".to_owned())
            } else if path.parent().is_some_and(Path::is_dir) {
                Ok(())
            } else {
                Err("its folder does not exist".to_owned())
            }
        }
    }
}

/// Every listener, traces first.
pub(super) fn listeners(config: &Config, look: Look<'_>) -> Vec<Listener> {
    let mut found = Vec::new();
    let mut add = |signal, transport, address: String, seen: Result<(), String>| {
        let state = seen.map_or_else(|why| format!("not free now: {why}"), |()| "free".to_owned());
        found.push(Listener { signal, transport, address, state });
    };
    let unix = |socket: &SocketAddress| match socket {
        SocketAddress::File(path) => look(Wanted::File(path)),
        // A name without a file is known to the kernel alone.
        SocketAddress::Abstract(_) => Ok(()),
    };
    let (receiver, dogstatsd) = (&config.receiver, &config.dogstatsd);
    if receiver.enabled {
        if let Some(port) = receiver.port {
            let address = SocketAddr::new(receiver.bind, port);
            add("traces", "tcp", address.to_string(), look(Wanted::Tcp(address)));
        }
        if let Some(socket) = &receiver.socket {
            add("traces", "unix", socket.to_string(), unix(socket));
        }
    }
    if let Some(address) = config.logs.input {
        add("logs", "tcp", address.to_string(), look(Wanted::Tcp(address)));
    }
    if !dogstatsd.enabled {
        return found;
    }
    for udp in &dogstatsd.udp {
        let seen = look(Wanted::Udp(udp.address));
        match (&seen, udp.fallback) {
            (Err(_), Some(fallback)) => {
                add("metrics", "udp", fallback.to_string(), look(Wanted::Udp(fallback)));
            }
            (Err(why), None) if udp.optional => {
                let why = format!("{why}; the agent does without");
                add("metrics", "udp", udp.address.to_string(), Err(why));
            }
            _ => add("metrics", "udp", udp.address.to_string(), seen),
        }
    }
    if let Some(socket) = &dogstatsd.socket {
        add("metrics", "unix", socket.to_string(), unix(socket));
    }
    if let Some(socket) = &dogstatsd.stream_socket {
        add("metrics", "unix_stream", socket.to_string(), unix(socket));
    }
    found
}

/// Where metrics, events and logs go; the other signals have a setting for each place.
pub(super) fn targets(config: &Config) -> Vec<Target> {
    let of = |signal, destination: &Destination| {
        let places = std::iter::once(&destination.main).chain(&destination.additional);
        places.map(|place| Target { signal, url: place.url.to_string() }).collect::<Vec<_>>()
    };
    let mut targets = Vec::new();
    if config.dogstatsd.enabled {
        targets.extend(of("metrics, service checks", &config.endpoints.metrics));
        targets.extend(of("events", &config.endpoints.events));
    }
    if config.logs.enabled {
        targets.extend(of("logs", &config.endpoints.logs));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Fixed;
    use crate::platform::{Face, Probe};

    fn config(pairs: &[(&str, &str)]) -> Config {
        let strings: Fixed = pairs.iter().copied().collect();
        Config::load_for(&strings, Face::Agent, &Probe::default()).unwrap()
    }

    fn lines(pairs: &[(&str, &str)], look: Look<'_>) -> Vec<String> {
        let found = listeners(&config(pairs), look);
        found.iter().map(|l| format!("{} {} {}: {}", l.signal, l.transport, l.address, l.state)).collect()
    }

    #[test]
    fn every_transport_is_listed_with_whether_its_place_is_free() {
        let pairs = &[
            ("DD_APM_RECEIVER_SOCKET", "/run/apm"),
            ("DD_DOGSTATSD_SOCKET", "@dsd"),
            ("DD_DOGSTATSD_STREAM_SOCKET", "/run/stream"),
        ];
        assert_eq!(
            lines(pairs, &|_| Ok(())),
            [
                "traces tcp 127.0.0.1:8126: free",
                "traces unix /run/apm: free",
                "metrics udp 127.0.0.1:8125: free",
                "metrics udp [::1]:8125: free",
                "metrics unix @dsd: free",
                "metrics unix_stream /run/stream: free",
            ]
        );
        assert_eq!(
            lines(pairs, &|_| Err("taken".into())),
            [
                "traces tcp 127.0.0.1:8126: not free now: taken",
                "traces unix /run/apm: not free now: taken",
                "metrics udp 127.0.0.1:8125: not free now: taken",
                "metrics udp [::1]:8125: not free now: taken; the agent does without",
                "metrics unix @dsd: free",
                "metrics unix_stream /run/stream: not free now: taken",
            ]
        );
        let off = [("DD_USE_DOGSTATSD", "false"), ("DD_APM_ENABLED", "false")];
        assert_eq!(lines(&off, &|_| Ok(())), [] as [String; 0]);
    }

    #[test]
    fn without_ipv6_every_address_means_ipv4() {
        let no_ipv6 = |wanted: Wanted<'_>| match wanted {
            Wanted::Udp(address) if address.is_ipv6() => Err("no such family".to_owned()),
            _ => Ok(()),
        };
        let pairs = &[("DD_APM_ENABLED", "false"), ("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "true")];
        assert_eq!(lines(pairs, &no_ipv6), ["metrics udp 0.0.0.0:8125: free"]);
        assert_eq!(lines(pairs, &|_| Ok(())), ["metrics udp [::]:8125: free"]);
    }

    #[test]
    fn a_place_is_free_until_somebody_has_it() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(look(Wanted::Tcp(tcp.local_addr().unwrap())).is_err());
        assert!(look(Wanted::Udp(udp.local_addr().unwrap())).is_err());
        // Port 0 is any that is free.
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!((look(Wanted::Tcp(any)), look(Wanted::Udp(any))), (Ok(()), Ok(())));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dsd.socket");
        assert_eq!(look(Wanted::File(&file)), Ok(()));
        assert!(!file.exists(), "looking makes nothing");
        std::fs::write(&file, "").unwrap();
        assert!(look(Wanted::File(&file)).unwrap_err().contains("there is a file"));
        assert!(look(Wanted::File(&folder.path().join("no/such"))).unwrap_err().contains("folder"));
    }

    #[test]
    fn metrics_and_events_are_told_with_every_place_they_go_to() {
        let config = config(&[
            ("DD_SITE", "datadoghq.eu"),
            ("DD_ADDITIONAL_ENDPOINTS", "{\"https://app.datadoghq.com\":[\"hunter2hunter2\"]}"),
        ]);
        let lines: Vec<String> =
            targets(&config).iter().map(|target| format!("{} {}", target.signal, target.url)).collect();
        assert_eq!(
            lines,
            [
                "metrics, service checks https://api.datadoghq.eu",
                "metrics, service checks https://app.datadoghq.com",
                "events https://app.datadoghq.eu",
                "events https://app.datadoghq.com",
            ]
        );
    }
}
