//! DogStatsD samples to series and distributions (`facts/dogstatsd.md` §2.5, §4, §5).

mod config;
pub mod mapper;

pub use config::{Aggregates, MetricsConfig, NAMESPACE_EXCLUSIONS};
use model::metric::{Distribution, MetricType, Series};

/// What tells one metric from another, as a client wrote it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key<'a> {
    /// As sent.
    pub name: &'a [u8],
    /// As sent, separated by commas.
    pub tags: &'a [u8],
    /// What the values mean; two types of one name are two metrics (losses.md L49).
    pub metric_type: MetricType,
}

/// A context that was found or made. Good until the next step of a flush.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ContextId {
    index: u32,
    epoch: u32,
}

/// Takes what a flush makes.
pub trait Sink {
    /// One series, and how many samples are told by it and by nothing else.
    fn series(&mut self, series: &Series<'_>, samples: u64);
    /// One distribution, and how many samples are told by it and by nothing else.
    fn distribution(&mut self, distribution: &Distribution<'_>, samples: u64);
}

/// What a flush takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flush {
    /// Buckets that are over.
    Closed,
    /// Open ones too.
    All,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $policy:literal;)*) => {
        /// Why a sample was not taken.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
        #[repr(u8)]
        pub enum Refused { $($(#[$doc])* $variant),* }

        impl Refused {
            /// Every reason, in the order in which they are listed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in reports, logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Refused on purpose: an outcome of its own, not a loss.
            pub fn is_policy(self) -> bool {
                match self { $(Self::$variant => $policy),* }
            }
        }
    };
}

refusals! {
    /// The blocklist has its name.
    Blocked = "blocked", true;
    /// It is of a histogram, of which nothing is to be sent by configuration.
    NoAggregates = "no_aggregates", true;
    /// A new context beyond `contexts_max`.
    ContextsFull = "contexts_full", false;
    /// It takes memory beyond the bound.
    MemoryFull = "memory_full", false;
    /// Only gauges and counts may carry a timestamp.
    UnsupportedTimestamp = "unsupported_timestamp", false;
    /// The name is empty or longer than 65,535 bytes.
    BadName = "bad_name", false;
    /// The value is not a finite number, or is not one after the sample rate is applied.
    BadValue = "bad_value", false;
    /// The sample rate is not above 0 and up to 1.
    BadRate = "bad_rate", false;
    /// A number for a set, or a member for anything else.
    WrongType = "wrong_type", false;
    /// The context was found before a flush: look it up again.
    Stale = "stale", false;
}

/// All contexts and their values.
#[derive(Debug)]
pub struct Aggregator {}

#[expect(unused_variables, clippy::unused_self, reason = "a skeleton to compile against")]
impl Aggregator {
    /// Nothing yet; `now` in seconds since 1970.
    pub fn new(config: MetricsConfig, now: i64) -> Self {
        Self {}
    }

    /// Sets the time of the samples that follow; it never goes back.
    pub fn set_now(&mut self, now: i64) {}

    /// What contexts and values may take.
    pub fn set_bytes_max(&mut self, bytes: usize) {}

    /// Tags that become known late; on everything from the next flush on.
    pub fn set_platform_tags(&mut self, tags: Vec<String>) {}

    /// What contexts and values take.
    pub fn bytes(&self) -> usize {
        0
    }

    /// How many contexts are held.
    pub fn contexts(&self) -> usize {
        0
    }

    /// Finds or makes a context.
    ///
    /// # Errors
    /// When it is not wanted or there is no room.
    pub fn context(&mut self, key: &Key<'_>) -> Result<ContextId, Refused> {
        Err(Refused::ContextsFull)
    }

    /// Adds a value, taken with the probability `rate`.
    ///
    /// # Errors
    /// When it makes no sense or there is no room.
    pub fn add(&mut self, id: ContextId, value: f64, rate: f64) -> Result<(), Refused> {
        Err(Refused::Stale)
    }

    /// Adds a member to a set.
    ///
    /// # Errors
    /// When it is no set or there is no room.
    pub fn add_member(&mut self, id: ContextId, member: &[u8]) -> Result<(), Refused> {
        Err(Refused::Stale)
    }

    /// Passes values with a timestamp on, un-aggregated (`facts/dogstatsd.md` §5.1).
    ///
    /// # Errors
    /// When it is not wanted or makes no sense.
    pub fn timestamped(
        &mut self,
        key: &Key<'_>,
        values: &[f64],
        rate: f64,
        timestamp: i64,
        sink: &mut impl Sink,
    ) -> Result<(), Refused> {
        Err(Refused::UnsupportedTimestamp)
    }

    /// When something closes or expires, in seconds since 1970; `None`: nothing is held.
    pub fn next_flush(&self) -> Option<i64> {
        None
    }

    /// Begins a flush; samples may be added between its steps.
    pub fn begin_flush(&mut self, mode: Flush) {}

    /// Takes one step; true while there is more.
    pub fn flush_step(&mut self, sink: &mut impl Sink) -> bool {
        false
    }
}
