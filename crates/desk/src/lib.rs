//! The local backend of `lastlight dev`: it receives what the agent sends and shows it.
//!
//! The desk sees only what came over the wire, so what it shows is what a backend would have got. It runs on a
//! thread of its own: a terminal that blocks holds up the desk, never the agent or the program.

mod body;
mod decode;
mod gather;
mod logs;
mod metric;
mod quantile;
mod record;
mod server;
mod session;
mod store;
mod tally;
#[cfg(test)]
mod tests;
mod view;

pub use gather::Group;
pub use logs::{LogRecord, Logs};
pub use metric::{Check, Context, Event, Kind, Sketch, Status};
pub use record::{EventRecord, LinkRecord, SpanRecord};
pub use store::Store;
pub use tally::Tally;
pub use view::{Closing, JsonLines, Tree, View, WIDTH_DEFAULT};

use session::Session;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// A running desk. Dropped without [`Desk::finish`], it stops and shows no end.
#[derive(Debug)]
pub struct Desk {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    closing: mpsc::SyncSender<Closing>,
    ended: mpsc::Receiver<Tally>,
}

impl Desk {
    /// Binds a free loopback port and receives from then on. What arrives is shown by `view` and
    /// written to `out`.
    pub fn start(view: Box<dyn View>, out: Box<dyn Write + Send>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (closing, closings) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::sync_channel(1);
        thread::Builder::new().name("desk".to_owned()).spawn(move || {
            let shared = server::Shared::new(Session::new(view, out));
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => server::serve(listener, shared.clone(), stopped).await,
                    Err(error) => log::error!("the desk cannot listen: {error}"),
                }
            });
            // Both ends fail only when the owner is gone, and then nobody waits for the end.
            if let (Some(session), Ok(closing)) = (shared.take(), closings.recv()) {
                end.send(session.finish(&closing)).ok();
            }
        })?;
        Ok(Self { address, stop, closing, ended })
    }

    /// Where the agent sends to, such as `http://127.0.0.1:41233`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops receiving, shows what is left, the summary and the agent's books. `None` when
    /// that took longer than `deadline`, as with a terminal that is held.
    pub fn finish(self, closing: Closing, deadline: Duration) -> Option<Tally> {
        self.closing.try_send(closing).ok()?;
        // It fails when the desk has stopped receiving by itself; the end is shown all the same.
        self.stop.send(()).ok();
        self.ended.recv_timeout(deadline).ok()
    }
}
