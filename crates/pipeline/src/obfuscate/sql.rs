//! The default SQL obfuscation: literals become `?`, comments and aliases go, lists of values collapse.
//!
//! Three filters see each token and the one before it, as the reference does (`facts/trace-intake.md` §6): one drops, one
//! replaces, one groups. Their order and their memory decide the outcome of odd statements, so they are kept as they
//! are; what differs on purpose stands in DIFFERENCES.md.

use super::sql_tokens::{Dialect, Kind, Text, Token, Tokens, Unreadable};

/// Writes the obfuscated statement into `out`, which is cleared first.
///
/// Backslashes in strings are escapes or just backslashes. The reading usual for the dialect is tried first, the other
/// one when that fails: a wrong guess leaves a quote or a backslash where no statement can have one.
pub(super) fn obfuscate(statement: &str, dialect: Dialect, out: &mut String) -> Result<(), Unreadable> {
    let literal_backslashes = dialect.literal_backslashes();
    let mut tokens = Tokens::new(statement, dialect, literal_backslashes);
    match attempt(statement, &mut tokens, out) {
        Err(Unreadable) if tokens.saw_backslash() => {
            attempt(statement, &mut Tokens::new(statement, dialect, !literal_backslashes), out)
        }
        result => result,
    }
}

/// What became of the token before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Token(Kind),
    /// Dropped, or replaced by a `?` that may stand for several.
    Groupable,
    /// The same, of an opening parenthesis: a nested query may follow.
    GroupableParenthesis,
    /// Dropped.
    Dropped,
    /// Within the brackets of an alias that is dropped.
    DroppedBrackets,
}

fn attempt(statement: &str, tokens: &mut Tokens<'_>, out: &mut String) -> Result<(), Unreadable> {
    out.clear();
    out.reserve(statement.len() + statement.len() / 8);
    let mut writer = Writer { statement, out, run_start: 0, run_end: 0 };
    let mut last = Last::Token(Kind::End);
    let mut groups = Groups::default();
    loop {
        let token = tokens.next()?;
        if token.kind == Kind::End {
            break;
        }
        let (now, write) = filter(&token, last)?;
        let (now, write) = groups.filter(now, write, last, &mut writer);
        if write != Write::Nothing {
            let glued = match now {
                Last::Token(Kind::Comma) => true,
                Last::Token(Kind::Equals) => last == Last::Token(Kind::Colon),
                _ => false,
            };
            match write {
                Write::Placeholder => writer.fresh("?", glued),
                _ => writer.token(&token, glued, tokens.literal_backslashes()),
            }
        }
        last = now;
    }
    writer.flush();
    if out.is_empty() { Err(Unreadable) } else { Ok(()) }
}

/// Writes tokens with a space between them. Where the statement has them laid out like that already, which is the usual
/// case, whole runs are copied at once.
struct Writer<'w> {
    statement: &'w str,
    out: &'w mut String,
    /// What of the statement is to be copied as it is.
    run_start: usize,
    run_end: usize,
}

