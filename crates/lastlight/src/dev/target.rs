//! Where the command's tracer sends: to us, unless the user said otherwise.

use agent::config::source::Strings;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

const URL: &str = "DD_TRACE_AGENT_URL";
const HOST: &str = "DD_AGENT_HOST";
const PORT: &str = "DD_TRACE_AGENT_PORT";

/// Variables for the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Set in addition to the environment.
    pub(super) variables: Vec<(&'static str, String)>,
    /// Why nothing may arrive, when the user's own variables lead elsewhere.
    pub(super) warning: Option<String>,
}

impl Target {
    /// Leads a tracer to `address` without overriding what the user said.
    pub(super) fn of(address: SocketAddr, strings: &dyn Strings) -> Self {
        let reachable = reachable(address);
        if let Some(url) = strings.get(URL).filter(|url| !url.is_empty()) {
            let ours = url.trim_end_matches('/').ends_with(&format!(":{}", address.port()));
            let warning = format!("{URL}={url} is set: the program sends there, not to http://{reachable}");
            return Self { variables: Vec::new(), warning: (!ours).then_some(warning) };
        }
        let host = strings.get(HOST).filter(|host| !host.is_empty());
        if let Some(host) = host.as_deref().filter(|host| !is_loopback(host)) {
            let warning = format!("{HOST}={host} is set: the program sends there, not to http://{reachable}");
            return Self { variables: Vec::new(), warning: Some(warning) };
        }
        // The URL counts before the other two; they are for clients that know no URL.
        let mut variables = vec![(URL, format!("http://{reachable}"))];
        if host.is_none() {
            variables.push((HOST, reachable.ip().to_string()));
        }
        if strings.get(PORT).is_none_or(|port| port.is_empty()) {
            variables.push((PORT, reachable.port().to_string()));
        }
        Self { variables, warning: None }
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

    #[test]
    fn a_tracer_is_led_to_us() {
        let expected = vec![
            (URL, "http://127.0.0.1:8127".to_owned()),
            (HOST, "127.0.0.1".to_owned()),
            (PORT, "8127".to_owned()),
        ];
        let target = Target::of(ours(), &Fixed::new());
        assert_eq!(target, Target { variables: expected, warning: None });
    }

    #[test]
    fn a_host_that_is_this_machine_does_not_lead_elsewhere() {
        let strings = Fixed::from_iter([(HOST, "localhost"), (PORT, "8126")]);
        let target = Target::of(ours(), &strings);
        assert_eq!(target.variables, [(URL, "http://127.0.0.1:8127".to_owned())]);
        assert_eq!(target.warning, None);
    }

    #[test]
    fn what_the_user_said_stays_and_is_told_when_it_leads_elsewhere() {
        for (name, value, warns) in [
            (URL, "http://agent:8126", true),
            (URL, "http://localhost:8127/", false),
            (HOST, "10.0.0.7", true),
        ] {
            let target = Target::of(ours(), &Fixed::new().with(name, value));
            assert_eq!(target.variables, []);
            assert_eq!(target.warning.is_some(), warns, "{name}={value}");
        }
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
