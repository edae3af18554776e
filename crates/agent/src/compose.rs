//! The agent put together: what is bound, what runs above what, and how it ends.

use crate::config::Config;
use crate::config::source::Strings;
use crate::dogstatsd::DogStatsD;
use crate::dogstatsd::sockets::{self, Sockets};
use crate::enhanced::{Enhanced, EnhancedSettings};
use crate::flush::Flush;
use crate::forward;
use crate::forward::client::HttpClient;
use crate::intake::egress::{Egress, EgressSettings};
use crate::intake::job::JobTask;
use crate::intake::labels::Labels;
use crate::intake::server::{Accepting, Server};
use crate::intake::{Info, Intake, TransportState, VERSION, server};
use crate::linger::Linger;
use crate::local::{self, Local};
use crate::logging::SayOnce;
use crate::logs::{Follower, Logs, ProgramOutput};
use crate::microvm::{self, Hook, Hooks};
use crate::platform::{self, Face, Metadata};
use crate::report::Report;
use crate::room::Budget;
use crate::transport::{BindError, Tcp, Transport, TransportName, Unix};
use crate::{clock, settings};
use lifecycle::{Close, Deadline, Instant, Stack};
use model::Books;
use pipeline::process::Processor;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Semaphore, mpsc};
use wire::intake::traces::{AgentHeader, agent_header};

/// What a stage weighs when the time of a stop is shared: the forwarder waits for others, the rest does not.
const FORWARD_SHARE: NonZeroU32 = share(6);
const LIGHT_SHARE: NonZeroU32 = share(1);
const INTAKE_SHARE: NonZeroU32 = share(2);
/// A million contexts take a second to encode and pack.
const METRICS_SHARE: NonZeroU32 = share(3);
/// As many megabytes of logs to pack.
const LOGS_SHARE: NonZeroU32 = share(3);
/// What files say up to the stop is read and put into logs.
const FILES_SHARE: NonZeroU32 = share(2);

/// Connections of a MicroVM's platform open at one time.
const HOOK_CONNECTIONS_MAX: usize = 16;

const fn share(weight: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(weight - 1)
}

/// Why the agent could not start.
#[derive(Debug)]
pub enum StartError {
    /// Nothing could be bound.
    Bind(Vec<BindError>),
    /// An endpoint is not a URL.
    Endpoint(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    error.fmt(f)?;
                }
                Ok(())
            }
            Self::Endpoint(why) => write!(f, "an endpoint cannot be used: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Settings as text, which the platform's tags are read from once more when its metadata are known.
pub type SharedStrings = Arc<dyn Strings + Send + Sync>;

/// An agent that holds its sockets and does nothing yet: the kernel queues what programs send, and what a wrapped
/// program writes is taken already.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    tcp: Option<Tcp>,
    unix: Option<Unix>,
    logs_input: Option<Tcp>,
    hooks: Option<Tcp>,
    dogstatsd: Sockets,
    say: Arc<SayOnce>,
    books: Books,
    budget: Budget,
    logs: Option<Arc<Logs>>,
}

