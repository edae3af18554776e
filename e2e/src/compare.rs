//! lastlight and the older mini agent side by side: what each makes of the same requests.

use crate::{
    BOUND,
    agent::{Agent, free_port, free_udp_port, inherited},
    clients::mini_agent,
    raw::{self, Answer},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use testkit::{Backend, proto::AgentPayload};
use tokio::{net::TcpStream, process::Command, time::timeout};

/// A variable both agents get, so that both find themselves on the same platform.
pub const PLATFORM: (&str, &str) = ("ASCSVCRT_SPRING__APPLICATION__NAME", "e2e");
/// How often a program that does not say when it listens is asked.
const ASK_PERIOD: Duration = Duration::from_millis(5);

/// Starts the mini agent, without DogStatsD.
///
/// # Panics
/// When it does not listen within a minute.
pub async fn start_mini_agent(backend: &Backend, variables: &[(&str, &str)]) -> Agent {
    let variables = [&[("DD_USE_DOGSTATSD", "false")], variables].concat();
    start_mini(mini_agent(), backend, &variables, 0).await
}

/// Starts a copy of the mini agent, made in a folder, that takes DogStatsD and sends metrics to the backend too.
///
/// Its metrics go to `https://api.$DD_SITE` whatever it is told; in the copy these twelve bytes are `http://127.0`.
///
/// # Panics
/// When it does not listen within a minute.
pub async fn start_mini_agent_with_statsd(
    backend: &Backend,
    folder: &Path,
    variables: &[(&str, &str)],
) -> Agent {
    let copy = folder.join("mini-agent");
    // Copied first for its mode.
    std::fs::copy(mini_agent(), &copy).expect("a copy");
    let mut code = std::fs::read(&copy).expect("its bytes");
    let (there, here) = (b"https://api.", b"http://127.0");
    let found: Vec<_> = memchr::memmem::find_iter(&code, there).collect();
    let [place] = found[..] else { panic!("where it sends metrics to is in it {} times", found.len()) };
    code[place..place + here.len()].copy_from_slice(here);
    std::fs::write(&copy, code).expect("written");
    let statsd_port = free_udp_port();
    let (port, site) = (statsd_port.to_string(), format!(".0.1:{}", backend.port()));
    let variables = [&[("DD_DOGSTATSD_PORT", port.as_str()), ("DD_SITE", site.as_str())], variables].concat();
    let agent = start_mini(copy, backend, &variables, statsd_port).await;
    let wanted = format!(":{statsd_port:04X} ");
    let listens = timeout(BOUND, async {
        let mut again = tokio::time::interval(ASK_PERIOD);
        while !std::fs::read_to_string("/proc/net/udp").expect("the UDP sockets").contains(&wanted) {
            again.tick().await;
        }
    });
    listens.await.unwrap_or_else(|_| panic!("no UDP port:\n{}", agent.lines().join("\n")));
    agent
}

async fn start_mini(
    program: PathBuf,
    backend: &Backend,
    variables: &[(&str, &str)],
    statsd_port: u16,
) -> Agent {
    let port = free_port();
    let mut command = Command::new(program);
    command.env_clear().envs(inherited());
    command.env("DD_API_KEY", "0123456789abcdef0123456789abcdef").env("DD_APM_DD_URL", backend.url());
    command.env("DD_APM_RECEIVER_PORT", port.to_string());
    command.env(PLATFORM.0, PLATFORM.1).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let agent = Agent::spawn(command, port, statsd_port);
    let listens = timeout(BOUND, async {
        let mut again = tokio::time::interval(ASK_PERIOD);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            again.tick().await;
        }
    });
    listens.await.unwrap_or_else(|_| panic!("the mini agent does not listen:\n{}", agent.lines().join("\n")));
    agent
}

/// A request both get.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it tries.
    pub name: String,
    /// The whole request.
    pub bytes: Vec<u8>,
}

impl Case {
    /// A trace request with the headers tracers send.
    pub fn traces(name: &str, headers: &str, body: &[u8]) -> Self {
        let headers = format!("content-type: application/msgpack\r\n{headers}");
        Self { name: name.into(), bytes: raw::request("POST", "/v0.4/traces", &headers, body) }
    }
}

/// Sends every request to an agent; its answers by name.
pub async fn answers(port: u16, cases: &[Case]) -> BTreeMap<String, Answer> {
    let mut answers = BTreeMap::new();
    for case in cases {
        answers.insert(case.name.clone(), raw::send(port, &case.bytes).await);
    }
    answers
}

