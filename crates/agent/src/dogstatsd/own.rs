//! Metrics of our own, beside those of clients.
//!
//! They have an aggregator of their own: namespace, blocklist, mapper and aggregates are what a user decided about
//! the program's metrics, while these have names that dashboards and accounting know. Tags, host, buckets, flushes,
//! outboxes and books are shared. A sample is of the bucket of the moment when it is taken. It could carry its own
//! timestamp as a client's may, but would then be a point of its own and, every three seconds, a request of its own;
//! within one bucket of ten seconds nothing is lost by adding them up.

use super::{DogStatsD, Hot};
use crate::clock;
use model::Signal;
use model::metric::MetricType;
use pipeline::metrics::{Aggregator, Key, MetricsConfig, Refused};

/// Contexts of our own; there are some dozen.
const CONTEXTS_MAX_COUNT: usize = 128;
/// What they may take; a fixed part of the agent, apart from the room for telemetry.
const CONTEXTS_MAX_BYTES: usize = 512 * 1024;

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OwnSample<'a> {
    pub(crate) name: &'a str,
    /// A gauge, a count or a distribution.
    pub(crate) metric_type: MetricType,
    pub(crate) value: f64,
    /// `key:value` between commas.
    pub(crate) tags: &'a str,
}

/// The aggregator of our own metrics: what makes the names of clients is not applied.
pub(super) fn aggregator(config: &MetricsConfig, now: i64) -> Box<Aggregator> {
    let config = MetricsConfig {
        namespace: String::new(),
        blocklist: Vec::new(),
        mapper: Vec::new(),
        contexts_max: CONTEXTS_MAX_COUNT,
        ..config.clone()
    };
    let mut aggregator = Box::new(Aggregator::new(config, now));
    aggregator.set_bytes_max(CONTEXTS_MAX_BYTES);
    aggregator
}

impl DogStatsD {
    /// Takes samples of our own. Never waits for anything but packets.
    pub(crate) fn take_own(&self, samples: &[OwnSample<'_>]) {
        let mut hot = self.lock();
        hot.begin(clock::unix_nanos());
        let mut taken = 0;
        for sample in samples {
            match hot.own_sample(sample) {
                Ok(()) => taken += 1,
                Err(why) => log::debug!("{}: not taken: {}", sample.name, why.name()),
            }
        }
        hot.receipt.merge(self.books.accept(Signal::Metrics, taken));
        if hot.is_early() {
            drop(hot);
            self.wake.notify_one();
        }
    }
}

impl Hot {
    fn own_sample(&mut self, sample: &OwnSample<'_>) -> Result<(), Refused> {
        let OwnSample { name, metric_type, value, tags } = *sample;
        let id = self.own.context(&Key { name: name.as_bytes(), tags: tags.as_bytes(), metric_type })?;
        self.own.add(id, value, 1.0)
    }
}
