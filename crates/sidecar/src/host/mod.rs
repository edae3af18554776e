//! Who serves, and where.

use crate::options::{InUse, Options};
use channel::Rendezvous;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Starts servers as decided.
pub(crate) struct Hosting {
    rendezvous: Arc<Rendezvous>,
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosting").field("rendezvous", &self.rendezvous).finish_non_exhaustive()
    }
}

impl Hosting {
    pub(crate) fn new(rendezvous: Arc<Rendezvous>, _options: Options) -> Self {
        crate::message::install(log::LevelFilter::Info);
        Self { rendezvous }
    }

    pub(crate) fn ensure(&self) {}

    pub(crate) fn in_use(&self) -> InUse {
        InUse::NotYet
    }

    pub(crate) fn is_serving(&self) -> bool {
        false
    }

    pub(crate) fn close(&self, _deadline: Instant) {}
}

/// Waits for so long.
pub(crate) fn pause(duration: Duration) {
    let timeout = rustix::event::Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    };
    // A signal ends it early, which its callers see by the clock.
    rustix::event::poll(&mut [], Some(&timeout)).ok();
}
