//! `POST /v1/input`: logs over HTTP, as the mini agent offers it.

use super::{Encoded, Logs};
use crate::clock::{self, MILLISECOND_NS};
use model::Hold;
use std::sync::atomic::Ordering;
use wire::DecodeError;
use wire::logs::{Defaults, input};

impl Logs {
    /// Takes the entries of a body. A bad entry costs itself only and is counted (losses.md L65).
    ///
    /// # Errors
    /// When it is no array and no object; nothing is taken then.
    pub(crate) fn take_body(&self, body: &[u8], hold: Option<Hold>) -> Result<(), DecodeError> {
        let settings = &self.settings;
        let defaults = Defaults {
            now_ms: clock::unix_nanos() / MILLISECOND_NS,
            hostname: &settings.hostname,
            service: &settings.service,
            source: &settings.source,
        };
        let mut encoded = Encoded::default();
        input(body, |entry| match entry {
            Ok(entry) => {
                if entry.is_truncated() {
                    self.counts().truncated.fetch_add(1, Ordering::Relaxed);
                }
                encoded.push(|out| entry.encode(&defaults, out));
            }
            Err(why) => {
                self.counts().bad_entries.fetch_add(1, Ordering::Relaxed);
                self.say.warn("bad log entries", || format!("an entry of /v1/input is left out: {why}"));
            }
        })?;
        self.file(&encoded, hold);
        Ok(())
    }
}
