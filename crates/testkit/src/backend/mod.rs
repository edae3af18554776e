//! A backend that behaves as it is told and remembers exactly what it acknowledged.
//!
//! It runs on a thread and runtime of its own: a test on a paused clock does not pause it, and its delays
//! are real. Tests wait with [`Backend::wait_until`], never by sleeping.

mod behaviour;
mod control;
mod decode;
mod serve;
mod state;

pub use behaviour::{Action, Behaviour};
pub use state::{Answer, Body, Counts, PathCounts, Received};

use crate::{
    logs::Log,
    metrics::{Check, Event, Metrics, Series, SketchSeries},
    proto::{AgentPayload, Span},
    stats::StatsPayload,
};
use serve::{Command, Shared};
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tokio::sync::mpsc::UnboundedSender;

/// What the backend remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Decoded requests (bounded) and span ids.
    #[default]
    Everything,
    /// Span ids and counts.
    Ids,
    /// Bodies as they came, counted when asked: the cheapest way to receive, for measurements.
    Counts,
}

/// How to start a [`Backend`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// What to remember.
    pub keep: Keep,
}

/// A scripted backend on loopback. Stops when dropped.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
    runtime: tokio::runtime::Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Backend {
    /// Starts a backend on a free port that acknowledges everything.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[expect(clippy::unused_async, reason = "callers should not care that listening is synchronous")]
    pub async fn start() -> Self {
        Self::start_with(Options::default()).expect("a free port on loopback")
    }

    /// Starts a backend.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start_with(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options.keep));
        let (ready, listening) = mpsc::sync_channel(1);
        let wanted = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, options.port));
        let inner = Arc::clone(&shared);
        let thread = thread::Builder::new().name("testkit-backend".into()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let handle = runtime.handle().clone();
            runtime.block_on(async move {
                match serve::bind(wanted) {
                    Ok(bound) => {
                        let (commands, inbox) = serve::commands();
                        if ready.send(Ok((bound.address(), commands, handle))).is_ok() {
                            serve::run(bound, inner, inbox).await;
                        }
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        })?;
        let (address, commands, runtime) = listening
            .recv()
            .map_err(|_| io::Error::other("the backend's thread ended before it listened"))??;
        Ok(Self { address, shared, commands, runtime, thread: Some(thread) })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port it listens on, also while it refuses connections.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Adds a rule. For each request the first rule that fits its path and is not used up decides;
    /// without one the request is acknowledged with 202.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behave(behaviour, &self.commands);
    }

    /// Forgets every rule, releases held requests and listens again.
    pub fn recover(&self) {
        self.shared.recover(&self.commands);
    }

    /// Lets every request held by [`Action::Hold`] go on, and those to come.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Forgets everything received so far; rules stay.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Requests in order of arrival, acknowledged or not (bounded; the oldest go first).
    pub fn requests(&self) -> Vec<Arc<Received>> {
        self.shared.read(|state| state.received.iter().cloned().collect())
    }

    /// Acknowledged requests to a path.
    pub fn acknowledged(&self, path: &str) -> Vec<Arc<Received>> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path && request.answer.is_success());
        requests
    }

    /// Acknowledged trace payloads, in order.
    pub fn traces(&self) -> Vec<AgentPayload> {
        self.bodies(|body| match body {
            Body::Traces(payload) => Some(payload.clone()),
            _ => None,
        })
    }

    /// Every span of the acknowledged trace payloads.
    pub fn spans(&self) -> Vec<Span> {
        self.traces().iter().flat_map(AgentPayload::spans).cloned().collect()
    }

    /// Acknowledged stats payloads, in order.
    pub fn stats(&self) -> Vec<StatsPayload> {
        self.bodies(|body| match body {
            Body::Stats(payload) => Some(payload.clone()),
            _ => None,
        })
    }

    /// Acknowledged metrics, merged as the backend does. Whatever is kept.
    pub fn metrics(&self) -> Arc<Metrics> {
        // Counts what was kept to be counted later.
        self.shared.counts();
        self.shared.read(|state| Arc::clone(&state.metrics))
    }

    /// Acknowledged series, in order, not merged.
    pub fn series(&self) -> Vec<Series> {
        self.bodies(|body| match body {
            Body::Series(series) => Some(series.clone()),
            _ => None,
        })
        .concat()
    }

    /// Acknowledged sketches, in order, not merged.
    pub fn sketches(&self) -> Vec<SketchSeries> {
        self.bodies(|body| match body {
            Body::Sketches(sketches) => Some(sketches.clone()),
            _ => None,
        })
        .concat()
    }

    /// Acknowledged events, in order.
    pub fn events(&self) -> Vec<Event> {
        self.shared.read(|state| state.events.clone())
    }

    /// Acknowledged service checks, in order.
    pub fn checks(&self) -> Vec<Check> {
        self.shared.read(|state| state.checks.clone())
    }

    /// Acknowledged logs, in order. Whatever is kept; copies share their texts. To wait for a number of logs,
    /// [`Self::counts`] is cheaper.
    pub fn logs(&self) -> Vec<Log> {
        // Counts what was kept to be counted later.
        self.shared.counts();
        self.shared.read(|state| state.logs.clone())
    }

    /// How many spans were acknowledged.
    pub fn span_count(&self) -> u64 {
        self.counts().spans
    }

    /// The sum of hits of all acknowledged statistics.
    pub fn stats_hits(&self) -> u64 {
        self.counts().hits
    }

    /// All counts. Exact whatever is kept.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// How often each span id was acknowledged.
    pub fn span_ids(&self) -> HashMap<u64, u32> {
        self.shared.read(|state| state.span_ids.clone())
    }

    /// Span ids that were acknowledged more than once.
    pub fn duplicates(&self) -> Vec<u64> {
        self.shared
            .read(|state| state.span_ids.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect())
    }

    /// Those of `sent` that were never acknowledged.
    pub fn missing(&self, sent: impl IntoIterator<Item = u64>) -> Vec<u64> {
        self.shared.read(|state| sent.into_iter().filter(|id| !state.span_ids.contains_key(id)).collect())
    }

    /// Everything received, as the JSON document of `GET /_dump`.
    pub fn dump(&self) -> serde_json::Value {
        control::dump(&self.shared)
    }

    /// Waits until `condition` holds, at most `bound`. It is asked again after each request, not by a clock.
    ///
    /// # Errors
    /// What was received instead, when the bound passes first.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool, bound: Duration) -> Result<(), String> {
        let mut changes = self.shared.changes();
        // On the backend's runtime, whose clock is never paused.
        let (_keep, mut expired) = self.timer(bound);
        loop {
            changes.borrow_and_update();
            if condition(self) {
                return Ok(());
            }
            tokio::select! {
                changed = changes.changed() => changed.map_err(|_| "the backend stopped".to_owned())?,
                _ = &mut expired => return Err(format!("not within {bound:?}; received {:?}", self.counts())),
            }
        }
    }

    fn timer(&self, bound: Duration) -> (tokio::task::JoinSet<()>, tokio::sync::oneshot::Receiver<()>) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_on(
            async move {
                tokio::time::sleep(bound).await;
                // Nobody listens when the condition held in time.
                drop(sender);
            },
            &self.runtime,
        );
        (tasks, receiver)
    }

    fn bodies<T>(&self, pick: impl Fn(&Body) -> Option<T>) -> Vec<T> {
        self.shared.read(|state| {
            let acknowledged = state.received.iter().filter(|request| request.answer.is_success());
            acknowledged.filter_map(|request| pick(&request.body)).collect()
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.commands.send(Command::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_logs;
#[cfg(test)]
mod tests_metrics;
