//! Payment card numbers in tags (`facts/trace-intake.md` §6).

use crate::config::CreditCardConfig;

/// Fewest digits of a card number.
const MIN_DIGITS: usize = 12;
/// Most digits of a card number.
const MAX_DIGITS: usize = 16;

/// Tags whose values are known to be something else. Tags that begin with `_` are never looked at either.
const NEVER: [&str; 30] = [
    "account_id",
    "aws_account",
    "config.spark_app_startTime",
    "databricks_job_id",
    "databricks_job_run_id",
    "databricks_task_run_id",
    "env",
    "error",
    "error.msg",
    "error.stack",
    "error.type",
    "graphql.field",
    "graphql.operation.name",
    "graphql.query",
    "graphql.type",
    "grpc.code",
    "grpc.method",
    "grpc.request",
    "http.method",
    "http.status_code",
    "out.host",
    "out.port",
    "runtime-id",
    "sampling.priority",
    "service",
    "service.name",
    "span.name",
    "span.type",
    "sql.query",
    "version",
];

/// Decides which values are card numbers.
pub(super) struct Cards {
    enabled: bool,
    luhn: bool,
    keep: Vec<String>,
}

impl Cards {
    pub(super) fn new(config: CreditCardConfig) -> Self {
        Self { enabled: config.enabled, luhn: config.luhn, keep: config.keep_values }
    }

    pub(super) const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether the value of this tag has to go. The value is judged first: nearly all fail on their length or first byte.
    #[inline]
    pub(super) fn hides(&self, key: &str, value: &str) -> bool {
        could_be_card(value) && self.is_card(value) && self.watches(key)
    }

    /// Whether this whole number, the value of this tag, has to go.
    pub(super) fn hides_integer(&self, key: &str, value: i64) -> bool {
        (100_000_000_000..10_000_000_000_000_000).contains(&value.unsigned_abs())
            && self.hides(key, &value.to_string())
    }

    /// Whether this number, the value of this tag, has to go.
    pub(super) fn hides_double(&self, key: &str, value: f64) -> bool {
        // With a fraction it would be written with a dot, which no card number has.
        (1e11..1e16).contains(&value.abs()) && value.fract() == 0.0 && self.hides(key, &format!("{value}"))
    }

    fn watches(&self, key: &str) -> bool {
        !key.starts_with('_')
            && NEVER.binary_search(&key).is_err()
            && !self.keep.iter().any(|keep| keep == key)
    }

    fn is_card(&self, value: &str) -> bool {
        let mut digits = [0_u8; MAX_DIGITS];
        let mut count = 0;
        for byte in value.bytes() {
            match byte {
                b' ' | b'-' => {}
                b'0'..=b'9' => {
                    let Some(digit) = digits.get_mut(count) else { return false };
                    *digit = byte - b'0';
                    count += 1;
                }
                _ => return false,
            }
        }
        count >= MIN_DIGITS && is_issued(&digits) && (!self.luhn || passes_luhn(&digits[..count]))
    }
}

/// The test almost every value fails.
#[inline]
fn could_be_card(value: &str) -> bool {
    value.len() >= MIN_DIGITS && matches!(value.as_bytes()[0], b'0'..=b'9' | b' ' | b'-')
}

/// Whether the first six digits are in a range that an issuer has.
fn is_issued(digits: &[u8; MAX_DIGITS]) -> bool {
    let prefix = digits[..6].iter().fold(0_u32, |prefix, digit| prefix * 10 + u32::from(*digit));
    matches!(
        prefix,
        100_000..=199_999
            | 222_100..=272_099
            | 300_000..=305_999
            | 309_000..=309_999
            | 340_000..=399_999
            | 400_000..=499_999
            | 500_000..=589_999
            | 600_000..=699_999
    )
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 5..) => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
#[path = "cards_tests.rs"]
mod tests;
