//! Lines and groups, for any bytes in any pieces.

use super::lines::{Assembler, Message};
use super::multi_line::{FLUSH_TIMEOUT_NS, GROUP_MAX_LINES, Grouping};
use super::{LogRules, Stream, Verdict};
use crate::config::{LogRule, compile};
use model::limits::LOG_MAX_BYTES;
use model::log::TRUNCATED;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    bytes: Vec<u8>,
    end: u64,
    truncated: bool,
}

fn own(message: Message<'_>) -> Owned {
    assert!(message.bytes.len() <= LOG_MAX_BYTES);
    Owned { bytes: message.bytes.to_vec(), end: message.end, truncated: message.truncated }
}

/// Cuts `bytes` where `cuts` says.
fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn lines(pieces: &[&[u8]]) -> Vec<Owned> {
    let mut assembler = Assembler::new();
    let mut lines = Vec::new();
    for piece in pieces {
        assembler.push(piece, 1, &mut |line| lines.push(own(line)));
        assert!(assembler.held_bytes() <= LOG_MAX_BYTES + 64);
    }
    assembler.finish(&mut |line| lines.push(own(line)));
    lines
}

fn messages(grouping: &Grouping, pieces: &[&[u8]]) -> Vec<Owned> {
    let mut stream = Stream::new(grouping.clone());
    let mut messages = Vec::new();
    for piece in pieces {
        stream.push(piece, 1, &mut |message| messages.push(own(message)));
        assert!(stream.held_bytes() <= 2 * (LOG_MAX_BYTES + 64));
    }
    stream.finish(1, &mut |message| messages.push(own(message)));
    messages
}

/// The lines of `bytes` by a simpler way.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    let last = lines.pop().unwrap();
    let mut lines: Vec<_> = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    if !last.is_empty() {
        lines.push(last);
    }
    lines
}

/// Parts put together again, where each shows by its markers what it is.
fn whole(messages: &[Owned]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    let marker = TRUNCATED.as_bytes();
    for message in messages {
        let mut bytes = message.bytes.as_slice();
        if !message.truncated {
            assert!(!open, "a part that is continued is followed by its next one");
            all.push(bytes.to_vec());
            continue;
        }
        if open {
            bytes = bytes.strip_prefix(marker).expect("begins with the marker");
        } else {
            all.push(Vec::new());
        }
        open = bytes.ends_with(marker);
        all.last_mut().unwrap().extend_from_slice(bytes.strip_suffix(marker).unwrap_or(bytes));
    }
    assert!(!open);
    all
}

fn one(bytes: &[u8], grouping: &Grouping) -> Vec<String> {
    messages(grouping, &[bytes])
        .iter()
        .map(|message| String::from_utf8_lossy(&message.bytes).into_owned())
        .collect()
}

/// Texts in which ends of lines, and what groups are made of, are frequent.
fn text() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: [&[u8]; 20] = [
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\t",
        b"\tat a.b(C.java:1)\n",
        b"ERROR x\n",
        b"Traceback (most recent call last):\n",
        b"ValueError: x\n",
        b"During handling of the above exception, another exception occurred:\n",
        b"panic: x\n",
        b"goroutine 1 [running]:\n",
        b"main.main()\n",
        b"Stack trace:\n#0 {main}\n",
        b"{\"a\":1}\n",
        b"f {\n",
        b"}",
        b"\xFF\xC3",
        "é".as_bytes(),
        b"abc",
    ];
    prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..40).prop_map(|tokens| tokens.concat())
}

/// Lines about as long as one log may be, and some times that.
fn long_text() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        0..20_usize,
        LOG_MAX_BYTES - 40..LOG_MAX_BYTES + 40,
        2 * LOG_MAX_BYTES - 80..2 * LOG_MAX_BYTES + 20
    ];
    let unit = prop_oneof![Just("a"), Just("é"), Just("€"), Just("😀")];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r\r\n"), Just("\n  ")];
    prop::collection::vec((length, unit, end), 1..3).prop_map(|lines| {
        let mut text = Vec::new();
        for (length, unit, end) in lines {
            text.extend_from_slice(unit.repeat(length / unit.len()).as_bytes());
            text.extend_from_slice(&b"abc"[..length % unit.len()]);
            text.extend_from_slice(end.as_bytes());
        }
        text
    })
}

