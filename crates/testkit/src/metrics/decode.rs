//! Bodies of the metric intakes to what they say.

use super::{
    Check, EventPayload, Limits, OTHER_LIMITS, SERIES_LIMITS, Series, SketchSeries, json,
    proto::{MetricPayload, SketchPayload},
};
use prost::Message;

/// What a path of the metric intakes takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `/api/v2/series`, protobuf or JSON.
    Series,
    /// `/api/v1/series`, JSON.
    SeriesV1,
    /// `/api/beta/sketches`.
    Sketches,
    /// `/intake/`.
    Events,
    /// `/api/v1/check_run`.
    Checks,
}

/// A decoded body.
#[derive(Debug)]
pub(crate) enum Decoded {
    Series(Vec<Series>),
    Sketches(Vec<SketchSeries>),
    Events(EventPayload),
    Checks(Vec<Check>),
}

impl Kind {
    pub(crate) fn of(path: &str) -> Option<Self> {
        let ends = |end| path.ends_with(end);
        match () {
            () if ends("/api/v2/series") => Some(Self::Series),
            () if ends("/api/v1/series") => Some(Self::SeriesV1),
            () if ends("/api/beta/sketches") => Some(Self::Sketches),
            () if ends("/intake/") || ends("/intake") => Some(Self::Events),
            () if ends("/api/v1/check_run") => Some(Self::Checks),
            () => None,
        }
    }

    pub(crate) fn limits(self) -> Limits {
        if self == Self::Series { SERIES_LIMITS } else { OTHER_LIMITS }
    }

    /// Decodes a decompressed body.
    pub(crate) fn decode(self, plain: &[u8], content_type: &str) -> Result<Decoded, String> {
        Ok(match self {
            Self::Series if content_type.contains("json") || plain.first() == Some(&b'{') => {
                Decoded::Series(from_json::<json::V2>(plain)?.into())
            }
            Self::Series => {
                let payload = MetricPayload::decode(plain).map_err(|error| error.to_string())?;
                Decoded::Series(payload.series.into_iter().map(Series::from).collect())
            }
            Self::SeriesV1 => Decoded::Series(from_json::<json::V1>(plain)?.into()),
            Self::Sketches => {
                let payload = SketchPayload::decode(plain).map_err(|error| error.to_string())?;
                if let Some(uneven) = payload.sketches.iter().find(|sketch| {
                    sketch.dogsketches.iter().any(|dogsketch| dogsketch.k.len() != dogsketch.n.len())
                }) {
                    return Err(format!("{}: keys and counts differ in number", uneven.metric));
                }
                Decoded::Sketches(payload.sketches.into_iter().map(SketchSeries::from).collect())
            }
            Self::Events => Decoded::Events(from_json::<json::Intake>(plain)?.into()),
            Self::Checks => Decoded::Checks(from_json(plain)?),
        })
    }
}

impl Decoded {
    /// Points of series.
    pub(crate) fn points(&self) -> usize {
        match self {
            Self::Series(series) => series.iter().map(|series| series.points.len()).sum(),
            _ => 0,
        }
    }
}

fn from_json<T: serde::de::DeserializeOwned>(plain: &[u8]) -> Result<T, String> {
    serde_json::from_slice(plain).map_err(|error| error.to_string())
}
