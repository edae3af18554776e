//! Reads statistics. They are held longer than a request lives, so they own what they hold; a budget
//! in proportion to the body bounds what that may take.

use model::sketch::{Bins, Sketch};
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload, TraceRoot};

use crate::error::DecodeError;
use crate::msgpack::Reader;

/// Bytes the decoded form may take for each byte of the body. A group of named fields takes some 400 bytes of
/// a body and up to twice as many when decoded; only hostile bodies come near this.
pub const DECODED_BYTES_PER_BODY_BYTE: usize = 4;
/// Bytes the decoded form of a body may take however short it is.
pub const DECODED_MIN_BYTES: usize = 64 * 1024;

/// Reads what a tracer sends: a `ClientStatsPayload` in msgpack.
///
/// # Errors
/// When the body is none, a sketch in it is unusable, or its decoded form is out of all proportion.
pub fn decode_client_stats(body: &[u8]) -> Result<ClientStats, DecodeError> {
    Decoder::new(body).client()
}

/// Reads what the backend takes: a `StatsPayload` in msgpack.
///
/// # Errors
/// As [`decode_client_stats`].
pub fn decode_stats_payload(body: &[u8]) -> Result<StatsPayload, DecodeError> {
    Decoder::new(body).payload()
}

struct Decoder<'a> {
    reader: Reader<'a>,
    /// Bytes the decoded form may still take.
    budget: usize,
}

impl<'a> Decoder<'a> {
    fn new(body: &'a [u8]) -> Self {
        let budget = body.len().saturating_mul(DECODED_BYTES_PER_BODY_BYTE).saturating_add(DECODED_MIN_BYTES);
        Self { reader: Reader::new(body), budget }
    }

    fn payload(&mut self) -> Result<StatsPayload, DecodeError> {
        let mut payload = StatsPayload::default();
        for _ in 0..self.reader.map("a statistics payload")? {
            match self.name()? {
                b"AgentHostname" => payload.agent_hostname = self.text("the agent's host")?,
                b"AgentEnv" => payload.agent_env = self.text("the agent's environment")?,
                b"Stats" => payload.stats = self.array("an array of client statistics", Self::client)?,
                b"AgentVersion" => payload.agent_version = self.text("the agent's version")?,
                b"ClientComputed" => payload.client_computed = self.reader.boolean("who computed")?,
                b"SplitPayload" => payload.split_payload = self.reader.boolean("whether it was split")?,
                _ => self.reader.skip()?,
            }
        }
        Ok(payload)
    }

    fn client(&mut self) -> Result<ClientStats, DecodeError> {
        let mut stats = ClientStats::default();
        for _ in 0..self.reader.map("client statistics")? {
            match self.name()? {
                b"Hostname" => stats.hostname = self.text("the host")?,
                b"Env" => stats.env = self.text("the environment")?,
                b"Version" => stats.version = self.text("the program's version")?,
                b"Stats" => stats.buckets = self.array("an array of buckets", Self::bucket)?,
                b"Lang" => stats.lang = self.text("the language")?,
                b"TracerVersion" => stats.tracer_version = self.text("the tracer's version")?,
                b"RuntimeID" => stats.runtime_id = self.text("the runtime id")?,
                b"Sequence" => stats.sequence = self.reader.unsigned("the payload's number")?,
                b"AgentAggregation" => stats.agent_aggregation = self.text("the aggregation")?,
                b"Service" => stats.service = self.text("the service")?,
                b"ContainerID" => stats.container_id = self.text("the container id")?,
                b"Tags" => stats.tags = self.texts("the container's tags")?,
                b"GitCommitSha" => stats.git_commit_sha = self.text("the commit")?,
                b"ImageTag" => stats.image_tag = self.text("the image")?,
                b"ProcessTagsHash" => stats.process_tags_hash = self.reader.unsigned("a hash of tags")?,
                b"ProcessTags" => stats.process_tags = self.text("the process's tags")?,
                _ => self.reader.skip()?,
            }
        }
        Ok(stats)
    }

    fn bucket(&mut self) -> Result<StatsBucket, DecodeError> {
        let mut bucket = StatsBucket::default();
        for _ in 0..self.reader.map("a bucket")? {
            match self.name()? {
                b"Start" => bucket.start = self.reader.unsigned("the start of a bucket")?,
                b"Duration" => bucket.duration = self.reader.unsigned("the length of a bucket")?,
                b"Stats" => bucket.groups = self.array("an array of groups", Self::group)?,
                b"AgentTimeShift" => bucket.agent_time_shift = self.reader.signed("a shift of time")?,
                _ => self.reader.skip()?,
            }
        }
        Ok(bucket)
    }

