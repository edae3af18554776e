//! One session: bytes off the wire in, text of the view out. No socket and no clock, so that a test
//! drives it by hand.

use crate::body::{Refusal, UNPACKED_MAX_BYTES};
use crate::decode::{self, Malformed};
use crate::gather::Gathering;
use crate::logs::LogRecord;
use crate::metric::Series;
use crate::record::SpanRecord;
use crate::tally::Tally;
use crate::view::{Closing, View};
use model::Bump;
use std::io::Write;
use std::time::Duration;

/// Decoded form of one trace body.
const DECODED_MAX_BYTES: usize = 4 * UNPACKED_MAX_BYTES;

/// How long metrics, events and checks are quiet before what changed is shown, and logs without a trace: one flush of an
/// agent is several requests.
const QUIET: Duration = Duration::from_millis(300);
/// How long they wait at most.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Lines that wait to be written together.
const WAITING_MAX_BYTES: usize = 64 * 1024;

/// What is received, gathered, counted and shown.
pub(crate) struct Session {
    gathering: Gathering,
    tally: Tally,
    view: Box<dyn View>,
    out: Output,
    /// Metrics, events and checks that are not shown.
    metrics: Pending,
    /// Logs without a trace that are not shown.
    logs: Pending,
}

/// When the first arrived of what is not shown, and the latest.
#[derive(Clone, Copy, Default)]
struct Pending(Option<(Duration, Duration)>);

impl Pending {
    fn arrived(&mut self, now: Duration) {
        self.0 = Some((self.0.map_or(now, |(first, _)| first), now));
    }

    /// Whether it is time to show it; then nothing is pending any more.
    fn is_due(&mut self, now: Duration) -> bool {
        let is_due = |(first, last): &mut (Duration, Duration)| {
            now.saturating_sub(*last) >= QUIET || now.saturating_sub(*first) >= WAIT_MAX
        };
        self.0.take_if(is_due).is_some()
    }
}

impl Session {
    pub(crate) fn new(view: Box<dyn View>, out: Box<dyn Write + Send>) -> Self {
        Self {
            gathering: Gathering::default(),
            tally: Tally::default(),
            view,
            out: Output { writer: Some(out), waiting: String::new() },
            metrics: Pending::default(),
            logs: Pending::default(),
        }
    }

    /// Takes an unpacked trace body.
    pub(crate) fn traces(&mut self, body: &[u8], now: Duration) -> Result<(), Refusal> {
        let arena = Bump::new();
        arena.set_allocation_limit(Some(DECODED_MAX_BYTES));
        let payload = wire::intake::traces::decode_agent_payload(body, &arena).map_err(malformed)?;
        let Self { gathering, tally, view, out, .. } = self;
        for chunk in payload.payloads.iter().flat_map(|payload| &payload.chunks) {
            for span in &chunk.spans {
                let record = SpanRecord::of(span, chunk);
                tally.add_span(&record);
                gathering.add(record, now, &mut |group| out.write(&view.trace(group)));
            }
        }
        Ok(())
    }

    /// Takes an unpacked statistics body.
    pub(crate) fn stats(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let payload = wire::stats::decode_stats_payload(body).map_err(malformed)?;
        self.tally.add_stats(&payload);
        self.out.write(&self.view.stats(&payload));
        Ok(())
    }

    /// Takes decoded series.
    pub(crate) fn series(
        &mut self,
        decoded: Result<Vec<Series>, Malformed>,
        now: Duration,
    ) -> Result<(), Refusal> {
        let Self { tally, view, out, .. } = self;
        for series in decoded.map_err(malformed)? {
            for (time, value) in &series.points {
                out.add(&view.point(&series.context, series.interval, *time, *value));
            }
            tally.metrics.add_series(series);
        }
        self.metrics_arrived(now);
        Ok(())
    }

    /// Takes an unpacked body of sketches.
    pub(crate) fn sketches(&mut self, body: &[u8], now: Duration) -> Result<(), Refusal> {
        let Self { tally, view, out, .. } = self;
        for distribution in decode::sketches(body).map_err(malformed)? {
            for sketch in &distribution.points {
                out.add(&view.sketch(&distribution.context, sketch));
            }
            tally.metrics.add_distribution(distribution);
        }
        self.metrics_arrived(now);
        Ok(())
    }

