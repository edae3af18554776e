//! Writes statistics, every field by its name, in the reference's order.

use model::sketch::Sketch;
use model::stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload, TraceRoot};

/// Appends a `StatsPayload` as msgpack.
pub fn encode_stats_payload(payload: &StatsPayload, out: &mut Vec<u8>) {
    let mut map = Fields::new(6, out);
    map.text("AgentHostname", &payload.agent_hostname);
    map.text("AgentEnv", &payload.agent_env);
    map.array("Stats", &payload.stats, client);
    map.text("AgentVersion", &payload.agent_version);
    map.boolean("ClientComputed", payload.client_computed);
    map.boolean("SplitPayload", payload.split_payload);
}

fn client(stats: &ClientStats, out: &mut Vec<u8>) {
    let mut map = Fields::new(16, out);
    map.text("Hostname", &stats.hostname);
    map.text("Env", &stats.env);
    map.text("Version", &stats.version);
    map.array("Stats", &stats.buckets, bucket);
    map.text("Lang", &stats.lang);
    map.text("TracerVersion", &stats.tracer_version);
    map.text("RuntimeID", &stats.runtime_id);
    map.unsigned("Sequence", stats.sequence);
    map.text("AgentAggregation", &stats.agent_aggregation);
    map.text("Service", &stats.service);
    map.text("ContainerID", &stats.container_id);
    map.texts("Tags", &stats.tags);
    map.text("GitCommitSha", &stats.git_commit_sha);
    map.text("ImageTag", &stats.image_tag);
    map.unsigned("ProcessTagsHash", stats.process_tags_hash);
    map.text("ProcessTags", &stats.process_tags);
}

fn bucket(bucket: &StatsBucket, out: &mut Vec<u8>) {
    let mut map = Fields::new(4, out);
    map.unsigned("Start", bucket.start);
    map.unsigned("Duration", bucket.duration);
    map.array("Stats", &bucket.groups, group);
    map.signed("AgentTimeShift", bucket.agent_time_shift);
}

fn group(group: &StatsGroup, out: &mut Vec<u8>) {
    let mut map = Fields::new(22, out);
    map.text("Service", &group.service);
    map.text("Name", &group.name);
    map.text("Resource", &group.resource);
    map.unsigned("HTTPStatusCode", u64::from(group.http_status_code));
    map.text("Type", &group.span_type);
    map.text("DBType", &group.db_type);
    map.unsigned("Hits", group.hits);
    map.unsigned("Errors", group.errors);
    map.unsigned("Duration", group.duration);
    map.sketch("OkSummary", &group.ok_summary);
    map.sketch("ErrorSummary", &group.error_summary);
    map.boolean("Synthetics", group.synthetics);
    map.unsigned("TopLevelHits", group.top_level_hits);
    map.text("SpanKind", &group.span_kind);
    map.texts("PeerTags", &group.peer_tags);
    map.unsigned(
        "IsTraceRoot",
        match group.is_trace_root {
            TraceRoot::NotSet => 0,
            TraceRoot::Yes => 1,
            TraceRoot::No => 2,
        },
    );
    map.text("GRPCStatusCode", &group.grpc_status_code);
    map.text("HTTPMethod", &group.http_method);
    map.text("HTTPEndpoint", &group.http_endpoint);
    map.text("srv_src", &group.service_source);
    map.texts("SpanDerivedPrimaryTags", &group.span_derived_primary_tags);
    map.texts("AdditionalMetricTags", &group.additional_metric_tags);
}

/// A map that is being written.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Fields<'a> {
    fn new(fields: u16, out: &'a mut Vec<u8>) -> Self {
        if fields < 16 {
            out.push(0x80 | fields as u8);
        } else {
            out.push(0xde);
            out.extend_from_slice(&fields.to_be_bytes());
        }
        Self { out }
    }

    fn text(&mut self, name: &str, text: &str) {
        string(name, self.out);
        string(text, self.out);
    }

    fn texts(&mut self, name: &str, texts: &[String]) {
        self.array(name, texts, |text, out| string(text, out));
    }

    fn array<T>(&mut self, name: &str, elements: &[T], each: impl Fn(&T, &mut Vec<u8>)) {
        string(name, self.out);
        length(elements.len(), 0x90, 16, [None, Some(0xdc), Some(0xdd)], self.out);
        for element in elements {
            each(element, self.out);
        }
    }

    fn boolean(&mut self, name: &str, value: bool) {
        string(name, self.out);
        self.out.push(if value { 0xc3 } else { 0xc2 });
    }

    fn unsigned(&mut self, name: &str, value: u64) {
        string(name, self.out);
        let bytes = value.to_be_bytes();
        let (marker, bytes) = match value {
            0..=0x7f => (None, &bytes[7..]),
            0x80..=0xff => (Some(0xcc), &bytes[7..]),
            0x100..=0xffff => (Some(0xcd), &bytes[6..]),
            0x1_0000..=0xffff_ffff => (Some(0xce), &bytes[4..]),
            _ => (Some(0xcf), &bytes[..]),
        };
        self.out.extend(marker);
        self.out.extend_from_slice(bytes);
    }

    fn signed(&mut self, name: &str, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(name, value),
            Err(_) => {
                string(name, self.out);
                self.out.push(0xd3);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
        }
    }

    fn sketch(&mut self, name: &str, sketch: &Sketch) {
        string(name, self.out);
        // Written behind a length of four bytes, for it is not known before.
        self.out.push(0xc6);
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        crate::sketch::encode(sketch, self.out);
        let length = self.out.len() - start - 4;
        self.out[start..start + 4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    length(text.len(), 0xa0, 32, [Some(0xd9), Some(0xda), Some(0xdb)], out);
    out.extend_from_slice(text.as_bytes());
}

/// A length in its shortest form: `fixed` for those below `fixed_end`, then 8, 16 and 32 bits.
fn length(length: usize, fixed: u8, fixed_end: usize, markers: [Option<u8>; 3], out: &mut Vec<u8>) {
    // What we write was bounded long before: nothing has 4 GiB.
    let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    match (length, markers) {
        (length, _) if length < fixed_end => out.push(fixed | length as u8),
        (0..=0xff, [Some(marker), ..]) => out.extend_from_slice(&[marker, bytes[3]]),
        (0..=0xffff, [_, Some(marker), _]) => out.extend_from_slice(&[marker, bytes[2], bytes[3]]),
        (_, [.., marker]) => {
            out.extend(marker);
            out.extend_from_slice(&bytes);
        }
    }
}
