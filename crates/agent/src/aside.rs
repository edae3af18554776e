//! Work that takes milliseconds, or blocks: done beside the tasks, or where no thread is to be had, among them.

use hyper_util::client::legacy::connect::dns::Name;
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use tokio::sync::oneshot;
use tower_service::Service;

/// What a look-up needs of a stack, bytes: plugins of the system's resolver run on it.
const LOOK_UP_STACK_BYTES: usize = 512 * 1024;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// From now on nothing that runs on this thread is done aside but the look-up of names: for a guest, each thread is one
/// that its host did not ask for, and may be one that it may not have.
pub fn stay_on_this_thread() {
    ALONE.set(true);
}

/// Does it on a thread for such work; `None` when it panicked.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if ALONE.get() {
        return catch_unwind(AssertUnwindSafe(work)).ok();
    }
    tokio::task::spawn_blocking(work).await.ok()
}

/// The system's resolver, on a thread that lives for one look-up. The runtime's own way panics where no thread is to be
/// had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names;

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, answer) = oneshot::channel();
        let look_up = move || {
            // Nobody waits any more when the connection took too long.
            found.send((name.as_str(), 0).to_socket_addrs()).ok();
        };
        let thread = thread::Builder::new().name("lastlight-names".into()).stack_size(LOOK_UP_STACK_BYTES);
        let spawned = thread.spawn(look_up);
        Box::pin(async move {
            spawned?;
            answer.await.map_err(|_| io::Error::other("the look-up of a name panicked"))?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_the_work_alone_on_this_thread_too() {
        assert_eq!(aside(|| 1).await, Some(1));
        let here = thread::current().id();
        assert!(aside(move || thread::current().id() != here).await.unwrap());
        stay_on_this_thread();
        assert!(aside(move || thread::current().id() == here).await.unwrap());
        assert_eq!(aside(|| -> u8 { panic!("on purpose") }).await, None);
        assert_eq!(aside(|| 2).await, Some(2));
    }

    #[tokio::test]
    async fn names_are_looked_up_and_unknown_ones_are_errors() {
        let mut found = Names.call("localhost".parse().unwrap()).await.unwrap();
        assert!(found.all(|address| address.ip().is_loopback()));
        assert!(Names.call("nothing.invalid".parse().unwrap()).await.is_err());
    }
}
