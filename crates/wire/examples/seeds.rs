//! Writes the golden bytes in `crates/wire/testdata` and the fuzzers' seeds in `fuzz/corpus` anew.
//!
//! `cargo run -p lastlight-wire --example seeds`; then look at the difference before you commit it.

#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

use lastlight_wire::intake::{series, sketches};
use lastlight_wire::sketch;
use lastlight_wire::stats::encode_stats_payload;
use lastlight_wire::traces::Format;
use model::sketch::Sketch;
use model::stats::StatsPayload;
use model::{Bump, limits};
use prost::Message as _;
use support::metrics::{FULL_DISTRIBUTION, FULL_SERIES};
use support::stats::{client, full_client, full_sketch, full_stats_payload, prost_sketch};
use support::{Span, TraceChunk, TracerPayload, body, decode, encode, full_payload};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = |directory: &str, name: &str, bytes: &[u8]| {
        let directory = root.join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), bytes).unwrap();
    };
    let seed =
        |target: &str, name: &str, bytes: &[u8]| write(&format!("../../fuzz/corpus/{target}"), name, bytes);

    // Traces: whole, without traces, cut, and hostile.
    let full = full_payload();
    let deep = |head: &[u8], byte: u8| {
        let mut body = head.to_vec();
        body.resize(body.len() + 2 * limits::MSGPACK_MAX_DEPTH, byte);
        body
    };
    for (target, format) in [
        ("v04", Format::V04),
        ("v04_round_trip", Format::V04),
        ("v05", Format::V05),
        ("v07", Format::V07),
        ("json", Format::JsonV04),
    ] {
        let whole = body(format, &full);
        seed(target, "full", &whole);
        seed(target, "cut", &whole[..whole.len() / 2]);
        seed(target, "empty", &body(format, &TracerPayload::default()));
        let plain = Span { service: "s".into(), trace_id: 1, span_id: 2, ..Span::default() };
        let chunk = TraceChunk { spans: vec![plain], ..TraceChunk::default() };
        seed(
            target,
            "plain",
            &body(format, &TracerPayload { chunks: vec![chunk], ..TracerPayload::default() }),
        );
    }
    for target in ["v04", "v04_round_trip"] {
        seed(target, "declared_traces", b"\xdd\xff\xff\xff\xff");
        seed(target, "declared_tags", b"\x91\x91\x81\xa4meta\xdf\xff\xff\xff\xff");
        seed(target, "declared_text", b"\x91\x91\x81\xa4name\xdb\xff\xff\xff\xff");
        seed(target, "deep", &deep(b"\x91\x91\x81\xa1x", 0x91));
        seed(target, "invalid_utf8", b"\x91\x91\x82\xa7service\xa4a\xffb\xe2\xa4name\xc4\x02ok");
        seed(target, "empty_maps", &[b"\x91\xdc\x02\x00".as_slice(), &[0x80; 512]].concat());
    }
    seed("v05", "declared_dictionary", b"\x92\xdd\xff\xff\xff\xff");
    seed("v05", "index_outside", b"\x92\x91\xa0\x91\x91\x9c\x01\x00\x00\x01\x01\x00\x00\x00\x00\xc0\xc0\x00");
    seed("v07", "declared_chunks", b"\x81\xa6chunks\xdd\xff\xff\xff\xff");
    seed("v07", "chunks_first", b"\x82\xa6chunks\x91\x81\xa8priority\x02\xa3env\xa4prod");
    seed("json", "deep", &deep(b"[[{\"x\":", b'['));
    seed("json", "surrogate", b"[[{\"name\":\"\\ud800x\\n\",\"metrics\":{\"a\":1e400,\"b\":-0.0}}], null]");

    let arena = Bump::new();
    let v07 = body(Format::V07, &full);
    let outgoing = encode(&decode(Format::V07, &v07, &arena).unwrap());
    write("testdata", "agent_payload.bin", &outgoing);
    seed("agent_payload", "full", &outgoing);
    seed("agent_payload", "cut", &outgoing[..outgoing.len() / 2]);
    seed("agent_payload", "declared", b"\x2a\xff\xff\xff\xff\x0f");
    seed(
        "agent_payload",
        "empty_spans",
        &[b"\x2a\x82\x02\x32\xff\x01".as_slice(), &[0x1a, 0].repeat(127)].concat(),
    );

    // Statistics and sketches.
    let named = rmp_serde::to_vec_named(&client(&full_client())).unwrap();
    seed("client_stats", "full", &named);
    seed("client_stats", "cut", &named[..named.len() / 2]);
    seed("client_stats", "declared", b"\x81\xa5Stats\xdd\xff\xff\xff\xff");
    seed(
        "client_stats",
        "empty_groups",
        &[b"\x81\xa5Stats\x91\x81\xa5Stats\xdc\x02\x00".as_slice(), &[0x80; 512]].concat(),
    );
    let mut stats = Vec::new();
    encode_stats_payload(&full_stats_payload(), &mut stats);
    write("testdata", "stats_payload.bin", &stats);
    seed("stats_payload", "full", &stats);
    seed("stats_payload", "cut", &stats[..stats.len() / 2]);
    let mut empty = Vec::new();
    encode_stats_payload(&StatsPayload::default(), &mut empty);
    seed("stats_payload", "empty", &empty);
    let mut bytes = Vec::new();
    sketch::encode(&full_sketch(), &mut bytes);
    seed("ddsketch", "full", &bytes);
    seed("ddsketch", "cut", &bytes[..bytes.len() / 2]);
    seed(
        "ddsketch",
        "no_mapping",
        &prost_sketch(&Sketch { zero_count: 1.0, ..Sketch::default() }).encode_to_vec(),
    );
    seed("ddsketch", "empty_bins", &[b"\x12\x80\x02".as_slice(), &[0x0a, 0].repeat(128)].concat());

    // DogStatsD and metrics.
    seed(
        "dogstatsd",
        "metrics",
        b"shop.requests:1|c|#env:prod,service:shop\nshop.pool:17.5|g|@0.5|T1700000000|c:ci-1|e:it-1|card:low\r\n\
          shop.duration:1:2.5::3e-2|d|#\nshop.query:0x1p-3|h\nshop.users:a:b|s\nshop.wait:1_0|ms|@1e-9\n",
    );
    seed(
        "dogstatsd",
        "event",
        b"_e{5,10}:title|one\\ntw\xffo|d:17|h:web|k:key|p:low|s:chef|t:error|#a:1,b|x:y",
    );
    seed("dogstatsd", "check", b"_sc|db.up|2|d:17|h:web|#a:1,b|m:no\xff answer");
    seed(
        "dogstatsd",
        "wrong",
        b"x\n:1|c\nx:|c\nx:1|\nx:1|q\nx:nan|g\nx:1|c|@2\nx:1|c|T0\n_e{9,9}:a|b\n_sc|x|4",
    );
    let mut bytes = Vec::new();
    series::encode(&FULL_SERIES, &mut bytes);
    write("testdata", "series.bin", &bytes);
    seed("series", "full", &bytes);
    seed("series", "cut", &bytes[..bytes.len() / 2]);
    seed("series", "empty_series", &[0x0a, 0].repeat(256));
    bytes.clear();
    sketches::encode(&FULL_DISTRIBUTION, &mut bytes);
    write("testdata", "sketches.bin", &bytes);
    seed("sketches", "full", &bytes);
    seed("sketches", "cut", &bytes[..bytes.len() / 2]);
    seed("sketches", "empty_sketches", &[0x0a, 0].repeat(256));
    seed("sketches", "not_packed", b"\x0a\x0a\x3a\x08\x38\x03\x38\x04\x40\x05\x40\x06");

    // Logs.
    seed("log", "plain", b"GET /health 200 in 3 ms, user 17, trace 6602953300000000aabbccdd00000001");
    seed("log", "colors", b"\x1b[31mERROR\x1b[0m \"no\\connection\"\r\n\tat main:1\x00");
    seed("log", "invalid_utf8", b"caf\xe9 \xf0\x9f\x92\xa9 \xe2\x82 a\xff");
    seed("log", "cut", "caf\u{e9}".as_bytes().split_last().unwrap().1);
    let line = br#"{"message":"no \"connection\"","level":"WARNING","@timestamp":"2024-02-29T12:30:45.678+01:00",
        "service":"caf\u00e9","dd":{"trace_id":"6602953300000000aabbccdd00000001","span_id":17},"a":[1.5e3,{"b":null},true]}"#;
    seed("log_lift", "full", line);
    seed("log_lift", "cut", &line[..line.len() / 2]);
    seed(
        "log_lift",
        "pino",
        br#"{"level":50,"time":1700000000123,"timestamp":1700000000123,"pid":1,"msg":"no"}"#,
    );
    seed("log_lift", "syslog", br#"{"syslog":{"severity":3,"timestamp":1700000000.5,"appname":"a"},"contextMap":{"dd.trace_id":"9"}}"#);
    seed("log_lift", "deep", &deep(br#"{"level":"error","a":"#, b'['));
    let entries = br#"[{"message":"a\ud83d\udca9\ud800","status":"error","timestamp":1700000000123,"hostname":"h","service":"s",
        "ddsource":"d","ddtags":"a:b","azure":{"id":"1"}}, {"message":"b","level":3}, {"message":nope}, 17, {"status":"x"}]"#;
    seed("log_input", "full", entries);
    seed("log_input", "cut", &entries[..entries.len() / 2]);
    seed("log_input", "single", br#"{"message":{"any":[1e999]},"ddtags":null,"host":"h"}"#);
    seed("log_input", "empty", b"[]");
    seed("log_input", "invalid_utf8", b"[{\"message\":\"caf\xe9\",\"a\xff\":\"\xe2\x82\"}]");
}
