//! `lastlight check`: what is in effect, where it came from, and what is wrong with it.

mod places;

use crate::config::source::Strings;
use crate::config::table::{self, Knowledge};
use crate::config::{Config, ConfigError, Source};
use crate::platform::{Face, Probe};
use places::{Listener, Look, Target};
use serde_json::json;

/// Longest value that is padded to; longer ones push their source to the right.
const VALUE_COLUMN_MAX_CHARACTERS: usize = 64;

/// The report for people, and whether the agent would start, as one of its faces.
pub fn report(strings: &dyn Strings, face: Face) -> (String, bool) {
    let findings = Findings::of(strings, face, &Probe::of_this_system(), &places::look);
    (findings.text(), findings.errors.is_empty())
}

/// The same as one JSON object on one line.
pub fn report_json(strings: &dyn Strings, face: Face) -> (String, bool) {
    let findings = Findings::of(strings, face, &Probe::of_this_system(), &places::look);
    (findings.json(), findings.errors.is_empty())
}

/// Everything there is to say.
struct Findings {
    config: Config,
    errors: Vec<ConfigError>,
    names: Names,
    listeners: Vec<Listener>,
    targets: Vec<Target>,
}

/// Variables that are no setting.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Nearly a known name, and which.
    misspelt: Vec<(String, &'static str)>,
    /// Known, and without effect.
    not_used: Vec<String>,
    /// Begins like one of ours, and is unknown.
    unknown: Vec<String>,
    /// How many are the tracers'.
    tracers: usize,
}

impl Findings {
    fn of(strings: &dyn Strings, face: Face, probe: &Probe, look: Look<'_>) -> Self {
        let (config, mut errors) = Config::read(strings, face, probe);
        let key = table::DD_API_KEY.name();
        if !errors.iter().any(|error| error.variable == key) {
            errors.extend(config.require_api_key().err());
        }
        let (listeners, targets) = (places::listeners(&config, look), places::targets(&config));
        Self { config, errors, names: names(strings), listeners, targets }
    }

    fn text(&self) -> String {
        let mut out =
            format!("lastlight {}\nplatform: {}\n", env!("CARGO_PKG_VERSION"), self.config.platform.name());
        let rows: Vec<[String; 3]> = self
            .config
            .said
            .iter()
            .map(|said| {
                let value = said.shown();
                let value = if value.is_empty() { "-".to_owned() } else { value };
                let source = match &said.source {
                    // The name stands at the start of the line already.
                    Source::Variable(name) if *name == said.setting.name() => "set".to_owned(),
                    Source::Variable(name) => format!("set by {name}"),
                    other => other.to_string(),
                };
                [said.setting.name().to_owned(), value, source]
            })
            .collect();
        let mut rows = rows.iter().zip(&self.config.said).peekable();
        while let Some((_, first)) = rows.peek() {
            let group = first.setting.group;
            out.push_str(&format!("\n{group}\n"));
            let mut in_group = Vec::new();
            while let Some(row) = rows.next_if(|(_, said)| said.setting.group == group) {
                in_group.push(row);
            }
            let width = |column: usize, max: usize| {
                let counts = in_group.iter().map(|(row, _)| row[column].chars().count());
                counts.filter(|count| *count <= max).max().unwrap_or(0)
            };
            let (name_width, value_width) = (width(0, usize::MAX), width(1, VALUE_COLUMN_MAX_CHARACTERS));
            for ([name, value, source], said) in in_group {
                let mark = if matches!(said.source, Source::Variable(_)) { '*' } else { ' ' };
                out.push_str(&format!("{mark} {name:name_width$}  {value:value_width$}  {source}\n"));
            }
        }
        self.text_of_places(&mut out);
        self.text_of_names(&mut out);
        section(&mut out, "Warnings", self.config.warnings.iter().cloned());
        section(&mut out, "Errors", self.errors.iter().map(ToString::to_string));
        out.push_str(&match self.errors.len() {
            0 => "\nThe agent starts with this.\n".to_owned(),
            1 => "\nThe agent does not start: 1 error.\n".to_owned(),
            count => format!("\nThe agent does not start: {count} errors.\n"),
        });
        if self.config.face == Face::Entrypoint && !self.errors.is_empty() {
            out.push_str("The program starts without it.\n");
        }
        out
    }

    fn text_of_places(&self, out: &mut String) {
        let width = self.listeners.iter().map(|listener| listener.address.chars().count()).max().unwrap_or(0);
        let lines = self.listeners.iter().map(|Listener { signal, transport, address, state }| {
            format!("{signal:7}  {transport:11}  {address:width$}  {state}")
        });
        section(out, "Listens on", lines);
        let width = self.targets.iter().map(|target| target.signal.len()).max().unwrap_or(0);
        let lines = self.targets.iter().map(|Target { signal, url }| format!("{signal:width$}  {url}"));
        section(out, "Sends metrics, events and logs to", lines);
    }

