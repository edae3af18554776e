//! Where payloads go.

use super::secret::Secret;
use super::{parse, parse::Why};
use std::fmt;
use std::time::Duration;

/// An `http` or `https` URL without query, fragment, user or trailing slash (losses.md L71).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Checks a URL.
    ///
    /// # Errors
    /// Why it cannot be the base of requests.
    pub fn new(text: &str) -> Result<Self, Why> {
        let uri: http::Uri = text.parse().map_err(|error| format!("it is not a URL: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(scheme) => return Err(format!("its scheme is {scheme}, neither http nor https")),
            None => return Err("it does not start with http:// or https://".into()),
        }
        let Some(authority) = uri.authority() else { return Err("it has no host".into()) };
        if authority.as_str().contains('@') {
            return Err("it has a user name, which would end up in requests".into());
        }
        let host = authority.host();
        if host.starts_with('[') {
            let inside = host.trim_start_matches('[').trim_end_matches(']');
            inside.parse::<std::net::Ipv6Addr>().map_err(|_| "its host is not an address".to_owned())?;
        } else {
            parse::host_name(host)?;
        }
        if authority.as_str().len() > host.len() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err("its port is not a number from 1 to 65535".into());
        }
        if text.contains(['?', '#']) {
            return Err("it has a query or a fragment".into());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The URL of a path below this one; the path starts with `/`.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.0, path.trim_start_matches('/'))
    }

    /// The URL itself, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Nothing follows the host.
    pub fn is_bare(&self) -> bool {
        self.0.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'))
    }

    /// Itself, or with this path when it has none.
    #[must_use]
    pub fn or_path(self, path: &str) -> Self {
        if self.is_bare() { Self(self.join(path)) } else { self }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One place of the intake and the key for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub url: BaseUrl,
    /// The key, when it is not `Config::api_key`.
    pub api_key: Option<Secret>,
}

/// Where one signal goes: the answer of `main` counts for clients, the others get copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The first place.
    pub main: Endpoint,
    /// The other places, each with its own queue and fate.
    pub additional: Vec<Endpoint>,
}

impl Destination {
    fn only(url: BaseUrl) -> Self {
        Self { main: Endpoint { url, api_key: None }, additional: Vec::new() }
    }
}

/// Where events of the EVP proxy go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvpTarget {
    /// `https://<subdomain>.<domain>`.
    Domain(String),
    /// One place for every subdomain.
    Fixed(BaseUrl),
}

impl EvpTarget {
    /// A URL or a domain.
    ///
    /// # Errors
    /// When it is neither.
    pub fn new(text: &str) -> Result<Self, Why> {
        if text.contains("://") {
            BaseUrl::new(text).map(Self::Fixed)
        } else {
            parse::site(text).map(Self::Domain)
        }
    }

    /// The base for one subdomain, which the caller has checked (`facts/trace-intake.md` §10).
    pub fn base(&self, subdomain: &str) -> String {
        match self {
            Self::Domain(domain) => format!("https://{subdomain}.{domain}"),
            Self::Fixed(url) => url.as_str().to_owned(),
        }
    }
}

impl fmt::Display for EvpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "https://<subdomain>.{domain}"),
            Self::Fixed(url) => url.fmt(f),
        }
    }
}

/// The EVP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvpProxy {
    /// Where events go.
    pub target: EvpTarget,
    /// Key, when it is not `Config::api_key`.
    pub api_key: Option<Secret>,
    /// Application key for requests with `X-Datadog-NeedsAppKey: true`.
    pub application_key: Option<Secret>,
    /// Biggest request body.
    pub body_max_bytes: usize,
    /// Bound of one request.
    pub timeout: Duration,
}

/// Where everything goes. `None`: the route is switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Base of `/api/v0.2/traces`, `/api/v0.2/stats` and `/api/v0.1/pipeline_stats`.
    pub traces: Destination,
    /// Base of `/api/v2/series`, `/api/beta/sketches` and `/api/v1/check_run`.
    pub metrics: Destination,
    /// Base of `/intake/`.
    pub events: Destination,
    /// Whole URL of logs.
    pub logs: Destination,
    /// Whole URL of profiles.
    pub profiling: Destination,
    /// Base of the tracers' telemetry; the path of the request is added.
    pub telemetry: Option<Destination>,
    /// Whole URL of `/debugger/v1/input`.
    pub debugger_logs: Destination,
    /// Whole URL of `/debugger/v1/diagnostics` and `/debugger/v2/input`.
    pub debugger_diagnostics: Destination,
    /// Whole URL of `/symdb/v1/input`.
    pub symbol_database: Destination,
    /// Events.
    pub evp: Option<EvpProxy>,
    /// Whole URL of tracer flares.
    pub tracer_flare: Endpoint,
    /// Whole URL of OpenLineage, which takes its key as `Authorization: Bearer`.
    pub openlineage: Option<Endpoint>,
}

