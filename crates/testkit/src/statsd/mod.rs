//! DogStatsD lines as programs send them, deterministic by seed, with what must arrive of them.
//!
//! Every value is a multiple of a quarter, so that sums are exact in any order.

mod expected;
mod send;

pub use expected::{ContextTotal, Expected, KindTotal};
pub use send::{Load, Report, Target, run};

use serde::Serialize;

/// What a sample means by its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// A count.
    #[serde(rename = "c")]
    Count,
    /// A gauge.
    #[serde(rename = "g")]
    Gauge,
    /// A distribution.
    #[serde(rename = "d")]
    Distribution,
    /// A histogram.
    #[serde(rename = "h")]
    Histogram,
    /// A timing.
    #[serde(rename = "ms")]
    Timing,
    /// A set.
    #[serde(rename = "s")]
    Set,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Count, Self::Gauge, Self::Distribution, Self::Histogram, Self::Timing, Self::Set];

    /// How it is written in a line.
    pub fn letters(self) -> &'static str {
        match self {
            Self::Count => "c",
            Self::Gauge => "g",
            Self::Distribution => "d",
            Self::Histogram => "h",
            Self::Timing => "ms",
            Self::Set => "s",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(letters: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.letters() == letters);
        found.ok_or_else(|| format!("{letters:?} is not one of c, g, d, h, ms, s"))
    }
}

/// What traffic is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Names with tags, shared out among the kinds in turn.
    pub contexts: usize,
    /// The kinds in turn.
    pub kinds: Vec<Kind>,
    /// Lines of one datagram.
    pub samples_per_datagram: usize,
    /// Counts are 1 to this. With 1, the total of a count is its number of samples.
    pub count_max: u32,
    /// Ends each datagram with a newline, as some clients do.
    pub trailing_newline: bool,
    /// Everything else.
    pub seed: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            contexts: 1000,
            kinds: vec![Kind::Count, Kind::Gauge, Kind::Distribution],
            samples_per_datagram: 18,
            count_max: 1,
            trailing_newline: false,
            seed: 1,
        }
    }
}

/// Metric names of each kind.
const NAMES: usize = 20;
/// Lines made at least, so that a context of a small mix has different values.
const LINES_MIN: usize = 65_536;

/// Datagrams ready to be sent, again from the first after the last.
///
/// Contexts take turns in an order of their own in each round, so that a neighbour in one round is none in
/// the next.
#[derive(Debug)]
pub struct Traffic {
    kinds: Vec<Kind>,
    contexts: usize,
    samples_per_datagram: usize,
    /// Context and value (in quarters; for a set, which of its members) of each line.
    lines: Vec<(u32, u32)>,
    datagrams: Vec<Vec<u8>>,
}

impl Traffic {
    /// Makes the datagrams of a mix.
    ///
    /// # Panics
    /// When the mix has no contexts, no kinds or no samples.
    pub fn new(mix: &Mix) -> Self {
        assert!(mix.contexts > 0 && !mix.kinds.is_empty() && mix.samples_per_datagram > 0, "{mix:?}");
        let mut random = fastrand::Rng::with_seed(mix.seed);
        let mut order: Vec<u32> = (0..u32::try_from(mix.contexts).expect("contexts fit")).collect();
        let rounds = LINES_MIN.div_ceil(mix.contexts);
        let mut lines = Vec::with_capacity(rounds * mix.contexts);
        for _ in 0..rounds {
            random.shuffle(&mut order);
            lines.extend(order.iter().map(|context| {
                let quarters = match mix.kinds[*context as usize % mix.kinds.len()] {
                    Kind::Count => 4 * random.u32(1..=mix.count_max),
                    Kind::Gauge => random.u32(0..4000),
                    // Most are small, some are large.
                    Kind::Distribution | Kind::Histogram | Kind::Timing => {
                        random.u32(1..64) * random.u32(1..64)
                    }
                    Kind::Set => random.u32(0..50),
                };
                (*context, quarters)
            }));
        }
        let mut traffic = Self {
            kinds: mix.kinds.clone(),
            contexts: mix.contexts,
            samples_per_datagram: mix.samples_per_datagram,
            lines,
            datagrams: Vec::new(),
        };
        let datagrams = traffic.lines.chunks(mix.samples_per_datagram).map(|lines| {
            let lines: Vec<_> =
                lines.iter().map(|(context, quarters)| traffic.line(*context, *quarters)).collect();
            let mut datagram = lines.join("\n");
            if mix.trailing_newline {
                datagram.push('\n');
            }
            datagram.into_bytes()
        });
        traffic.datagrams = datagrams.collect();
        traffic
    }

    /// The datagrams in the order in which they are sent, once.
    pub fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams
    }

    /// The datagram of a number from 0.
    pub fn datagram(&self, number: u64) -> &[u8] {
        &self.datagrams[usize::try_from(number % self.datagrams.len() as u64).unwrap_or(0)]
    }

    /// Samples in the first so many datagrams.
    pub fn samples(&self, datagrams: u64) -> u64 {
        let all = self.datagrams.len() as u64;
        let rest = (datagrams % all) * self.samples_per_datagram as u64;
        datagrams / all * self.lines.len() as u64 + rest.min(self.lines.len() as u64)
    }

    /// What must arrive when the first so many datagrams were sent.
    pub fn expected(&self, datagrams: u64) -> Expected {
        Expected::of(self, self.samples(datagrams))
    }

    fn kind(&self, context: u32) -> Kind {
        self.kinds[context as usize % self.kinds.len()]
    }

    /// Name of a context: no two kinds share one, as some agents cannot tell them apart.
    fn name(&self, context: u32) -> String {
        let number = context as usize / self.kinds.len() % NAMES;
        format!("kit.{}.calls.{number}", self.kind(context).letters())
    }

    /// Three to five tags; the first is the context's own.
    fn tags(context: u32) -> Vec<String> {
        let mut tags =
            vec![format!("ctx:{context}"), "env:prod".to_owned(), format!("service:shop-{}", context % 7)];
        // Not in step with the kinds.
        let more = context / 7 % 3;
        if more > 0 {
            tags.push(format!("path:/orders/{}", context % 50));
        }
        if more > 1 {
            tags.push(format!("status:{}", 200 + context % 5));
        }
        tags
    }

    fn line(&self, context: u32, quarters: u32) -> String {
        let kind = self.kind(context);
        let (name, tags) = (self.name(context), Self::tags(context).join(","));
        match kind {
            Kind::Set => format!("{name}:user-{quarters}|s|#{tags}"),
            _ => format!("{name}:{}|{}|#{tags}", f64::from(quarters) / 4.0, kind.letters()),
        }
    }
}

#[cfg(test)]
mod tests;
