//! Statistics that a tracer computed itself (`facts/trace-intake.md` §8).

use super::client::ClientHeaders;
use super::door::{Body, Reason, Refusal};
use super::{Intake, Taken};
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use model::stats::ClientStats;
use model::{Signal, Why};

impl Intake {
    /// Accepts one client stats payload.
    pub(super) fn stats(
        &self,
        headers: &ClientHeaders<'_>,
        taken: Taken<'_>,
    ) -> Result<Response<Body>, Refusal> {
        let mut stats = wire::stats::decode_client_stats(&taken.bytes)
            .map_err(|error| Refusal::new(Reason::Malformed, error.to_string()))?;
        let client = headers.client();
        let received_groups = group_count(&stats);
        let ignored = self.processor.client_stats(&mut stats, &client, headers.obfuscated);
        if received_groups > 0 {
            let mut receipt = self.books.accept(Signal::Stats, received_groups);
            if let Some(hold) = taken.hold {
                receipt.attach(hold);
            }
            receipt.take(ignored).dropped(Why::Ignored);
            self.egress.push_client_stats(stats, receipt);
        }
        let mut response = Response::new(Full::from("{}"));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

fn group_count(stats: &ClientStats) -> u64 {
    stats.buckets.iter().map(|bucket| bucket.groups.len() as u64).sum()
}