/// Path of profiles.
pub(super) const PROFILING_PATH: &str = "/api/v2/profile";
/// Path of logs, those of the debugger among them.
pub(super) const LOGS_PATH: &str = "/api/v2/logs";
/// Path of debugger diagnostics and symbol databases.
pub(super) const DEBUGGER_PATH: &str = "/api/v2/debugger";
/// Path of tracer flares.
const TRACER_FLARE_PATH: &str = "/api/ui/support/serverless/flare";
/// Path of OpenLineage.
pub(super) const OPENLINEAGE_PATH: &str = "/api/v1/lineage";
/// Bound of one EVP request (`facts/trace-intake.md` §3.3).
const EVP_TIMEOUT: Duration = Duration::from_secs(30);

impl Endpoints {
    /// The reference's hosts of one checked site (`facts/delivery.md` §1).
    pub fn of_site(site: &str) -> Self {
        let url = |host: &str, path: &str| BaseUrl(format!("https://{host}.{site}{path}"));
        // A site with a region of its own answers itself, the others at `app.` (the agent's release is
        // not part of our host names: egress lists would break at every release).
        let flare_host = if site.split('.').count() > 2 { site.to_owned() } else { format!("app.{site}") };
        Self {
            traces: Destination::only(url("trace.agent", "")),
            // The reference sends both to `<its version>-app.agent.<site>`, a name that changes with each release
            // and breaks egress lists. These two names stay.
            metrics: Destination::only(url("api", "")),
            events: Destination::only(url("app", "")),
            logs: Destination::only(url("http-intake.logs", LOGS_PATH)),
            profiling: Destination::only(url("intake.profile", PROFILING_PATH)),
            telemetry: Some(Destination::only(url("instrumentation-telemetry-intake", ""))),
            debugger_logs: Destination::only(url("http-intake.logs", LOGS_PATH)),
            debugger_diagnostics: Destination::only(url("debugger-intake", DEBUGGER_PATH)),
            symbol_database: Destination::only(url("debugger-intake", DEBUGGER_PATH)),
            evp: Some(EvpProxy::to(EvpTarget::Domain(site.to_owned()))),
            tracer_flare: Endpoint {
                url: BaseUrl(format!("https://{flare_host}{TRACER_FLARE_PATH}")),
                api_key: None,
            },
            openlineage: Some(Endpoint { url: url("data-obs-intake", OPENLINEAGE_PATH), api_key: None }),
        }
    }

    /// Everything goes to one base: the local backend of `lastlight dev`, and tests.
    pub fn all_at(base: &BaseUrl) -> Self {
        let at = |path: &str| if path.is_empty() { base.clone() } else { BaseUrl(base.join(path)) };
        Self {
            traces: Destination::only(at("")),
            metrics: Destination::only(at("")),
            events: Destination::only(at("")),
            logs: Destination::only(at(LOGS_PATH)),
            profiling: Destination::only(at(PROFILING_PATH)),
            telemetry: Some(Destination::only(at(""))),
            debugger_logs: Destination::only(at(LOGS_PATH)),
            debugger_diagnostics: Destination::only(at(DEBUGGER_PATH)),
            symbol_database: Destination::only(at(DEBUGGER_PATH)),
            evp: Some(EvpProxy::to(EvpTarget::Fixed(base.clone()))),
            tracer_flare: Endpoint { url: at(TRACER_FLARE_PATH), api_key: None },
            openlineage: Some(Endpoint { url: at(OPENLINEAGE_PATH), api_key: None }),
        }
    }
}

impl EvpProxy {
    fn to(target: EvpTarget) -> Self {
        Self {
            target,
            api_key: None,
            application_key: None,
            body_max_bytes: model::limits::EVP_BODY_MAX_BYTES,
            timeout: EVP_TIMEOUT,
        }
    }
}