impl Writer<'_> {
    #[inline]
    fn token(&mut self, token: &Token, glued: bool, literal_backslashes: bool) {
        let Token { start, end, text, .. } = *token;
        if text != Text::Verbatim {
            return self.quoted(token, glued, literal_backslashes);
        }
        let follows = self.run_start < self.run_end
            && if glued {
                start == self.run_end
            } else {
                start == self.run_end + 1 && self.statement.as_bytes()[self.run_end] == b' '
            };
        if !follows {
            self.flush();
            self.space(glued);
            self.run_start = start;
        }
        self.run_end = end;
    }

    /// Writes what is not part of the statement.
    #[inline]
    fn fresh(&mut self, text: &str, glued: bool) {
        self.flush();
        self.space(glued);
        self.out.push_str(text);
    }

    #[inline]
    fn flush(&mut self) {
        self.out.push_str(&self.statement[self.run_start..self.run_end]);
        self.run_start = self.run_end;
    }

    #[inline]
    fn space(&mut self, glued: bool) {
        if !glued && !self.out.is_empty() {
            self.out.push(' ');
        }
    }

    #[cold]
    fn quoted(&mut self, token: &Token, glued: bool, literal_backslashes: bool) {
        self.fresh("", glued);
        let quote = &self.statement[token.end..=token.end];
        if token.text == Text::Empty {
            self.out.push_str(&self.statement[token.start - 1..token.start]);
            self.out.push_str(quote);
            return;
        }
        let mut characters = self.statement[token.start..token.end].chars();
        while let Some(c) = characters.next() {
            if quote.starts_with(c) || (c == '\\' && !literal_backslashes) {
                self.out.extend(characters.next());
            } else {
                self.out.push(c);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Nothing,
    Text,
    Placeholder,
}

/// Drops comments, aliases and semicolons, replaces literals.
#[inline]
fn filter(token: &Token, last: Last) -> Result<(Last, Write), Unreadable> {
    let kind = token.kind;
    let (mut now, mut write) = match last {
        Last::DroppedBrackets if kind != Kind::CloseBracket => {
            if kind != Kind::Word {
                return Err(Unreadable);
            }
            (Last::DroppedBrackets, Write::Nothing)
        }
        Last::DroppedBrackets => (Last::Dropped, Write::Nothing),
        Last::Token(Kind::As) if kind == Kind::OpenBracket => (Last::DroppedBrackets, Write::Nothing),
        Last::Token(Kind::As) => (Last::Dropped, Write::Nothing),
        _ => match kind {
            Kind::Comment => (Last::Dropped, Write::Nothing),
            Kind::Semicolon => (Last::Groupable, Write::Nothing),
            Kind::As => (Last::Token(Kind::As), Write::Nothing),
            _ => (Last::Token(kind), Write::Text),
        },
    };
    let replace = match last {
        Last::Token(Kind::Savepoint) => true,
        Last::Token(Kind::Equals) if now == Last::Token(Kind::DoubleQuoted) => true,
        _ => now == Last::Token(Kind::Literal),
    };
    if replace {
        now = if now == Last::Token(Kind::OpenParenthesis) {
            Last::GroupableParenthesis
        } else {
            Last::Groupable
        };
        write = Write::Placeholder;
    }
    Ok((now, write))
}

/// Lets `( ?, ?, ? )` and `( ? ), ( ? )` become `( ? )`.
#[derive(Default)]
struct Groups {
    /// Values seen in this group.
    values: usize,
    /// Groups seen in a row.
    groups: usize,
}

impl Groups {
    #[inline]
    fn filter(&mut self, now: Last, write: Write, last: Last, writer: &mut Writer<'_>) -> (Last, Write) {
        let groupable = matches!(now, Last::Groupable | Last::GroupableParenthesis);
        if (groupable && last == Last::Token(Kind::OpenParenthesis))
            || (self.groups > 0 && now == Last::Token(Kind::OpenParenthesis))
        {
            self.groups += 1;
        }
        if self.groups > 0
            && last == Last::GroupableParenthesis
            && matches!(now, Last::Token(Kind::Statement | Kind::Word))
        {
            // The parenthesis just dropped begins a nested query: give it back.
            *self = Self::default();
            writer.fresh("(", false);
            return (now, write);
        }
        if groupable {
            self.values += 1;
            if self.values > 1 {
                return (dropped(now), Write::Nothing);
            }
        } else if self.values > 0 && now == Last::Token(Kind::Comma) {
            return (Last::Groupable, Write::Nothing);
        } else if self.groups > 1 {
            return (dropped(now), Write::Nothing);
        } else if !matches!(now, Last::Token(Kind::Comma | Kind::OpenParenthesis | Kind::CloseParenthesis)) {
            *self = Self::default();
        }
        (now, write)
    }
}

fn dropped(now: Last) -> Last {
    match now {
        Last::Token(Kind::OpenParenthesis) => Last::GroupableParenthesis,
        _ => Last::Groupable,
    }
}
