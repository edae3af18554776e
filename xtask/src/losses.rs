//! Each known way of losing data that concerns us has a test of its name: `l27_a_failed_stats_send_is_retried`.

use crate::source::File;

/// The losses of `facts/losses.md` that traces, stats, metrics, logs and proxied data can suffer, the process around
/// them, whoever supervises a child, and the channel of the sidecar. L23 and L80 (another app's data on a shared port)
/// wait for the named pipe, the channel that carries an identity.
const CONCERN_US: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29,
    30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55,
    56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 78, 79, 81, 82, 83, 84, 85, 86, 87,
    88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 107, 108, 109, 110, 111,
    113, 114, 115, 116, 117, 118, 119, 120, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 136, 139,
    143, 144, 145, 146, 147, 148, 152, 153, 154, 155,
];

pub(crate) fn problems(files: &[File]) -> Vec<String> {
    CONCERN_US
        .iter()
        .filter(|number| !files.iter().any(|file| has_test(&file.text, **number)))
        .map(|number| {
            format!("losses.md L{number}: no test is named after it: write `fn l{number}_<what a correct system does>`")
        })
        .collect()
}

/// Whether a test is named after the loss, alone (`l27_…`) or with others (`l28_l30_…`).
fn has_test(text: &str, number: u32) -> bool {
    text.match_indices("fn l").any(|(at, _)| {
        let name = &text[at + "fn ".len()..];
        let numbers = name.split('_').map_while(|part| part.strip_prefix('l')?.parse::<u32>().ok());
        numbers.into_iter().any(|of_name| of_name == number) && is_test(&text[..at])
    })
}

/// Whether what stands before a function makes it a test.
fn is_test(before: &str) -> bool {
    // The attribute stands on one of the few lines above the function.
    before.lines().rev().take(5).any(|line| line.contains("test") && line.trim_start().starts_with("#["))
        || before.rfind("proptest!").is_some_and(|start| !before[start..].contains("\n}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_test_of_the_number_counts() {
        assert!(has_test("#[test]\nfn l2_a_queue_is_flushed() {", 2));
        assert!(!has_test("#[test]\nfn l27_a_queue_is_flushed() {", 2));
        assert!(has_test("#[test]\nfn l2_l27_both() {", 27));
        assert!(!has_test("#[test]\nfn l2_room_for_l27_() {", 27));
        assert!(!has_test("fn l2_helper() {", 2));
    }
}