/// A URL for a whole route, or the domain its host is built from.
pub(super) fn url_or_site(text: &str, host: &str, path: &str) -> Result<BaseUrl, Why> {
    if text.contains("://") {
        Ok(BaseUrl::new(text)?.or_path(path))
    } else {
        Ok(BaseUrl(format!("https://{host}.{}{path}", parse::site(text)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn l71_a_trailing_slash_never_doubles() {
        for text in ["https://a.example", "https://a.example/", "https://a.example//"] {
            assert_eq!(
                BaseUrl::new(text).unwrap().join("/api/v0.2/traces"),
                "https://a.example/api/v0.2/traces"
            );
        }
        let prefixed = BaseUrl::new("http://[::1]:8080/prefix/").unwrap();
        assert_eq!(prefixed.join("api"), "http://[::1]:8080/prefix/api");
    }

    #[test]
    fn what_is_no_base_of_requests_is_refused_with_its_reason() {
        for (text, why) in [
            ("a.example", "http"),
            ("ftp://a.example", "ftp"),
            ("https://", "URL"),
            ("https://user:pass@a.example", "user name"),
            ("https://a.example/?q=1", "query"),
            ("https://a.example/#f", "fragment"),
            ("https://a b.example", "URL"),
            ("https://a..example", "host name"),
            ("https://a.example:0", "port"),
            ("https://a.example:99999", "port"),
            ("https://[::g]", "address"),
            ("", "URL"),
        ] {
            let error = BaseUrl::new(text).unwrap_err();
            assert!(error.contains(why) || error.contains("URL"), "{text}: {error}");
        }
    }

    #[test]
    fn a_route_with_no_path_of_its_own_gets_the_usual_one() {
        let bare = BaseUrl::new("http://127.0.0.1:9000/").unwrap().or_path(PROFILING_PATH);
        assert_eq!(bare.as_str(), "http://127.0.0.1:9000/api/v2/profile");
        let whole = BaseUrl::new("http://127.0.0.1:9000/v1/input").unwrap().or_path(PROFILING_PATH);
        assert_eq!(whole.as_str(), "http://127.0.0.1:9000/v1/input");
        let lineage = url_or_site("datadoghq.eu", "data-obs-intake", OPENLINEAGE_PATH).unwrap();
        assert_eq!(lineage.as_str(), "https://data-obs-intake.datadoghq.eu/api/v1/lineage");
    }

    #[test]
    fn the_hosts_are_the_references() {
        let endpoints = Endpoints::of_site("us3.datadoghq.com");
        assert_eq!(endpoints.traces.main.url.as_str(), "https://trace.agent.us3.datadoghq.com");
        assert_eq!(endpoints.metrics.main.url.as_str(), "https://api.us3.datadoghq.com");
        assert_eq!(endpoints.events.main.url.as_str(), "https://app.us3.datadoghq.com");
        assert_eq!(
            endpoints.profiling.main.url.as_str(),
            "https://intake.profile.us3.datadoghq.com/api/v2/profile"
        );
        assert_eq!(
            endpoints.debugger_logs.main.url.as_str(),
            "https://http-intake.logs.us3.datadoghq.com/api/v2/logs"
        );
        assert_eq!(
            endpoints.tracer_flare.url.as_str(),
            "https://us3.datadoghq.com/api/ui/support/serverless/flare"
        );
        let flare = Endpoints::of_site("datadoghq.eu").tracer_flare.url;
        assert_eq!(flare.as_str(), "https://app.datadoghq.eu/api/ui/support/serverless/flare");
        let evp = endpoints.evp.unwrap().target;
        assert_eq!(evp.base("llmobs-intake"), "https://llmobs-intake.us3.datadoghq.com");
    }

    #[test]
    fn the_local_backend_gets_everything() {
        let base = BaseUrl::new("http://127.0.0.1:1234/").unwrap();
        let text = format!("{:?}", Endpoints::all_at(&base));
        assert_eq!(text.matches("http://").count(), text.matches("http://127.0.0.1:1234").count());
        assert!(!text.contains("https://"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_sound_base_or_an_error(text in "(https?://)?[ -~]{0,40}") {
            if let Ok(base) = BaseUrl::new(&text) {
                prop_assert!(base.join("/x").parse::<http::Uri>().is_ok());
                prop_assert!(!base.as_str().ends_with('/'));
            }
        }
    }
}
