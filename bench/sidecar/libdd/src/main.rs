//! `bench-libdd agent|agentless PORT PAYLOADS`: each payload once through a `TraceExporter`, as fast as it takes them.
//!
//! PAYLOADS holds, for each, the number of spans and of bytes (u32, little endian) and then the bytes, msgpack v0.4. The
//! answer, on a line: payloads, spans, nanoseconds until all were delivered, CPU nanoseconds of the whole process in that time,
//! failures.

use libdd_capabilities_impl::NativeCapabilities;
use libdd_data_pipeline::trace_exporter::{
    TraceExporter, TraceExporterBuilder, TraceExporterInputFormat, TraceExporterOutputFormat,
};
use libdd_shared_runtime::ForkSafeRuntime;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

type Exporter = TraceExporter<NativeCapabilities, ForkSafeRuntime>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(kind), Some(port), Some(file)) = (words.next(), words.next(), words.next()) else {
        return Err("usage: bench-libdd agent|agentless PORT PAYLOADS".into());
    };
    let bytes = fs::read(file)?;
    let payloads = split(&bytes).ok_or("a file cut short")?;
    let exporter = open(&kind, &port)?;
    // Connected and warm before anything counts.
    let mut failures = 0;
    if let Some((_, first)) = payloads.first() {
        failures += u32::from(exporter.send(first).is_err());
    }
    let (began, used) = (Instant::now(), cpu());
    let mut spans = 0;
    for (count, payload) in &payloads {
        spans += count;
        failures += u32::from(exporter.send(payload).is_err());
    }
    // What is left of the statistics is sent by this.
    exporter.shutdown(Some(Duration::from_secs(10)))?;
    let (took, used) = (began.elapsed().as_nanos(), cpu() - used);
    println!("{} {spans} {took} {used} {failures}", payloads.len());
    Ok(())
}

fn open(kind: &str, port: &str) -> Result<Exporter, Box<dyn Error>> {
    let url = format!("http://127.0.0.1:{port}");
    let mut builder = TraceExporterBuilder::<ForkSafeRuntime>::new();
    builder
        .set_hostname("bench")
        .set_env("prod")
        .set_service("shop-api")
        .set_app_version("1.2.3")
        .set_tracer_version("4.16.0")
        .set_language("python")
        .set_language_version("3.11.7")
        .set_language_interpreter("CPython")
        .set_input_format(TraceExporterInputFormat::V04)
        .set_output_format(TraceExporterOutputFormat::V04);
    match kind {
        "agent" => {
            builder.set_url(&url);
        }
        "agentless" => {
            builder
                .set_agentless_endpoint(&format!("{url}/v1/input"), &"0".repeat(32))
                .set_agentless_stats_endpoint(&format!("{url}/api/v0.2/stats"))
                .enable_client_side_stats_obfuscation()
                .enable_stats(Duration::from_secs(10));
        }
        _ => return Err("neither agent nor agentless".into()),
    }
    Ok(builder.build::<NativeCapabilities>()?)
}

/// Spans and bytes of each payload.
fn split(mut rest: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (spans, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let (payload, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        found.push((u32::from_le_bytes(*spans), payload));
        rest = after;
    }
    Some(found)
}

/// CPU time of all threads so far, also of those that have ended, nanoseconds.
fn cpu() -> i64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec * 1_000_000_000 + used.tv_nsec
}