/// Binds every transport, before anything slow.
///
/// What cannot be had is a warning beside other transports. It is fatal when traces have no other one, since
/// tracers do not look for another agent, or when nothing else is up at all. Around a program, or within one, nothing is
/// fatal, and nothing is waited for: the program comes first.
///
/// # Errors
/// When no transport could be bound.
pub async fn bind(config: Config) -> Result<Bound, StartError> {
    let mut errors = Vec::new();
    let wraps = matches!(config.face, Face::Entrypoint | Face::Library);
    let (mut tcp, mut unix) = (None, None);
    if config.receiver.enabled {
        if let Some(address) = &config.receiver.socket {
            match Unix::bind(&settings::unix_address(address)).await {
                Ok(bound) => unix = Some(bound),
                Err(error) => errors.push(error),
            }
        }
        if let Some(port) = config.receiver.port {
            let address = SocketAddr::new(config.receiver.bind, port);
            let bound = if wraps { Tcp::bind_now(address) } else { Tcp::bind(address).await };
            match bound {
                Ok(bound) => tcp = Some(bound),
                Err(error) => errors.push(error),
            }
        }
        if tcp.is_none() && unix.is_none() && !wraps {
            return Err(StartError::Bind(errors));
        }
    }
    let (dogstatsd, more) = Sockets::bind(&config.dogstatsd);
    errors.extend(more);
    // The advice of the receiver's port would mislead.
    let advice = "choose another port with DD_LOGS_PORT";
    let logs_input = config
        .logs
        .input
        .map(|address| Tcp::bind_now(address).map_err(|error| BindError { advice: advice.into(), ..error }));
    let hooks = config.microvm.as_ref().and_then(microvm::bind);
    let [logs_input, hooks] =
        [logs_input, hooks].map(|bound| bound?.map_err(|error| errors.push(error)).ok());
    let nothing = tcp.is_none() && unix.is_none() && logs_input.is_none() && dogstatsd.is_empty();
    if nothing && !errors.is_empty() && !wraps {
        return Err(StartError::Bind(errors));
    }
    for error in &errors {
        log::warn!("{error}; clients that use it are not heard");
    }
    let say = Arc::new(SayOnce::default());
    let books = Books::default();
    let forward = settings::forward(&config);
    let budget = Budget::new(forward.memory_bytes - forward.additional_memory_bytes());
    let logs = config
        .logs
        .enabled
        .then(|| Arc::new(Logs::new(settings::logs(&config), &books, budget.clone(), Arc::clone(&say))));
    Ok(Bound { config, tcp, unix, logs_input, hooks, dogstatsd, say, books, budget, logs })
}

