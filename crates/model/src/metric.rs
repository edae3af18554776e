//! Metrics: what a DogStatsD client says, and what the backend is told after aggregation.

/// What a sample means by its value (`facts/dogstatsd.md` §2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[repr(u8)]
pub enum MetricType {
    /// `g`: the last value counts.
    Gauge,
    /// `c`: values add up.
    Count,
    /// `s`: how many different values there were.
    Set,
    /// `h`: statistics of the values, computed here.
    Histogram,
    /// `ms`: a histogram of durations.
    Timing,
    /// `d`: a sketch of the values; the backend computes statistics over all instances.
    Distribution,
}

impl MetricType {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] =
        [Self::Gauge, Self::Count, Self::Set, Self::Histogram, Self::Timing, Self::Distribution];

    /// The name used in reports, status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Count => "count",
            Self::Set => "set",
            Self::Histogram => "histogram",
            Self::Timing => "timing",
            Self::Distribution => "distribution",
        }
    }

    /// How it is written on the wire.
    pub fn letters(self) -> &'static str {
        match self {
            Self::Gauge => "g",
            Self::Count => "c",
            Self::Set => "s",
            Self::Histogram => "h",
            Self::Timing => "ms",
            Self::Distribution => "d",
        }
    }
}

/// What happened, as a client tells it (`facts/dogstatsd.md` §2.2).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event<'a> {
    /// One line.
    pub title: std::borrow::Cow<'a, str>,
    /// The rest; may have several lines.
    pub text: std::borrow::Cow<'a, str>,
    /// When, in seconds since 1970; `None`: now.
    pub timestamp: Option<i64>,
    /// On which host; `None`: the agent's.
    pub host: Option<&'a str>,
    /// Events with the same key are shown as one.
    pub aggregation_key: Option<&'a str>,
    /// How much it matters.
    pub priority: Priority,
    /// What sent it.
    pub source_type: Option<&'a str>,
    /// What it means.
    pub alert: Alert,
    /// As sent: between commas, in the client's order.
    pub tags: &'a str,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Priority {
    /// `normal`.
    #[default]
    Normal,
    /// `low`.
    Low,
}

/// What an event means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Alert {
    /// `info`.
    #[default]
    Info,
    /// `warning`.
    Warning,
    /// `error`.
    Error,
    /// `success`.
    Success,
}

/// The state of something, as a client tells it (`facts/dogstatsd.md` §2.3).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceCheck<'a> {
    /// Of what.
    pub name: &'a str,
    /// 0 fine, 1 warning, 2 critical, 3 unknown.
    pub status: u8,
    /// When, in seconds since 1970; `None`: now.
    pub timestamp: Option<i64>,
    /// On which host; `None`: the agent's.
    pub host: Option<&'a str>,
    /// In words.
    pub message: std::borrow::Cow<'a, str>,
    /// As sent: between commas, in the client's order.
    pub tags: &'a str,
}

/// What the backend makes of a point; the published numbers (`facts/delivery.md` §3.2, losses.md L50).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[repr(u8)]
pub enum SeriesType {
    /// A number of things that happened.
    Count = 1,
    /// That number by second.
    Rate = 2,
    /// A state.
    Gauge = 3,
}

/// Who made a metric, for the backend's accounting (`facts/dogstatsd.md` §6).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// 1: serverless.
    pub product: u32,
    /// The platform.
    pub category: u32,
    /// What kind of metric.
    pub service: u32,
}

/// Name, place and tags of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Identity<'a> {
    /// Parts of the name, written one after the other: namespace, name, suffix.
    pub name: [&'a str; 3],
    /// The host; empty where there is none.
    pub host: &'a str,
    /// Further resources: type and name, such as `device` and `eth0`.
    pub resources: &'a [(&'a str, &'a str)],
    /// Each tag, without those that became host or resource.
    pub tags: &'a [&'a str],
    /// Who made it.
    pub origin: Option<Origin>,
}

/// Values of one metric over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Series<'a> {
    /// Whose.
    pub identity: Identity<'a>,
    /// What the values mean.
    pub series_type: SeriesType,
    /// The seconds each value stands for; 0 for a gauge.
    pub interval: u32,
    /// Seconds since 1970, and the value.
    pub points: &'a [(i64, f64)],
}

/// Sketches of one metric over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution<'a> {
    /// Whose.
    pub identity: Identity<'a>,
    /// One for each bucket.
    pub points: &'a [SketchPoint<'a>],
}

/// The distribution of the values of one bucket, in the reference's bins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SketchPoint<'a> {
    /// Begin of the bucket, in seconds since 1970.
    pub timestamp: i64,
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their mean.
    pub average: f64,
    /// Their sum.
    pub sum: f64,
    /// Bins that are not empty, ascending.
    pub keys: &'a [i32],
    /// How many values are in each.
    pub counts: &'a [u32],
}
