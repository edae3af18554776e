//! What became of samples, told to the outside.

use super::{DogStatsD, Tally, TransportBook};
use crate::intake::status::object;
use model::metric::MetricType;
use serde_json::{Value, json};
use std::sync::Arc;

impl DogStatsD {
    /// The part of `/lastlight/status` about DogStatsD.
    pub(crate) fn status_document(&self) -> Value {
        let (contexts, bytes) = {
            let hot = self.lock();
            (hot.aggregator.contexts(), hot.aggregator.bytes())
        };
        let transports: Vec<_> = self.all_books().map(|book| transport_document(book)).collect();
        json!({
            "contexts": contexts,
            "context_bytes": bytes,
            "transports": transports,
        })
    }

    /// Rows for `/lastlight/metrics`: labels, and one count of each transport, type or reason.
    pub(crate) fn families(&self, family: &mut impl FnMut(&str, &str, &str, Vec<(String, u64)>)) {
        let labels = crate::intake::labels_text;
        let mut taken = Vec::new();
        let mut refused = Vec::new();
        let mut packets = Vec::new();
        for book in self.all_books() {
            let tally = book.read();
            let (kind, address) = (("kind", book.name.kind), ("address", book.name.address.as_str()));
            packets.push((labels(&[kind, address]), tally.packets));
            for (what, count) in by_type(&tally) {
                taken.push((labels(&[kind, address, ("type", what)]), count));
            }
            for (reason, count) in tally.refusals() {
                refused.push((labels(&[kind, address, ("reason", reason)]), count));
            }
        }
        family("dogstatsd_packets_total", "counter", "Datagrams, frames and bodies received.", packets);
        family("dogstatsd_taken_total", "counter", "Samples, events and checks taken, by type.", taken);
        family("dogstatsd_refused_total", "counter", "Lines and samples not taken, by reason.", refused);
        let contexts = self.lock().aggregator.contexts() as u64;
        family(
            "dogstatsd_contexts",
            "gauge",
            "Metrics held, with their tags.",
            vec![(String::new(), contexts)],
        );
    }

    fn all_books(&self) -> impl Iterator<Item = &Arc<TransportBook>> {
        self.transports.iter().chain([&self.proxied])
    }
}

fn transport_document(book: &TransportBook) -> Value {
    let tally = book.read();
    json!({
        "kind": book.name.kind,
        "address": book.name.address,
        "packets": tally.packets,
        "bytes": tally.bytes,
        "taken": object(&mut by_type(&tally).map(|(what, count)| (what.to_owned(), Value::from(count)))),
        "refused": object(&mut tally.refusals().map(|(why, count)| (why.to_owned(), Value::from(count)))),
    })
}

/// What was taken, by type: those that occurred.
fn by_type(tally: &Tally) -> impl Iterator<Item = (&'static str, u64)> {
    let samples = MetricType::ALL.iter().map(|kind| (kind.name(), tally.samples[*kind as usize]));
    let rest = [("filtered", tally.blocked), ("event", tally.events), ("service_check", tally.checks)];
    samples.chain(rest).filter(|(_, count)| *count > 0)
}
