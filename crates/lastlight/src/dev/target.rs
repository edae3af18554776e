//! Where the command's tracer and DogStatsD client send: to us, unless the user said otherwise.

use agent::config::source::Strings;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

const URL: &str = "DD_TRACE_AGENT_URL";
const HOST: &str = "DD_AGENT_HOST";
const PORT: &str = "DD_TRACE_AGENT_PORT";
const DOGSTATSD_URL: &str = "DD_DOGSTATSD_URL";
const DOGSTATSD_PORT: &str = "DD_DOGSTATSD_PORT";
const DOGSTATSD_SOCKET: &str = "DD_DOGSTATSD_SOCKET";

/// Variables for the command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// Set in addition to the environment.
    pub(super) variables: Vec<(&'static str, String)>,
    /// Why nothing may arrive, when the user's own variables lead elsewhere.
    pub(super) warnings: Vec<String>,
}

impl Target {
    /// Leads a tracer to `receiver`, and a DogStatsD client to `dogstatsd` where there is one, without overriding
    /// what the user said.
    pub(super) fn of(receiver: SocketAddr, dogstatsd: Option<SocketAddr>, strings: &dyn Strings) -> Self {
        let mut target = Self::default();
        let given = |name| strings.get(name).filter(|value| !value.is_empty());
        let ours = reachable(receiver);
        let host = given(HOST);
        let elsewhere = host.as_deref().filter(|host| !is_loopback(host));
        let traces = given(URL);
        if let Some(url) = &traces {
            if !url.trim_end_matches('/').ends_with(&format!(":{}", receiver.port())) {
                target.warn(URL, url, &format!("http://{ours}"));
            }
        } else if elsewhere.is_none() {
            // The URL counts before host and port; they are for clients that know no URL.
            target.variables.push((URL, format!("http://{ours}")));
        }
        let metrics = given(DOGSTATSD_URL);
        if let (Some(url), Some(address)) = (&metrics, dogstatsd) {
            let socket = given(DOGSTATSD_SOCKET);
            let is_ours = match url.split_once("://") {
                Some(("unix", path)) => {
                    socket.is_some_and(|socket| socket.trim_start_matches("unix://") == path)
                }
                _ => url.trim_end_matches('/').ends_with(&format!(":{}", address.port())),
            };
            if !is_ours {
                target.warn(DOGSTATSD_URL, url, &format!("udp://{}", reachable(address)));
            }
        }
        let (traces, metrics) = (traces.is_none(), metrics.is_none() && dogstatsd.is_some());
        if let Some(host) = elsewhere {
            if traces || metrics {
                target.warn(HOST, host, &format!("http://{ours}"));
            }
            return target;
        }
        if host.is_none() && (traces || metrics) {
            target.variables.push((HOST, ours.ip().to_string()));
        }
        if traces && given(PORT).is_none() {
            target.variables.push((PORT, ours.port().to_string()));
        }
        // It is our own setting too, so one that is not ours any more is one that we could not have.
        let port = dogstatsd.filter(|_| metrics).map(|address| address.port().to_string());
        if let Some(port) = port.filter(|port| given(DOGSTATSD_PORT).as_ref() != Some(port)) {
            target.variables.push((DOGSTATSD_PORT, port));
        }
        target
    }

    fn warn(&mut self, name: &str, value: &str, ours: &str) {
        self.warnings.push(format!("{name}={value} is set: the program sends there, not to {ours}"));
    }
}

/// Where programs on this machine reach us, for people.
pub(super) fn places(receiver: SocketAddr, dogstatsd: Option<SocketAddr>) -> String {
    let receiver = reachable(receiver);
    match dogstatsd.map(reachable) {
        Some(dogstatsd) => format!("http://{receiver} and udp://{dogstatsd}"),
        None => format!("http://{receiver}"),
    }
}

