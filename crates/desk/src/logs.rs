//! What the desk keeps of logs: those of a trace until it is shown, the latest of the others, and counts of all.

use model::log::LogStatus;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Logs that wait for their traces at one time; the oldest leave.
pub(crate) const WAITING_MAX: usize = 10_000;
/// Memory of those, roughly.
pub(crate) const WAITING_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Logs of one trace that wait; its oldest leave.
pub(crate) const WAITING_PER_TRACE_MAX: usize = 1_000;
/// How long a log waits for a trace that does not come, as one that sampling left out.
pub(crate) const TRACE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Logs without a trace that are kept between two showings, the latest; the others are counted.
pub(crate) const LATEST_MAX: usize = 8;
/// Services whose logs are counted apart; those beyond are counted as one.
pub(crate) const SERVICES_MAX: usize = 100;
/// The longest service name that is counted by; more is cut.
const SERVICE_MAX_BYTES: usize = 200;
/// What a log costs beside its texts, roughly.
const LOG_BASE_BYTES: usize = 400;
/// What a tag or an attribute costs beside its texts, roughly.
const ENTRY_BASE_BYTES: usize = 64;

const _: () = assert!(WAITING_PER_TRACE_MAX < WAITING_MAX);

/// One log as it arrived at the backend (`facts/delivery.md` §6).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    /// What was written.
    pub message: String,
    /// How bad it is, in the sender's word; empty when it does not say.
    pub status: String,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Host; may be empty.
    pub host: String,
    /// Service; may be empty.
    pub service: String,
    /// What wrote it; may be empty.
    pub source: String,
    /// Its tags, sorted, each once.
    pub tags: Vec<String>,
    /// Low 64 bits of the id of the trace it belongs to; 0 for none.
    pub trace_id: u64,
    /// High 64 bits of that id; 0 when the log does not carry them.
    pub trace_id_high: u64,
    /// The span it belongs to; 0 for none.
    pub span_id: u64,
    /// Members that the intake has no meaning for, and their values in JSON without line breaks.
    pub attributes: BTreeMap<String, String>,
    /// Members beyond the bounds.
    pub attributes_not_kept: u64,
}

impl LogRecord {
    /// What the sender's word stands for: as a backend does it, by its first letters. No word, or one that nobody
    /// knows, is `info`.
    pub fn level(&self) -> LogStatus {
        let word = self.status.trim_start().as_bytes();
        match word.first().map(u8::to_ascii_lowercase) {
            Some(b'0' | b'f') => LogStatus::Emergency,
            Some(b'e') if word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"emerg")) => {
                LogStatus::Emergency
            }
            Some(b'1' | b'a') => LogStatus::Alert,
            Some(b'2' | b'c') => LogStatus::Critical,
            Some(b'3' | b'e') => LogStatus::Error,
            Some(b'4' | b'w') => LogStatus::Warn,
            Some(b'5' | b'n') => LogStatus::Notice,
            Some(b'7' | b'd' | b't' | b'v') => LogStatus::Debug,
            _ => LogStatus::Info,
        }
    }

    /// What the record takes in memory, roughly, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| ENTRY_BASE_BYTES + tag.len()).sum();
        let attributes =
            self.attributes.iter().map(|(key, value)| ENTRY_BASE_BYTES + key.len() + value.len());
        let texts = [&self.message, &self.status, &self.host, &self.service, &self.source];
        LOG_BASE_BYTES + tags + attributes.sum::<usize>() + texts.map(String::len).iter().sum::<usize>()
    }
}

/// Logs by status, in the order of [`LogStatus::ALL`].
pub(crate) type ByStatus = [u64; LogStatus::ALL.len()];

/// The logs of the session: how many, and the latest of those without a trace.
#[derive(Debug, Default)]
pub struct Logs {
    /// Logs received.
    pub received: u64,
    /// Logs of traces that left before they could be shown.
    pub unkept: u64,
    pub(crate) by_status: ByStatus,
    pub(crate) by_service: BTreeMap<String, ByStatus>,
    /// Services beyond [`SERVICES_MAX`].
    pub(crate) other_services: ByStatus,
    /// Logs without a trace that no view has shown, the latest of them.
    pub(crate) latest: VecDeque<LogRecord>,
    /// How many no view has shown, by status.
    pub(crate) fresh: ByStatus,
}