    fn group(&mut self) -> Result<StatsGroup, DecodeError> {
        let mut group = StatsGroup::default();
        for _ in 0..self.reader.map("a group")? {
            match self.name()? {
                b"Service" => group.service = self.text("the service of a group")?,
                b"Name" => group.name = self.text("the name of a group")?,
                b"Resource" => group.resource = self.text("the resource of a group")?,
                b"HTTPStatusCode" => group.http_status_code = self.reader.unsigned32("an HTTP status")?,
                b"Type" => group.span_type = self.text("the type of a group")?,
                b"DBType" => group.db_type = self.text("the database of a group")?,
                b"Hits" => group.hits = self.reader.unsigned("the hits of a group")?,
                b"Errors" => group.errors = self.reader.unsigned("the errors of a group")?,
                b"Duration" => group.duration = self.reader.unsigned("the duration of a group")?,
                b"OkSummary" => group.ok_summary = self.sketch()?,
                b"ErrorSummary" => group.error_summary = self.sketch()?,
                b"Synthetics" => group.synthetics = self.reader.boolean("whether it is synthetic")?,
                b"TopLevelHits" => group.top_level_hits = self.reader.unsigned("top-level hits")?,
                b"SpanKind" => group.span_kind = self.text("the kind of a group")?,
                b"PeerTags" => group.peer_tags = self.texts("an array of peer tags")?,
                b"IsTraceRoot" => group.is_trace_root = self.trace_root()?,
                b"GRPCStatusCode" => group.grpc_status_code = self.text("a gRPC status")?,
                b"HTTPMethod" => group.http_method = self.text("an HTTP method")?,
                b"HTTPEndpoint" => group.http_endpoint = self.text("an HTTP endpoint")?,
                b"srv_src" => group.service_source = self.text("the source of a service's name")?,
                b"SpanDerivedPrimaryTags" => {
                    group.span_derived_primary_tags = self.texts("an array of primary tags")?;
                }
                b"AdditionalMetricTags" => {
                    group.additional_metric_tags = self.texts("an array of metric tags")?
                }
                _ => self.reader.skip()?,
            }
        }
        Ok(group)
    }

    fn trace_root(&mut self) -> Result<TraceRoot, DecodeError> {
        Ok(match self.reader.unsigned("whether it is a trace's root")? {
            1 => TraceRoot::Yes,
            2 => TraceRoot::No,
            _ => TraceRoot::NotSet,
        })
    }

    fn sketch(&mut self) -> Result<Sketch, DecodeError> {
        let bytes = self.reader.bytes("a sketch")?;
        let start = self.reader.offset() - bytes.len();
        let sketch = crate::sketch::decode(bytes)
            .map_err(|error| DecodeError { offset: error.offset.saturating_add(start), ..error })?;
        let bins = |bins: &Bins| {
            bins.contiguous.capacity() * size_of::<f64>() + bins.sparse.capacity() * size_of::<(i32, f64)>()
        };
        self.spend(bins(&sketch.positive) + bins(&sketch.negative), "a sketch")?;
        Ok(sketch)
    }

    fn name(&mut self) -> Result<&'a [u8], DecodeError> {
        self.reader.bytes("the name of a field")
    }

    fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let bytes = self.reader.bytes(what)?;
        let text = String::from_utf8_lossy(bytes);
        self.spend(text.len(), what)?;
        Ok(text.into_owned())
    }

    fn texts(&mut self, what: &'static str) -> Result<Vec<String>, DecodeError> {
        self.array(what, |decoder| decoder.text(what))
    }

    fn array<T>(
        &mut self,
        what: &'static str,
        mut each: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let declared = self.reader.array(what)?;
        let mut elements = Vec::new();
        for _ in 0..declared {
            if self.reader.nil() {
                continue;
            }
            let element = each(self)?;
            if elements.len() == elements.capacity() {
                // Doubles, but never beyond what was declared.
                let more = (declared - elements.len()).min(elements.len().max(4));
                self.spend(more.saturating_mul(size_of::<T>()), what)?;
                elements.reserve_exact(more);
            }
            elements.push(element);
        }
        Ok(elements)
    }

    fn spend(&mut self, bytes: usize, what: &'static str) -> Result<(), DecodeError> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(DecodeError::too_large(self.reader.offset(), what)),
        }
    }
}