fn groupings() -> [Grouping; 3] {
    [Grouping::Off, Grouping::Automatic, Grouping::Begins(compile("^(?:E|p|a)").unwrap())]
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

proptest! {
    #[test]
    fn lines_are_the_same_however_they_arrive(text in text(), cuts in cuts()) {
        let lines = lines(&pieces(&text, &cuts));
        let bytes: Vec<_> = lines.iter().map(|line| line.bytes.as_slice()).collect();
        prop_assert_eq!(bytes, split(&text));
        prop_assert_eq!(lines.last().map_or(0, |line| line.end), text.len() as u64);
    }

    #[test]
    fn groups_are_the_same_however_their_lines_arrive(text in text(), cuts in cuts()) {
        for grouping in groupings() {
            prop_assert_eq!(messages(&grouping, &pieces(&text, &cuts)), messages(&grouping, &[&text]));
        }
    }

    #[test]
    fn groups_keep_every_line_in_order(text in text()) {
        let want: Vec<_> = split(&text).into_iter().filter(|line| !line.is_empty()).collect();
        for grouping in groupings() {
            let messages = messages(&grouping, &[&text]);
            let lines = messages.iter().flat_map(|message| message.bytes.split(|byte| *byte == b'\n'));
            let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(&lines, &want);
        }
    }

    #[test]
    fn reading_on_where_a_message_ends_gives_what_follows(text in text(), at in any::<prop::sample::Index>()) {
        for grouping in groupings() {
            let all = messages(&grouping, &[&text]);
            if all.is_empty() {
                continue;
            }
            let at = at.index(all.len());
            let end = all[at].end as usize;
            let rest = messages(&grouping, &[&text[end..]]);
            let texts = |messages: &[Owned]| messages.iter().map(|message| message.bytes.clone()).collect::<Vec<_>>();
            prop_assert_eq!(texts(&rest), texts(&all[at + 1..]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn long_lines_go_in_parts_and_nothing_is_lost(text in long_text(), cuts in cuts()) {
        let parts = lines(&pieces(&text, &cuts));
        prop_assert!(parts.iter().all(|part| part.truncated || part.bytes.len() <= LOG_MAX_BYTES));
        prop_assert!(parts.iter().all(|part| std::str::from_utf8(&part.bytes).is_ok()), "no character is cut in two");
        prop_assert!(whole(&parts) == split(&text));
        prop_assert!(parts == lines(&[&text]), "the cuts change nothing");
    }

    #[test]
    fn long_groups_go_in_parts_and_nothing_is_lost(text in long_text(), cuts in cuts()) {
        for grouping in groupings() {
            let messages = messages(&grouping, &pieces(&text, &cuts));
            let lines = whole(&messages);
            let lines: Vec<_> = lines.iter().flat_map(|message| message.split(|byte| *byte == b'\n')).collect();
            let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            let want: Vec<_> = split(&text).into_iter().filter(|line| !line.is_empty()).collect();
            prop_assert!(lines == want);
        }
    }
}

#[test]
fn a_line_within_one_piece_is_a_slice_of_it() {
    let piece = b"one\r\ntwo\nth";
    let mut assembler = Assembler::new();
    let mut at = Vec::new();
    assembler.push(piece, 1, &mut |line| at.push((line.bytes.as_ptr(), line.bytes.len())));
    assert_eq!(at, [(piece.as_ptr(), 3), (piece[5..].as_ptr(), 3)]);
}

#[test]
fn l89_the_last_line_without_newline_is_kept() {
    for grouping in groupings() {
        assert_eq!(one(b"first\nlast words", &grouping).join("|").replace('\n', "|"), "first|last words");
        assert_eq!(one(b"last words", &grouping), ["last words"]);
    }
}

#[test]
fn l90_what_is_held_for_its_next_line_goes_out_at_the_end_in_order() {
    let mut stream = Stream::new(Grouping::Automatic);
    let mut messages = Vec::new();
    stream.push(b"one\ntwo\n\tat a\nthr", 1, &mut |message| messages.push(own(message)));
    assert_eq!(messages.len(), 1);
    stream.finish(2, &mut |message| messages.push(own(message)));
    let texts: Vec<_> = messages.iter().map(|message| message.bytes.as_slice()).collect();
    assert_eq!(texts, [&b"one"[..], b"two\n\tat a", b"thr"]);
    assert_eq!(stream.next_deadline_ns(), None);
}

#[test]
fn a_message_bears_the_time_of_its_first_piece() {
    let mut stream = Stream::new(Grouping::Automatic);
    let mut at = Vec::new();
    stream.push(b"be", 10, &mut |message| at.push(message.at_ns));
    stream.push(b"gin\n", 20, &mut |message| at.push(message.at_ns));
    stream.push(b"  more\n", 30, &mut |message| at.push(message.at_ns));
    stream.push(b"next\n", 40, &mut |message| at.push(message.at_ns));
    stream.finish(50, &mut |message| at.push(message.at_ns));
    assert_eq!(at, [10, 40]);
}

#[test]
fn a_group_waits_for_its_next_line_no_longer_than_the_timeout() {
    let mut stream = Stream::new(Grouping::Automatic);
    let mut messages = Vec::new();
    assert_eq!(stream.next_deadline_ns(), None);
    stream.push(b"a\n", 5, &mut |message| messages.push(own(message)));
    stream.push(b"  b\n", 7, &mut |message| messages.push(own(message)));
    let deadline_ns = stream.next_deadline_ns().unwrap();
    assert_eq!(deadline_ns, 7 + FLUSH_TIMEOUT_NS);
    stream.tick(deadline_ns - 1, &mut |message| messages.push(own(message)));
    assert!(messages.is_empty());
    stream.tick(deadline_ns, &mut |message| messages.push(own(message)));
    assert_eq!(messages[0].bytes, b"a\n  b");
    assert_eq!(stream.next_deadline_ns(), None);
}

#[test]
fn a_line_that_was_read_late_still_belongs_to_its_group() {
    let mut stream = Stream::new(Grouping::Automatic);
    let mut messages = Vec::new();
    stream.push(b"a\n", 5, &mut |message| messages.push(own(message)));
    stream.push(b"  b\n", 5 + 9 * FLUSH_TIMEOUT_NS, &mut |message| messages.push(own(message)));
    stream.finish(0, &mut |message| messages.push(own(message)));
    assert_eq!(messages.len(), 1);
}

#[test]
fn a_tick_leaves_a_line_without_newline_alone() {
    let mut stream = Stream::new(Grouping::Automatic);
    stream.push(b"half a", 5, &mut |message| panic!("{message:?}"));
    assert_eq!(stream.next_deadline_ns(), None);
    stream.tick(i64::MAX, &mut |message| panic!("{message:?}"));
    let mut messages = Vec::new();
    stream.push(b" line\nnext\n", 9, &mut |message| messages.push(own(message)));
    assert_eq!(messages[0].bytes, b"half a line");
}

#[test]
fn with_detection_off_a_line_goes_out_at_once() {
    let mut stream = Stream::new(Grouping::Off);
    let mut messages = Vec::new();
    stream.push(b"a\n\n  b\n", 5, &mut |message| messages.push(own(message)));
    assert_eq!(
        messages.iter().map(|message| message.bytes.as_slice()).collect::<Vec<_>>(),
        [&b"a"[..], b"  b"]
    );
    assert_eq!(stream.next_deadline_ns(), None);
}

#[test]
fn the_users_rule_says_exactly_what_begins_a_log() {
    let rule = LogRule::new("multi_line", "dated", r"\d{4}-\d{2}-\d{2}", "").unwrap();
    let grouping = Grouping::new(&[rule], true);
    let text = b"before\nall\n2024-01-02 a\n{\"json\"}\n\nmore\n\n2024-01-02 b\n at 2024-01-02\n\n";
    assert_eq!(
        one(text, &grouping),
        ["before\nall", "2024-01-02 a\n{\"json\"}\n\nmore", "2024-01-02 b\n at 2024-01-02"]
    );
}

#[test]
fn a_group_of_too_many_lines_goes_in_parts() {
    let grouping = Grouping::Begins(compile("^begin").unwrap());
    let text = format!("begin\n{}begin\n", "x\n".repeat(GROUP_MAX_LINES));
    let messages = messages(&grouping, &[text.as_bytes()]);
    let counts: Vec<_> =
        messages.iter().map(|message| message.bytes.split(|byte| *byte == b'\n').count()).collect();
    assert_eq!(counts, [GROUP_MAX_LINES + 1, 1, 1], "the marker stands on a line of its own");
    assert_eq!(messages[1].bytes, b"...TRUNCATED...x");
    assert_eq!(whole(&messages)[0], text.as_bytes()[..text.len() - b"\nbegin\n".len()]);
    let blank = format!("begin\n{}x\n", "\n".repeat(GROUP_MAX_LINES));
    assert_eq!(one(blank.as_bytes(), &grouping), ["begin", "x"], "empty lines are not held without end");
}

#[test]
fn memory_for_a_long_line_is_given_back() {
    let mut stream = Stream::new(Grouping::Automatic);
    let mut count = 0;
    stream.push(&vec![b'a'; 3 * LOG_MAX_BYTES], 1, &mut |_| count += 1);
    assert!(stream.held_bytes() > LOG_MAX_BYTES / 2);
    stream.push(b"\nshort\n", 1, &mut |_| count += 1);
    assert_eq!(count, 4);
    assert!(stream.held_bytes() < 64 * 1024, "{}", stream.held_bytes());
}

#[test]
fn rules_and_parts_work_together() {
    let rules = [LogRule::new("mask_sequences", "digits", r"\d+", "#").unwrap()];
    let rules = LogRules::new(&rules);
    let mut verdicts = Vec::new();
    Stream::new(Grouping::Off)
        .push(b"a 12\nb\n", 1, &mut |message| verdicts.push(rules.apply(message.bytes)));
    assert_eq!(verdicts, [Verdict::Masked(b"a #".to_vec()), Verdict::Keep]);
}

#[test]
fn a_line_is_cut_only_when_it_is_longer_than_one_log_may_be() {
    for (length, parts) in [(LOG_MAX_BYTES - 1, 1), (LOG_MAX_BYTES, 1), (LOG_MAX_BYTES + 1, 2)] {
        for newline in ["\n", "\r\n", ""] {
            let text = format!("{}{newline}", "a".repeat(length));
            // Every place near the end where a piece may end.
            for cut in length - 2..=text.len() {
                let lines = lines(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
                assert_eq!(lines.len(), parts, "{length} bytes, {newline:?}, cut at {cut}");
            }
        }
    }
}

#[test]
fn only_the_last_part_of_a_message_says_that_its_line_is_behind_it() {
    let ends = |messages: Vec<Owned>| messages.iter().map(|message| message.end).collect::<Vec<_>>();
    let long = "a".repeat(2 * LOG_MAX_BYTES);
    let text = format!("{{}}\n{long}\nb\n");
    let end = text.len() as u64;
    for grouping in [Grouping::Off, Grouping::Automatic] {
        assert_eq!(ends(messages(&grouping, &[text.as_bytes()])), [3, 3, 3, end - 2, end]);
    }
    // As long as one log may be before its newline comes: all parts but the first go out with it.
    let text = format!("{}\n", "a".repeat(LOG_MAX_BYTES + 1));
    assert_eq!(ends(lines(&[text.as_bytes()])), [0, text.len() as u64]);
    // A group whose lines are not too long each.
    let half = "a".repeat(LOG_MAX_BYTES - 9);
    let text = format!("{{}}\nbegin\n  {half}\n  {half}\nnext\n");
    let end = text.len() as u64;
    assert_eq!(ends(messages(&Grouping::Automatic, &[text.as_bytes()])), [3, 3, 3, end - 5, end]);
}
