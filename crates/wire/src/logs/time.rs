//! When a log was written, as programs spell it: ISO 8601 with an offset, or a number since 1970.

/// Nothing was logged before 2000: a smaller number is an uptime or a duration. Milliseconds since 1970.
const MIN_MS: i64 = 946_684_800_000;
/// Nor after 2100.
const MAX_MS: i64 = 4_102_444_800_000;

/// Milliseconds since 1970; none where it is not sure.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let milliseconds = if text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        number(std::str::from_utf8(text).ok()?)
    } else {
        date(text)
    }?;
    (MIN_MS..=MAX_MS).contains(&milliseconds).then_some(milliseconds)
}

/// Seconds, milliseconds, microseconds or nanoseconds, by their size: as any other unit it would be no time at all.
fn number(text: &str) -> Option<i64> {
    const MILLISECONDS: i64 = 100_000_000_000;
    const MICROSECONDS: i64 = 1_000 * MILLISECONDS;
    const NANOSECONDS: i64 = 1_000 * MICROSECONDS;
    if let Ok(whole) = text.parse::<i64>() {
        return Some(match whole {
            NANOSECONDS.. => whole / 1_000_000,
            MICROSECONDS..NANOSECONDS => whole / 1_000,
            MILLISECONDS..MICROSECONDS => whole,
            _ => whole * 1_000,
        });
    }
    let float: f64 = text.parse().ok()?;
    let milliseconds = match float as i64 {
        NANOSECONDS.. => float / 1e6,
        MICROSECONDS..NANOSECONDS => float / 1e3,
        MILLISECONDS..MICROSECONDS => float,
        _ => float * 1e3,
    };
    // Half of a microsecond, so that what a float does not hold exactly is not one millisecond less.
    Some((milliseconds + 0.0005) as i64)
}

/// `2024-02-29T12:30:45.678+01:00`: a space for the T, a comma for the point, more or fewer digits after it, an offset
/// without colon or minutes. Without an offset it is not known when that was.
fn date(text: &[u8]) -> Option<i64> {
    let (&[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T' | b't' | b' '], rest) =
        text.split_first_chunk()?
    else {
        return None;
    };
    let (&[h0, h1, b':', i0, i1, b':', s0, s1], mut rest) = rest.split_first_chunk()? else { return None };
    let year = digits(&[y0, y1, y2, y3])?;
    let (month, day) = (digits(&[m0, m1])?, digits(&[d0, d1])?);
    let (hour, minute, second) = (digits(&[h0, h1])?, digits(&[i0, i1])?, digits(&[s0, s1])?);
    // The 60th is a leap second.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut milliseconds = 0;
    if let [b'.' | b',', fraction @ ..] = rest {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, after) = fraction.split_at(length);
        let place = |place: usize| fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
        fraction.first()?;
        milliseconds = place(0) * 100 + place(1) * 10 + place(2);
        rest = after;
    }
    let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second
        - offset(rest.trim_ascii_start())?;
    Some(seconds * 1_000 + milliseconds)
}

/// Seconds that a clock is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (hour, minute) = match text {
        b"Z" | b"z" | b"UTC" => return Some(0),
        [_, h0, h1] => (digits(&[*h0, *h1])?, 0),
        [_, h0, h1, m0, m1] | [_, h0, h1, b':', m0, m1] => (digits(&[*h0, *h1])?, digits(&[*m0, *m1])?),
        _ => return None,
    };
    let seconds = (hour <= 23 && minute <= 59).then_some(hour * 3_600 + minute * 60)?;
    match text.first()? {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Counted from March, so that the day which leap years have is the last of the year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From the first of March of the year 0 to 1970.
    Some(year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_with_an_offset_is_a_time() {
        for (text, expected) in [
            ("2024-02-29T12:30:45Z", 1_709_209_845_000),
            ("2024-02-29T12:30:45.6Z", 1_709_209_845_600),
            ("2024-02-29t12:30:45.678901234z", 1_709_209_845_678),
            ("2024-02-29 12:30:45,678+00:00", 1_709_209_845_678),
            ("2024-02-29T13:30:45.678+01:00", 1_709_209_845_678),
            ("2024-02-29T13:30:45.678+0100", 1_709_209_845_678),
            ("2024-02-29T08:00:45.678-04:30", 1_709_209_845_678),
            ("2024-02-29T14:30:45 +02", 1_709_209_845_000),
            (" 2024-02-29 12:30:45 UTC ", 1_709_209_845_000),
            ("2024-03-01T00:00:00Z", 1_709_251_200_000),
            ("2023-12-31T23:59:60Z", 1_704_067_200_000),
            ("2000-01-01T00:00:00Z", MIN_MS),
            ("2100-01-01T00:00:00Z", MAX_MS),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_may_be_another_time_is_none() {
        for text in [
            "",
            "now",
            "2024-02-29",
            "2024-02-29T12:30:45",
            "2024-02-29T12:30Z",
            "2023-02-29T12:30:45Z",
            "2024-13-01T12:30:45Z",
            "2024-00-01T12:30:45Z",
            "2024-04-31T12:30:45Z",
            "2024-01-00T12:30:45Z",
            "2024-01-01T24:30:45Z",
            "2024-01-01T12:60:45Z",
            "2024-01-01T12:30:61Z",
            "2024-01-01T12:30:45.Z",
            "2024-01-01T12:30:45+24:00",
            "2024-01-01T12:30:45x0100",
            "2024-01-01T12:30:45+1",
            "2024-01-01T12:30:45Zx",
            "1999-12-31T23:59:59Z",
            "2100-01-01T00:00:01Z",
            "Feb 29 12:30:45",
            "0",
            "12.5",
            "3600",
            "946684799",
            "-1700000000",
            "1.7.0",
            ".",
            "99999999999999999999999999",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_in_the_unit_in_which_it_is_a_time() {
        for (text, expected) in [
            ("1709209845", 1_709_209_845_000),
            ("1709209845.678", 1_709_209_845_678),
            ("1709209845.6789", 1_709_209_845_678),
            ("1709209845678", 1_709_209_845_678),
            ("1709209845678.9", 1_709_209_845_678),
            ("1709209845678901", 1_709_209_845_678),
            ("1709209845678901234", 1_709_209_845_678),
            ("4102444800", MAX_MS),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn days_are_counted_as_a_calendar_has_them() {
        let mut expected = 0;
        for year in 1970..2101 {
            for month in 1..=12 {
                for day in 1..=31 {
                    let Some(days) = days(year, month, day) else { continue };
                    assert_eq!(days, expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
        assert_eq!(expected, 131 * 365 + 32);
    }
}
