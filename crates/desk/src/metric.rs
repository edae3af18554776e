//! What the desk keeps of metrics, events and service checks: owned, bounded, as they came over the wire.

use crate::record::cut;

/// Tags, or resources, kept of one context, event or check.
const TAGS_MAX: usize = 1_000;

/// What the values of a series mean (`facts/delivery.md` §3.2), or that they are sketches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Kind {
    /// The sender did not say, or said a number that nobody knows.
    #[default]
    Unspecified,
    /// A number of things that happened.
    Count,
    /// That number by second.
    Rate,
    /// A state.
    Gauge,
    /// A sketch of values.
    Distribution,
}

impl Kind {
    /// The published numbers of series v2.
    pub(crate) fn of_number(number: u64) -> Self {
        match number {
            1 => Self::Count,
            2 => Self::Rate,
            3 => Self::Gauge,
            _ => Self::Unspecified,
        }
    }

    /// The words of series v1.
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "count" => Self::Count,
            "rate" => Self::Rate,
            "gauge" => Self::Gauge,
            _ => Self::Unspecified,
        }
    }

    /// The name used in JSON lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Gauge => "gauge",
            Self::Distribution => "distribution",
        }
    }
}

/// Name, tags and place of a metric: what the backend tells series apart by, and the kind, so that a mix-up shows.
#[derive(Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Context {
    /// The metric's name.
    pub name: String,
    /// Its tags, sorted, each once.
    pub tags: Vec<String>,
    /// The host; empty where there is none.
    pub host: String,
    /// Further resources, type and name, such as `device` and `eth0`.
    pub resources: Vec<(String, String)>,
    /// What its values mean.
    pub kind: Kind,
}

impl Context {
    /// Sorts tags, takes the host out of the resources, and bounds texts.
    pub(crate) fn new<'a>(
        name: &str,
        kind: Kind,
        host: &str,
        tags: impl Iterator<Item = &'a str>,
        resources: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut context =
            Self { name: cut(name), tags: self::tags(tags), host: cut(host), kind, resources: Vec::new() };
        for (resource, name) in resources.take(TAGS_MAX) {
            if resource == "host" {
                context.host = cut(name);
            } else {
                context.resources.push((cut(resource), cut(name)));
            }
        }
        model::order::sort(&mut context.resources);
        context
    }

    /// Bytes of its texts, and what each of them costs beside.
    pub(crate) fn cost(&self) -> usize {
        const TEXT_BASE_BYTES: usize = 32;
        let tags: usize = self.tags.iter().map(|tag| TEXT_BASE_BYTES + tag.len()).sum();
        let pairs = self.resources.iter().map(|(kind, name)| 2 * TEXT_BASE_BYTES + kind.len() + name.len());
        self.name.len() + self.host.len() + tags + pairs.sum::<usize>()
    }
}

/// Copies tags, sorted, each once.
pub(crate) fn tags<'a>(tags: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut tags: Vec<_> = tags.take(TAGS_MAX).filter(|tag| !tag.is_empty()).map(cut).collect();
    model::order::sort(&mut tags);
    tags.dedup();
    tags
}

/// Values of one context over time, of one payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    /// Whose.
    pub(crate) context: Context,
    /// The seconds each value stands for; 0 where that has no meaning.
    pub(crate) interval: u32,
    /// Seconds since 1970, and the value.
    pub(crate) points: Vec<(i64, f64)>,
}

/// Sketches of one context over time, of one payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Distribution {
    /// Whose.
    pub(crate) context: Context,
    /// One for each bucket.
    pub(crate) points: Vec<Sketch>,
}

/// The distribution of the values of one bucket, in the reference's bins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
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
    /// Key and number of values of each bin; keys as the reference's (`quantile.rs`).
    pub bins: Vec<(i32, u32)>,
}

/// What happened, as a program told it (`facts/delivery.md` §3.6).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// One line.
    pub title: String,
    /// The rest.
    pub text: String,
    /// When, in seconds since 1970; 0 when it does not say.
    pub timestamp: i64,
    /// `normal` or `low`.
    pub priority: String,
    /// `info`, `warning`, `error` or `success`.
    pub alert_type: String,
    /// On which host; empty where there is none.
    pub host: String,
    /// Its tags, sorted, each once.
    pub tags: Vec<String>,
    /// Events with the same key are shown as one by a backend; may be empty.
    pub aggregation_key: String,
    /// What sent it; may be empty.
    pub source: String,
}

/// The state of something, as a program told it (`facts/delivery.md` §3.6).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Check {
    /// Of what.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// When, in seconds since 1970; 0 when it does not say.
    pub timestamp: i64,
    /// On which host; empty where there is none.
    pub host: String,
    /// Its tags, sorted, each once.
    pub tags: Vec<String>,
    /// In words; may be empty.
    pub message: String,
}

/// What a check found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// 0.
    Ok,
    /// 1.
    Warning,
    /// 2.
    Critical,
    /// 3, and every other number.
    #[default]
    Unknown,
}

impl Status {
    pub(crate) fn of(number: i64) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Warning,
            2 => Self::Critical,
            _ => Self::Unknown,
        }
    }

    /// The name that views use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}
