//! Text for a terminal: harmless, one line, as wide as there is room, in units people read.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Stands for a character that would act on the terminal instead of being shown.
const NEUTRAL: char = '\u{fffd}';
/// Characters looked at of one string: no terminal line holds more, even of zero-width ones.
const CHARS_READ_MAX: usize = 4_000;

/// Makes foreign text harmless: no control characters or escape sequences, nothing that reorders
/// or hides what follows, white space of any kind and length as one space.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len().min(CHARS_READ_MAX));
    for character in text.trim().chars().take(CHARS_READ_MAX) {
        let shown = match character {
            character if character.is_whitespace() => ' ',
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or(NEUTRAL),
            '\u{7f}'..='\u{9f}' => NEUTRAL,
            // Bidirectional controls, zero-width characters, language tags.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => NEUTRAL,
            '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => {
                NEUTRAL
            }
            character => character,
        };
        if !(shown == ' ' && cleaned.ends_with(' ')) {
            cleaned.push(shown);
        }
    }
    cleaned
}

/// Text without the escape sequences of terminals (ECMA-48), such as colours. What is no whole sequence is left to
/// [`clean`].
pub(crate) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(CHARS_READ_MAX));
    let mut rest = text;
    while let Some(at) = rest.find(['\u{1b}', '\u{9b}']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = escape_length(rest).unwrap_or_else(|| {
            let first = rest.chars().next().map_or(0, char::len_utf8);
            plain.push_str(&rest[..first]);
            first
        });
        rest = &rest[length..];
    }
    plain.push_str(rest);
    plain
}

/// Bytes of the escape sequence that a text begins with.
fn escape_length(text: &str) -> Option<usize> {
    let (body, is_control) = match text.strip_prefix('\u{9b}') {
        Some(body) => (body, true),
        None => {
            let body = text.strip_prefix('\u{1b}')?;
            body.strip_prefix('[').map_or((body, false), |body| (body, true))
        }
    };
    let start = text.len() - body.len();
    let length_until = |is_inner: fn(u8) -> bool, is_last: fn(u8) -> bool| {
        let inner = body.bytes().take_while(|byte| is_inner(*byte)).count();
        body.as_bytes().get(inner).filter(|byte| is_last(**byte)).map(|_| start + inner + 1)
    };
    if is_control {
        // Parameters and intermediates, then a final byte.
        return length_until(|byte| (0x20..=0x3f).contains(&byte), |byte| (0x40..=0x7e).contains(&byte));
    }
    if body.starts_with([']', 'P', 'X', '^', '_']) {
        // A string, such as a title or the target of a link, up to BEL or ST.
        let end = body.find(['\u{7}', '\u{1b}', '\u{9c}'])?;
        let terminator = if body[end..].starts_with("\u{1b}\\") {
            2
        } else {
            body[end..].chars().next().filter(|end| *end != '\u{1b}').map(char::len_utf8)?
        };
        return Some(start + end + terminator);
    }
    length_until(|byte| (0x20..=0x2f).contains(&byte), |byte| (0x30..=0x7e).contains(&byte))
}

/// Columns a clean text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts the middle out of a clean text that is wider than `max` columns.
pub(crate) fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let Some(room) = max.checked_sub(1) else { return Cow::Borrowed("") };
    let tail = room / 3;
    let head: String = take_width(text.chars(), room - tail).collect();
    let mut end: Vec<char> = take_width(text.chars().rev(), tail).collect();
    end.reverse();
    Cow::Owned(format!("{}…{}", head.trim_end(), end.into_iter().collect::<String>().trim_start()))
}

/// Cuts the end off a clean text that is wider than `max` columns.
pub(crate) fn truncate(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let Some(room) = max.checked_sub(1) else { return Cow::Borrowed("") };
    Cow::Owned(take_width(text.chars(), room).chain(['…']).collect())
}

fn take_width(characters: impl Iterator<Item = char>, max: usize) -> impl Iterator<Item = char> {
    let mut used = 0;
    characters.take_while(move |character| {
        used += character.width().unwrap_or(0);
        used <= max
    })
}