impl Logs {
    /// Counts a log.
    pub(crate) fn count(&mut self, log: &LogRecord) {
        self.received += 1;
        let place = log.level() as usize;
        self.by_status[place] += 1;
        let service = &log.service[..log.service.floor_char_boundary(SERVICE_MAX_BYTES)];
        let of_service = if self.by_service.contains_key(service) || self.by_service.len() < SERVICES_MAX {
            self.by_service.entry(service.to_owned()).or_default()
        } else {
            &mut self.other_services
        };
        of_service[place] += 1;
    }

    /// Takes a log without a trace, or whose trace has not come, to be shown.
    pub(crate) fn add(&mut self, log: LogRecord) {
        self.fresh[log.level() as usize] += 1;
        if self.latest.len() == LATEST_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(log);
    }

    /// A view has shown the latest.
    pub(crate) fn shown(&mut self) {
        self.latest.clear();
        self.fresh = ByStatus::default();
    }
}

/// Logs of traces that are not shown yet, oldest first by trace.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    traces: HashMap<u64, VecDeque<Arrived>>,
    /// Traces by the number of their oldest log.
    order: BTreeMap<u64, u64>,
    next: u64,
    logs: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Arrived {
    number: u64,
    at: Duration,
    log: LogRecord,
}

impl Waiting {
    /// Takes a log; gives how many others had to leave.
    pub(crate) fn add(&mut self, log: LogRecord, now: Duration) -> u64 {
        let (trace_id, number) = (log.trace_id, self.next);
        self.next += 1;
        self.logs += 1;
        self.bytes += log.cost();
        let of_trace = self.traces.entry(trace_id).or_default();
        of_trace.push_back(Arrived { number, at: now, log });
        let mut left = 0;
        if of_trace.len() == 1 {
            self.order.insert(number, trace_id);
        } else if of_trace.len() > WAITING_PER_TRACE_MAX {
            left += u64::from(self.pop(trace_id).is_some());
        }
        while self.logs > WAITING_MAX || self.bytes > WAITING_MAX_BYTES {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            left += u64::from(self.pop(*oldest).is_some());
        }
        left
    }

    /// Gives the logs of a trace, in the order of their arrival, and forgets them.
    pub(crate) fn take(&mut self, trace_id: u64) -> Vec<LogRecord> {
        let Some(of_trace) = self.traces.remove(&trace_id) else { return Vec::new() };
        if let Some(oldest) = of_trace.front() {
            self.order.remove(&oldest.number);
        }
        self.logs -= of_trace.len();
        self.bytes -= of_trace.iter().map(|arrived| arrived.log.cost()).sum::<usize>();
        of_trace.into_iter().map(|arrived| arrived.log).collect()
    }

    /// Gives the logs, in the order of their arrival, of those traces of which one waits since `since` or longer and
    /// that are not `expected`.
    pub(crate) fn take_stale(&mut self, since: Duration, expected: impl Fn(u64) -> bool) -> Vec<LogRecord> {
        let is_stale = |trace_id: &u64| {
            self.traces.get(trace_id).and_then(VecDeque::front).is_some_and(|oldest| oldest.at <= since)
        };
        let stale: Vec<u64> = self
            .order
            .values()
            .copied()
            .take_while(is_stale)
            .filter(|trace_id| !expected(*trace_id))
            .collect();
        let mut logs = Vec::new();
        for trace_id in stale {
            logs.extend(self.take(trace_id));
        }
        logs
    }

