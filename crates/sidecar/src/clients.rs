//! The clients of one process.

use crate::fork::ProcessLocal;
use crate::host::Hosting;
use channel::{Client, ClientCounts, ClientOptions, Outgoing, Promote, Rendezvous};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a call that waits keeps a client to itself: the longest that a submission of another thread stands behind it.
const TURN_MAX: Duration = Duration::from_millis(2);

/// Two clients: a question and its answer take the second, so that nothing that waits stands before a submission.
#[derive(Debug)]
pub(crate) struct Clients {
    rendezvous: Arc<Rendezvous>,
    hosting: Arc<Hosting>,
    local: ProcessLocal<Arc<Own>>,
}

/// Of one process.
#[derive(Debug, Default)]
struct Own {
    submitting: Mutex<Submitting>,
    asking: Mutex<Option<Client>>,
    /// Threads that stand before `submitting`, for those to see that take turns in it.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
enum Submitting {
    #[default]
    NotYet,
    Open(Box<Client>),
    Closed(ClientCounts),
}

impl Clients {
    pub(crate) fn new(rendezvous: Arc<Rendezvous>, hosting: Arc<Hosting>) -> Self {
        Self { rendezvous, hosting, local: ProcessLocal::new() }
    }

    fn own(&self) -> Arc<Own> {
        self.local.with(Arc::default, |own| Arc::clone(own))
    }

    fn client(&self) -> Client {
        // Of an ancestor's clients nothing is dropped: they must not keep it.
        let hosting = Arc::downgrade(&self.hosting);
        let promote: Promote = Box::new(move |_| {
            if let Some(hosting) = hosting.upgrade() {
                hosting.promote();
            }
            Ok(())
        });
        Client::new(Arc::clone(&self.rendezvous), ClientOptions::default(), Some(promote))
    }

    /// Works with the client that submits; `None` once it was closed.
    fn with<R>(&self, work: impl FnOnce(&mut Client) -> R) -> Option<R> {
        let own = self.own();
        own.waiting.fetch_add(1, Ordering::Relaxed);
        let mut submitting = lock(&own.submitting);
        own.waiting.fetch_sub(1, Ordering::Relaxed);
        if matches!(*submitting, Submitting::NotYet) {
            self.hosting.note_use();
            *submitting = Submitting::Open(Box::new(self.client()));
        }
        match &mut *submitting {
            Submitting::Open(client) => Some(work(client)),
            Submitting::NotYet | Submitting::Closed(_) => None,
        }
    }

    pub(crate) fn submit(&self, outgoing: Outgoing<'_>) -> Option<Result<u64, channel::NotTaken>> {
        self.with(|client| client.submit(outgoing))
    }

    pub(crate) fn pump(&self) {
        self.with(Client::pump);
    }

    /// Waits, in turns, for the answers to everything that was taken.
    pub(crate) fn settle(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.with(|client| client.settle(left.min(TURN_MAX))) {
                Some(false) if !left.is_zero() => {}
                settled => return settled == Some(true),
            }
            // A lock is not fair: who stands before it may never get it from who takes it again at once.
            let own = self.own();
            while own.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }

    /// Asks the server; one thread at a time. `None` when that one takes all the time, or the handle was closed.
    pub(crate) fn ask<R>(
        &self,
        deadline: Instant,
        question: impl FnOnce(&mut Client, Duration) -> R,
    ) -> Option<R> {
        let own = self.own();
        if matches!(*lock(&own.submitting), Submitting::Closed(_)) {
            return None;
        }
        loop {
            match own.asking.try_lock() {
                Ok(mut asking) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    return Some(question(asking.get_or_insert_with(|| self.client()), left));
                }
                Err(_) if Instant::now() >= deadline => return None,
                Err(_) => crate::host::pause(TURN_MAX),
            }
        }
    }

    pub(crate) fn counts(&self) -> ClientCounts {
        match &*lock(&self.own().submitting) {
            Submitting::NotYet => ClientCounts::default(),
            Submitting::Open(client) => client.counts(),
            Submitting::Closed(counts) => *counts,
        }
    }

    /// Waits for the answers to everything, in turns; closes; and says what became of it all, again and again.
    pub(crate) fn close(&self, deadline: Instant) -> ClientCounts {
        let own = self.own();
        let is_used = !matches!(*lock(&own.submitting), Submitting::NotYet);
        if is_used {
            // One that submitted nothing needs no server for it.
            self.settle(deadline);
        }
        if let Ok(mut asking) = own.asking.try_lock()
            && let Some(client) = asking.take()
        {
            client.close(Duration::ZERO);
        }
        let mut submitting = lock(&own.submitting);
        let counts = match std::mem::take(&mut *submitting) {
            Submitting::NotYet => ClientCounts::default(),
            Submitting::Open(client) => client.close(deadline.saturating_duration_since(Instant::now())),
            Submitting::Closed(counts) => counts,
        };
        *submitting = Submitting::Closed(counts);
        counts
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panics is contained further up, and a client is good after each of its calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
