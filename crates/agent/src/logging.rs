//! What the agent says on stderr: one line an event, and never the same thing twice a minute.

use log::{LevelFilter, Log, Metadata, Record};
use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The same kind of message is said at most once in this time; how often it came meanwhile is added.
pub const SAY_INTERVAL: Duration = Duration::from_secs(60);
/// Kinds of messages remembered at one time.
const KINDS_MAX_COUNT: usize = 256;

/// Writes `LEVEL` and above to stderr as `lastlight <time> <level> <message>`.
#[derive(Debug)]
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The libraries below are chatty, and their worries reach us as errors anyway.
        metadata.target().starts_with("lastlight") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!("lastlight {} {:5} {}\n", Utc::now(), record.level(), record.args());
        // One write, so that lines of several processes do not mix; a closed stderr harms nobody.
        std::io::stderr().write_all(line.as_bytes()).ok();
    }

    fn flush(&self) {}
}

/// Installs the logger; the first call wins.
pub fn install(level: LevelFilter) {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}

/// A moment as `2026-11-21T04:05:06.789Z`.
struct Utc {
    seconds: u64,
    milliseconds: u32,
}

impl Utc {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs(), milliseconds: since.subsec_millis() }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second_of_day) = (self.seconds / 86_400, self.seconds % 86_400);
        // Civil date from days since 1970-01-01, in eras of 400 years that begin in March.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", self.milliseconds)
    }
}

/// Lets each kind of message through once per [`SAY_INTERVAL`] (pitfall: a log line per bad packet).
#[derive(Debug, Default)]
pub struct SayOnce {
    kinds: Mutex<HashMap<String, Said>>,
}

#[derive(Debug)]
struct Said {
    last: Instant,
    kept_back: u64,
}

impl SayOnce {
    /// Whether `kind` may be said at `now`, and how often it was kept back before.
    pub fn may_say(&self, kind: &str, now: Instant) -> Option<u64> {
        // A poisoned map is still a map of counters.
        let mut kinds = self.kinds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(said) = kinds.get_mut(kind) {
            if now.duration_since(said.last) < SAY_INTERVAL {
                said.kept_back += 1;
                return None;
            }
            said.last = now;
            return Some(std::mem::take(&mut said.kept_back));
        }
        if kinds.len() >= KINDS_MAX_COUNT {
            kinds.retain(|_, said| now.duration_since(said.last) < SAY_INTERVAL);
            if kinds.len() >= KINDS_MAX_COUNT {
                return None;
            }
        }
        kinds.insert(kind.to_owned(), Said { last: now, kept_back: 0 });
        Some(0)
    }

    /// Says `message` as a warning unless `kind` was said a moment ago.
    pub fn warn(&self, kind: &str, message: impl FnOnce() -> String) {
        if let Some(kept_back) = self.may_say(kind, Instant::now()) {
            match kept_back {
                0 => log::warn!("{}", message()),
                more => log::warn!("{} (and {more} more like it since it was last said)", message()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_said_once_an_interval_and_the_rest_counted() {
        let say = SayOnce::default();
        let start = Instant::now();
        assert_eq!(say.may_say("bad", start), Some(0));
        assert_eq!(say.may_say("bad", start + SAY_INTERVAL / 2), None);
        assert_eq!(say.may_say("worse", start), Some(0));
        assert_eq!(say.may_say("bad", start + SAY_INTERVAL), Some(1));
    }

    #[test]
    fn remembered_kinds_are_bounded() {
        let say = SayOnce::default();
        let start = Instant::now();
        for kind in 0..KINDS_MAX_COUNT {
            assert!(say.may_say(&kind.to_string(), start).is_some());
        }
        assert_eq!(say.may_say("one too many", start), None);
        assert_eq!(say.may_say("later", start + SAY_INTERVAL), Some(0));
    }

    #[test]
    fn dates_are_civil() {
        let at = |seconds| Utc { seconds, milliseconds: 7 }.to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56.007Z");
        assert_eq!(at(1_795_233_845), "2026-11-21T04:04:05.007Z");
    }
}
