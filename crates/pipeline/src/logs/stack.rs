//! Which line belongs to the group above it, told without patterns: by its first byte, and by where in a stack trace the
//! group is.
//!
//! | language | what is kept together |
//! |---|---|
//! | Java, Kotlin | a line, `\tat …` and the like, `Caused by: `, `Suppressed: `, `\t... 3 more` |
//! | Python | `Traceback (most recent call last):`, what is indented, the exception; then what is chained to it |
//! | JavaScript | a line, `    at …`, the `}` of an error's properties; a source line, `^`, the error, `Node.js v…` |
//! | Go | `panic: `, `fatal error: `, `goroutine 1 [running]:`, functions and files |
//! | .NET | a line, ` ---> …`, `   at …`, `--- End of …` |
//! | Ruby | a line, `\tfrom …`, frames of `x.rb:1:in 'f'` |
//! | PHP | a line, `Stack trace:` or `[stacktrace]`, `#0 …`, `Next …`, `  thrown in …` |
//! | any | an exception or a trace after a line that announces it by a time or a level |

use memchr::{memchr2, memmem};

/// First bytes of a log in which its time and level are looked for; the reference looks at 60.
const LEAD_MAX_BYTES: usize = 80;
/// Bytes of the name of an exception.
const NAME_MAX_BYTES: usize = 200;

/// Where in a trace a group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In none, or none that matters.
    #[default]
    Plain,
    /// Frames of Java, JavaScript or .NET.
    Frames,
    /// After `Traceback`: the exception comes.
    Python,
    /// After the exception: another may be chained to it.
    PythonEnd,
    /// After the line that chains.
    PythonChain,
    /// Goroutines.
    Go,
    /// Frames of PHP.
    Php,
    /// Frames of Ruby.
    Ruby,
    /// After the mark below a source line of JavaScript.
    Caret,
}

/// What is known of an open group beyond its text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trace {
    state: State,
    /// Whether the group begins with an indented line, to which others do not belong.
    indented: bool,
    /// Whether a line ended with an opening bracket, so that a closing one belongs to it.
    opened: bool,
}

impl Trace {
    /// Begins with a line, which is not empty.
    pub(super) fn begin(line: &[u8]) -> Self {
        let state = match line[0] {
            b'T' if is_traceback(line) => State::Python,
            b'p' if line.starts_with(b"panic: ") => State::Go,
            b'f' if line.starts_with(b"fatal error: ") => State::Go,
            b'g' if is_goroutine(line) => State::Go,
            _ => State::Plain,
        };
        Self { state, indented: is_blank(line[0]), opened: opens(line) }
    }

    /// Whether a line, which is not empty, belongs to the group `open` when some empty lines are between them; if so, the
    /// group goes on from there.
    pub(super) fn joins(&mut self, line: &[u8], blanks: usize, open: &[u8]) -> bool {
        let next = if blanks > 0 { self.after_blank(line, open) } else { self.next(line, open) };
        let Some(state) = next else { return false };
        self.state = state;
        self.opened |= opens(line);
        true
    }

    /// The state after a line that follows at once; `None` when it does not belong to the group.
    fn next(&self, line: &[u8], open: &[u8]) -> Option<State> {
        let state = self.state;
        match line[0] {
            b' ' | b'\t' => return self.indented_line(line),
            b'0'..=b'9' | b'{' => return None,
            b'}' | b']' | b')' if self.opened => return Some(state),
            b'C' if line.starts_with(b"Caused by: ") => return Some(State::Frames),
            b'S' if line.starts_with(b"Suppressed: ") => return Some(State::Frames),
            b'S' if line == b"Stack trace:" => return Some(State::Php),
            b'[' if line == b"[stacktrace]" => return Some(State::Php),
            b'T' if is_traceback(line) => {
                return (state == State::PythonChain || announces(open)).then_some(State::Python);
            }
            b'g' if is_goroutine(line) => {
                let follows = state == State::Go || announces(open) || has(lead(open), b"panic");
                return follows.then_some(State::Go);
            }
            _ => {}
        }
        match state {
            State::Plain => {}
            State::Python if is_exception_line(line) => return Some(State::PythonEnd),
            State::Frames if line.starts_with(b"--- End of ") => return Some(state),
            State::Frames if line.starts_with(b"at ") && line.ends_with(b")") => return Some(state),
            _ => {
                if let Some(state) = self.after_blank(line, open) {
                    return Some(state);
                }
            }
        }
        if is_ruby_frame(line) {
            return (state == State::Ruby || announces(open) || is_exception(open)).then_some(State::Ruby);
        }
        // What costs most comes last.
        (is_exception(line) && announces(open)).then_some(State::Plain)
    }