/// A duration of nanoseconds in three digits and the unit that suits it: `231 ms`, `1.20 s`.
/// Units below a minute take two columns, so that right-aligned durations align.
pub(crate) fn duration(nanoseconds: i64) -> String {
    let nanoseconds = nanoseconds.max(0);
    let seconds = nanoseconds / 1_000_000_000;
    match nanoseconds {
        0 => "0 ns".to_owned(),
        1..1_000 => format!("{nanoseconds} ns"),
        1_000..999_500 => format!("{} µs", three_digits(nanoseconds as f64 / 1e3)),
        999_500..999_500_000 => format!("{} ms", three_digits(nanoseconds as f64 / 1e6)),
        999_500_000..59_950_000_000 => format!("{} s ", three_digits(nanoseconds as f64 / 1e9)),
        _ if seconds < 3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A size in bytes, in three digits: `1.23 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..999_500 => format!("{} kB", three_digits(bytes as f64 / 1e3)),
        _ => format!("{} MB", three_digits(bytes as f64 / 1e6)),
    }
}

/// A count with its noun: `1 span`, `12,345 spans`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A value of a metric in three digits, whole numbers below a million whole: `12,345`, `0.25`, `1.23M`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e6 {
        // The range was checked.
        let digits = grouped(size as u64);
        return if value < 0.0 { format!("-{digits}") } else { digits };
    }
    let (unit, letter) = match size {
        1e4..1e6 => (1e3, "k"),
        1e6..1e9 => (1e6, "M"),
        1e9..1e12 => (1e9, "G"),
        1e12..1e15 => (1e12, "T"),
        1e-3..1e4 => (1.0, ""),
        _ => return format!("{value:.2e}"),
    };
    let scaled = size / unit;
    if scaled >= 999.5 {
        return number(value.round());
    }
    let decimals = if scaled < 0.01 {
        4
    } else if scaled < 1.0 {
        3
    } else {
        0
    };
    let digits = if decimals > 0 { format!("{scaled:.decimals$}") } else { three_digits(scaled) };
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{}{digits}{letter}", if value < 0.0 { "-" } else { "" })
}

/// A text in exactly `columns` columns.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let text = shorten(text, columns);
    let blank = " ".repeat(columns.saturating_sub(width(&text)));
    format!("{text}{blank}")
}

/// Drawn text for a terminal that shows no more than ASCII, as wide as it was.
pub(crate) fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        plain.push(match character {
            '\0'..='\x7f' => character,
            '─' | '╸' | '╺' => '-',
            '━' => '=',
            '│' => '|',
            '├' => '+',
            '└' => '`',
            '…' => '~',
            '·' | '⋯' => '.',
            '✗' => 'x',
            '✓' => '+',
            '◆' | '◇' => '*',
            '↗' | '→' => '>',
            '↑' => '^',
            'µ' => 'u',
            '▁' => '_',
            '▂' => '.',
            '▃' => ':',
            '▄' => '-',
            '▅' => '=',
            '▆' => '+',
            '▇' => '*',
            '█' => '#',
            wide => {
                plain.extend(std::iter::repeat_n('?', wide.width().unwrap_or(0)));
                continue;
            }
        });
    }
    plain
}

