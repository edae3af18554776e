//! Logs while they wait for their request.
//!
//! A plain line is held as it was written: as JSON it would take twice the memory, and be made on the thread that passes a
//! program's output on.

use super::LogsSettings;
use model::log::{Log, LogStatus};
use pipeline::outbox::Batch;
use wire::intake::logs;

/// What is in front of a plain message: a mark that no JSON begins with, the status, the time.
const HEAD_BYTES: usize = 2 + TIME_BYTES;
const TIME_BYTES: usize = size_of::<i64>();
const PLAIN: u8 = 0;

/// Holds a log. `is_plain`: it has no tags of its own and no trace, and its service and source are the settings'.
pub(super) fn hold(log: &Log<'_>, is_plain: bool, out: &mut Vec<u8>) {
    if is_plain {
        out.extend_from_slice(&[PLAIN, log.status as u8]);
        out.extend_from_slice(&log.timestamp_ms.to_le_bytes());
        out.extend_from_slice(log.message);
    } else {
        logs::encode(log, out);
    }
}

/// The body of a request.
pub(super) fn body(batch: &Batch, tags: &str, settings: &LogsSettings) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.bytes.len() * 2);
    logs::payload_of(batch.entries(), tags, &mut |held, out| write(held, settings, out), &mut body);
    body
}

/// Writes what was held as an open object.
fn write(held: &[u8], settings: &LogsSettings, out: &mut Vec<u8>) {
    let plain = held.split_first_chunk::<HEAD_BYTES>().filter(|(head, _)| head[0] == PLAIN);
    let Some(([_, status, time @ ..], message)) = plain else { return out.extend_from_slice(held) };
    let log = Log {
        message,
        status: LogStatus::ALL.get(usize::from(*status)).copied().unwrap_or(LogStatus::Info),
        timestamp_ms: i64::from_le_bytes(*time),
        hostname: &settings.hostname,
        service: &settings.service,
        source: &settings.source,
        tags: "",
        trace_id: None,
        span_id: None,
    };
    logs::encode(&log, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::Packing;
    use pipeline::logs::{Grouping, LogRules};
    use pipeline::outbox::{Bounds, Outbox};
    use proptest::prelude::*;
    use std::time::Duration;

    fn settings() -> LogsSettings {
        LogsSettings {
            hostname: "here".into(),
            service: "shop".into(),
            source: "rust".into(),
            rules: LogRules::new(&[]),
            grouping: Grouping::Off,
            batch_wait: Duration::ZERO,
            packing: Packing::Plain,
        }
    }

    proptest! {
        #[test]
        fn what_is_held_is_sent_as_it_would_have_been_at_once(
            logs in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..40), 0_usize..8, any::<i64>(), 0_u8..16), 1..20,
            ),
        ) {
            let settings = settings();
            let mut outbox = Outbox::new(Bounds { bytes: usize::MAX, points: usize::MAX });
            let mut open = Vec::new();
            for (message, status, timestamp_ms, odd) in &logs {
                let is = |bit: u8| odd & bit > 0;
                let log = Log {
                    message,
                    status: LogStatus::ALL[*status],
                    timestamp_ms: *timestamp_ms,
                    hostname: &settings.hostname,
                    service: if is(1) { "other" } else { &settings.service },
                    source: &settings.source,
                    tags: if is(2) { "a:b" } else { "" },
                    trace_id: is(4).then_some("7"),
                    span_id: is(8).then_some("8"),
                };
                outbox.push(1, 1, 0, |out| hold(&log, *odd == 0, out));
                let mut one = Vec::new();
                logs::encode(&log, &mut one);
                open.push(one);
            }
            let batch = outbox.pop(true).unwrap();
            let mut expected = Vec::new();
            logs::payload(open.iter().map(Vec::as_slice), "c:d", &mut expected);
            prop_assert_eq!(body(&batch, "c:d", &settings), expected);
        }
    }
}