impl Bound {
    /// Where TCP clients reach the agent, with the port the system chose when 0 was asked for.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(Tcp::address)
    }

    /// Where UDP clients of DogStatsD reach the agent, with the port the system chose when 0 was asked for.
    pub fn dogstatsd_address(&self) -> Option<SocketAddr> {
        self.dogstatsd.udp_address()
    }

    /// Where the platform of a MicroVM says what happens to it, with the port the system chose when 0 was asked for.
    pub fn microvm_address(&self) -> Option<SocketAddr> {
        self.hooks.as_ref().map(Tcp::address)
    }

    /// Takes what a wrapped program writes, from now on; `None` when logs are off.
    pub fn output(&self) -> Option<ProgramOutput> {
        self.logs.as_ref().map(ProgramOutput::new)
    }

    /// What is bound.
    pub fn transports(&self) -> Vec<TransportName> {
        let more = [&self.logs_input, &self.hooks].into_iter().flatten().map(|tcp| tcp.name().clone());
        self.receivers().into_iter().chain(self.dogstatsd.names()).chain(more).collect()
    }

    /// What is bound for HTTP.
    fn receivers(&self) -> Vec<TransportName> {
        let tcp = self.tcp.as_ref().map(|tcp| tcp.name().clone());
        tcp.into_iter().chain(self.unix.as_ref().map(|unix| unix.name().clone())).collect()
    }

    /// Starts every stage, downstream first. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When an endpoint cannot be used.
    pub fn start(self, strings: SharedStrings) -> Result<Running, StartError> {
        let names = self.receivers();
        let statsd_port = self.dogstatsd_address().map_or(0, |address| address.port());
        let Self { config, tcp, unix, logs_input, hooks, dogstatsd: sockets, say, books, budget, logs } =
            self;
        let forward_settings = settings::forward(&config);
        let client = HttpClient::new(&settings::client(&config));
        let (forwarder, sender) =
            forward::forwarder(&forward_settings, Arc::new(client.clone())).map_err(StartError::Endpoint)?;

        // The program was started just now, if there is one.
        let job =
            JobTask::new(config.platform, config.face, &*strings, &config.identity, clock::unix_nanos())
                .filter(|_| config.receiver.enabled);
        let processor = Processor::new(config.process.clone(), clock::unix_nanos())
            .under_job(job.as_ref().map(|job| job.span()));
        let egress = EgressSettings {
            hostname: config.identity.hostname.clone(),
            env: processor.env().to_owned(),
            header: header(&config, processor.env()),
            packing: settings::packing(config.compression),
            flush_period: config.flush_period,
            counting_bytes: settings::counting_bytes(&config),
        };
        let linger = Arc::new(Linger::default());
        let dogstatsd = Arc::new(DogStatsD::new(
            settings::dogstatsd(&config),
            &books,
            budget.clone(),
            forwarder.clone(),
            Arc::clone(&say),
            sockets.books(),
            Arc::clone(&linger),
        ));
        let egress = Arc::new(Egress::new(
            egress,
            &config.process.stats,
            &books,
            budget.clone(),
            forwarder.clone(),
            client.clone(),
        ));
        let tcp = tcp.map(Listener::new);
        let unix = unix.map(Listener::new);
        let logs_input = logs_input.map(Listener::new);
        let states = [&tcp, &logs_input].map(|listener| listener.as_ref().map(|l| &l.state));
        let states = states.into_iter().chain([unix.as_ref().map(|l| &l.state)]);
        let intake = Arc::new(Intake {
            settings: settings::intake(&config),
            books: books.clone(),
            budget,
            door: Default::default(),
            say: Arc::clone(&say),
            info: Info::new(&config, &names, statsd_port),
            processor,
            labels: Default::default(),
            rates: Default::default(),
            egress: Arc::clone(&egress),
            dogstatsd: config.dogstatsd.enabled.then(|| Arc::clone(&dogstatsd)),
            logs: logs.clone(),
            client,
            passes: settings::passes(&config),
            transports: states.flatten().map(Arc::clone).collect(),
            started: std::time::Instant::now(),
            draining: false.into(),
            linger: Arc::clone(&linger),
        });

        let flush = Flush {
            egress: Arc::clone(&egress),
            dogstatsd: Arc::clone(&dogstatsd),
            logs: logs.clone(),
            books: books.clone(),
        };
        let enhanced = Enhanced::new(
            EnhancedSettings::new(config.platform, config.face, config.enhanced_metrics, &*strings),
            Arc::clone(&dogstatsd),
        );
        let mut stack = Stack::default();
        let hooks = push_hooks(&mut stack, &config, hooks, &flush, enhanced.as_ref(), &say);
        stack.push("forward", FORWARD_SHARE, |close| sender.run(close));
        stack.push("batch", LIGHT_SHARE, |close| egress.run(close));
        let (hearing, heard) = mpsc::channel(1);
        stack.push("metrics", METRICS_SHARE, {
            let dogstatsd = Arc::clone(&dogstatsd);
            |close| dogstatsd.run(heard, close)
        });
        if let Some(enhanced) = &enhanced {
            let enhanced = Arc::clone(enhanced);
            stack.push("enhanced metrics", LIGHT_SHARE, |close| enhanced.run(close));
        }
        if let Some(logs) = &logs {
            let logs = Arc::clone(logs);
            stack.push("logs", LOGS_SHARE, |close| logs.run(forwarder, close));
        }
        if let (Some(logs), Some(files)) = (&logs, &config.logs.files) {
            let (logs, files) = (Arc::clone(logs), files.clone());
            stack.push("log files", FILES_SHARE, |close| Follower::run(logs, files, close));
        }
        let local = (config.face == Face::Library).then(|| {
            let (to_pass, passes) = local::passes();
            stack.push("passes", LIGHT_SHARE, |close| local::run(Arc::clone(&intake), passes, close));
            Local::new(Arc::clone(&intake), flush.clone(), to_pass)
        });
        let tagged = Tagged {
            intake: Arc::clone(&intake),
            dogstatsd: Arc::clone(&dogstatsd),
            logs: logs.clone(),
            enhanced: enhanced.clone(),
        };
        push_labels(&mut stack, &config, strings, tagged);
        if let Some(job) = &job {
            let (job, intake) = (Arc::clone(job), Arc::clone(&intake));
            stack.push("job", LIGHT_SHARE, |close| job.run(intake, close));
        }
        // Streams of metrics have the same bound, apart: an accept loop holds a place while it waits.
        let places = config.receiver.connections_max.min(Semaphore::MAX_PERMITS);
        let accepting = |connections| Accepting {
            permits: Arc::new(Semaphore::new(places)),
            connections,
            say: Arc::clone(&say),
            linger: Arc::clone(&linger),
        };
        if tcp.is_some() || unix.is_some() || logs_input.is_some() {
            let (to_intake, connections) = server::hand_over();
            stack.push("intake", INTAKE_SHARE, |close| server::connections(connections, close));
            let to_intake = accepting(to_intake);
            let receiver = || Server::Intake(Arc::clone(&intake));
            if let Some(tcp) = tcp {
                tcp.push("tcp listener", &mut stack, receiver(), to_intake.clone());
            }
            if let Some(logs_input) = logs_input {
                logs_input.push("logs listener", &mut stack, receiver(), to_intake.clone());
            }
            if let Some(unix) = unix {
                unix.push("unix listener", &mut stack, receiver(), to_intake);
            }
        }
        if !sockets.is_empty() {
            let (to_streams, streams) = server::hand_over();
            stack.push("metric streams", LIGHT_SHARE, |close| server::connections(streams, close));
            let accepting = accepting(to_streams);
            let settings = config.dogstatsd;
            stack.push("metric listeners", LIGHT_SHARE, |close| {
                sockets::serve(sockets, dogstatsd, settings, accepting, say, hearing, close)
            });
        }
        let hooks = hooks.map(|(hooks, listener, accepting)| {
            listener.push("hooks listener", &mut stack, Server::Hooks(Arc::clone(&hooks)), accepting);
            hooks
        });
        Ok(Running { stack, intake, local, flush, enhanced, job, hooks, books })
    }
}