    /// Takes the oldest log of a trace away.
    fn pop(&mut self, trace_id: u64) -> Option<LogRecord> {
        let of_trace = self.traces.get_mut(&trace_id)?;
        let Arrived { number, log, .. } = of_trace.pop_front()?;
        self.order.remove(&number);
        match of_trace.front() {
            Some(next) => {
                self.order.insert(next.number, trace_id);
            }
            None => {
                self.traces.remove(&trace_id);
            }
        }
        self.logs -= 1;
        self.bytes -= log.cost();
        Some(log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(trace_id: u64, message: &str) -> LogRecord {
        LogRecord { trace_id, message: message.to_owned(), ..LogRecord::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn messages(logs: &[LogRecord]) -> Vec<&str> {
        logs.iter().map(|log| log.message.as_str()).collect()
    }

    fn is_empty(waiting: &Waiting) -> bool {
        waiting.traces.is_empty() && waiting.order.is_empty() && (waiting.logs, waiting.bytes) == (0, 0)
    }

    #[test]
    fn logs_wait_for_their_trace_and_are_given_once() {
        let mut waiting = Waiting::default();
        for (trace_id, message) in [(1, "a"), (2, "b"), (1, "c")] {
            assert_eq!(waiting.add(log(trace_id, message), seconds(0)), 0);
        }
        assert_eq!(messages(&waiting.take(1)), ["a", "c"]);
        assert_eq!(waiting.take(1), []);
        assert_eq!(messages(&waiting.take(2)), ["b"]);
        assert!(is_empty(&waiting));
    }

    #[test]
    fn logs_whose_trace_does_not_come_are_given_in_their_order_and_those_of_one_that_came_stay() {
        let mut waiting = Waiting::default();
        for (trace_id, at) in [(1, 0), (2, 1), (3, 2), (1, 9), (4, 9)] {
            waiting.add(log(trace_id, &format!("{trace_id} at {at}")), seconds(at));
        }
        assert_eq!(messages(&waiting.take_stale(seconds(2), |id| id == 2)), ["1 at 0", "1 at 9", "3 at 2"]);
        assert_eq!(messages(&waiting.take_stale(seconds(9), |_| false)), ["2 at 1", "4 at 9"]);
        assert!(is_empty(&waiting));
    }

    #[test]
    fn the_oldest_logs_leave_at_each_bound_and_are_counted() {
        let mut waiting = Waiting::default();
        let mut left = 0;
        for number in 0..WAITING_PER_TRACE_MAX + 3 {
            left += waiting.add(log(1, &number.to_string()), seconds(0));
        }
        let logs = waiting.take(1);
        assert_eq!((left, logs.len(), logs[0].message.as_str()), (3, WAITING_PER_TRACE_MAX, "3"));

        let mut left = 0;
        for number in 0..WAITING_MAX as u64 + 5 {
            left += waiting.add(log(number % 4_000, &number.to_string()), seconds(0));
        }
        assert_eq!((left, waiting.logs), (5, WAITING_MAX));
        assert_eq!(waiting.take(4)[0].message, "4004");
        assert_eq!(waiting.take(5)[0].message, "5");
        waiting.take_stale(seconds(0), |_| false);
        assert!(is_empty(&waiting));

        let long = "x".repeat(900_000);
        let left: u64 = (0..100).map(|number| waiting.add(log(number, &long), seconds(0))).sum();
        assert!(waiting.bytes <= WAITING_MAX_BYTES && left > 0);
        assert_eq!(left as usize + waiting.logs, 100);
    }

    #[test]
    fn logs_are_counted_by_status_and_service_within_bounds() {
        let mut logs = Logs::default();
        for number in 0..SERVICES_MAX + 7 {
            let status = if number % 2 == 0 { "error" } else { "info" }.to_owned();
            logs.count(&LogRecord { service: number.to_string(), status, ..LogRecord::default() });
        }
        assert_eq!((logs.by_service.len(), logs.other_services.iter().sum::<u64>()), (SERVICES_MAX, 7));
        assert_eq!(logs.received, logs.by_status.iter().sum::<u64>());
        for number in 0..LATEST_MAX + 2 {
            logs.add(log(0, &number.to_string()));
        }
        assert_eq!((logs.latest.len(), logs.fresh.iter().sum::<u64>()), (LATEST_MAX, LATEST_MAX as u64 + 2));
        assert_eq!(logs.latest.front().map(|log| log.message.as_str()), Some("2"));
        logs.shown();
        assert_eq!((logs.latest.len(), logs.fresh.iter().sum::<u64>()), (0, 0));
    }

    #[test]
    fn every_word_of_the_intake_has_its_level_and_others_are_read_by_their_first_letters() {
        for (place, status) in LogStatus::ALL.into_iter().enumerate() {
            let record = LogRecord { status: status.name().to_owned(), ..LogRecord::default() };
            assert_eq!((record.level(), record.level() as usize), (status, place));
        }
        let others = [
            ("FATAL", LogStatus::Emergency),
            ("ERR", LogStatus::Error),
            ("WARNING", LogStatus::Warn),
            ("trace", LogStatus::Debug),
            ("4", LogStatus::Warn),
            ("", LogStatus::Info),
            ("漢", LogStatus::Info),
        ];
        for (word, expected) in others {
            let record = LogRecord { status: word.to_owned(), ..LogRecord::default() };
            assert_eq!(record.level(), expected, "{word}");
        }
    }
}
