//! SQL and CQL cut into tokens, as coarsely as obfuscation needs it.
//!
//! The token rules are the reference agent's (`facts/trace-intake.md` §6). Bytes are scanned in place: a token is a
//! kind and a range, nothing is allocated, and nothing recurses, so cost is linear in the statement.

use memchr::{memchr, memchr2, memmem};

/// What `db.type` says of the database, as far as it changes how a statement is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Dialect {
    #[default]
    Generic,
    MySql,
    Oracle,
    PostgreSql,
    SqlServer,
}

impl Dialect {
    /// Reads `db.type`; unknown databases are read as generic SQL.
    pub(super) fn new(db_type: &str) -> Self {
        match db_type {
            "postgresql" | "postgres" => Self::PostgreSql,
            "mssql" | "sqlserver" | "sql-server" => Self::SqlServer,
            "mysql" | "mariadb" => Self::MySql,
            "oracle" => Self::Oracle,
            _ => Self::Generic,
        }
    }

    /// Whether a backslash in a string is most likely just a backslash.
    pub(super) const fn literal_backslashes(self) -> bool {
        matches!(self, Self::PostgreSql | Self::SqlServer | Self::Oracle)
    }
}

/// What the filters tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    /// An identifier, or a keyword that means nothing here.
    Word,
    /// `SELECT`, `UPDATE` or `DELETE`.
    Statement,
    As,
    Savepoint,
    /// Anything that becomes `?`.
    Literal,
    /// `"…"`: a string after `=`, otherwise an identifier.
    DoubleQuoted,
    Comment,
    Comma,
    Semicolon,
    Colon,
    Equals,
    OpenParenthesis,
    CloseParenthesis,
    OpenBracket,
    CloseBracket,
    /// Other keywords and operators.
    Other,
}

/// How the text of a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The bytes of the range.
    Verbatim,
    /// The bytes of the range without escapes, of which the quote after the range is one.
    Unescape,
    /// The quotes around the range: the name within is empty.
    Empty,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: Text,
}

/// The statement cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

pub(super) struct Tokens<'s> {
    statement: &'s str,
    bytes: &'s [u8],
    position: usize,
    dialect: Dialect,
    literal_backslashes: bool,
    saw_backslash: bool,
    /// Open braces of a JDBC escape that wraps the whole statement: `{call …}`.
    braces: usize,
    previous: Kind,
}

impl<'s> Tokens<'s> {
    pub(super) fn new(statement: &'s str, dialect: Dialect, literal_backslashes: bool) -> Self {
        Self {
            statement,
            bytes: statement.as_bytes(),
            position: 0,
            dialect,
            literal_backslashes,
            saw_backslash: false,
            braces: 0,
            previous: Kind::Other,
        }
    }

    /// A string held a backslash, so reading it the other way may give another result.
    pub(super) const fn saw_backslash(&self) -> bool {
        self.saw_backslash
    }

    pub(super) const fn literal_backslashes(&self) -> bool {
        self.literal_backslashes
    }

