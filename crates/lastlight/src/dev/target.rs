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

/// Where an agent inside the command sends to (`liblastlight` in PHP): the settings of `Endpoints::all_at`.
const INTAKES: [&str; 10] = [
    "DD_APM_DD_URL",
    "DD_DD_URL",
    "DD_LOGS_CONFIG_LOGS_DD_URL",
    "DD_APM_PROFILING_DD_URL",
    "DD_APM_TELEMETRY_DD_URL",
    "DD_APM_DEBUGGER_DD_URL",
    "DD_APM_DEBUGGER_DIAGNOSTICS_DD_URL",
    "DD_APM_SYMDB_DD_URL",
    "DD_EVP_PROXY_CONFIG_DD_URL",
    "DD_OL_PROXY_CONFIG_DD_URL",
];
/// Where such an agent would send as well.
const ADDITIONAL: [&str; 8] = [
    "DD_APM_ADDITIONAL_ENDPOINTS",
    "DD_ADDITIONAL_ENDPOINTS",
    "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS",
    "DD_APM_PROFILING_ADDITIONAL_ENDPOINTS",
    "DD_APM_TELEMETRY_ADDITIONAL_ENDPOINTS",
    "DD_APM_DEBUGGER_ADDITIONAL_ENDPOINTS",
    "DD_APM_DEBUGGER_DIAGNOSTICS_ADDITIONAL_ENDPOINTS",
    "DD_APM_SYMDB_ADDITIONAL_ENDPOINTS",
];
const API_KEY: &str = "DD_API_KEY";
/// Read by nobody: the desk asks for none, but an agent does not send without.
const API_KEY_OF_NOBODY: &str = "0123456789abcdef0123456789abcdef";
const FLUSH_PERIOD: &str = "LASTLIGHT_FLUSH_PERIOD";
/// The first of them that is set counts.
const NO_PROXY: [&str; 3] = ["DD_PROXY_NO_PROXY", "NO_PROXY", "no_proxy"];

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

/// Variables that lead an agent inside the command to the desk at `url`, and nowhere else, as the session's own agent is:
/// what the user set for a real backend does not count. A proxy stays the command's, but is not for the desk.
pub(super) fn to_desk(url: &str, strings: &dyn Strings) -> Vec<(&'static str, String)> {
    let given = |name: &str| strings.get(name).filter(|value| !value.is_empty());
    let mut variables: Vec<_> = INTAKES.iter().map(|name| (*name, url.to_owned())).collect();
    variables
        .extend(ADDITIONAL.iter().filter(|name| given(name).is_some()).map(|name| (*name, String::new())));
    if given(API_KEY).is_none() {
        variables.push((API_KEY, API_KEY_OF_NOBODY.to_owned()));
    }
    if given(FLUSH_PERIOD).is_none() {
        variables.push((FLUSH_PERIOD, format!("{}ms", super::FLUSH_PERIOD_MAX.as_millis())));
    }
    let host = url.trim_start_matches("http://").split(['/', ':']).next().unwrap_or_default();
    let direct = NO_PROXY.iter().find_map(|name| given(name)).map_or_else(String::new, |mut hosts| {
        hosts.push(if hosts.contains(',') { ',' } else { ' ' });
        hosts
    });
    variables.push((NO_PROXY[0], direct + host));
    variables
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
    fn an_agent_inside_the_command_sends_to_the_desk_and_nowhere_else() {
        let desk = "http://127.0.0.1:9";
        let strings = Fixed::from_iter([
            ("DD_APM_DD_URL", "https://trace.agent.example"),
            ("DD_APM_ADDITIONAL_ENDPOINTS", "{\"https://other.example\":[\"key\"]}"),
            (API_KEY, "mine"),
            ("no_proxy", "a.example"),
        ]);
        let variables = to_desk(desk, &strings);
        assert!(INTAKES.iter().all(|name| variables.contains(&(name, desk.to_owned()))));
        assert!(variables.contains(&("DD_APM_ADDITIONAL_ENDPOINTS", String::new())));
        assert!(variables.iter().all(|(name, _)| *name != API_KEY));
        assert!(variables.contains(&("DD_PROXY_NO_PROXY", "a.example 127.0.0.1".to_owned())));
        let variables = to_desk(desk, &Fixed::new());
        assert!(variables.contains(&(API_KEY, API_KEY_OF_NOBODY.to_owned())));
        assert!(variables.contains(&(FLUSH_PERIOD, "200ms".to_owned())));
        assert!(variables.contains(&("DD_PROXY_NO_PROXY", "127.0.0.1".to_owned())));
        assert_eq!(variables.len(), INTAKES.len() + 3);
        // Each is a setting that an agent understands, and none is forgotten but flares, whose place is no setting: they
        // are sent where an account asks for them.
        let strings = Fixed::from_iter(variables.iter().map(|(name, value)| (*name, &**value)));
        let mut config = agent::config::Config::load(&strings).unwrap();
        let base = agent::config::BaseUrl::new(desk).unwrap();
        let all = agent::config::Endpoints::all_at(&base);
        config.endpoints.tracer_flare = all.tracer_flare.clone();
        assert_eq!(config.endpoints, all);
        assert_eq!(config.warnings, [""; 0]);
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