    fn text_of_names(&self, out: &mut String) {
        let misspelt = self.names.misspelt.iter();
        section(
            out,
            "Perhaps misspelt",
            misspelt.map(|(name, meant)| format!("{name} is not known: did you mean {meant}?")),
        );
        section(out, "Not known here", self.names.unknown.iter().cloned());
        section(out, "Known, and without effect", self.names.not_used.iter().cloned());
        if self.names.tracers > 0 {
            out.push_str(&format!("\nVariables left to the tracers: {}\n", self.names.tracers));
        }
    }

    fn json(&self) -> String {
        let settings: Vec<_> = self
            .config
            .said
            .iter()
            .map(|said| {
                let is_set = matches!(said.source, Source::Variable(_));
                json!({
                    "name": said.setting.name(),
                    "value": said.shown(),
                    "source": said.source.to_string(),
                    "set": is_set,
                })
            })
            .collect();
        let errors: Vec<_> = self
            .errors
            .iter()
            .map(|error| {
                json!({
                    "variable": error.variable,
                    "value": error.value,
                    "why": error.why,
                    "allowed": error.allowed,
                })
            })
            .collect();
        let misspelt: Vec<_> =
            self.names.misspelt.iter().map(|(name, meant)| json!({ "name": name, "meant": meant })).collect();
        let listens: Vec<_> = self
            .listeners
            .iter()
            .map(|Listener { signal, transport, address, state }| {
                json!({ "signal": signal, "transport": transport, "address": address, "state": state })
            })
            .collect();
        let sends: Vec<_> = self
            .targets
            .iter()
            .map(|Target { signal, url }| json!({ "signal": signal, "url": url }))
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ok": self.errors.is_empty(),
            "platform": self.config.platform.name(),
            "settings": settings,
            "listens_on": listens,
            "sends_metrics_to": sends,
            "errors": errors,
            "warnings": self.config.warnings,
            "misspelt": misspelt,
            "unknown": self.names.unknown,
            "not_used": self.names.not_used,
        })
        .to_string()
    }
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        out.push_str(&format!("\n{title}\n"));
    }
    for line in lines {
        // A rule's error may point into its pattern over several lines.
        out.push_str(&format!("  {}\n", line.replace('\n', "\n    ")));
    }
}

/// Sorts the names that are no setting.
fn names(strings: &dyn Strings) -> Names {
    let mut found = Names::default();
    let mut names = strings.names();
    model::order::sort(&mut names);
    for name in names {
        match table::knowledge(&name) {
            Knowledge::Setting => {}
            Knowledge::NotUsed => found.not_used.push(name),
            Knowledge::TracersOwn => found.tracers += 1,
            Knowledge::Unknown => match meant(&name) {
                Some(meant) => found.misspelt.push((name, meant)),
                None if name.starts_with("DD_") || name.starts_with("LASTLIGHT_") => found.unknown.push(name),
                None => {}
            },
        }
    }
    found
}

/// The setting a name is one slip away from. Only names that are unmistakably ours are compared: `HTTPS_PROXY`
/// has neighbours in any environment.
fn meant(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let ours = table::names().filter(|known| known.starts_with("DD_") || known.starts_with("LASTLIGHT_"));
    ours.min_by_key(|known| distance(&upper, known)).filter(|known| distance(&upper, known) <= 1)
}