    /// Takes an unpacked intake body: events, or something else that is only noted.
    pub(crate) fn events(&mut self, path: &str, body: &[u8], now: Duration) -> Result<(), Refusal> {
        let Some(events) = decode::events(body).map_err(malformed)? else {
            self.passed(path, body.len() as u64);
            return Ok(());
        };
        for event in events {
            self.out.add(&self.view.event(&event));
            self.tally.metrics.add_event(event);
        }
        self.metrics_arrived(now);
        Ok(())
    }

    /// Takes an unpacked body of service checks.
    pub(crate) fn checks(&mut self, body: &[u8], now: Duration) -> Result<(), Refusal> {
        for check in decode::checks(body).map_err(malformed)? {
            self.out.add(&self.view.check(&check));
            self.tally.metrics.add_check(check);
        }
        self.metrics_arrived(now);
        Ok(())
    }

    /// Takes an unpacked body of logs.
    pub(crate) fn logs(&mut self, body: &[u8], now: Duration) -> Result<(), Refusal> {
        for log in decode::logs(body).map_err(malformed)? {
            self.out.add(&self.view.log(&log));
            self.tally.logs.count(&log);
            if log.trace_id == 0 {
                self.tally.logs.add(log);
                self.logs.arrived(now);
            } else {
                self.tally.logs.unkept += self.gathering.add_log(log, now);
            }
        }
        self.out.write("");
        Ok(())
    }

    /// Takes logs whose trace has not come.
    fn alone(&mut self, logs: Vec<LogRecord>, now: Duration) {
        for log in logs {
            self.tally.logs.add(log);
            self.logs.arrived(now);
        }
    }

    fn metrics_arrived(&mut self, now: Duration) {
        self.out.write("");
        self.metrics.arrived(now);
    }

    /// Takes note of a request of another kind.
    pub(crate) fn passed(&mut self, path: &str, bytes: u64) {
        self.tally.add_passed(path, bytes);
        self.out.write(&self.view.passed(path, bytes));
    }

    /// Takes note of a request that was refused.
    pub(crate) fn refused(&mut self, path: &str, refusal: &Refusal) {
        self.tally.refused += 1;
        log::warn!("the desk refused a request to {path}: {}", refusal.reason());
    }

    /// Shows what is due.
    pub(crate) fn tick(&mut self, now: Duration) {
        let Self { gathering, view, out, .. } = self;
        gathering.tick(now, &mut |group| out.write(&view.trace(group)));
        let without_trace = gathering.take_stale_logs(now);
        self.alone(without_trace, now);
        let Self { tally, view, out, metrics, logs, .. } = self;
        if logs.is_due(now) {
            out.write(&view.logs(&tally.logs));
            tally.logs.shown();
        }
        if metrics.is_due(now) {
            out.write(&view.metrics(&tally.metrics));
            tally.metrics.shown();
        }
    }

    /// Shows what is left and the end.
    pub(crate) fn finish(mut self, closing: &Closing) -> Tally {
        let Self { gathering, tally, view, out, .. } = &mut self;
        gathering.finish(&mut |group| out.write(&view.trace(group)));
        for log in gathering.take_all_logs() {
            tally.logs.add(log);
        }
        out.write(&view.logs(&tally.logs));
        tally.logs.shown();
        out.write(&view.finish(tally, closing));
        self.tally
    }
}

fn malformed(error: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed(error.to_string())
}

/// Where the view's text goes, until that is gone (`| head`): then the program goes on unseen.
struct Output {
    writer: Option<Box<dyn Write + Send>>,
    /// Complete lines that wait for others, so that there are few writes.
    waiting: String,
}

impl Output {
    /// Lets lines wait for the next [`Output::write`], unless they are many.
    fn add(&mut self, lines: &str) {
        self.waiting.push_str(lines);
        if self.waiting.len() >= WAITING_MAX_BYTES {
            self.write("");
        }
    }

    /// Writes complete lines at once, so that they do not mix with the program's own.
    fn write(&mut self, text: &str) {
        self.waiting.push_str(text);
        let text = std::mem::take(&mut self.waiting);
        let Some(writer) = self.writer.as_mut().filter(|_| !text.is_empty()) else { return };
        if writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_err() {
            self.writer = None;
        }
    }
}
