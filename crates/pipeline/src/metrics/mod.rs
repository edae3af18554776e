//! DogStatsD samples to series and distributions (`facts/dogstatsd.md` §2.5, §4, §5).

mod aggregator;
mod config;
mod emit;
pub mod mapper;
mod rules;
mod sketch;
mod store;
mod table;
mod value;

pub use aggregator::Aggregator;
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

/// Keys that [`Aggregator::look_ahead`] takes at once.
pub const LOOK_AHEAD: usize = 16;

/// How a key is looked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spelled(u32);

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

/// Length of a bucket, in seconds.
pub const BUCKET_SECONDS: u32 = 10;

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
    /// The sample rate is not above 2⁻³² and at most 1 (losses.md L116).
    BadRate = "bad_rate", false;
    /// A number for a set, or a member for anything else.
    WrongType = "wrong_type", false;
    /// The context was found before a step of a flush: look it up again.
    Stale = "stale", false;
}

#[cfg(test)]
mod tests;