/// A trace id as W3C writes it, or its low half where that is all there is.
pub(crate) fn trace_id(high: u64, low: u64) -> String {
    if high == 0 { format!("{low:016x}") } else { format!("{high:016x}{low:016x}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_and_controls_are_neutralised() {
        assert_eq!(clean("a\u{1b}[31mred\u{7}\u{9b}2J"), "a␛[31mred␇\u{fffd}2J");
        assert_eq!(clean("\u{202e}evil\u{200b}\u{feff}\u{0}"), "\u{fffd}evil\u{fffd}\u{fffd}␀");
        for text in ["\u{1b}]0;title\u{7}", "\r\n\u{85}\u{2028}", "\u{90}q", "\u{7f}\u{8}"] {
            assert!(!clean(text).chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn escape_sequences_are_taken_out_whole_and_what_is_none_stays_for_clean() {
        let cases = [
            ("\u{1b}[1;31mred\u{1b}[0m \u{9b}2Jx", "red x"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x/\u{1b}\\b\u{1b}(Bc\u{1b}7d", "abcd"),
            ("\u{1b}", "\u{1b}"),
            ("\u{1b}[31", "\u{1b}[31"),
            ("\u{1b}[3é", "\u{1b}[3é"),
            ("\u{1b}]0;open \u{1b}[1mend", "\u{1b}]0;open end"),
            ("漢\u{1b}é", "漢\u{1b}é"),
        ];
        for (text, expected) in cases {
            assert_eq!(unescaped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn white_space_becomes_one_space() {
        assert_eq!(clean("  SELECT *\n\t  FROM a\r\n"), "SELECT * FROM a");
    }

    #[test]
    fn long_text_loses_its_middle_and_wide_characters_count_twice() {
        assert_eq!(shorten("SELECT name FROM products", 13), "SELECT n…ucts");
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("anything", 0), "");
        let wide = "漢字漢字漢字漢字漢字";
        assert_eq!(width(wide), 20);
        assert!(width(&shorten(wide, 11)) <= 11);
        assert!(width(&truncate(wide, 11)) <= 11);
    }

    #[test]
    fn durations_have_three_digits_and_align() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_234, "1.23 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (23_456_000, "23.5 ms"),
            (231_000_000, "231 ms"),
            (1_204_000_000, "1.20 s "),
            (61_000_000_000, "1m 01s"),
            (3_720_000_000_000, "1h 02m"),
            (-5, "0 ns"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(duration(nanoseconds), expected);
        }
    }

    #[test]
    fn values_have_three_digits_and_whole_ones_are_whole() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (12_345.0, "12,345"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (-0.333_333, "-0.333"),
            (0.001_23, "0.0012"),
            (0.000_012, "1.20e-5"),
            (2.5, "2.5"),
            (99.94, "99.9"),
            (1_234.4, "1,234"),
            (-999.6, "-1,000"),
            (999_999.9, "1M"),
            (12_345.6, "12.3k"),
            (1_000_000.0, "1M"),
            (1_234_567.0, "1.23M"),
            (1e300, "1.00e300"),
            (f64::INFINITY, "inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected, "{value}");
        }
        assert_eq!(number(f64::NAN), "NaN");
    }

    proptest! {
        #[test]
        fn any_value_takes_few_columns_and_reads_back_as_itself(value: f64) {
            let text = number(value);
            prop_assert!(text.len() <= 10, "{}", text);
            let (digits, unit) = match text.strip_suffix(['k', 'M', 'G', 'T']) {
                Some(digits) => {
                    let unit = match text.as_bytes().last() {
                        Some(b'k') => 1e3,
                        Some(b'M') => 1e6,
                        Some(b'G') => 1e9,
                        _ => 1e12,
                    };
                    (digits, unit)
                }
                None => (text.as_str(), 1.0),
            };
            let read = digits.replace(',', "").parse::<f64>().unwrap() * unit;
            prop_assert!(value.is_nan() || read == value || (read / value - 1.0).abs() < 0.05, "{} {}", text, value);
        }

        #[test]
        fn of_any_text_only_sequences_are_taken_out(text in "[\u{1b}\u{9b}\u{7}\\[\\];0-9mé(\\\\a]{0,30}") {
            let plain = unescaped(&text);
            // What is left is of the text, in its order.
            let mut rest = text.chars();
            prop_assert!(plain.chars().all(|left| rest.any(|character| character == left)));
            prop_assert!(!clean(&plain).chars().any(char::is_control));
        }

        #[test]
        fn any_text_in_ascii_is_ascii_and_as_wide_as_before(drawn in "\\PC{0,40}") {
            let plain = ascii(&drawn);
            prop_assert!(plain.is_ascii());
            // Of a sequence that is drawn as one character each part counts.
            prop_assert!(width(&plain) >= width(&drawn) || drawn.chars().any(|c| c.width() == Some(0)));
        }
    }

    #[test]
    fn what_is_drawn_in_ascii_is_as_wide_as_before() {
        let drawn = "├─ ✗ shop · é漢  310 µs  ╺━╸ ▁▂▃▄▅▆▇█…\u{1b}[0m";
        assert_eq!(ascii(drawn), "+- x shop . ???  310 us  -=- _.:-=+*#~\u{1b}[0m");
        assert_eq!(width(&ascii(drawn)), width(drawn));
    }

    #[test]
    fn counts_and_sizes_read_well() {
        assert_eq!(count(1, "span"), "1 span");
        assert_eq!(count(1_234_567, "span"), "1,234,567 spans");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_234_000), "1.23 MB");
        assert_eq!(trace_id(0, 0xab), "00000000000000ab");
    }
}