/// A bound transport and what is known of it.
struct Listener<T> {
    transport: T,
    state: Arc<TransportState>,
}

impl<T: Transport> Listener<T> {
    fn new(transport: T) -> Self {
        let state = Arc::new(TransportState::new(transport.name().clone()));
        Self { transport, state }
    }

    fn push(self, name: &'static str, stack: &mut Stack, server: Server, accepting: Accepting) {
        let serve = move |stream, close| server::serve(Box::new(stream), server.clone(), close);
        stack.push(name, LIGHT_SHARE, |close| {
            server::listen(self.transport, self.state, accepting, serve, close)
        });
    }
}

/// Serves what the platform of a MicroVM says, below everything else: some of its answers wait for all the stages above.
fn push_hooks(
    stack: &mut Stack,
    config: &Config,
    bound: Option<Tcp>,
    flush: &Flush,
    enhanced: Option<&Arc<Enhanced>>,
    say: &Arc<SayOnce>,
) -> Option<(Arc<Hooks>, Listener<Tcp>, Accepting)> {
    let (bound, settings) = (bound?, config.microvm.clone()?);
    let enhanced = enhanced.cloned();
    let tell = Box::new(move |hook: Hook, machine: Option<&str>| {
        log::debug!("MicroVM {machine:?}: {hook:?}");
        if let (Some(enhanced), Some(event)) = (&enhanced, hook.name()) {
            enhanced.microvm(event);
        }
    });
    let hooks = Arc::new(Hooks::new(settings, flush.clone(), config.stop_timeout, tell));
    let (connections, served) = server::hand_over();
    stack.push("hooks", LIGHT_SHARE, |close| server::connections(served, close));
    let permits = Arc::new(Semaphore::new(HOOK_CONNECTIONS_MAX));
    Some((
        hooks,
        Listener::new(bound),
        Accepting { permits, connections, say: Arc::clone(say), linger: Arc::default() },
    ))
}

/// Who gets the platform's tags.
struct Tagged {
    intake: Arc<Intake>,
    dogstatsd: Arc<DogStatsD>,
    logs: Option<Arc<Logs>>,
    enhanced: Option<Arc<Enhanced>>,
}