/// What differs, by kind, with an example each.
#[derive(Debug, Default)]
pub struct Differences {
    /// By field and way: in which cases, with an example.
    fields: BTreeMap<String, BTreeMap<String, String>>,
    /// Cases of which both sides delivered spans.
    compared: BTreeSet<String>,
}

impl Differences {
    /// Compares the answers of the mini agent (`theirs`) with ours.
    pub fn answers(&mut self, theirs: &BTreeMap<String, Answer>, ours: &BTreeMap<String, Answer>) {
        for (case, theirs) in theirs {
            let Some(ours) = ours.get(case) else { continue };
            if theirs.status != ours.status {
                let statuses = format!("answer: {} becomes {}", theirs.status, ours.status);
                self.add(statuses, case, ours.body.clone());
            } else if json(&theirs.body) != json(&ours.body) {
                self.add("answer: another body".into(), case, format!("{} / {}", theirs.body, ours.body));
            }
            if theirs.header("content-type") != ours.header("content-type") {
                let types = (theirs.header("content-type"), ours.header("content-type"));
                self.add("answer: another Content-Type".into(), case, format!("{types:?}"));
            }
        }
    }

    /// Compares what arrived from the mini agent with what arrived from lastlight, span by span.
    /// `case` names the request a span id belongs to.
    pub fn traces(&mut self, theirs: &[AgentPayload], ours: &[AgentPayload], case: impl Fn(u64) -> String) {
        let (theirs, ours) = (located(theirs), located(ours));
        for id in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            let case = case(*id);
            match (theirs.get(id), ours.get(id)) {
                (Some(theirs), Some(ours)) => {
                    self.compared.insert(case.clone());
                    self.values("", &case, theirs, ours);
                }
                (Some(span), None) => {
                    self.add("span: only from the mini agent".into(), &case, span.to_string())
                }
                (None, Some(span)) => self.add("span: only from lastlight".into(), &case, span.to_string()),
                (None, None) => {}
            }
        }
    }

    /// Every kind of difference, with an example: a field and the case it shows in, or the field alone when
    /// it shows in all of them.
    pub fn kinds(&self) -> BTreeMap<String, &str> {
        let mut kinds = BTreeMap::new();
        for (field, cases) in &self.fields {
            let everywhere =
                !self.compared.is_empty() && self.compared.iter().all(|case| cases.contains_key(case));
            for (case, example) in cases {
                let kind = if everywhere { field.clone() } else { format!("{field} ({case})") };
                kinds.entry(kind).or_insert(example.as_str());
            }
        }
        kinds
    }

    /// Compares what arrived of the metrics from the mini agent with what arrived from lastlight, by case:
    /// everything in a case's object is a field.
    pub fn metrics(&mut self, theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) {
        for case in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            match (theirs.get(case), ours.get(case)) {
                (Some(theirs), Some(ours)) => {
                    self.compared.insert(case.clone());
                    self.values("metric", case, theirs, ours);
                }
                (Some(metric), None) => {
                    self.add("metric: only from the mini agent".into(), case, metric.to_string());
                }
                (None, Some(metric)) => {
                    self.add("metric: only from lastlight".into(), case, metric.to_string());
                }
                (None, None) => {}
            }
        }
    }

    /// Asserts that of the kinds that concern the caller every one stands in a Markdown table, and every one of
    /// the table is found. A line without a case covers all of its cases.
    ///
    /// # Panics
    /// When one is missing or gone.
    pub fn are_explained(&self, markdown: &str, concerns: impl Fn(&str) -> bool) {
        let known: Vec<_> = explained(markdown).into_iter().filter(|line| concerns(line)).collect();
        let found = self.kinds();
        let covers = |line: &str, kind: &str| {
            kind == line || kind.strip_prefix(line).is_some_and(|rest| rest.starts_with(" ("))
        };
        let new = found.iter().filter(|(kind, _)| !known.iter().any(|line| covers(line, kind)));
        let new: Vec<_> = new.map(|(kind, example)| format!("{kind}\n      {example:.200}")).collect();
        assert!(new.is_empty(), "fix these, or explain them in e2e/DIFFERENCES.md:\n{}", new.join("\n"));
        let gone: Vec<_> = known.iter().filter(|line| !found.keys().any(|kind| covers(line, kind))).collect();
        assert!(
            gone.is_empty(),
            "these are no differences any more, take them out of e2e/DIFFERENCES.md: {gone:?}"
        );
    }

    fn values(&mut self, path: &str, case: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(left), Value::Object(right)) => {
                for key in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
                    let path = [path, shortened(key)].join(if path.is_empty() { "" } else { "." });
                    match (left.get(key), right.get(key)) {
                        (Some(left), Some(right)) => self.values(&path, case, left, right),
                        (Some(left), None) => {
                            self.add(format!("{path}: only from the mini agent"), case, left.to_string());
                        }
                        (None, Some(right)) => {
                            self.add(format!("{path}: only from lastlight"), case, right.to_string());
                        }
                        (None, None) => {}
                    }
                }
            }
            _ if theirs != ours => {
                self.add(format!("{path}: another value"), case, format!("{theirs} / {ours}"));
            }
            _ => {}
        }
    }

    fn add(&mut self, field: String, case: &str, example: String) {
        self.fields.entry(field).or_default().entry(case.to_owned()).or_insert(example);
    }
}