    /// The next token; [`Kind::End`] after the last.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Token, Unreadable> {
        self.skip_blank();
        let start = self.position;
        let Some(&byte) = self.bytes.get(start) else {
            return Ok(Token { kind: Kind::End, start, end: start, text: Text::Verbatim });
        };
        let mut text = Text::Verbatim;
        let mut range = None;
        let kind = match CLASS[usize::from(byte)] {
            LETTER => self.word()?,
            DIGIT => self.number(),
            _ if byte == b'@' && self.dialect != Dialect::PostgreSql => self.word()?,
            _ if byte >= 0x80 => {
                // `skip_blank` has stopped here, so it is not white space.
                if !self.char_at(start).is_some_and(char::is_alphabetic) {
                    return Err(Unreadable);
                }
                self.word()?
            }
            _ => {
                self.position += 1;
                match byte {
                    b'\'' => {
                        self.quoted(byte)?;
                        Kind::Literal
                    }
                    b'"' | b'`' | b'[' if byte != b'[' || self.dialect == Dialect::SqlServer => {
                        let escapes = self.quoted(if byte == b'[' { b']' } else { byte })?;
                        let inner = (start + 1, self.position - 1);
                        text = if self.statement[inner.0..inner.1].trim().is_empty() {
                            Text::Empty
                        } else if escapes {
                            Text::Unescape
                        } else {
                            Text::Verbatim
                        };
                        range = Some(inner);
                        if byte == b'"' { Kind::DoubleQuoted } else { Kind::Word }
                    }
                    _ => self.symbol(byte)?,
                }
            }
        };
        self.previous = kind;
        let (start, end) = range.unwrap_or((start, self.position));
        Ok(Token { kind, start, end, text })
    }

    fn symbol(&mut self, byte: u8) -> Result<Kind, Unreadable> {
        let next = self.peek();
        Ok(match byte {
            b',' => Kind::Comma,
            b'(' => Kind::OpenParenthesis,
            b')' => Kind::CloseParenthesis,
            b'=' => Kind::Equals,
            b';' => Kind::Semicolon,
            b'[' => Kind::OpenBracket,
            b']' => Kind::CloseBracket,
            b'+' | b'*' | b'&' | b'|' | b'^' => Kind::Other,
            b'?' => self.question_mark(next),
            b'.' if is_digit(next) => {
                self.digits();
                self.exponent();
                Kind::Literal
            }
            b'.' => Kind::Other,
            b'-' => self.minus(next),
            b'/' if next == b'/' => self.line_comment(),
            b'/' if next == b'*' => {
                let rest = self.bytes.get(self.position + 1..).unwrap_or_default();
                let end = memmem::find(rest, b"*/").ok_or(Unreadable)?;
                self.position += end + 3;
                Kind::Comment
            }
            b'/' => Kind::Other,
            b':' => self.colon(next)?,
            b'~' => self.operator(next, b"*"),
            b'<' => match next {
                b'=' => {
                    self.position += 1;
                    self.operator(self.peek(), b">")
                }
                b'@' if self.dialect == Dialect::PostgreSql => self.operator(next, b"@"),
                _ => self.operator(next, b">"),
            },
            b'>' => self.operator(next, b"="),
            b'!' => self.exclamation_mark(next)?,
            b'%' => self.percent(next)?,
            b'$' => self.dollar(next)?,
            b'@' => self.operator(next, b">"),
            b'#' => self.hash(next)?,
            b'{' => self.open_brace()?,
            b'}' => {
                self.braces = self.braces.checked_sub(1).ok_or(Unreadable)?;
                Kind::Other
            }
            _ => return Err(Unreadable),
        })
    }

    fn word(&mut self) -> Result<Kind, Unreadable> {
        let start = self.position;
        // The first character has been judged.
        self.position += self.char_width(start);
        self.word_rest(|class| class & (LETTER | DIGIT | JOINER) != 0);
        let word = &self.bytes[start..self.position];
        if matches!(word, b"x" | b"X") && self.peek() == b'\'' {
            // `X'ff'` is one literal.
            self.position += 1;
            self.quoted(b'\'')?;
            return Ok(Kind::Literal);
        }
        Ok(keyword(word))
    }

    fn word_rest(&mut self, belongs: impl Fn(u8) -> bool) {
        loop {
            let rest = &self.bytes[self.position..];
            let ascii =
                rest.iter().position(|byte| !belongs(CLASS[usize::from(*byte)])).unwrap_or(rest.len());
            self.position += ascii;
            match self.bytes.get(self.position) {
                Some(byte) if *byte >= 0x80 => match self.char_at(self.position) {
                    Some(c) if c.is_alphabetic() => self.position += c.len_utf8(),
                    _ => return,
                },
                _ => return,
            }
        }
    }

    fn number(&mut self) -> Kind {
        if self.peek() == b'0' && matches!(self.bytes.get(self.position + 1), Some(b'x' | b'X')) {
            self.position += 2;
            while self.peek().is_ascii_hexdigit() {
                self.position += 1;
            }
            return Kind::Literal;
        }
        self.digits();
        if self.peek() == b'.' {
            self.position += 1;
            self.digits();
        }
        self.exponent();
        Kind::Literal
    }

    fn digits(&mut self) {
        while is_digit(self.peek()) {
            self.position += 1;
        }
    }

    fn exponent(&mut self) {
        if matches!(self.peek(), b'e' | b'E') {
            self.position += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.position += 1;
            }
            self.digits();
        }
    }

    /// Moves past the string whose opening quote is behind; whether it held escapes.
    fn quoted(&mut self, quote: u8) -> Result<bool, Unreadable> {
        let mut escapes = false;
        loop {
            let rest = self.bytes.get(self.position..).unwrap_or_default();
            let found = memchr2(quote, b'\\', rest).ok_or(Unreadable)?;
            self.position += found + 1;
            if rest[found] == b'\\' {
                self.saw_backslash = true;
                if !self.literal_backslashes {
                    escapes = true;
                    // An escaped character may be wider than a byte; its other bytes are no quotes.
                    self.position += 1;
                }
            } else if self.peek() == quote {
                escapes = true;
                self.position += 1;
            } else {
                return Ok(escapes);
            }
        }
    }

    fn question_mark(&mut self, next: u8) -> Kind {
        if self.dialect != Dialect::PostgreSql {
            return Kind::Literal;
        }
        if matches!(next, b'|' | b'&') {
            self.position += 1;
            return Kind::Other;
        }
        // After an operand it is the operator "has key", anywhere else a placeholder.
        let operand = matches!(
            self.previous,
            Kind::Word | Kind::DoubleQuoted | Kind::Literal | Kind::CloseParenthesis | Kind::CloseBracket
        );
        if operand { Kind::Other } else { Kind::Literal }
    }

    fn minus(&mut self, next: u8) -> Kind {
        match next {
            b'-' => self.line_comment(),
            // PostgreSQL, MySQL and SQLite have the arrows; nothing else looks like them.
            b'>' => {
                self.position += 1;
                self.operator(self.peek(), b">")
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.bytes.get(self.position + 1).copied().is_some_and(is_digit) => {
                self.position += 1;
                self.digits();
                self.exponent();
                Kind::Literal
            }
            _ => Kind::Other,
        }
    }

    fn colon(&mut self, next: u8) -> Result<Kind, Unreadable> {
        if next == b':' {
            self.position += 1;
            return Ok(Kind::Other);
        }
        if next == b'=' || self.char_at(self.position).is_some_and(char::is_whitespace) {
            return Ok(Kind::Colon);
        }
        // A bind variable; its name stays.
        let start = self.position;
        self.word_rest(|class| class & (LETTER | DIGIT) != 0 || class == JOINER_IN_BIND);
        if start == self.position || next == b'.' { Err(Unreadable) } else { Ok(Kind::Other) }
    }

    fn exclamation_mark(&mut self, next: u8) -> Result<Kind, Unreadable> {
        match next {
            b'=' => self.position += 1,
            b'~' => {
                self.position += 1;
                return Ok(self.operator(self.peek(), b"*"));
            }
            b'(' | b'`' | b'\'' | b'"' | b'+' | b'-' | b'#' | b'@' | b'_' | b'0'..=b'9' => {}
            _ => {
                let next = self.char_at(self.position);
                if !next.is_some_and(|c| c.is_whitespace() || c.is_alphabetic()) {
                    return Err(Unreadable);
                }
            }
        }
        Ok(Kind::Other)
    }

    fn percent(&mut self, next: u8) -> Result<Kind, Unreadable> {
        if next == b'(' {
            // `%(name)s`
            let end = memchr(b')', &self.bytes[self.position..]).ok_or(Unreadable)?;
            self.position += end + 1;
            self.letter().ok_or(Unreadable)?;
            return Ok(Kind::Literal);
        }
        Ok(if self.letter().is_some() { Kind::Literal } else { Kind::Other })
    }

    /// Moves past one letter.
    fn letter(&mut self) -> Option<()> {
        let c = self.char_at(self.position)?;
        if !c.is_alphabetic() && !matches!(c, '_' | '@' | '#') {
            return None;
        }
        self.position += c.len_utf8();
        Some(())
    }

    fn dollar(&mut self, next: u8) -> Result<Kind, Unreadable> {
        if is_digit(next) {
            return Ok(self.number());
        }
        if next == b'?' {
            self.position += 1;
            return Ok(Kind::Literal);
        }
        if self.dialect == Dialect::SqlServer && CLASS[usize::from(next)] == LETTER {
            // `$action` and its like.
            return self.word();
        }
        let tag = self.position - 1;
        let closing = memchr(b'$', &self.bytes[self.position..]).ok_or(Unreadable)?;
        self.position += closing + 1;
        let delimiter = &self.bytes[tag..self.position];
        let end = memmem::find(&self.bytes[self.position..], delimiter).ok_or(Unreadable)?;
        self.position += end + delimiter.len();
        Ok(Kind::Literal)
    }

    fn hash(&mut self, next: u8) -> Result<Kind, Unreadable> {
        match self.dialect {
            Dialect::SqlServer => {
                self.position -= 1;
                self.word()
            }
            Dialect::PostgreSql if next == b'>' => {
                self.position += 1;
                Ok(self.operator(self.peek(), b">"))
            }
            Dialect::PostgreSql => Ok(self.operator(next, b"-")),
            _ => Ok(self.line_comment()),
        }
    }

    fn open_brace(&mut self) -> Result<Kind, Unreadable> {
        if self.position == 1 || self.braces > 0 {
            // `{call procedure(…)}` is the statement itself.
            self.braces += 1;
            return Ok(Kind::Other);
        }
        let end = memchr(b'}', &self.bytes[self.position..]).ok_or(Unreadable)?;
        self.position += end + 1;
        Ok(Kind::Literal)
    }

    /// An operator that may have one of these as its next byte.
    fn operator(&mut self, next: u8, continuations: &[u8]) -> Kind {
        if continuations.contains(&next) {
            self.position += 1;
        }
        Kind::Other
    }

    fn line_comment(&mut self) -> Kind {
        let rest = &self.bytes[self.position..];
        self.position += memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        Kind::Comment
    }

    fn skip_blank(&mut self) {
        loop {
            match self.bytes.get(self.position) {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0) => self.position += 1,
                Some(byte) if *byte >= 0x80 => match self.char_at(self.position) {
                    Some(c) if c.is_whitespace() => self.position += c.len_utf8(),
                    _ => return,
                },
                _ => return,
            }
        }
    }

    /// The byte at the cursor; 0 at the end.
    fn peek(&self) -> u8 {
        self.bytes.get(self.position).copied().unwrap_or(0)
    }

    fn char_at(&self, position: usize) -> Option<char> {
        self.statement.get(position..)?.chars().next()
    }

    fn char_width(&self, position: usize) -> usize {
        match self.bytes[position] {
            0..=0x7f => 1,
            _ => self.char_at(position).map_or(1, char::len_utf8),
        }
    }
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
/// What may follow in a name but not begin it.
const JOINER: u8 = 4;
/// The one joiner a bind variable may have: the dot.
const JOINER_IN_BIND: u8 = JOINER | 8;

