//! Numbers as the reference's language reads them (Go's `ParseFloat`), without those that are not finite.
//!
//! Nearly every value has a few digits and perhaps a point. Its digits are an integer below 2^53 and its point a
//! power of ten up to 10^22; both are doubles exactly, so that one division rounds right. Everything else
//! goes to std's parser, which takes longer and always rounds right, or is hexadecimal.

use memchr::memchr;

use super::LineError;

/// Digits and a point that are surely below 10^18, and nearly always below 2^53.
const SHORT_MAX_BYTES: usize = 18;
/// Integers up to this are doubles exactly.
const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

const POWERS_OF_TEN: [f64; SHORT_MAX_BYTES] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];

/// A finite number: decimal or hexadecimal, with an exponent and underscores where Go takes them.
///
/// # Errors
/// [`LineError::BadValue`] when the text is none, [`LineError::NotFinite`] when it is not finite or too big for
/// a double.
#[inline]
pub(super) fn number(text: &[u8]) -> Result<f64, LineError> {
    match short(text) {
        Some((number, [])) => Ok(number),
        _ => long(text),
    }
}

/// The number before the first `:`, or all of the text, and what follows the `:`. Errors are those of [`number`].
#[inline]
pub(super) fn first_number(text: &[u8]) -> Result<(f64, &[u8]), LineError> {
    match short(text) {
        Some((number, [])) => Ok((number, &[])),
        Some((number, [b':', rest @ ..])) => Ok((number, rest)),
        _ => {
            let end = memchr(b':', text).unwrap_or(text.len());
            Ok((long(&text[..end])?, text.get(end + 1..).unwrap_or(&[])))
        }
    }
}

/// A whole decimal number, with or without a sign.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The digits, with or without a sign and a point, at the begin of the text, and what follows them; `None` leaves it
/// to [`long`].
#[inline]
fn short(text: &[u8]) -> Option<(f64, &[u8])> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut mantissa = 0_u64;
    // Bytes up to and with the point.
    let mut whole = 0;
    let mut end = 0;
    for byte in text.iter().take(SHORT_MAX_BYTES) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && whole == 0 {
            whole = end + 1;
        } else {
            break;
        }
        end += 1;
    }
    let digits = end - usize::from(whole > 0);
    if digits == 0 || mantissa > EXACT_MAX {
        return None;
    }
    let number = if whole == 0 { mantissa as f64 } else { mantissa as f64 / POWERS_OF_TEN[end - whole] };
    Some((if negative { -number } else { number }, &text[end..]))
}

#[cold]
fn long(text: &[u8]) -> Result<f64, LineError> {
    let text = std::str::from_utf8(text).map_err(|_| LineError::BadValue)?;
    let without;
    let text = if text.contains('_') {
        if !underscores_are_right(text.as_bytes()) {
            return Err(LineError::BadValue);
        }
        without = text.replace('_', "");
        &without
    } else {
        text
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = if let Some(digits) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let number = hexadecimal(digits.as_bytes()).ok_or(LineError::BadValue)?;
        if text.starts_with('-') { -number } else { number }
    } else {
        // It takes the names of infinity and of what is no number, in any case, as Go does.
        text.parse::<f64>().map_err(|_| LineError::BadValue)?
    };
    if number.is_finite() { Ok(number) } else { Err(LineError::NotFinite) }
}

