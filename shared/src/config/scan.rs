//! Reads RON text into a [`Node`] tree. Bounded in size and depth; never panics, whatever the text.

use super::tree::{Field, Kind, Label, Node, Span};

/// Longest text that is read. A full configuration has about 4 KiB.
pub(super) const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting that is followed. A full configuration has 5 levels; the parser of `ron` stops at 128.
const DEPTH_MAX: usize = 32;

/// What the scanner made of a text.
pub(super) struct Scanned {
    /// The tree, or why there is none.
    pub(super) root: Result<Node, ScanError>,
    /// The places of the label `of:` behind a value without a label: `fails: (3, of: 5)`. RON knows no such mixture, so
    /// these places are blanked before `ron` judges the text.
    pub(super) liberties: Vec<Span>,
}

/// Why a text has no tree.
#[derive(Debug)]
pub(super) struct ScanError {
    pub(super) span: Span,
    pub(super) message: String,
}

/// Reads a whole text.
pub(super) fn scan(text: &str) -> Scanned {
    let mut scanner = Scanner { text, at: 0, depth: 0, liberties: Vec::new() };
    let root = scanner.document();
    Scanned { root, liberties: scanner.liberties }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    liberties: Vec<Span>,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<Node, ScanError> {
        if self.rest().starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
        }
        self.skip_blank()?;
        // `#![enable(…)]`: extensions of RON. They change nothing here.
        while self.rest().starts_with("#!") {
            match self.rest().find(']') {
                Some(end) => self.at += end + 1,
                None => return Err(self.error("this attribute has no closing `]`")),
            }
            self.skip_blank()?;
        }
        let root = self.value()?;
        self.skip_blank()?;
        if self.at < self.text.len() {
            return Err(self.error("the configuration ended before this"));
        }
        Ok(root)
    }

    fn value(&mut self) -> Result<Node, ScanError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested too deeply"));
        }
        let start = self.at;
        let kind = match self.peek() {
            None => return Err(self.error("a value is missing here: the file ends")),
            Some('"') => self.quoted()?,
            Some('(') => Kind::Group { name: None, fields: self.group()? },
            Some('[') => Kind::List(self.list()?),
            Some('{') => Kind::Map(self.map()?),
            Some('\'') => self.character()?,
            Some('r') if self.raw_string_follows() => Kind::Text(self.raw_string()?),
            Some('b') if self.rest().starts_with("b\"") => {
                self.at += 1;
                self.quoted()?;
                Kind::Other("a byte string")
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => Kind::Number(self.number()),
            Some(c) if is_word_start(c) => self.word_or_named_group()?,
            Some(c) => return Err(self.error(&format!("a value is expected here, not `{}`", c.escape_debug()))),
        };
        self.depth -= 1;
        Ok(Node { span: start..self.at, kind })
    }

    fn word_or_named_group(&mut self) -> Result<Kind, ScanError> {
        let name = self.word();
        match name.as_str() {
            "true" => return Ok(Kind::Bool(true)),
            "false" => return Ok(Kind::Bool(false)),
            _ => {}
        }
        // The blank after a bare word belongs to what follows, so the word's span stays tight.
        let end = self.at;
        self.skip_blank()?;
        if self.peek() == Some('(') {
            return Ok(Kind::Group { name: Some(name), fields: self.group()? });
        }
        self.at = end;
        Ok(Kind::Word(name))
    }

    fn group(&mut self) -> Result<Vec<Field>, ScanError> {
        let mut fields: Vec<Field> = Vec::new();
        self.at += 1;
        loop {
            self.skip_blank()?;
            if self.take(')') {
                return Ok(fields);
            }
            let label = self.label()?;
            if let Some(label) = &label
                && label.name == "of"
                && fields.first().is_some_and(|field| field.label.is_none())
            {
                self.liberties.push(label.span.start..self.at);
            }
            self.skip_blank()?;
            let value = self.value()?;
            fields.push(Field { label, value });
            self.separator(')')?;
        }
    }

    /// `name:` if that follows; else nothing is read.
    fn label(&mut self) -> Result<Option<Label>, ScanError> {
        let start = self.at;
        if !self.peek().is_some_and(is_word_start) || self.raw_string_follows() {
            return Ok(None);
        }
        let name = self.word();
        let span = start..self.at;
        self.skip_blank()?;
        if self.take(':') {
            return Ok(Some(Label { name, span }));
        }
        self.at = start;
        Ok(None)
    }

    fn list(&mut self) -> Result<Vec<Node>, ScanError> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.skip_blank()?;
            if self.take(']') {
                return Ok(items);
            }
            items.push(self.value()?);
            self.separator(']')?;
        }
    }

    fn map(&mut self) -> Result<Vec<(Node, Node)>, ScanError> {
        let mut pairs = Vec::new();
        self.at += 1;
        loop {
            self.skip_blank()?;
            if self.take('}') {
                return Ok(pairs);
            }
            let key = self.value()?;
            self.skip_blank()?;
            if !self.take(':') {
                return Err(self.error("a `:` is missing between key and value"));
            }
            self.skip_blank()?;
            pairs.push((key, self.value()?));
            self.separator('}')?;
        }
    }

    /// After an entry: a comma, or the end of the group (left to be read).
    fn separator(&mut self, end: char) -> Result<(), ScanError> {
        self.skip_blank()?;
        if self.take(',') || self.peek() == Some(end) {
            return Ok(());
        }
        Err(self.error(&format!("a `,` or the closing `{end}` is missing before this")))
    }

    fn quoted(&mut self) -> Result<Kind, ScanError> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(Kind::Text(text)),
                Some('\\') => {
                    if let Some(c) = self.escape()? {
                        text.push(c);
                    }
                }
                Some(c) => text.push(c),
                None => {
                    return Err(ScanError { span: open..open + 1, message: "this text has no closing quote".into() });
                }
            }
        }
    }

    /// What follows a backslash. `None` for a line break that the backslash takes away.
    fn escape(&mut self) -> Result<Option<char>, ScanError> {
        let start = self.at.saturating_sub(1);
        let bad = |at: usize| ScanError { span: start..at, message: "this escape is not known in RON".into() };
        let c = match self.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some(c @ ('\\' | '"' | '\'')) => c,
            Some('x') => match self.hexadecimal(2).and_then(char::from_u32) {
                Some(c) => c,
                None => return Err(bad(self.at)),
            },
            Some('u') => {
                let code = if self.take('{') { self.hexadecimal(6) } else { None };
                match (code.and_then(char::from_u32), self.take('}')) {
                    (Some(c), true) => c,
                    _ => return Err(bad(self.at)),
                }
            }
            Some('\n') => {
                while self.peek().is_some_and(char::is_whitespace) {
                    self.next();
                }
                return Ok(None);
            }
            _ => return Err(bad(self.at)),
        };
        Ok(Some(c))
    }

    fn hexadecimal(&mut self, digits_max: usize) -> Option<u32> {
        let length = self.rest().bytes().take(digits_max).take_while(u8::is_ascii_hexdigit).count();
        let digits = self.rest().get(..length)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        self.at += length;
        Some(code)
    }

    fn raw_string_follows(&self) -> bool {
        let Some(rest) = self.rest().strip_prefix('r') else { return false };
        rest.trim_start_matches('#').starts_with('"')
    }

    fn raw_string(&mut self) -> Result<String, ScanError> {
        let start = self.at;
        let hashes = self.rest().bytes().skip(1).take_while(|byte| *byte == b'#').count();
        let body = start + 1 + hashes + 1;
        let closing = format!("\"{}", "#".repeat(hashes));
        match self.text.get(body..).and_then(|rest| rest.find(&closing).map(|length| (rest, length))) {
            Some((rest, length)) => {
                self.at = body + length + closing.len();
                Ok(rest.get(..length).unwrap_or_default().to_owned())
            }
            None => Err(ScanError { span: start..body, message: "this raw string has no end".into() }),
        }
    }

    fn character(&mut self) -> Result<Kind, ScanError> {
        let start = self.at;
        self.at += 1;
        match self.next() {
            Some('\\') => {
                self.escape()?;
            }
            Some(_) => {}
            None => {}
        }
        if self.take('\'') {
            Ok(Kind::Other("a single character"))
        } else {
            Err(ScanError {
                span: start..start + 1,
                message: "texts stand in double quotes: write \"…\" instead of '…'".into(),
            })
        }
    }

    fn number(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')) {
            self.next();
        }
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    fn word(&mut self) -> String {
        if self.rest().starts_with("r#") {
            self.at += 2;
        }
        let start = self.at;
        while self.peek().is_some_and(is_word_part) {
            self.next();
        }
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) -> Result<(), ScanError> {
        loop {
            while self.peek().is_some_and(is_blank) {
                self.next();
            }
            if self.rest().starts_with("//") {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if self.rest().starts_with("/*") {
                self.block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Block comments nest, as in Rust.
    fn block_comment(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        let mut open = 0_usize;
        loop {
            if self.rest().starts_with("/*") {
                open += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                open -= 1;
                self.at += 2;
                if open == 0 {
                    return Ok(());
                }
            } else if self.next().is_none() {
                return Err(ScanError { span: start..start + 2, message: "this comment has no closing `*/`".into() });
            }
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn error(&self, message: &str) -> ScanError {
        let length = self.peek().map_or(0, char::len_utf8);
        ScanError { span: self.at..self.at + length, message: message.to_owned() }
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200e}' | '\u{200f}')
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word_part(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
