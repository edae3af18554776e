//! The server: an agent and a channel on one thread, in whichever process, until it is told to stop or nobody is left.

use crate::control::{self, Said, Told};
use crate::host::Gate;
use crate::service::AgentService;
use crate::watch;
use agent::config::Config;
use agent::platform::{Face, Probe};
use agent::{Deadline, Running, SharedStrings};
use channel::{Rendezvous, Server, ServerOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// What a stop leaves of its time for the agent, once the channel's clients were answered: the channel may use a part.
const CHANNEL_SHARE: u32 = 4;
/// How long busy clients are left alone: waking up costs as much as serving some of them, and they wait for nothing.
const REST: Duration = Duration::from_millis(8);
/// Submissions of one turn from which on there is no rest: a client has a bound of what may wait for its answer.
const NO_REST_FROM_COUNT: u64 = 16;

/// How serving ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// It never began: another process serves.
    NotNeeded,
    /// It never began: the reason was said over the control socket.
    Failed,
    /// It was told to, or nobody was left.
    Stopped,
    /// Somebody closed the socket's descriptor under us, and another process may serve now.
    Lost,
}

/// Serves on this thread, which must be one of ours. Says over `control` that it is ready, that it is not needed or why it
/// cannot be, and at the end what became of everything. Ends at an order, or when no process of the tree is left at the
/// other end. Passes `gate` when it is ready.
pub(crate) fn serve(
    rendezvous: Arc<Rendezvous>,
    control: OwnedFd,
    strings: SharedStrings,
    gate: &Gate,
) -> Ended {
    // A guest has the one thread, and the subprocess needs no more.
    agent::stay_on_this_thread();
    let Some(lock) = rendezvous.try_serve() else {
        control::say(&control, &Said::NotNeeded);
        return Ended::NotNeeded;
    };
    drop(rendezvous);
    let prepared = config(&strings).and_then(|config| Ok((runtime()?, config)));
    let (runtime, config) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            control::say(&control, &Said::Failed(why));
            return Ended::Failed;
        }
    };
    let ended = runtime.block_on(async {
        let stop_timeout = config.stop_timeout;
        let started = async {
            let bound = agent::bind(config).await.map_err(|error| error.to_string())?;
            let running = bound.start(strings).map_err(|error| error.to_string())?;
            let local = running.local().cloned().ok_or("the agent has no receiver for a channel")?;
            let service = AgentService::new(local);
            let server = Server::new(lock, Arc::clone(&service) as _, ServerOptions::default());
            let server = server.map_err(|error| format!("the sidecar's socket cannot be served: {error}"))?;
            Ok::<_, String>((running, service, server))
        };
        match started.await {
            Ok((running, service, server)) => {
                control::say(&control, &Said::ready());
                gate.pass();
                run(running, &service, server, &control, stop_timeout).await
            }
            Err(why) => {
                control::say(&control, &Said::Failed(why));
                Ended::Failed
            }
        }
    });
    // What still blocks must not hold us up.
    runtime.shutdown_background();
    ended
}

fn config(strings: &SharedStrings) -> Result<Config, String> {
    let config = Config::load_for(&**strings, Face::Library, &Probe::of_this_system())
        .map_err(|errors| errors.to_string())?;
    config.require_api_key().map_err(|error| error.to_string())?;
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

async fn run(
    running: Running,
    service: &Arc<AgentService>,
    mut server: Server,
    control: &OwnedFd,
    stop_timeout: Duration,
) -> Ended {
    let watched = server.as_fd().try_clone_to_owned().and_then(watch::readable);
    let orders = control.try_clone().and_then(watch::readable);
    let (mut watch, orders) = match (watched, orders) {
        (Ok(watched), Ok(orders)) => (Watch::At(watched), orders),
        (Err(error), _) | (_, Err(error)) => {
            log::error!("the sidecar cannot wait for its clients: {error}");
            return stop(running, server, control, stop_timeout, "an error of the system").await;
        }
    };
    let mut flushes = JoinSet::new();
    let mut died = false;
    // What waited in the backlog is served before anything happens.
    let mut turn = server.turn();
    let mut accepted = server.counts().accepted;
    let (cause, within) = loop {
        if turn.is_lost {
            stop(running, server, control, stop_timeout, "another process serves").await;
            return Ended::Lost;
        }
        for (deadline, flushing) in service.take_flushes() {
            let done = service.flushed_by(deadline);
            flushes.spawn(async move { flushing.done(done.await) });
        }
        let more = server.counts().accepted - accepted;
        accepted += more;
        let rests = (1..NO_REST_FROM_COUNT).contains(&more);
        watch = match watch.turned(rests) {
            Ok(watch) => watch,
            Err(error) => {
                log::error!("the sidecar cannot wait for its clients any more: {error}");
                break ("an error of the system", stop_timeout);
            }
        };
        let next = if rests { Some(Instant::now() + REST) } else { turn.next };
        tokio::select! {
            biased;
            order = order(&orders) => match order {
                Some(Told::Stop { within_ms }) => break ("its owner stops", Duration::from_millis(within_ms)),
                None => break ("no process is left that may use it", stop_timeout),
            },
            () = watch.ready() => {
                turn = server.turn();
                // The agent's turn.
                tokio::task::yield_now().await;
            }
            () = until(next), if next.is_some() => turn = server.turn(),
            Some(_) = flushes.join_next(), if !flushes.is_empty() => {}
            stage = running.died(), if !died => {
                died = true;
                log::error!("the {stage} ended on its own; what it did is not done any more");
            }
        }
    };
    drop(flushes);
    stop(running, server, control, within, cause).await
}

/// The next order; `None` when nobody is left to give one.
async fn order(orders: &AsyncFd<OwnedFd>) -> Option<Told> {
    loop {
        let mut ready = orders.readable().await.ok()?;
        match control::hear(orders.get_ref()) {
            Ok(Some(told)) => return Some(told),
            Ok(None) => return None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) => {
                log::warn!("an order that is none: {error}");
            }
        }
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

/// The server's descriptor, known to the runtime only while it is waited for: it wakes up for each event otherwise.
enum Watch {
    At(AsyncFd<OwnedFd>),
    Resting(OwnedFd),
}

impl Watch {
    /// After a turn.
    fn turned(self, rests: bool) -> io::Result<Self> {
        Ok(match self {
            Self::At(watched) if rests => Self::Resting(watched.into_inner()),
            Self::Resting(fd) if !rests => Self::At(watch::readable(fd)?),
            same => same,
        })
    }

    /// Waits until a turn has something to do. For ever while it rests.
    async fn ready(&self) {
        let Self::At(watched) = self else { return std::future::pending().await };
        while let Ok(mut ready) = watched.readable().await {
            // Within ours it tells of changes only, so that what is left would not be told again.
            if is_readable(watched.get_ref()) {
                return;
            }
            ready.clear_ready();
        }
        // The runtime ends, and with it whoever waits here.
        std::future::pending().await
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // What cannot be asked is looked at.
    !matches!(poll(&mut fds, Some(&now)), Ok(0))
}

/// Answers clients, then delivers what was accepted, then tells.
async fn stop(running: Running, server: Server, control: &OwnedFd, within: Duration, cause: &str) -> Ended {
    let now = Instant::now();
    let deadline = Deadline::at((now + within).into());
    let stopped = server.stop(now + within / CHANNEL_SHARE);
    if !stopped.in_time {
        log::warn!("not all clients of the sidecar were answered in time; they keep what was not");
    }
    let report = running.stop(cause, deadline).await;
    log::info!("{report}");
    control::say(control, &Said::Stopped(report.to_string()));
    Ended::Stopped
}
