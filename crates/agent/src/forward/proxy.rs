//! Which proxy a request goes through.
//!
//! `facts/delivery.md` §10: a host on the no-proxy list is matched exactly, unless
//! `no_proxy_nonexact_match` asks for domains; cloud metadata addresses are never proxied. Entries that can
//! only be patterns (`.example.com`, `10.0.0.0/8`, `*`) are patterns either way.

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::fmt;

/// Addresses of cloud metadata services; a proxy would answer for another machine.
const METADATA_HOSTS: [&str; 4] = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"];

/// A checked proxy URL. Its credentials do not show in `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct Proxy {
    url: String,
}

impl Proxy {
    /// Checks a proxy URL: `http` or `https` (`http` when there is no scheme), a host, optionally a port and
    /// `user:password@`, percent-encoded.
    ///
    /// # Errors
    /// Why it is none (losses.md L5: a bad proxy is an error of the configuration, not of each payload).
    pub fn new(url: &str) -> Result<Self, String> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = with_scheme.parse().map_err(|error| format!("it is not a URL: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            other => return Err(format!("its scheme is {:?}, neither http nor https", other.unwrap_or(""))),
        }
        let Some(authority) = uri.authority() else { return Err("it has no host".to_owned()) };
        if authority.host().is_empty() {
            return Err("it has no host".to_owned());
        }
        let after_user = authority.as_str().rsplit('@').next().unwrap_or_default();
        if after_user.len() > authority.host().len() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err("its port is not a number from 1 to 65535".to_owned());
        }
        Ok(Self { url: with_scheme })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        write!(f, "{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
    }
}

/// The proxies of all requests, whatever their signal (losses.md L29).
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `http` targets.
    pub http: Option<Proxy>,
    /// For `https` targets.
    pub https: Option<Proxy>,
    /// Hosts that are reached directly.
    pub no_proxy: Vec<String>,
    /// Entries of `no_proxy` also stand for their subdomains.
    pub no_proxy_nonexact_match: bool,
    /// Metadata services are proxied too.
    pub use_proxy_for_cloud_metadata: bool,
}

/// The decision, prepared.
#[derive(Debug)]
pub(super) struct Proxies {
    matcher: Matcher,
    /// `host` or `host:port`, lower case, without brackets.
    direct: Vec<String>,
}

impl Proxies {
    pub(super) fn new(settings: &ProxySettings) -> Self {
        let mut patterns = Vec::new();
        let mut direct = Vec::new();
        for entry in &settings.no_proxy {
            let entry = entry.trim().to_ascii_lowercase();
            let is_pattern = entry.starts_with(['.', '*']) || entry.contains('/');
            if is_pattern || settings.no_proxy_nonexact_match {
                // `*.example.com` is `.example.com` to the matcher.
                patterns.push(entry.strip_prefix("*.").map_or(entry.clone(), |rest| format!(".{rest}")));
            }
            if !is_pattern {
                direct.push(entry.replace(['[', ']'], ""));
            }
        }
        if !settings.use_proxy_for_cloud_metadata {
            direct.extend(METADATA_HOSTS.map(str::to_owned));
        }
        let url = |proxy: &Option<Proxy>| proxy.as_ref().map_or_else(String::new, |proxy| proxy.url.clone());
        let matcher = Matcher::builder()
            .http(url(&settings.http))
            .https(url(&settings.https))
            .no(patterns.join(","))
            .build();
        Self { matcher, direct }
    }