/// An underscore stands between digits, or between `0x` and a digit.
fn underscores_are_right(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    let (hexadecimal, text) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let is_digit = |byte: u8| if hexadecimal { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    // A prefix counts as a digit.
    let mut before_is_digit = hexadecimal;
    for (place, byte) in text.iter().enumerate() {
        let after_is_digit = || text.get(place + 1).is_some_and(|after| is_digit(*after));
        if *byte == b'_' && !(before_is_digit && after_is_digit()) {
            return false;
        }
        before_is_digit = is_digit(*byte);
    }
    true
}

/// Hexadecimal digits with at most one point, and an exponent of two, which must be there. Infinite when it is
/// too big.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    /// Beyond what any line's digits could make up for.
    const EXPONENT_MAX: i64 = 1_000_000;

    let end = text.iter().position(|byte| matches!(byte, b'p' | b'P'))?;
    let (digits, exponent) = (&text[..end], &text[end + 1..]);
    let (negative, exponent) = match exponent {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, exponent),
    };
    if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let power =
        exponent.iter().fold(0, |power: i64, digit| (power * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    let mut power = if negative { -power } else { power };
    let (mut mantissa, mut rest_is_zero) = (0_u64, true);
    let (mut any, mut point) = (false, false);
    for byte in digits {
        if *byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(*byte).to_digit(16)?;
        any = true;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            power -= if point { 4 } else { 0 };
        } else {
            rest_is_zero &= digit == 0;
            power += if point { 0 } else { 4 };
        }
    }
    any.then(|| rounded(mantissa, rest_is_zero, power))
}

