//! Any bytes as the inside of a JSON string, and JSON that others wrote so that every reader takes it. Every log passes
//! through here, so plain text is copied in runs.

/// Eight times the same byte.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Appends `bytes`, without quotes around them. What is not UTF-8 becomes U+FFFD, as `String::from_utf8_lossy` has it.
pub(crate) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    utf8(bytes, out, valid_bytes);
}

/// Appends a JSON value, or a part of one that ends within no escape, and replaces in its strings what is not UTF-8 and
/// escaped surrogates without their other half: readers refuse these, though the grammar has them.
pub(crate) fn repaired(json: &[u8], out: &mut Vec<u8>) {
    let mut at = out.len();
    utf8(json, out, |valid, out| out.extend_from_slice(valid));
    while let Some(found) = memchr::memchr(b'\\', &out[at..]) {
        at += found;
        let length = length(&out[at..]);
        if length == LENGTH && unit(&out[at..]).is_some_and(|unit| (0xd800..0xe000).contains(&unit)) {
            out[at..at + LENGTH].copy_from_slice(b"\\ufffd");
        }
        at = (at + length).min(out.len());
    }
}

/// The last place up to `most` in the inside of a JSON string that is not within a character, an escape or a pair of escapes.
pub(crate) fn boundary(text: &[u8], most: usize) -> usize {
    let mut at = 0;
    loop {
        let run = plain_run(&text[at..]);
        if at + run >= most {
            let within = |place: &usize| text.get(*place).is_some_and(|byte| byte & 0xc0 == 0x80);
            let back = (at..=most).rev().take(4).find(|place| !within(place));
            return back.unwrap_or(most);
        }
        at += run;
        let length = length(&text[at..]);
        if at + length > most {
            return at;
        }
        at += length;
    }
}

/// Bytes of an escape by its code.
const LENGTH: usize = 6;

/// Bytes of the escape at the start of `json`; of both, where it is half of a pair.
pub(crate) fn length(json: &[u8]) -> usize {
    let Some(first) = unit(json) else { return 2 };
    let second = json.get(LENGTH..).and_then(unit);
    match (first, second) {
        (0xd800..0xdc00, Some(0xdc00..0xe000)) => 2 * LENGTH,
        _ => LENGTH,
    }
}

/// The code that is escaped at the start of `json`.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Gives what is UTF-8 to `copy`, with U+FFFD for what is not.
fn utf8(mut bytes: &[u8], out: &mut Vec<u8>, copy: impl Fn(&[u8], &mut Vec<u8>)) {
    out.reserve(bytes.len());
    loop {
        match std::str::from_utf8(bytes) {
            Ok(_) => return copy(bytes, out),
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                copy(valid, out);
                out.extend_from_slice("\u{fffd}".as_bytes());
                // No length: the bytes end within a character.
                bytes = &rest[error.error_len().unwrap_or(rest.len())..];
            }
        }
    }
}

/// Appends `text`, without quotes around it.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    valid_bytes(text.as_bytes(), out);
}

fn valid_bytes(mut bytes: &[u8], out: &mut Vec<u8>) {
    loop {
        let run = plain_run(bytes);
        out.extend_from_slice(&bytes[..run]);
        let Some(&byte) = bytes.get(run) else { return };
        escape(byte, out);
        bytes = &bytes[run + 1..];
    }
}

/// How many bytes from the start need no escape.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    // Far ahead where nothing is to be escaped for long; the compiler makes vectors of it.
    while let Some(block) = bytes[run..].first_chunk::<32>() {
        if block.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
            break;
        }
        run += block.len();
    }
    // Then eight at a time: the lowest byte that is marked is one, what is marked above it may not be.
    while let Some(block) = bytes[run..].first_chunk::<8>() {
        let block = u64::from_le_bytes(*block);
        let zero_in = |word: u64| word.wrapping_sub(eight(0x01)) & !word;
        let control = block.wrapping_sub(eight(0x20)) & !block;
        let found = (control | zero_in(block ^ eight(b'"')) | zero_in(block ^ eight(b'\\'))) & eight(0x80);
        if found != 0 {
            return run + found.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    let rest = &bytes[run..];
    run + rest.iter().position(|byte| needs_escape(*byte)).unwrap_or(rest.len())
}

fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes_: &[u8]) -> String {
        let mut out = Vec::new();
        bytes(bytes_, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_is_escaped_wherever_it_stands() {
        for byte in 0..=0x7f_u8 {
            let expected = match byte {
                b'"' => "\\\"".to_owned(),
                b'\\' => "\\\\".to_owned(),
                b'\n' => "\\n".to_owned(),
                b'\r' => "\\r".to_owned(),
                b'\t' => "\\t".to_owned(),
                0..0x20 => format!("\\u{byte:04x}"),
                _ => char::from(byte).to_string(),
            };
            for place in 0..50 {
                let mut text = vec![b'a'; 50];
                text[place] = byte;
                let (before, after) = ("a".repeat(place), "a".repeat(49 - place));
                assert_eq!(escaped(&text), format!("{before}{expected}{after}"));
            }
        }
    }

    #[test]
    fn the_byte_after_one_that_is_escaped_is_seen_for_what_it_is() {
        // Each is one above what is looked for, where a borrow would mark it.
        assert_eq!(escaped(b"\x1f\x20\"#\\]\x00\x01aaaaaaa"), "\\u001f \\\"#\\\\]\\u0000\\u0001aaaaaaa");
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_the_rest_kept() {
        assert_eq!(escaped(b"a\xffb\xe2\x82\n\xf0\x9f\x92\xa9\xe2\x82"), "a\u{fffd}b\u{fffd}\\n💩\u{fffd}");
        assert_eq!(escaped(b"\x1b[31mred\x1b[0m"), "\\u001b[31mred\\u001b[0m");
    }

    #[test]
    fn a_cut_goes_through_no_character_and_no_escape() {
        let parts = ["ab", "\u{e9}", "\u{1f4a9}", "\\n", "\\\\", "\\u00e9", "\\ud83d\\udca9", "\\ud83d"];
        for repeated in parts {
            let text = format!("-{}", repeated.repeat(20));
            let whole = if repeated == "ab" { 1 } else { repeated.len() };
            for most in 0..text.len() {
                let cut = boundary(text.as_bytes(), most);
                let expected = most.saturating_sub(1) / whole * whole + usize::from(most > 0);
                assert_eq!(cut, expected, "{repeated} at {most}");
            }
        }
    }
}
