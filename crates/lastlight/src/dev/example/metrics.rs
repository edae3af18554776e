//! What the example's shop measures: every type that DogStatsD has, an event and a service check.

/// Bytes of one datagram: what fits one frame of an Ethernet.
const DATAGRAM_MAX_BYTES: usize = 1_432;
/// Seconds between values that carry a time of their own.
const STEP_SECONDS: i64 = 10;
/// How many of those there are: a bit more than three minutes.
const STEPS: i64 = 20;
/// Tags of everything.
const TAGS: &str = "env:demo,service:shop";

/// The datagrams, of lines that end in a newline. `now` is in seconds since the Unix epoch.
pub(super) fn datagrams(now: i64) -> Vec<String> {
    let mut datagrams = vec![String::new()];
    for line in lines(now) {
        if datagrams.last().is_some_and(|datagram| datagram.len() + line.len() >= DATAGRAM_MAX_BYTES) {
            datagrams.push(String::new());
        }
        if let Some(datagram) = datagrams.last_mut() {
            datagram.push_str(&line);
            datagram.push('\n');
        }
    }
    datagrams
}

fn lines(now: i64) -> Vec<String> {
    let mut lines = Vec::new();
    // With times of their own, as a program sends what it measured before: each value arrives as it is.
    for step in 0..STEPS {
        let time = now - (STEPS - 1 - step) * STEP_SECONDS;
        let angle = step as f64 / 3.0;
        let waiting = (12.0 + 9.0 * angle.sin()).round();
        lines.push(format!("shop.queue.depth:{waiting}|g|#{TAGS}|T{time}"));
        let visits = (80.0 + 60.0 * (angle / 2.0).sin()).round();
        lines.push(format!("shop.visits:{visits}|c|#{TAGS}|T{time}"));
    }
    // Several values in a line, and a sample rate: one sent for two that there were.
    lines.push(format!("shop.orders:1:1:2:1|c|#{TAGS},product:lamp"));
    lines.push(format!("shop.orders:1:3|c|@0.5|#{TAGS},product:candle"));
    lines.push(format!("shop.stock:7|g|#{TAGS},product:lamp"));
    lines.push(format!("shop.stock:144|g|#{TAGS},product:candle"));
    for customer in ["ann", "bob", "ann", "cid", "ann"] {
        lines.push(format!("shop.customers:{customer}|s|#{TAGS}"));
    }
    for visit in 1..=40_u32 {
        // Most pages are fast, every eighth is not.
        let slow = if visit.is_multiple_of(8) { 190 } else { 0 };
        let milliseconds = 9 + visit * 7 % 23 + slow;
        lines.push(format!("shop.page.time:{milliseconds}|ms|#{TAGS},page:home"));
        lines.push(format!("shop.basket.items:{}|h|#{TAGS}", 1 + visit * 5 % 9));
        let value = 4.5 + f64::from(visit * 37 % 100).powi(2) / 40.0;
        lines.push(format!("shop.basket.value:{value:.2}|d|#{TAGS}"));
    }
    let (title, text) = ("Product 4711 is sold out", "3 customers wait for it");
    lines.push(format!("_e{{{},{}}}:{title}|{text}|t:warning|#{TAGS}", title.len(), text.len()));
    lines.push(format!("_sc|shop.database|0|#{TAGS}"));
    lines.push(format!("_sc|shop.supplier|2|#{TAGS}|m:no answer within 5 s"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_there_and_every_datagram_is_small() {
        let datagrams = datagrams(1_790_000_000);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM_MAX_BYTES));
        let text = datagrams.concat();
        for letters in ["g", "c", "s", "h", "ms", "d"] {
            assert!(text.lines().any(|line| line.split('|').nth(1) == Some(letters)), "{letters}");
        }
        assert!(text.contains("\n_e{24,23}:") && text.contains("\n_sc|"), "{text}");
        assert_eq!(text.lines().count(), lines(1_790_000_000).len());
    }
}