/// The double nearest to `mantissa` times two to the `power`, the even one of two. `rest_is_zero`: nothing was
/// cut off behind the mantissa.
fn rounded(mantissa: u64, rest_is_zero: bool, power: i64) -> f64 {
    const MOST: i64 = f64::MAX_EXP as i64 - 1;
    const LEAST_NORMAL: i64 = f64::MIN_EXP as i64 - 1;
    const BITS: i64 = f64::MANTISSA_DIGITS as i64;

    if mantissa == 0 {
        return 0.0;
    }
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    // Of the leading bit.
    let exponent = power - i64::from(zeros) + 63;
    // Fewer bits are kept of what is less than the least normal double.
    let bits = if exponent >= LEAST_NORMAL { BITS } else { BITS - (LEAST_NORMAL - exponent) };
    if exponent > MOST {
        return f64::INFINITY;
    }
    if bits < 0 {
        return 0.0;
    }
    let cut = 64 - bits as u32;
    let kept = mantissa.checked_shr(cut).unwrap_or(0);
    let (half, rest) = (1 << (cut - 1), mantissa & (u64::MAX >> (64 - cut)));
    let up = rest > half || rest == half && (!rest_is_zero || kept & 1 == 1);
    // The leading bit, and a carry beyond it, add to the exponent's bits.
    let exponent_bits = (exponent - LEAST_NORMAL).max(0) as u64;
    f64::from_bits((exponent_bits << (BITS - 1)) + kept + u64::from(up))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What std says of a decimal number.
    fn expected(text: &str) -> Result<f64, LineError> {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(LineError::NotFinite),
            Err(_) => Err(LineError::BadValue),
        }
    }

    fn bits(number: Result<f64, LineError>) -> Result<u64, LineError> {
        number.map(f64::to_bits)
    }

    /// A double's hexadecimal form, which is exact.
    fn in_hexadecimal(number: f64) -> String {
        let bits = number.abs().to_bits();
        let (exponent, mantissa) = (bits >> 52, bits & ((1 << 52) - 1));
        let sign = if number.is_sign_negative() { "-" } else { "" };
        if exponent == 0 {
            format!("{sign}0x0.{mantissa:013x}p-1022")
        } else {
            format!("{sign}0X1.{mantissa:013X}P{:+}", exponent as i64 - 1023)
        }
    }

    #[test]
    fn numbers_are_read_as_the_reference_reads_them() {
        for (text, number) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1", 1.0),
            ("1", 1.0),
            ("-1.5", -1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-.5", -0.5),
            ("0.1", 0.1),
            ("0000000000000000000000001", 1.0),
            ("1e3", 1e3),
            ("1E+3", 1e3),
            ("1.e-3", 1e-3),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("1.7976931348623157e308", f64::MAX),
            ("5e-324", 5e-324),
            ("1e-999", 0.0),
            ("0e999999999999", 0.0),
            ("1_23.50_0_0e+1_2", 1.235e14),
            ("0x1p-2", 0.25),
            ("0X1P-2", 0.25),
            ("-0x1.8p1", -3.0),
            ("0x.8p0", 0.5),
            ("0x8.p0", 8.0),
            ("0x_1_2.3_4_5p+1_2", 74_565.0),
            ("0x0p99999", 0.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.fffffffffffff7fffp1023", f64::MAX),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.00000000000000001p-1075", 5e-324),
            ("0x1.fffffffffffffp-1023", f64::MIN_POSITIVE),
            ("0x1p-99999", 0.0),
            // Halfway between two doubles: to the even one, unless anything follows.
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x1.000000000000080000000000001p0", 1.0 + f64::EPSILON),
        ] {
            assert_eq!(bits(super::number(text.as_bytes())), Ok(number.to_bits()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "+", ".", "-.", "..", "1..2", "1.2.3", "abc", "1a", " 1", "1 ", "--1", "+-1", "1e",
            "1e+", "e1", ".e1", "1e1.5", "_1", "1_", "1__0", "1_.5", "1._5", "1_e5", "1e_5", "1e5_", "-_1",
            "0x", "0x1", "0xp1", "0x.p1", "0x1p", "0x1p+", "0x1pa", "0x1..8p1", "0xgp1", "0x1_p1", "0x1p_1",
            "0_x1p1", "0b1", "0o7", "1,5", "١", "infinit", "n", "0x1p1p1", "0x+1p1",
        ] {
            assert_eq!(number(text.as_bytes()), Err(LineError::BadValue), "{text}");
        }
        assert_eq!(number(b"\xff"), Err(LineError::BadValue));
        assert_eq!(number(b"1\xff"), Err(LineError::BadValue));
    }

    #[test]
    fn l52_what_is_not_finite_is_refused() {
        for text in [
            "NaN",
            "nan",
            "Inf",
            "+inf",
            "-INF",
            "infinity",
            "-Infinity",
            "1e999",
            "-1e309",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "0x1p99999999999999999999",
        ] {
            assert_eq!(number(text.as_bytes()), Err(LineError::NotFinite), "{text}");
        }
    }

    #[test]
    fn integers_have_a_sign_or_none() {
        assert_eq!(integer(b"1700000000"), Some(1_700_000_000));
        assert_eq!((integer(b"+5"), integer(b"-5")), (Some(5), Some(-5)));
        for text in [b"".as_slice(), b"1.0", b"1e3", b"1_0", b" 1", b"9223372036854775808", b"\xff"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn decimals_are_what_std_makes_of_them(text in "[+-]?[0-9]{0,19}(\\.[0-9]{0,19})?([eE][+-]?[0-9]{1,3})?") {
            prop_assert_eq!(bits(number(text.as_bytes())), bits(expected(&text)));
        }

        #[test]
        fn what_is_short_is_what_std_makes_of_it(mantissa in 0_u64..1 << 54, point in 0_usize..=16) {
            let mut text = mantissa.to_string();
            text.insert(text.len().saturating_sub(point), '.');
            let short = short(text.as_bytes());
            prop_assert_eq!(short.is_some(), mantissa <= EXACT_MAX, "{}", text);
            if let Some((number, rest)) = short {
                prop_assert_eq!((number.to_bits(), rest), (text.parse::<f64>().unwrap().to_bits(), &[][..]));
            }
        }

        #[test]
        fn texts_of_few_characters_are_numbers_when_std_says_so(text in "[0-9.eE+-]{0,6}") {
            prop_assert_eq!(bits(number(text.as_bytes())), bits(expected(&text)));
        }

        #[test]
        fn every_double_survives_its_hexadecimal_form(double in any::<f64>().prop_filter("finite", |d| d.is_finite())) {
            prop_assert_eq!(bits(number(in_hexadecimal(double).as_bytes())), Ok(double.to_bits()));
        }

        /// An integer is rounded the same way by the machine.
        #[test]
        fn hexadecimal_integers_are_rounded_as_the_machine_does(integer in any::<u128>(), shift in 0_u32..128) {
            let integer = integer >> shift;
            let text = format!("0x{integer:x}p0");
            prop_assert_eq!(bits(number(text.as_bytes())), Ok((integer as f64).to_bits()), "{}", text);
        }

        #[test]
        fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(number) = number(&text) {
                prop_assert!(number.is_finite());
            }
        }
    }
}