    /// The proxy for a target, if it has one.
    pub(super) fn intercept(&self, target: &Uri) -> Option<Intercept> {
        let host = target.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let port = target.port_u16();
        let is_direct = self.direct.iter().any(|entry| {
            *entry == host
                || port.is_some_and(|port| {
                    entry.strip_prefix(&*host).and_then(|rest| rest.strip_prefix(':'))
                        == Some(port.to_string().as_str())
                })
        });
        if is_direct { None } else { self.matcher.intercept(target) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(settings: &ProxySettings, target: &str) -> Option<String> {
        Proxies::new(settings).intercept(&target.parse().unwrap()).map(|proxy| proxy.uri().to_string())
    }

    fn settings(no_proxy: &[&str]) -> ProxySettings {
        ProxySettings {
            http: Some(Proxy::new("http://plain.test:3128").unwrap()),
            https: Some(Proxy::new("secure.test:3129").unwrap()),
            no_proxy: no_proxy.iter().map(|entry| (*entry).to_owned()).collect(),
            ..ProxySettings::default()
        }
    }

    #[test]
    fn l29_each_scheme_has_its_proxy() {
        let settings = settings(&[]);
        assert_eq!(proxied(&settings, "http://a.test/x").unwrap(), "http://plain.test:3128/");
        assert_eq!(proxied(&settings, "https://a.test/x").unwrap(), "http://secure.test:3129/");
        assert_eq!(proxied(&ProxySettings::default(), "https://a.test/x"), None);
        let one = ProxySettings { http: None, ..settings };
        assert_eq!(proxied(&one, "http://a.test/x"), None);
    }

    #[test]
    fn a_no_proxy_host_is_matched_exactly_unless_asked_otherwise() {
        let mut settings = settings(&["Example.test", "port.test:8443", "::1"]);
        for direct in
            ["https://example.test/", "http://EXAMPLE.test:99/", "https://port.test:8443/", "http://[::1]:5/"]
        {
            assert_eq!(proxied(&settings, direct), None, "{direct}");
        }
        for through in ["https://sub.example.test/", "https://port.test/", "https://notexample.test/"] {
            assert!(proxied(&settings, through).is_some(), "{through}");
        }
        settings.no_proxy_nonexact_match = true;
        assert_eq!(proxied(&settings, "https://sub.example.test/"), None);
        assert_eq!(proxied(&settings, "https://port.test:8443/"), None);
        assert!(proxied(&settings, "https://notexample.test/").is_some());
    }

    #[test]
    fn what_can_only_be_a_pattern_is_one() {
        let some = settings(&[".inner.test", "*.other.test", "10.0.0.0/8"]);
        for direct in ["https://a.inner.test/", "https://b.other.test/", "http://10.1.2.3/"] {
            assert_eq!(proxied(&some, direct), None, "{direct}");
        }
        assert!(proxied(&some, "http://11.1.2.3/").is_some());
        let all = settings(&["*"]);
        assert_eq!(proxied(&all, "https://anything.test/"), None);
    }

    #[test]
    fn metadata_services_are_never_proxied_unless_asked() {
        let mut settings = settings(&[]);
        assert_eq!(proxied(&settings, "http://169.254.169.254/latest"), None);
        assert_eq!(proxied(&settings, "http://100.100.100.200/"), None);
        assert_eq!(proxied(&settings, "http://[fd00:ec2::254]/"), None);
        settings.use_proxy_for_cloud_metadata = true;
        assert!(proxied(&settings, "http://169.254.169.254/latest").is_some());
    }

    #[test]
    fn l5_a_bad_proxy_is_an_error_with_its_reason() {
        for (url, why) in [
            ("socks5://a.test", "scheme"),
            ("ftp://a.test", "scheme"),
            ("http://", "URL"),
            ("", "URL"),
            ("http://a b.test", "URL"),
            ("http://a.test:0", "port"),
            ("http://a.test:99999", "port"),
        ] {
            let error = Proxy::new(url).unwrap_err();
            assert!(error.contains(why) || error.contains("URL"), "{url}: {error}");
        }
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let proxy = Proxy::new("http://user:p%40ss@a.test:1").unwrap();
        assert_eq!(format!("{proxy:?}"), "http://a.test:1");
        let proxies = Proxies::new(&ProxySettings { http: Some(proxy), ..ProxySettings::default() });
        let intercept = proxies.intercept(&Uri::from_static("http://b.test/")).unwrap();
        assert_eq!(intercept.basic_auth().unwrap(), "Basic dXNlcjpwQHNz");
        assert!(!format!("{proxies:?}").contains("user"), "{proxies:?}");
    }
}