/// A key without most of its length, when it is a long one.
fn shortened(key: &str) -> &str {
    key.get(..60).unwrap_or(key)
}

/// The kinds that a Markdown table explains: the first column, in backticks.
pub fn explained(markdown: &str) -> BTreeSet<&str> {
    markdown
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(kind, _)| kind)
        .collect()
}

/// Every span with what it is wrapped in, by id.
fn located(payloads: &[AgentPayload]) -> BTreeMap<u64, Value> {
    let mut spans = BTreeMap::new();
    for payload in payloads {
        let agent = without(payload, "tracer_payloads");
        for payload in &payload.tracer_payloads {
            let tracer = without(payload, "chunks");
            for trace in &payload.chunks {
                let chunk = without(trace, "spans");
                for span in &trace.spans {
                    let located =
                        serde_json::json!({"agent": agent, "tracer": tracer, "chunk": chunk, "span": span});
                    spans.insert(span.span_id, located);
                }
            }
        }
    }
    spans
}

fn without(message: &impl serde::Serialize, field: &str) -> Value {
    let mut value = serde_json::to_value(message).expect("JSON");
    if let Some(object) = value.as_object_mut() {
        object.remove(field);
    }
    value
}

/// A body as JSON in which `1` and `1.0` are the same, or as text.
fn json(text: &str) -> Value {
    fn plain(value: Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().map_or(Value::Number(number), Value::from),
            Value::Object(object) => object.into_iter().map(|(key, value)| (key, plain(value))).collect(),
            Value::Array(array) => array.into_iter().map(plain).collect(),
            other => other,
        }
    }
    serde_json::from_str(text).map_or_else(|_| Value::String(text.trim().to_owned()), plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::proto::{Span, TraceChunk, TracerPayload};

    fn payload(span: Span, env: &str) -> AgentPayload {
        let chunk = TraceChunk { spans: vec![span], ..TraceChunk::default() };
        let tracer = TracerPayload { chunks: vec![chunk], env: env.into(), ..TracerPayload::default() };
        AgentPayload { tracer_payloads: vec![tracer], ..AgentPayload::default() }
    }

    #[test]
    fn every_field_that_differs_is_a_kind() {
        let span = |id, tag: &str| Span {
            span_id: id,
            meta: [(tag.to_owned(), "1".to_owned()), ("same".to_owned(), "1".to_owned())].into(),
            ..Span::default()
        };
        let mut differences = Differences::default();
        differences.traces(
            &[payload(span(1, "a"), "x"), payload(span(2, "a"), "x"), payload(span(4, "a"), "x")],
            &[payload(span(1, "b"), "y"), payload(span(3, "a"), "x"), payload(span(4, "a"), "y")],
            |id| format!("case {id}"),
        );
        let kinds = differences.kinds();
        let expected = [
            "span.meta.a: only from the mini agent (case 1)",
            "span.meta.b: only from lastlight (case 1)",
            "span: only from lastlight (case 3)",
            "span: only from the mini agent (case 2)",
            "tracer.env: another value",
        ];
        assert!(kinds.keys().eq(expected), "{kinds:?}");
        assert_eq!(kinds["tracer.env: another value"], r#""x" / "y""#);
    }

    #[test]
    fn explanations_stand_in_the_first_column() {
        let markdown = "# x\n| what | why |\n|---|---|\n| `span.meta.a: only from lastlight` | because |\n";
        assert_eq!(explained(markdown), ["span.meta.a: only from lastlight"].into());
    }
}
