//! Redis and Valkey: resources become command names, raw commands lose the arguments that carry data
//! (`facts/trace-intake.md` §6).

/// Commands a resource names at most.
const QUANTIZED_MAX_COMMANDS: usize = 3;
/// What libraries put where they cut a command off.
const TRUNCATION_MARK: &str = "...";
/// Commands whose second word belongs to the name.
const COMPOUND: [&str; 6] = ["CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "SCRIPT"];

/// Writes the names of the first commands of a resource, one command a line, into `out`, which is cleared first.
pub(super) fn quantize(resource: &str, out: &mut String) {
    out.clear();
    let mut commands = 0;
    let mut truncated = false;
    for line in resource.split('\n') {
        if commands == QUANTIZED_MAX_COMMANDS {
            break;
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let Some(name) = words.next() else { continue };
        if name.ends_with(TRUNCATION_MARK) {
            truncated = true;
            continue;
        }
        let second = if COMPOUND.iter().any(|compound| compound.eq_ignore_ascii_case(name)) {
            words.next()
        } else {
            None
        };
        if second.is_some_and(|word| word.ends_with(TRUNCATION_MARK)) {
            truncated = true;
            continue;
        }
        for word in [Some(name), second].into_iter().flatten() {
            if !out.is_empty() {
                out.push(' ');
            }
            push_upper(word, out);
        }
        commands += 1;
        truncated = false;
    }
    if commands == QUANTIZED_MAX_COMMANDS || truncated {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(TRUNCATION_MARK);
    }
}

/// Writes a raw command, or several lines of them, with `?` for arguments that carry data.
pub(super) fn obfuscate(command: &str, out: &mut String) {
    out.clear();
    let mut rest = command.trim();
    let mut arguments = Vec::new();
    let mut first = true;
    while !rest.is_empty() {
        let name;
        (name, rest) = take_command(rest);
        arguments.clear();
        let mut more = name.ends_here;
        while !more && !rest.is_empty() {
            let argument;
            (argument, rest) = take_argument(rest);
            arguments.push(argument.text);
            more = argument.ends_here;
        }
        if name.text.is_empty() && arguments.is_empty() {
            continue;
        }
        if !first {
            out.push('\n');
        }
        first = false;
        push_command(name.text, &mut arguments, out);
    }
}

/// Writes a raw command without its arguments.
pub(super) fn remove_all_arguments(command: &str, out: &mut String) {
    out.clear();
    let mut words = command.split_whitespace();
    let Some(name) = words.next() else { return };
    out.push_str(name);
    let Some(argument) = words.next() else { return };
    if name.eq_ignore_ascii_case("BITFIELD") {
        out.push_str(" ?");
        for word in std::iter::once(argument).chain(words) {
            if is_one_of(word, &["SET", "GET", "INCRBY"]) {
                out.push(' ');
                out.push_str(word);
                out.push_str(" ?");
            }
        }
    } else if (name.eq_ignore_ascii_case("CONFIG")
        && is_one_of(argument, &["GET", "SET", "RESETSTAT", "REWRITE"]))
        || (name.eq_ignore_ascii_case("ACL") && is_acl_subcommand(argument))
    {
        out.push(' ');
        out.push_str(argument);
        out.push_str(" ?");
    } else {
        out.push_str(" ?");
    }
}

struct Word<'c> {
    text: &'c str,
    /// The line, and with it the command, ends after this word.
    ends_here: bool,
}

fn take_command(line: &str) -> (Word<'_>, &str) {
    let line = line.trim_start_matches([' ', '\t', '\r']);
    let end = line.find([' ', '\n']).unwrap_or(line.len());
    after_word(line, end)
}

fn take_argument(line: &str) -> (Word<'_>, &str) {
    let mut quoted = false;
    let mut escaped = false;
    let mut end = line.len();
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            b'\\' => {
                escaped = !escaped;
                continue;
            }
            b'"' if !escaped => quoted = !quoted,
            b' ' | b'\n' if !quoted => {
                end = index;
                break;
            }
            _ => {}
        }
        escaped = false;
    }
    after_word(line, end)
}

fn after_word(line: &str, end: usize) -> (Word<'_>, &str) {
    let (text, rest) = line.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t', '\r']);
    match rest.strip_prefix('\n') {
        Some(rest) => (Word { text, ends_here: true }, rest),
        None => (Word { text, ends_here: rest.is_empty() }, rest),
    }
}