    /// The state after a line that follows on empty ones.
    fn after_blank(&self, line: &[u8], open: &[u8]) -> Option<State> {
        match self.state {
            State::PythonEnd if is_python_chain(line) => Some(State::PythonChain),
            State::PythonChain if is_traceback(line) => Some(State::Python),
            State::Go if is_go(line) => Some(State::Go),
            State::Php if is_php(line) => Some(State::Php),
            State::Caret if is_exception(line) => Some(State::Frames),
            State::Frames if line.starts_with(b"Node.js v") => Some(State::Plain),
            State::Plain | State::Ruby if is_ruby_frame(line) => {
                (self.state == State::Ruby || is_exception(open) || announces(open)).then_some(State::Ruby)
            }
            _ => None,
        }
    }

    fn indented_line(&self, line: &[u8]) -> Option<State> {
        let text = line.trim_ascii();
        let is_frame = text.starts_with(b"at ");
        if self.indented && !is_frame {
            return None;
        }
        Some(match self.state {
            State::Plain | State::Caret if is_frame => State::Frames,
            State::Plain if text.starts_with(b"^") && text.iter().all(|byte| *byte == b'^') => State::Caret,
            state => state,
        })
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn opens(line: &[u8]) -> bool {
    matches!(line.last(), Some(b'{' | b'[' | b'('))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

fn is_traceback(line: &[u8]) -> bool {
    line.starts_with(b"Traceback (most recent call last)")
}

fn is_python_chain(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception, another exception occurred")
        || line.starts_with(b"The above exception was the direct cause of the following exception")
}

/// The line that ends a traceback of Python (`ValueError: …`) or of Ruby (`x.rb:1:in 'f': … (E)`). A log that came
/// between begins with a digit or a bracket more often than not.
fn is_exception_line(line: &[u8]) -> bool {
    line[0].is_ascii_alphabetic() || matches!(line[0], b'_' | b'/' | b'.' | b'-')
}

fn is_goroutine(line: &[u8]) -> bool {
    line.strip_prefix(b"goroutine ").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
        && line.ends_with(b":")
}

fn is_go(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] =
        [b"created by ", b"[signal ", b"exit status ", b"runtime stack:", b"...", b"panic("];
    STARTS.iter().any(|start| line.starts_with(start)) || is_goroutine(line) || is_go_function(line)
}

/// `main.(*T).serve(0xc000010000)`.
fn is_go_function(line: &[u8]) -> bool {
    let Some(open) = line.iter().position(|byte| matches!(byte, b'(' | b' ')) else { return false };
    line[open] == b'(' && line.ends_with(b")") && line[..open].contains(&b'.')
}

fn is_php(line: &[u8]) -> bool {
    let is_frame = line.strip_prefix(b"#").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    is_frame || line == b"Stack trace:" || line.starts_with(b"Next ") || line.starts_with(b"\"}")
}

/// `app/x.rb:3:in 'f'`, with or without `from`; the line that begins a trace says more.
fn is_ruby_frame(line: &[u8]) -> bool {
    line.last() == Some(&b'\'') && has(line, b":in ") && (has(line, b".rb:") || line.starts_with(b"from "))
}

/// Whether a line begins with the name of an exception: `java.io.IOException: …`, `TypeError`, `App\Error: …`.
fn is_exception(line: &[u8]) -> bool {
    if !line[0].is_ascii_alphabetic() {
        return false;
    }
    let start = &line[..line.len().min(NAME_MAX_BYTES)];
    let name = match memchr2(b' ', b'\n', start) {
        Some(end) => &start[..end],
        None => start,
    };
    let name = name.strip_suffix(b":").unwrap_or(name);
    match name.last() {
        // …Exception, …Error, …Throwable, Unhandled, Uncaught.
        Some(b'n' | b'r' | b'e' | b'd' | b't') => {}
        _ => return false,
    }
    let is_name = name.ends_with(b"Exception") || name.ends_with(b"Error") || name.ends_with(b"Throwable");
    is_name || line.starts_with(b"Unhandled exception") || line.starts_with(b"Uncaught ")
}

/// The beginning of a group's first line.
fn lead(open: &[u8]) -> &[u8] {
    let start = &open[..open.len().min(LEAD_MAX_BYTES)];
    memchr::memchr(b'\n', start).map_or(start, |end| &start[..end])
}

/// Whether a group is a log that may announce a trace: it begins with a time of day or a level.
fn announces(open: &[u8]) -> bool {
    const LEVELS: [&[u8]; 6] = [b"ERROR", b"CRITICAL", b"FATAL", b"SEVERE", b"WARN", b"level=error"];
    let lead = lead(open);
    let is_time = |text: &[u8]| matches!(text, [a, b, b':', c, d, b':', e, f] if [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()));
    lead.windows(b"00:00:00".len()).any(is_time) || LEVELS.iter().any(|level| has(lead, level))
}
