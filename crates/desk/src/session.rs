//! One session: bytes off the wire in, text of the view out. No socket and no clock, so that a test
//! drives it by hand.

use crate::body::{Refusal, UNPACKED_MAX_BYTES};
use crate::gather::Gathering;
use crate::record::SpanRecord;
use crate::tally::Tally;
use crate::view::{Closing, View};
use model::Bump;
use std::io::Write;
use std::time::Duration;

/// Decoded form of one trace body.
const DECODED_MAX_BYTES: usize = 4 * UNPACKED_MAX_BYTES;

/// What is received, gathered, counted and shown.
pub(crate) struct Session {
    gathering: Gathering,
    tally: Tally,
    view: Box<dyn View>,
    out: Output,
}

impl Session {
    pub(crate) fn new(view: Box<dyn View>, out: Box<dyn Write + Send>) -> Self {
        Self {
            gathering: Gathering::default(),
            tally: Tally::default(),
            view,
            out: Output { writer: Some(out) },
        }
    }

    /// Takes an unpacked trace body.
    pub(crate) fn traces(&mut self, body: &[u8], now: Duration) -> Result<(), Refusal> {
        let arena = Bump::new();
        arena.set_allocation_limit(Some(DECODED_MAX_BYTES));
        let payload = wire::intake::traces::decode_agent_payload(body, &arena).map_err(malformed)?;
        let Self { gathering, tally, view, out } = self;
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
    }

    /// Shows what is left and the end.
    pub(crate) fn finish(mut self, closing: &Closing) -> Tally {
        let Self { gathering, tally, view, out } = &mut self;
        gathering.finish(&mut |group| out.write(&view.trace(group)));
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
}

impl Output {
    /// Writes complete lines at once, so that they do not mix with the program's own.
    fn write(&mut self, text: &str) {
        let Some(writer) = self.writer.as_mut().filter(|_| !text.is_empty()) else { return };
        if writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).is_err() {
            self.writer = None;
        }
    }
}
