//! The last line of lastlight, read back.

use std::collections::BTreeMap;

/// The books of all signals.
#[derive(Clone, Debug, PartialEq)]
pub struct Books {
    /// Why it stopped.
    pub cause: String,
    /// How long that took, seconds.
    pub seconds: f64,
    /// By the name of the signal.
    pub signals: BTreeMap<String, Book>,
}

/// The books of one signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Units accepted.
    pub accepted: u64,
    /// Units delivered.
    pub delivered: u64,
    /// Units dropped.
    pub dropped: u64,
    /// Units dropped, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Units of which nothing is known.
    pub held: u64,
}

/// Reasons that are decisions, not losses.
const POLICIES: [&str; 4] = ["sampled", "filtered", "ignored_resource", "disabled"];

impl Books {
    /// The books of one signal; empty ones when the line does not name it, as nothing of it came.
    pub fn of(&self, signal: &str) -> &Book {
        static EMPTY: Book =
            Book { accepted: 0, delivered: 0, dropped: 0, reasons: BTreeMap::new(), held: 0 };
        self.signals.get(signal).unwrap_or(&EMPTY)
    }
}

impl Book {
    /// Units dropped for a reason that is not a decision.
    pub fn lost(&self) -> u64 {
        self.reasons.iter().filter(|(why, _)| !POLICIES.contains(&why.as_str())).map(|(_, units)| units).sum()
    }
}

/// The books of the last line that has them.
pub(crate) fn last(lines: &[String]) -> Option<Books> {
    lines.iter().rev().find_map(|line| parse(line))
}

/// Reads `… stopped (SIGTERM) in 0.012 s; traces: accepted=2 delivered=1 dropped=1 (invalid=1) held=0 spans; …`.
pub fn parse(line: &str) -> Option<Books> {
    let (cause, rest) = line.split_once("stopped (")?.1.split_once(") in ")?;
    let mut parts = rest.split("; ");
    let seconds = parts.next()?.strip_suffix(" s")?.parse().ok()?;
    let signals = parts
        .filter(|part| part.contains("accepted="))
        .filter_map(|part| part.split_once(": "))
        .map(|(name, book)| Some((name.to_owned(), read(book)?)));
    Some(Books { cause: cause.to_owned(), seconds, signals: signals.collect::<Option<_>>()? })
}

fn read(text: &str) -> Option<Book> {
    let mut book = Book::default();
    let mut reasons = false;
    for word in text.split(' ') {
        let opens = word.starts_with('(');
        reasons |= opens;
        if let Some((name, number)) = word.trim_matches(['(', ')']).split_once('=') {
            let number = number.parse().ok()?;
            match name {
                _ if reasons => drop(book.reasons.insert(name.to_owned(), number)),
                "accepted" => book.accepted = number,
                "delivered" => book.delivered = number,
                "dropped" => book.dropped = number,
                "held" => book.held = number,
                _ => return None,
            }
        }
        reasons &= !word.ends_with(')');
    }
    Some(book)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read_back() {
        let line = "lastlight stopped (SIGTERM) in 1.500 s; traces: accepted=12 delivered=9 dropped=3 (sampled=2 deadline=1) \
                    held=0 spans; stats: accepted=0 delivered=0 dropped=0 held=0 groups; stage forward ran out of time";
        let books = parse(line).unwrap();
        assert_eq!((books.cause.as_str(), books.seconds), ("SIGTERM", 1.5));
        let traces = books.of("traces");
        assert_eq!((traces.accepted, traces.delivered, traces.dropped, traces.held), (12, 9, 3, 0));
        assert_eq!(traces.lost(), 1);
        assert_eq!(books.of("stats"), &Book::default());
        assert_eq!(parse("something else"), None);
    }
}