/// How many single slips (one character more, less or other, or two exchanged) lie between two names:
/// 0, 1, or 2 for more.
fn distance(left: &str, right: &str) -> usize {
    if left == right {
        return 0;
    }
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    // What is the same at both ends does not matter.
    let start = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let (left, right) = (&left[start..], &right[start..]);
    let end = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&left[..left.len() - end], &right[..right.len() - end]) {
        ([], [_]) | ([_], [] | [_]) => 1,
        ([a, b], [c, d]) if a == d && b == c => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Fixed;
    use proptest::prelude::*;

    const KEY: (&str, &str) = ("DD_API_KEY", "0123456789abcdef0123456789abcdef");

    fn findings(pairs: &[(&str, &str)]) -> Findings {
        let strings: Fixed = pairs.iter().copied().collect();
        Findings::of(&strings, Face::Agent, &Probe::default(), &|_| Ok(()))
    }

    #[test]
    fn every_value_stands_with_where_it_came_from_and_keys_are_masked() {
        let text =
            findings(&[KEY, ("DD_RECEIVER_PORT", "9126"), ("DD_PROXY_HTTPS", "http://u:hunter2@p:1")]).text();
        let line = |name: &str| {
            let found = text.lines().find(|line| line.split_whitespace().any(|word| word == name));
            found
                .unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
                .split_whitespace()
                .collect::<Vec<_>>()
        };
        assert_eq!(line("DD_API_KEY"), ["*", "DD_API_KEY", "****cdef", "set"]);
        assert_eq!(line("DD_SITE"), ["DD_SITE", "datadoghq.com", "default"]);
        assert_eq!(
            line("DD_APM_RECEIVER_PORT"),
            ["*", "DD_APM_RECEIVER_PORT", "9126", "set", "by", "DD_RECEIVER_PORT"]
        );
        assert_eq!(line("DD_PROXY_HTTPS"), ["*", "DD_PROXY_HTTPS", "http://****@p:1", "set"]);
        for secret in ["0123456789", "hunter2"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.ends_with("The agent starts with this.\n"));
        for setting in table::all() {
            line(setting.name());
        }
    }

    #[test]
    fn the_columns_of_a_group_line_up() {
        let text = findings(&[KEY]).text();
        for group in text.split("\n\n") {
            // Longer values push their source to the right.
            let is_long = |line: &&str| line.chars().count() > 40 + VALUE_COLUMN_MAX_CHARACTERS + 9;
            let ends =
                group.lines().filter(|line| line.ends_with("  default") && !is_long(line)).map(str::len);
            let ends: std::collections::BTreeSet<usize> = ends.collect();
            assert!(ends.len() <= 1, "{group}");
        }
        assert!(text.lines().filter(|line| line.ends_with("  default")).count() > 60);
    }

    #[test]
    fn what_no_variable_says_is_told_with_what_it_follows_from() {
        let text = findings(&[
            KEY,
            ("DD_SITE", "datadoghq.eu"),
            ("DD_ENV", "prod"),
            ("DD_APM_NON_LOCAL_TRAFFIC", "1"),
        ])
        .text()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
        for expected in [
            "DD_APM_DD_URL https://trace.agent.datadoghq.eu from DD_SITE",
            "DD_EVP_PROXY_CONFIG_DD_URL https://<subdomain>.datadoghq.eu from DD_SITE",
            "DD_APM_ENV prod as DD_ENV",
            "DD_BIND_HOST 0.0.0.0 by DD_APM_NON_LOCAL_TRAFFIC",
            "LASTLIGHT_EXIT_WITH_PARENT false not started by a compat layer",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in {text}");
        }
    }

    #[test]
    fn it_says_where_it_listens_and_where_metrics_go() {
        let found = findings(&[KEY, ("DD_SITE", "datadoghq.eu"), ("DD_DOGSTATSD_SOCKET", "@dsd")]);
        let text = found.text();
        for expected in [
            "\nListens on\n",
            "\n  traces   tcp          127.0.0.1:8126  free\n",
            "\n  metrics  udp          127.0.0.1:8125  free\n",
            "\n  metrics  unix         @dsd            free\n",
            "\n  metrics, service checks  https://api.datadoghq.eu\n",
            "\n  events                   https://app.datadoghq.eu\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
        }
        let value: serde_json::Value = serde_json::from_str(&found.json()).unwrap();
        assert_eq!(value["listens_on"].as_array().unwrap().len(), 4);
        assert_eq!(value["listens_on"][3]["transport"], "unix");
        assert_eq!(value["sends_metrics_to"][1]["url"], "https://app.datadoghq.eu");
    }

    #[test]
    fn a_place_that_is_taken_now_is_told_and_is_no_error() {
        let strings: Fixed = [KEY].into_iter().collect();
        let found =
            Findings::of(&strings, Face::Agent, &Probe::default(), &|_| Err("somebody has it".into()));
        let text = found.text();
        assert!(text.contains("127.0.0.1:8126  not free now: somebody has it\n"), "{text}");
        assert!(text.ends_with("The agent starts with this.\n"), "it may be the agent that runs already");
    }

    #[test]
    fn l67_a_missing_key_is_an_error_once() {
        let found = findings(&[]);
        assert_eq!(found.errors.len(), 1);
        let text = found.text();
        assert!(text.contains("DD_API_KEY: it is not set") && text.contains("lastlight dev"), "{text}");
        assert!(text.ends_with("The agent does not start: 1 error.\n"));
        assert_eq!(findings(&[("DD_API_KEY", "not a key")]).errors.len(), 1);
    }

    #[test]
    fn every_bad_value_is_named_with_what_is_allowed() {
        let text = findings(&[
            KEY,
            ("DD_APM_RECEIVER_PORT", "eighty"),
            ("DD_APM_SQL_OBFUSCATION_MODE", "sometimes"),
            ("DD_APM_REPLACE_TAGS", "[{\"name\":\"a\",\"pattern\":\"(\",\"repl\":\"\"}]"),
        ])
        .text();
        for expected in [
            "DD_APM_RECEIVER_PORT=eighty: it is no port; allowed: a whole number from 0 to 65535",
            "DD_APM_SQL_OBFUSCATION_MODE=sometimes: it is none of the words; allowed: normalize_only, obfuscate_only",
            "rule 1",
            "The agent does not start: 3 errors.",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
        }
    }

    #[test]
    fn a_name_one_slip_away_is_pointed_out_and_tracers_names_are_left_alone() {
        let found = findings(&[
            KEY,
            ("DD_STIE", "x"),
            ("DD_APM_RECIEVER_PORT", "x"),
            ("DD_APM_RECEIVER_PORTS", "x"),
            ("D_SITE", "x"),
            ("dd_site", "x"),
            ("LASTLIGHT_MEMROY", "x"),
            ("LASTLIGHT_MAGIC", "x"),
            ("DD_DOGSTATSD_QUEUE_SIZE", "x"),
            ("DD_DOGSTATSD_PROT", "x"),
            ("DD_TRACE_SAMPLE_RATE", "x"),
            ("DD_LOGS_INJECTION", "x"),
            ("HTTP_PROXY", "http://p:1"),
            ("PATH", "x"),
        ]);
        let misspelt: Vec<(&str, &str)> =
            found.names.misspelt.iter().map(|(name, meant)| (name.as_str(), *meant)).collect();
        assert_eq!(
            misspelt,
            [
                ("DD_APM_RECEIVER_PORTS", "DD_APM_RECEIVER_PORT"),
                ("DD_APM_RECIEVER_PORT", "DD_APM_RECEIVER_PORT"),
                ("DD_DOGSTATSD_PROT", "DD_DOGSTATSD_PORT"),
                ("DD_STIE", "DD_SITE"),
                ("D_SITE", "DD_SITE"),
                ("LASTLIGHT_MEMROY", "LASTLIGHT_MEMORY"),
                ("dd_site", "DD_SITE"),
            ]
        );
        assert_eq!(found.names.unknown, ["LASTLIGHT_MAGIC"]);
        assert_eq!(found.names.not_used, ["DD_DOGSTATSD_QUEUE_SIZE"]);
        assert_eq!(found.names.tracers, 2);
        assert!(found.errors.is_empty(), "a slip is no error: the name may be another program's");
        assert!(found.text().contains("DD_STIE is not known: did you mean DD_SITE?"));
    }

    #[test]
    fn the_json_form_says_the_same() {
        let found = findings(&[("DD_SITE", "a b"), ("DD_STIE", "x"), ("DD_LOG_LEVEL", "chatty")]);
        let value: serde_json::Value = serde_json::from_str(&found.json()).unwrap();
        assert_eq!(value["ok"], false);
        assert_eq!(value["errors"].as_array().unwrap().len(), 2);
        assert_eq!(value["errors"][0]["variable"], "DD_SITE");
        assert_eq!(value["settings"].as_array().unwrap().len(), table::all().count());
        assert_eq!(value["misspelt"][0]["meant"], "DD_SITE");
        assert_eq!(value["warnings"].as_array().unwrap().len(), 1);
        assert!(!found.json().contains('\n'));
        let (text, ok) = report_json(&Fixed::from_iter([KEY]), Face::Agent);
        assert!(ok && text.contains("\"ok\":true"));
        assert!(report(&Fixed::from_iter([KEY]), Face::Agent).1);
    }

    #[test]
    fn around_a_program_an_error_costs_the_agent_and_not_the_program() {
        let (text, ok) = report(&Fixed::from_iter([("K_SERVICE", "s")]), Face::Entrypoint);
        assert!(!ok && text.ends_with("1 error.\nThe program starts without it.\n"), "{text}");
        let (text, ok) = report(&Fixed::from_iter([KEY]), Face::Sidecar);
        assert!(ok && text.contains("logs     tcp"), "{text}");
        assert!(text.contains("https://http-intake.logs.datadoghq.com/api/v2/logs"), "{text}");
    }

    /// The distance in its textbook form.
    fn textbook(left: &[char], right: &[char]) -> usize {
        let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
        for i in 0..=left.len() {
            for j in 0..=right.len() {
                table[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let other = usize::from(left[i - 1] != right[j - 1]);
                    let mut best =
                        (table[i - 1][j] + 1).min(table[i][j - 1] + 1).min(table[i - 1][j - 1] + other);
                    if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                        best = best.min(table[i - 2][j - 2] + 1);
                    }
                    best
                };
            }
        }
        table[left.len()][right.len()]
    }

    proptest! {
        #[test]
        fn the_distance_is_damerau_and_levenshteins_cut_at_two(left in "[ab]{0,5}", right in "[ab]{0,5}") {
            let (l, r): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            prop_assert_eq!(distance(&left, &right), textbook(&l, &r).min(2));
        }
    }
}