/// An address a program on this machine can connect to.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Another program has the UDP port.
pub(super) fn is_udp_taken(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Another program has the port.
pub(super) fn is_taken(bind: IpAddr, port: u16) -> bool {
    TcpListener::bind((bind, port)).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::config::source::Fixed;

    fn ours() -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 8127).into()
    }

    fn dogstatsd() -> Option<SocketAddr> {
        Some((Ipv4Addr::LOCALHOST, 8125).into())
    }

    #[test]
    fn a_tracer_and_a_metrics_client_are_led_to_us() {
        let expected = vec![
            (URL, "http://127.0.0.1:8127".to_owned()),
            (HOST, "127.0.0.1".to_owned()),
            (PORT, "8127".to_owned()),
            (DOGSTATSD_PORT, "8125".to_owned()),
        ];
        let target = Target::of(ours(), dogstatsd(), &Fixed::new());
        assert_eq!(target, Target { variables: expected.clone(), warnings: Vec::new() });
        let target = Target::of(ours(), None, &Fixed::new());
        assert_eq!(target.variables, expected[..3]);
    }

    #[test]
    fn a_host_that_is_this_machine_does_not_lead_elsewhere() {
        let strings = Fixed::from_iter([(HOST, "localhost"), (PORT, "8126"), (DOGSTATSD_PORT, "8125")]);
        let target = Target::of(ours(), dogstatsd(), &strings);
        assert_eq!(target.variables, [(URL, "http://127.0.0.1:8127".to_owned())]);
        assert_eq!(target.warnings, [""; 0]);
    }

    #[test]
    fn a_dogstatsd_port_that_we_could_not_have_is_told_anew() {
        let target = Target::of(ours(), dogstatsd(), &Fixed::new().with(DOGSTATSD_PORT, "9125"));
        assert!(target.variables.contains(&(DOGSTATSD_PORT, "8125".to_owned())), "{target:?}");
    }

    #[test]
    fn what_the_user_said_stays_and_is_told_when_it_leads_elsewhere() {
        for (name, value, warns) in [
            (URL, "http://agent:8126", true),
            (URL, "http://localhost:8127/", false),
            (HOST, "10.0.0.7", true),
            (DOGSTATSD_URL, "udp://agent:8125", false),
            (DOGSTATSD_URL, "udp://agent:9", true),
            (DOGSTATSD_URL, "unix:///run/dsd.socket", true),
        ] {
            let target = Target::of(ours(), dogstatsd(), &Fixed::new().with(name, value));
            assert!(target.variables.iter().all(|(set, _)| *set != name), "{name}={value}");
            assert_eq!(target.warnings.len(), usize::from(warns), "{name}={value}");
        }
        let socket = Fixed::from_iter([
            (DOGSTATSD_URL, "unix:///run/dsd.socket"),
            (DOGSTATSD_SOCKET, "/run/dsd.socket"),
        ]);
        assert_eq!(Target::of(ours(), dogstatsd(), &socket).warnings, [""; 0]);
    }

    #[test]
    fn where_traces_go_elsewhere_metrics_may_still_come_to_us() {
        let strings = Fixed::new().with(URL, "http://agent:8126");
        let target = Target::of(ours(), dogstatsd(), &strings);
        assert_eq!(target.variables, [(HOST, "127.0.0.1".to_owned()), (DOGSTATSD_PORT, "8125".to_owned())]);
        let elsewhere = Fixed::from_iter([(URL, "http://agent:8126"), (DOGSTATSD_URL, "udp://agent:9")]);
        let target = Target::of(ours(), dogstatsd(), &elsewhere);
        assert_eq!((target.variables.len(), target.warnings.len()), (0, 2));
    }

    #[test]
    fn a_udp_port_is_taken_while_another_holds_it() {
        let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = holder.local_addr().unwrap();
        assert!(is_udp_taken(address));
        drop(holder);
        assert!(!is_udp_taken(address));
    }

    #[test]
    fn a_port_is_taken_while_another_holds_it() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        assert!(is_taken(Ipv4Addr::LOCALHOST.into(), port));
        drop(holder);
        assert!(!is_taken(Ipv4Addr::LOCALHOST.into(), port));
    }
}
