//! The last line: what was accepted, what became of it, and how the stop went.

use lifecycle::{End, StageEnd};
use model::{Book, Books, Signal};
use std::fmt;
use std::time::Duration;

/// How a stop went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Why the agent stopped, such as `SIGTERM`.
    pub cause: String,
    /// The books of every signal at the end.
    pub books: Vec<(Signal, Book)>,
    /// How each stage ended, most upstream first.
    pub ends: Vec<StageEnd>,
    /// How long the stop took.
    pub took: Duration,
}

impl Report {
    pub(crate) fn new(cause: &str, books: &Books, ends: Vec<StageEnd>, took: Duration) -> Self {
        let books = Signal::ALL.iter().map(|signal| (*signal, books.book(*signal))).collect();
        Self { cause: cause.to_owned(), books, ends, took }
    }

    /// Units lost, over all signals: not delivered, and not by policy.
    pub fn lost(&self) -> u64 {
        self.books.iter().map(|(_, book)| book.lost()).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped ({}) in {:.3} s", self.cause, self.took.as_secs_f64())?;
        // A program has a line of its own to read: what never came is not told.
        let came = self.books.iter().filter(|(_, book)| book.accepted > 0);
        if came.clone().next().is_none() {
            f.write_str("; nothing was accepted")?;
        }
        for (signal, book) in came {
            write!(f, "; {}: {}", signal.name(), BookLine(*signal, book))?;
        }
        for stage in self.ends.iter().filter(|stage| stage.end != End::Drained) {
            let how = match stage.end {
                End::Drained => continue,
                End::Overdue => "ran out of time",
                End::Aborted => "was cut off",
                End::Panicked => "panicked",
            };
            write!(f, "; stage {} {how}", stage.name)?;
        }
        Ok(())
    }
}

/// `accepted=12 delivered=10 dropped=2 (sampled=2) held=0 spans`.
struct BookLine<'a>(Signal, &'a Book);

impl fmt::Display for BookLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(signal, book) = self;
        let dropped: u64 = book.drops().map(|(_, units)| units).sum();
        write!(f, "accepted={} delivered={} dropped={dropped}", book.accepted, book.delivered)?;
        if dropped > 0 {
            let reasons: Vec<_> =
                book.drops().map(|(why, units)| format!("{}={units}", why.name())).collect();
            write!(f, " ({})", reasons.join(" "))?;
        }
        write!(f, " held={} {}", book.held, signal.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Why;

    #[test]
    fn l69_the_last_line_says_what_became_of_everything() {
        let books = Books::default();
        books.accept(Signal::Traces, 10).delivered();
        books.accept(Signal::Traces, 2).dropped(Why::Sampled);
        books.accept(Signal::Stats, 3).dropped(Why::Deadline);
        let ends = vec![
            StageEnd { name: "intake", end: End::Drained },
            StageEnd { name: "forward", end: End::Overdue },
        ];
        let report = Report::new("SIGTERM", &books, ends, Duration::from_millis(1_500));
        assert_eq!(
            report.to_string(),
            "stopped (SIGTERM) in 1.500 s; traces: accepted=12 delivered=10 dropped=2 (sampled=2) held=0 spans; \
             stats: accepted=3 delivered=0 dropped=3 (deadline=3) held=0 groups; \
             stage forward ran out of time"
        );
        assert_eq!(report.lost(), 3);
        let idle = Report::new("SIGINT", &Books::default(), Vec::new(), Duration::ZERO);
        assert_eq!(idle.to_string(), "stopped (SIGINT) in 0.000 s; nothing was accepted");
    }
}