/// Completes the platform's tags beside everything else; a stop waits for the look-up no longer than one request.
fn push_labels(stack: &mut Stack, config: &Config, strings: SharedStrings, tagged: Tagged) {
    let (platform, face) = (config.platform, config.face);
    let (host, identity) = (config.metadata_host.clone(), config.identity.clone());
    let Tagged { intake, dogstatsd, logs, enhanced } = tagged;
    let set = move |metadata: &Metadata| {
        let tags = platform::tags(&platform, &*strings, metadata, face, &identity);
        intake.labels.set(Labels::new(&tags));
        let tags = platform::metric_tags(&platform, &*strings, metadata, face);
        dogstatsd.set_platform_tags(tags);
        if let Some(enhanced) = &enhanced {
            enhanced.set_instance(platform::instance_name(platform, &*strings, metadata, face));
        }
        if let Some(logs) = &logs {
            logs.set_tags(&platform::log_tags(&platform, &*strings, metadata, face, &identity));
        }
    };
    if !platform.has_metadata() {
        set(&Metadata::default());
        return;
    }
    stack.push("metadata", LIGHT_SHARE, move |close: Close| async move {
        // A program that is gone at once is as well tagged as others, where the server answers as usual.
        let cut = async {
            close.stop_begun().await;
            tokio::time::sleep(platform::metadata::REQUEST_TIMEOUT).await;
        };
        let metadata = tokio::select! {
            metadata = platform::metadata::fetch(&host) => metadata,
            () = cut => Metadata::default(),
        };
        set(&metadata);
        close.requested().await;
    });
}

/// What every trace payload says of the agent.
fn header(config: &Config, env: &str) -> Vec<u8> {
    let sampling = &config.process.sampling;
    let mut header = Vec::new();
    agent_header(
        &AgentHeader {
            host_name: &config.identity.hostname,
            env,
            tags: &[],
            agent_version: VERSION,
            target_tps: sampling.target_tps,
            error_tps: sampling.error_tps,
            rare_sampler_enabled: sampling.rare.is_some(),
        },
        &mut header,
    );
    header
}

/// An agent at work.
#[derive(Debug)]
pub struct Running {
    stack: Stack,
    intake: Arc<Intake>,
    local: Option<Local>,
    flush: Flush,
    enhanced: Option<Arc<Enhanced>>,
    job: Option<Arc<JobTask>>,
    hooks: Option<Arc<Hooks>>,
    books: Books,
}

impl Running {
    /// Waits until a part of the agent ends that should not, and names it. Then it is time to
    /// stop: tracers pick one transport and stay on it (losses.md L7).
    pub fn died(&self) -> impl Future<Output = &'static str> + Send + use<> {
        self.stack.died()
    }

    /// The receiver without a socket, where the agent is behind a runtime's channel.
    pub fn local(&self) -> Option<&Local> {
        self.local.as_ref()
    }

    /// What the listeners hand requests to.
    #[cfg(test)]
    pub(crate) fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// Sends what is held as soon as may be; with `all` the open buckets of metrics and statistics too, whose parts
    /// then arrive as points of their own.
    pub fn flush(&self, all: bool) {
        self.flush.ask(all);
    }

    /// A wrapped program ended with this exit code.
    pub fn program_ended(&self, exit_code: u8) {
        self.intake.linger.nobody_sends();
        if let Some(enhanced) = &self.enhanced {
            enhanced.child_ended(exit_code);
        }
        if let Some(job) = &self.job {
            job.child_ended(exit_code, None);
        }
        if let Some(hooks) = &self.hooks {
            hooks.program_ended();
        }
    }

    /// The books, readable at any time.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The state served at `/lastlight/status`.
    pub fn status(&self) -> serde_json::Value {
        self.intake.status_document()
    }

    /// Stops everything by the deadline: finishes requests under way, sends what is held, counts what cannot
    /// be sent. Afterwards nothing is held.
    pub async fn stop(self, cause: &str, deadline: Deadline) -> Report {
        let began = Instant::now();
        let Self { stack, intake, books, .. } = self;
        intake.draining.store(true, Ordering::Relaxed);
        let late = books.clone();
        let ends = stack.unwind(deadline, move || late.close()).await;
        Report::new(cause, &books, ends, began.elapsed())
    }
}

#[cfg(test)]
mod tests;