/// Which arguments carry data.
enum Hide {
    Nothing,
    /// This one and all that follow, which become one `?`.
    From(usize),
    One(usize),
    /// This one and every so many after it.
    Every {
        first: usize,
        step: usize,
    },
    /// The value of each `SET type offset value`.
    BitfieldValues,
    /// The members after the options and scores of `ZADD`.
    SortedSetMembers,
}

fn rule(name: &str, arguments: &[&str]) -> Hide {
    const LONGEST: usize = 17;
    let mut upper = [0_u8; LONGEST];
    let Some(upper) = upper.get_mut(..name.len()) else { return Hide::Nothing };
    upper.copy_from_slice(name.as_bytes());
    upper.make_ascii_uppercase();
    match &*upper {
        b"AUTH" | b"HELLO" | b"MIGRATE" => Hide::From(0),
        b"ACL" => Hide::From(1),
        b"APPEND" | b"GETSET" | b"LPUSHX" | b"GEORADIUSBYMEMBER" | b"RPUSHX" | b"SET" | b"SETNX"
        | b"SISMEMBER" | b"ZRANK" | b"ZREVRANK" | b"ZSCORE" => Hide::One(1),
        b"HSETNX" | b"LREM" | b"LSET" | b"SETBIT" | b"SETEX" | b"PSETEX" | b"SETRANGE" | b"ZINCRBY"
        | b"SMOVE" | b"RESTORE" => Hide::One(2),
        b"LINSERT" => Hide::One(3),
        b"GEOHASH" | b"GEOPOS" | b"GEODIST" | b"LPUSH" | b"RPUSH" | b"SREM" | b"ZREM" | b"SADD" => {
            Hide::From(1)
        }
        b"GEOADD" => Hide::Every { first: 3, step: 3 },
        b"HSET" | b"HMSET" => Hide::Every { first: 2, step: 2 },
        b"MSET" | b"MSETNX" => Hide::Every { first: 1, step: 2 },
        b"CONFIG" if arguments.first().is_some_and(|first| first.eq_ignore_ascii_case("SET")) => {
            Hide::Every { first: 2, step: 2 }
        }
        b"BITFIELD" => Hide::BitfieldValues,
        b"ZADD" => Hide::SortedSetMembers,
        _ => Hide::Nothing,
    }
}

fn push_command(name: &str, arguments: &mut Vec<&str>, out: &mut String) {
    match rule(name, arguments) {
        Hide::Nothing => {}
        Hide::From(first) => {
            if let Some(argument) = arguments.get_mut(first) {
                *argument = "?";
                arguments.truncate(first + 1);
            }
        }
        Hide::One(index) => {
            if let Some(argument) = arguments.get_mut(index) {
                *argument = "?";
            }
        }
        Hide::Every { first, step } => hide_every(arguments, first, step),
        Hide::BitfieldValues => {
            let mut value = usize::MAX;
            for (index, argument) in arguments.iter_mut().enumerate() {
                if index == value {
                    *argument = "?";
                } else if index > 0 && argument.eq_ignore_ascii_case("SET") {
                    value = index + 3;
                }
            }
        }
        Hide::SortedSetMembers => {
            let options = arguments
                .iter()
                .skip(1)
                .take_while(|argument| is_one_of(argument, &["NX", "XX", "GT", "LT", "CH", "INCR"]))
                .count();
            hide_every(arguments, options + 2, 2);
        }
    }
    out.push_str(name);
    for argument in arguments {
        out.push(' ');
        out.push_str(argument);
    }
}

fn hide_every(arguments: &mut [&str], first: usize, step: usize) {
    for argument in arguments.iter_mut().skip(first).step_by(step) {
        *argument = "?";
    }
}

fn is_acl_subcommand(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_one_of(word: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(word))
}

fn push_upper(word: &str, out: &mut String) {
    let start = out.len();
    if word.is_ascii() {
        out.push_str(word);
        out[start..].make_ascii_uppercase();
    } else {
        // One character to one character, as the reference maps them.
        out.extend(word.chars().map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(only), None) => only,
                _ => c,
            }
        }));
    }
}

#[cfg(test)]
#[path = "redis_tests.rs"]
mod tests;
