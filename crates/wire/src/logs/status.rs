//! A status as programs spell it, by the rules that the intake's status remapper documents.

use model::log::LogStatus;

/// By how a word begins, in any case; the first that fits decides. What the intake shows as OK is information here:
/// that it is no error is what counts.
const WORDS: [(&[u8], LogStatus); 13] = [
    (b"emerg", LogStatus::Emergency),
    (b"f", LogStatus::Emergency),
    (b"a", LogStatus::Alert),
    (b"c", LogStatus::Critical),
    (b"err", LogStatus::Error),
    (b"w", LogStatus::Warn),
    (b"n", LogStatus::Notice),
    (b"i", LogStatus::Info),
    (b"o", LogStatus::Info),
    (b"s", LogStatus::Info),
    (b"d", LogStatus::Debug),
    (b"t", LogStatus::Debug),
    (b"v", LogStatus::Debug),
];

/// A word or a number; none where the intake would have a default.
pub(super) fn parse(text: &[u8]) -> Option<LogStatus> {
    let text = text.trim_ascii();
    if text.first()?.is_ascii_digit() {
        return number(std::str::from_utf8(text).ok()?.parse().ok()?);
    }
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    WORDS.iter().find(|(word, _)| begins(word)).map(|(_, status)| *status)
}

/// 0 to 7 are syslog's severities, 10 to 60 the levels of bunyan and pino: `fatal` is what that word is.
fn number(number: usize) -> Option<LogStatus> {
    match number {
        0..=7 => LogStatus::ALL.get(number).copied(),
        10..=29 => Some(LogStatus::Debug),
        30..=39 => Some(LogStatus::Info),
        40..=49 => Some(LogStatus::Warn),
        50..=59 => Some(LogStatus::Error),
        60 => Some(LogStatus::Emergency),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_by_how_it_begins() {
        for (words, status) in [
            ("emerg EMERGENCY fatal F Failure", LogStatus::Emergency),
            ("alert A", LogStatus::Alert),
            ("critical CRIT c", LogStatus::Critical),
            ("error ERR Err", LogStatus::Error),
            ("warn WARNING w", LogStatus::Warn),
            ("notice N", LogStatus::Notice),
            ("info INFORMATION i ok OK Success", LogStatus::Info),
            ("debug trace verbose D T V", LogStatus::Debug),
        ] {
            for word in words.split(' ') {
                assert_eq!(parse(word.as_bytes()), Some(status), "{word}");
            }
        }
        for word in
            ["", " ", "e", "em", "east", "unknown", "-1", "+3", "8", "9", "61", "200", "3.0", "3x", "\u{e9}"]
        {
            assert_eq!(parse(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn a_number_is_a_severity_of_syslog_or_a_level_of_pino() {
        for (severity, status) in LogStatus::ALL.into_iter().enumerate() {
            assert_eq!(parse(severity.to_string().as_bytes()), Some(status));
        }
        for (level, status) in [
            ("10", LogStatus::Debug),
            ("20", LogStatus::Debug),
            ("30", LogStatus::Info),
            ("35", LogStatus::Info),
            ("40", LogStatus::Warn),
            ("50", LogStatus::Error),
            ("60", LogStatus::Emergency),
        ] {
            assert_eq!(parse(level.as_bytes()), Some(status), "{level}");
        }
    }
}