/// What each ASCII byte is in a name. `@` and `#` are no letters here because not every dialect begins names with them.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = if b.is_ascii_alphabetic() || b == b'_' {
            LETTER
        } else if b.is_ascii_digit() {
            DIGIT
        } else if b == b'.' {
            JOINER_IN_BIND
        } else if matches!(b, b'*' | b'#' | b'@' | b'$') {
            JOINER
        } else {
            0
        };
        byte += 1;
    }
    table
};

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Finds the keywords the filters know; letters are compared without case, eight at a time.
fn keyword(word: &[u8]) -> Kind {
    const fn packed(word: &[u8]) -> u64 {
        let mut value = 0;
        let mut index = 0;
        while index < word.len() {
            // Within a name only letters have a counterpart that differs in this bit.
            value = value << 8 | (word[index] | 0x20) as u64;
            index += 1;
        }
        value
    }
    macro_rules! keywords {
        ($($name:ident = $word:literal),*) => { $(const $name: u64 = packed($word);)* };
    }
    keywords!(
        AS = b"as",
        NULL = b"null",
        TRUE = b"true",
        FALSE = b"false",
        SELECT = b"select",
        UPDATE = b"update",
        DELETE = b"delete",
        DROP = b"drop",
        FROM = b"from",
        INTO = b"into",
        JOIN = b"join",
        LIMIT = b"limit",
        ALTER = b"alter",
        GRANT = b"grant",
        BEGIN = b"begin",
        CREATE = b"create",
        REVOKE = b"revoke",
        COMMIT = b"commit",
        INSERT = b"insert",
        TRUNCATE = b"truncate"
    );
    match word.len() {
        2 | 4..=6 | 8 => match packed(word) {
            AS => Kind::As,
            NULL | TRUE | FALSE => Kind::Literal,
            SELECT | UPDATE | DELETE => Kind::Statement,
            DROP | FROM | INTO | JOIN | LIMIT | ALTER | GRANT | BEGIN | CREATE | REVOKE | COMMIT | INSERT
            | TRUNCATE => Kind::Other,
            _ => Kind::Word,
        },
        9 if word.eq_ignore_ascii_case(b"savepoint") => Kind::Savepoint,
        _ => Kind::Word,
    }
}
